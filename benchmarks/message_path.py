"""What a message costs beside the models: overhead, many concepts, the event loop, start-up, memory.

    python -m benchmarks.message_path [--repeat 15] [--photo PHOTO]

Compare the ratios; single times depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from rapbot.app import App, running
from rapbot.concepts.concept import NewAvatar
from rapbot.concepts.store import Remember
from rapbot.config import Settings
from rapbot.inference.profiles import encoder_name
from rapbot.messages import WHOLE, Actor, Chat, Photo, Request
from tests.pictures import cat_elsewhere_jpeg, cat_jpeg


async def _teach_noise(app: App, owner: str, count: int) -> None:
    """`count` concepts with random keys of the right form beside the one that is in the photo."""
    await app.assistant.teaching.remember(Actor(owner), Chat("bench"), "Lala", "A ginger cat.", photo=Photo(cat_jpeg()))
    [lala] = await app.assistant.memory.concepts(Actor(owner))
    key_size = (await app.store.read(owner)).keys.keys.shape[1]  # type: ignore[union-attr]
    picture = await app.store.photo(owner, lala.avatars[0].id)
    noise = np.random.default_rng(0)
    for number in range(count - 1):
        key = np.asarray(noise.standard_normal(key_size), np.float32)
        avatar = NewAvatar(picture, key / np.linalg.norm(key), encoder_name("pocket"), WHOLE)
        await app.store.write(owner, Remember(f"Noise {number}", "thing", "Something else.", avatar))


async def _captions(app: App, photo: bytes, owners: list[str], repeat: int) -> dict[str, dict[str, float]]:
    """Median seconds by owner: in all and in the models. The owners take turns, so that noise hits all alike."""
    totals: dict[str, list[float]] = {owner: [] for owner in owners}
    models: dict[str, list[float]] = {owner: [] for owner in owners}
    for turn in range(repeat):
        for owner in owners:
            fresh = photo + bytes([turn])  # another file with the same picture: no cached perception
            request = Request(Actor(owner), Chat("bench"), "", (Photo(fresh),))
            began = time.perf_counter()
            reply = await app.assistant.caption(request)
            totals[owner].append(time.perf_counter() - began)
            models[owner].append(sum(reply.timings[stage] for stage in ("look", "generate")))
    return {
        owner: {
            "caption_s": statistics.median(totals[owner]),
            "models_s": statistics.median(models[owner]),
            "overhead": statistics.median(t / m - 1 for t, m in zip(totals[owner], models[owner], strict=True)),
        }
        for owner in owners
    }


async def _longest_pause(app: App, photo: bytes) -> float:
    """Seconds the event loop was held by our own callbacks while a caption was made (loop CPU time, not waiting)."""
    longest = 0.0
    done = asyncio.Event()

    async def watch() -> None:
        nonlocal longest
        while not done.is_set():
            cpu = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - cpu)
            await asyncio.sleep(0.0005)

    watcher = asyncio.create_task(watch())
    await app.assistant.caption(Request(Actor("bench:500"), Chat("bench"), "", (Photo(photo + b"x"),)))
    done.set()
    await watcher
    return longest


def _memory(pids: list[int]) -> float:
    """Proportional set size of the processes in MB; 0 where the system does not tell."""
    total = 0.0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            return 0.0
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return total


async def measure(photo: bytes, repeat: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        async with running(Settings(data_dir=Path(folder))) as app:
            await app.worker.ready()
            ready = time.perf_counter() - began
            for count in (5, 500):
                await _teach_noise(app, f"bench:{count}", count)
            captions = await _captions(app, photo, ["bench:5", "bench:500"], repeat)
            pause = await _longest_pause(app, photo)
            memory = _memory([os.getpid(), app.worker.pid or 0])
    return {
        "ready_s": ready,
        "captions": captions,
        "500_over_5": captions["bench:500"]["caption_s"] / captions["bench:5"]["caption_s"],
        "longest_loop_pause_ms": pause * 1000,
        "memory_mb": memory,
    }


def help_seconds(repeat: int = 5) -> float:
    """The quickest `rapbot --help` of `repeat`."""
    seconds = []
    for _ in range(repeat):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "rapbot", "--help"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--repeat", type=int, default=15)
    options.add_argument("--photo", type=Path)
    chosen = options.parse_args()
    photo = chosen.photo.read_bytes() if chosen.photo else cat_elsewhere_jpeg()
    result = asyncio.run(measure(photo, chosen.repeat)) | {"help_s": help_seconds()}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
