"""A real Ray Serve cluster on this machine, two replicas with models that weigh nothing, killed and hung for real."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import socket
import stat
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from PIL import Image
from typer.testing import CliRunner

import rapbot.inference.worker
from rapbot.cli import cli
from rapbot.config import Settings, load_settings
from rapbot.errors import ConfigError, InferenceError, JobTimeout, PhotoError, WorkerDied
from rapbot.inference.cluster import deploying, node
from rapbot.inference.cluster.client import ClusterWorker
from rapbot.inference.cluster.joining import ClusterError
from rapbot.inference.job import Answer, Job, Task
from rapbot.inference.planning import worker_start
from rapbot.inference.queue import JobQueue
from rapbot.inference.worker import Worker
from rapbot.messages import Progress, Stage
from tests import light_models
from tests.pictures import cat_jpeg, jpeg

pytestmark = [
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra scale"),  # not imported: joining.py does that
    pytest.mark.asyncio(loop_scope="module"),
    # Ray's own
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on .Field.:DeprecationWarning:ray"),
]
PATIENCE_S = 120.0
"""On a machine that does other things too."""


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def rapbot_cluster(config: Path, *words: str) -> Any:
    return CliRunner().invoke(cli, ["--config", str(config), "cluster", *words], catch_exceptions=False)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`rapbot cluster up` for the whole file; the models are light, everything else is as it is."""
    folder = tmp_path_factory.mktemp("cluster")
    path = folder / "config.toml"
    path.write_text(
        f"""
        data_dir = "{folder}"
        [worker]
        threads = 1
        [cluster]
        address = "127.0.0.1:{free_port()}"
        replicas_min = 1
        replicas_max = 2
        num_cpus = 0.5
        upscale_after_s = 0.2
        drain_s = 20.0
        health_period_s = 0.5
        """,
        encoding="utf-8",
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(deploying, "deploy", partial(deploying.deploy, attach=light_models.attach))
        patched.setattr("rapbot.cli_cluster.fetch_all", lambda _settings: None)
        try:
            up = rapbot_cluster(path, "up", "--cpus", "2")
            assert up.exit_code == 0, up.output
            yield path
        finally:
            node.stop(load_settings(path))


@pytest.fixture(scope="module")
def settings(config: Path) -> Settings:
    return load_settings(config)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(settings: Settings) -> AsyncIterator[ClusterWorker]:
    async with ClusterWorker(settings, worker_start(settings)) as joined:
        await joined.ready()
        yield joined


async def replicas(settings: Settings, count: int) -> list[int]:
    """The processes of the replicas, once so many run."""
    return await asyncio.to_thread(_replicas, settings, count)


def _replicas(settings: Settings, count: int) -> list[int]:
    until = time.monotonic() + PATIENCE_S
    while True:
        found = deploying.state(settings)
        pids = [one.pid for one in found.replicas if one.state == "RUNNING" and one.pid is not None]
        # Serve may not have noticed yet that one is gone.
        if found.state == "RUNNING" and len(pids) == count and all(node._begun(pid) for pid in pids):
            return pids
        assert time.monotonic() < until, found
        time.sleep(0.1)


def coloured(kind: str, name: str) -> Job:
    """A job on a picture of one of the colours that make trouble."""
    photo = jpeg(Image.new("RGB", (64, 64), light_models.TROUBLE[kind]))
    return Job(name, "ann", Task.KEYS, photo=photo + name.encode())


def harmless(name: str) -> Job:
    return Job(name, "ann", Task.CAPTION, photo=cat_jpeg() + name.encode())


async def test_much_to_do_brings_another_replica(worker: ClusterWorker, settings: Settings) -> None:
    assert len(await replicas(settings, 1)) == 1

    async def ask(line: int) -> None:
        for turn in range(10_000):
            await worker.run([harmless(f"{line}-{turn}")], {})

    asking = [asyncio.create_task(ask(line)) for line in range(4)]
    try:
        assert len(await replicas(settings, 2)) == 2
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def test_answers_are_those_of_the_worker_on_this_machine(
    worker: ClusterWorker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [
        harmless("caption"),
        Job("keys", "ann", Task.KEYS, photo=cat_jpeg()),
        Job("avatar", "bea", Task.ENCODE, photo=cat_jpeg(), category="cat"),
        Job("broken", "cid", Task.CAPTION, photo=b"not a picture at all"),
    ]
    monkeypatch.setattr(rapbot.inference.worker, "initialise", light_models.initialise)
    stages: dict[bool, list[Stage]] = {True: [], False: []}
    async with Worker(worker_start(settings)) as local:
        here = await local.run(jobs, {"keys": lambda progress: stages[True].append(progress.stage)})
    there = await worker.run(jobs, {"keys": lambda progress: stages[False].append(progress.stage)})
    for one, other in zip(here[:3], there[:3], strict=True):
        assert isinstance(one, Answer)
        assert isinstance(other, Answer)
        assert replace(one, timings={}) == replace(other, timings={})
        assert one.timings.keys() == other.timings.keys()
    assert isinstance(there[3], PhotoError)
    assert str(there[3]) == str(here[3])
    # Here the last stages may be overtaken by the answer; in the cluster they come before it.
    assert stages[False][: len(stages[True])] == [stage for stage in stages[True] if stage is not Stage.STARTING]
    assert Stage.LOOKING in stages[False]


async def test_status_tells_replicas_machines_and_limits(
    worker: ClusterWorker, settings: Settings, config: Path
) -> None:
    await replicas(settings, 2)
    told = rapbot_cluster(config, "status", "--json")
    assert told.exit_code == 0
    found = json.loads(told.output)
    assert (found["state"], found["replicas_min"], found["replicas_max"]) == ("RUNNING", 1, 2)
    assert {replica["state"] for replica in found["replicas"]} == {"RUNNING"}
    assert [machine["address"] for machine in found["nodes"] if machine["alive"]] == ["127.0.0.1"]
    words = rapbot_cluster(config, "status").output
    assert "2 running of 1 to 2" in words
    assert "127.0.0.1" in words


async def test_kill_9_of_a_replica_in_the_middle_loses_no_job(worker: ClusterWorker, settings: Settings) -> None:
    assert len(await replicas(settings, 2)) == 2
    restarts, answers = worker.restarts, dict[str, int]()
    slow = [coloured("slow", f"slow{number}") for number in range(4)]
    seen = asyncio.Event()

    async with JobQueue(worker, batch_size=1, batch_wait=0, lanes=4) as queue:

        async def ask(job: Job, person: str) -> None:
            answer = await queue.submit(replace(job, person=person), lambda told: _note(told, seen))
            assert answer.job_id == job.id
            answers[job.id] = answers.get(job.id, 0) + 1

        asked = [asyncio.create_task(ask(job, f"p{number}")) for number, job in enumerate(slow)]
        asked += [asyncio.create_task(ask(harmless(f"j{number}"), f"q{number}")) for number in range(12)]
        async with asyncio.timeout(PATIENCE_S):
            await seen.wait()
            victim = next(batch.pid for batch in worker._batches.values() if batch.pid)
            os.kill(victim, signal.SIGKILL)
            await asyncio.gather(*asked)
    assert set(answers.values()) == {1}
    assert len(answers) == 16
    assert worker.restarts > restarts
    assert victim not in await replicas(settings, 2)


def _note(told: Progress, seen: asyncio.Event) -> None:
    if told.stage is Stage.LOOKING:
        seen.set()


async def test_a_job_that_kills_its_replica_is_given_up_and_takes_nobody_along(
    worker: ClusterWorker, settings: Settings
) -> None:
    before = set(await replicas(settings, 2))
    poisonous, innocent = await worker.run([coloured("death", "poison"), harmless("innocent")], {})
    assert isinstance(poisonous, WorkerDied)
    assert isinstance(innocent, Answer)
    await replicas(settings, 2)
    [late] = await worker.run([replace(coloured("hang", "late"), deadline=0.3)], {})
    assert isinstance(late, JobTimeout)
    assert not before & set(await replicas(settings, 2))


async def test_a_batch_that_nobody_wants_any_more_is_not_waited_for(worker: ClusterWorker) -> None:
    restarts, loop, at = worker.restarts, asyncio.get_running_loop(), list[float]()

    def leave(_told: Progress) -> None:
        at.append(loop.time())
        worker.stop("left")

    [left] = await worker.run([coloured("slow", "left")], {"left": leave})
    assert isinstance(left, InferenceError)
    assert loop.time() - at[0] < light_models.SLOW_S
    assert worker.restarts == restarts


async def test_ray_listens_on_this_machine_only(worker: ClusterWorker, settings: Settings) -> None:
    here = node.running(settings)
    assert here is not None
    assert stat.S_IMODE(settings.cluster_token.stat().st_mode) == 0o600
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    with socket.socket() as knocking:
        knocking.settimeout(1.0)
        own = socket.gethostbyname(socket.gethostname())
        port = int(here.address.partition(":")[2])
        assert own.startswith("127.") or knocking.connect_ex((own, port)) != 0


async def test_other_models_than_those_of_the_configuration_are_refused(settings: Settings) -> None:
    start = worker_start(settings)
    other = replace(start, profile=replace(start.profile, encoder=replace(start.profile.encoder, kind="dinov2")))
    async with ClusterWorker(settings, other) as joined:
        with pytest.raises(ConfigError, match="rapbot cluster up"):
            await joined.ready()


async def test_the_file_for_kuberay_deploys_what_its_configuration_says(worker: ClusterWorker, tmp_path: Path) -> None:
    from ray.serve.schema import ServeDeploySchema

    file = Path(__file__).parents[1] / "docs" / "deploy" / "rayservice.yaml"
    parts = {part["kind"]: part for part in yaml.safe_load_all(file.read_text(encoding="utf-8"))}
    schema = ServeDeploySchema.model_validate(yaml.safe_load(parts["RayService"]["spec"]["serveConfigV2"]))
    [app] = schema.applications
    config = tmp_path / "config.toml"
    config.write_text(parts["ConfigMap"]["data"]["config.toml"], encoding="utf-8")
    module, name = app.import_path.split(":")
    built = getattr(importlib.import_module(module), name)({**app.args, "config": str(config)})
    scaling = built._bound_deployment._deployment_config.autoscaling_config
    assert (app.name, scaling.min_replicas, scaling.max_replicas) == ("rapbot", 1, 2)
    groups = parts["RayService"]["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    bot = next(group for group in groups if group["groupName"] == "bots")
    names = [one["name"] for one in bot["template"]["spec"]["containers"][1]["env"] if one["name"].startswith("RAPBOT")]
    assert set(names) <= {"RAPBOT_CONFIG", "RAPBOT_TELEGRAM__TOKEN_FILE"}


async def test_stopping_the_cluster_finishes_what_has_begun(
    worker: ClusterWorker, settings: Settings, config: Path
) -> None:
    """Last: nothing runs afterwards."""
    here = node.running(settings)
    assert here is not None
    begun = asyncio.Event()
    running = asyncio.create_task(
        worker.run([coloured("slow", "last")], {"last": lambda progress: _note(progress, begun)})
    )
    await begun.wait()
    down = await asyncio.to_thread(rapbot_cluster, config, "down")
    assert down.exit_code == 0, down.output
    [answer] = await running
    assert isinstance(answer, Answer)
    assert not here.alive
    assert node.running(settings) is None
    with pytest.raises(ClusterError, match="rapbot cluster up"):
        deploying.state(settings)
