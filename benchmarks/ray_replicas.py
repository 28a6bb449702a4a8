"""What a second replica brings, and what Ray costs a message.

    python -m benchmarks.ray_replicas [--rounds 5] [--seconds 10] [--work 800 | --wait 0.04] [--asks 150]

A cluster of its own on this machine. The models are a fixed amount of arithmetic in one thread (`--work` products of
matrices for each picture) that is pinned to one core, another for each replica of an application; or, with `--wait`,
they only take time, as models on a GPU do for the processor, and two replicas need no second core. One application
has one replica, the other two; they are kept busy in turn, so that noise hits both alike. For the latency the same
small job goes to a worker process and to a replica in turn.

Compare the ratio and the difference; single figures depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

import rapbot.inference.worker
from rapbot.config import Settings
from rapbot.errors import RapbotError
from rapbot.inference import profiles, serving
from rapbot.inference.cluster import node
from rapbot.inference.cluster.client import ClusterWorker
from rapbot.inference.cluster.deploying import application
from rapbot.inference.cluster.joining import connect, make_token
from rapbot.inference.job import Answer, Job, Task
from rapbot.inference.meeting import FaceEyes
from rapbot.inference.pipeline import Models, RapPipeline
from rapbot.inference.planning import worker_start
from rapbot.inference.queue import JobQueue
from rapbot.inference.seams import Views
from rapbot.inference.serving import Channel, WorkerStart
from rapbot.inference.worker import Worker
from rapbot.photos import PhotoLimits
from tests import light_models
from tests.light_models import _WholePicture
from tests.pictures import jpeg
from tests.scripted import Scripted

_FILLS_S = 1.5
_ONE_BATCH_S = 0.02
"""Answers of one batch come within this."""
_held: list[Any] = []
"""Locks, for as long as the process lives."""


class _Working:
    """An encoder whose keys cost a fixed amount of arithmetic."""

    dimension = 4

    def __init__(self, name: str, work: int, wait: float) -> None:
        self.name = name
        self._work, self._wait = work, wait
        self._matrix = np.random.default_rng(0).standard_normal((192, 192)).astype(np.float32)

    def encode(self, crops: Sequence[Image.Image]) -> Views:
        keys = np.array([self.encode_avatar(crop) for crop in crops], np.float32)
        return Views(keys.reshape(len(crops), self.dimension), ((),) * len(crops))

    def encode_avatar(self, picture: Image.Image) -> npt.NDArray[np.float32]:
        time.sleep(self._wait)
        product = self._matrix
        for _turn in range(self._work):
            product = self._matrix @ product
            product /= np.linalg.norm(product)
        return np.array([1.0, 0.0, 0.0, 0.0], np.float32)


def attach(start: WorkerStart, progress: Channel, *, work: int, wait: float, locks: str) -> None:
    """In a replica: take a core that no other of this application has, and load the models."""
    for core in sorted(os.sched_getaffinity(0)) if work else ():
        lock = (Path(locks) / str(core)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        _held.append(lock)
        os.sched_setaffinity(0, {core})
        break
    profiles.load_pipeline = partial(_load, work=work, wait=wait)
    serving.attach(start, progress)


def _load(start: WorkerStart, work: int, wait: float) -> RapPipeline:
    generator = Scripted()
    generator.adapted = False
    models = Models(
        detector=_WholePicture(),
        encoder=_Working(start.profile.encoder.name, work, wait),
        generator=generator,
        rules=start.profile.rules,
        faces=FaceEyes(start.weights_dir, start.profile.faces, start.runtime),
    )
    return RapPipeline(models, PhotoLimits(start.max_bytes, start.max_pixels))


@contextmanager
def _cluster(folder: Path, work: int, wait: float) -> Iterator[Settings]:
    """Three applications: "one" and "two" replicas that work, and a "light" one."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        port = tried.getsockname()[1]
    cluster: dict[str, Any] = {"address": f"127.0.0.1:{port}", "num_cpus": 0.1, "drain_s": 5.0}
    settings = Settings.model_validate({"data_dir": folder, "worker": {"threads": 1}, "cluster": cluster})
    make_token(settings)
    node.start(settings, cpus=2)
    try:
        ray = connect(settings)
        from ray import serve

        serve.start(proxy_location="Disabled")
        from benchmarks import ray_replicas as ours  # by its name: replicas know no __main__

        targets = []
        for name, count in (("one", 1), ("two", 2), ("light", 1)):
            limits = settings.cluster.model_copy(update={"replicas_min": count, "replicas_max": count})
            own = settings.model_copy(update={"cluster": limits})
            locks = folder / name
            locks.mkdir()
            how = (
                light_models.attach if name == "light" else partial(ours.attach, work=work, wait=wait, locks=str(locks))
            )
            targets.append(serve.RunTarget(application(own, worker_start(own), how), name=name, route_prefix=None))
        serve.run_many(targets)
        try:
            yield settings
        finally:
            serve.shutdown()
            ray.shutdown()
    finally:
        node.stop(settings)


