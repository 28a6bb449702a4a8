"""What one flooder costs everybody else: how long they wait with and without somebody who never stops asking.

    python -m benchmarks.fair_shares [--hours 2] [--seconds 1.4]

The real queue in virtual time: the same people ask at the same moments in both runs, a job takes `--seconds` of the
worker, and the flooder always has as many messages waiting as are taken. No model runs and no clock is read, so the
figures are the same on every machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
from collections.abc import Sequence
from contextlib import suppress

from rapbot.errors import Busy, RapbotError
from rapbot.inference.job import Answer, Job, Task
from rapbot.inference.queue import JobQueue
from rapbot.messages import ProgressListener
from tests.virtual_time import run

FLOODER = "flooder"


class Timed:
    """A worker on which every job takes the same time, in a batch or not."""

    awake = True

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.served: list[str] = []

    async def run(self, jobs: Sequence[Job], listeners: dict[str, ProgressListener]) -> list[Answer | RapbotError]:
        await asyncio.sleep(self._seconds * len(jobs))
        self.served += [job.person for job in jobs]
        return [Answer(job.id) for job in jobs]

    def stop(self, job_id: str) -> None:
        raise AssertionError("nobody changes their mind here")


async def _people(
    people: int, load: float, *, flooded: bool, hours: float, seconds: float, seed: int
) -> tuple[list[float], int]:
    """Seconds that each question of the ordinary people waited, and how many of the flooder's were answered.

    `load`: the part of the worker's time that the ordinary people ask for, together.
    """
    chance = random.Random(seed)
    worker = Timed(seconds)
    loop = asyncio.get_running_loop()
    waited: list[float] = []
    pause = people * seconds / load

    async def ask(queue: JobQueue, person: str, number: int) -> None:
        began = loop.time()
        await queue.submit(Job(f"{person}{number}", person, Task.CAPTION))
        waited.append(loop.time() - began)

    async def live(queue: JobQueue, person: str, times: Sequence[float]) -> None:
        asked = []
        for number, at in enumerate(times):
            await asyncio.sleep(at - loop.time())
            asked.append(asyncio.create_task(ask(queue, person, number)))
        await asyncio.gather(*asked)

    async def flood(queue: JobQueue) -> None:
        number = 0

        async def one() -> None:
            nonlocal number
            while True:
                number += 1
                with suppress(Busy):
                    await queue.submit(Job(f"{FLOODER}{number}", FLOODER, Task.CAPTION))

        await asyncio.gather(*(one() for _ in range(20)))

    lives = []
    for number in range(people):
        at, times = 0.0, []
        while (at := at + chance.expovariate(1 / pause)) < hours * 3600:
            times.append(at)
        lives.append((f"person {number}", times))
    async with JobQueue(worker) as queue:
        flooding = asyncio.create_task(flood(queue)) if flooded else None
        await asyncio.gather(*(live(queue, person, times) for person, times in lives))
        if flooding is not None:
            flooding.cancel()
            await asyncio.wait([flooding])
    return waited, worker.served.count(FLOODER)


def slowdown(people: int, load: float, *, hours: float = 2.0, seconds: float = 1.4, seed: int = 1) -> dict[str, float]:
    """How much longer the ordinary people wait for their answers, on average, when somebody floods."""

    def waits(flooded: bool) -> tuple[list[float], int]:
        return run(_people(people, load, flooded=flooded, hours=hours, seconds=seconds, seed=seed))

    alone, _none = waits(False)
    flooded, served = waits(True)
    return {
        "people": people,
        "load": load,
        "alone_s": statistics.mean(alone),
        "flooded_s": statistics.mean(flooded),
        "slower": statistics.mean(flooded) / statistics.mean(alone) - 1,
        "of_the_flooder_a_minute": served / hours / 60,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--hours", type=float, default=2.0, help="that pass in each run")
    parser.add_argument("--seconds", type=float, default=1.4, help="that a job takes")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for people, loads in ((1, (0.01, 0.05)), (5, (0.05, 0.25)), (50, (0.05, 0.5, 0.9))):
        for load in loads:
            found = slowdown(people, load, hours=options.hours, seconds=options.seconds, seed=options.seed)
            print(json.dumps({name: round(value, 3) for name, value in found.items()}), flush=True)


if __name__ == "__main__":
    main()