async def _jobs_per_second(worker: ClusterWorker, replicas: int, seconds: float, photo: bytes) -> float:
    """With the queue in front always full, batches of four. The first seconds, in which it fills, do not count, nor
    what is answered after the end, when less and less is left to do."""
    loop = asyncio.get_running_loop()
    answered: list[float] = []
    async with JobQueue(worker, batch_size=4, batch_wait=0, per_person=1000, lanes=2 * replicas) as queue:
        began = loop.time()
        counted, until = began + _FILLS_S, began + _FILLS_S + seconds

        async def ask(person: str) -> None:
            number = 0
            while loop.time() < until:
                number += 1
                fresh = photo + f"{person}{number}{began}".encode()
                await queue.submit(Job(f"{person}-{number}", person, Task.KEYS, photo=fresh))
                answered.append(loop.time())

        await asyncio.gather(*(ask(f"p{person}") for person in range(16 * replicas)))
    within = [at for at in answered if counted <= at <= until]
    return len([at for at in within if at > within[0] + _ONE_BATCH_S]) / (within[-1] - within[0])


async def _ask(worker: Worker | ClusterWorker, name: str, photo: bytes) -> float:
    """Milliseconds of one small job."""
    began = time.perf_counter()
    [answer] = await worker.run([Job(name, "ann", Task.CAPTION, photo=photo + name.encode())], {})
    if not isinstance(answer, Answer):
        raise answer if isinstance(answer, RapbotError) else AssertionError(answer)
    return 1000 * (time.perf_counter() - began)


async def _measure(settings: Settings, arguments: argparse.Namespace) -> dict[str, Any]:
    start = worker_start(settings)
    photo = jpeg(Image.new("RGB", (320, 240), (120, 80, 40)))
    rates: dict[int, list[float]] = {1: [], 2: []}
    async with ClusterWorker(settings, start, "one") as one, ClusterWorker(settings, start, "two") as two:
        for worker, replicas in ((one, 1), (two, 2)):  # once for nothing: connections are made
            await _jobs_per_second(worker, replicas, 1.0, photo)
        for _round in range(arguments.rounds):
            for worker, replicas in ((one, 1), (two, 2)):
                rates[replicas].append(await _jobs_per_second(worker, replicas, arguments.seconds, photo))
    here: list[float] = []
    there: list[float] = []
    rapbot.inference.worker.initialise = light_models.initialise  # type: ignore[attr-defined]
    async with Worker(start) as local, ClusterWorker(settings, start, "light") as light:
        await asyncio.gather(local.ready(), light.ready())
        for number in range(-20, arguments.asks):
            pair = await _ask(local, f"l{number}", photo), await _ask(light, f"c{number}", photo)
            if number >= 0:
                here.append(pair[0])
                there.append(pair[1])
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    return {
        "jobs_per_s": {str(count): round(statistics.median(found), 1) for count, found in rates.items()},
        "speedup": round(statistics.median(ratios), 2),
        "speedups": [round(ratio, 2) for ratio in ratios],
        "latency_ms": {
            "worker_p50": round(statistics.median(here), 1),
            "cluster_p50": round(statistics.median(there), 1),
            "added_p50": round(statistics.median(there) - statistics.median(here), 1),
            "worker_p95": round(sorted(here)[int(0.95 * len(here))], 1),
            "cluster_p95": round(sorted(there)[int(0.95 * len(there))], 1),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each application in each round")
    parser.add_argument("--work", type=int, default=800, help="products of matrices for each picture")
    parser.add_argument("--wait", type=float, default=0.0, help="seconds for each picture instead of work")
    parser.add_argument("--asks", type=int, default=150, help="small jobs to the worker and to a replica")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    work = 0 if arguments.wait else arguments.work
    with tempfile.TemporaryDirectory() as folder, _cluster(Path(folder), work, arguments.wait) as settings:
        print(json.dumps(asyncio.run(_measure(settings, arguments)), indent=2))


if __name__ == "__main__":
    main()
