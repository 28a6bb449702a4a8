"""The queue with which capacity is planned agrees with the textbooks, and with the real one."""

from __future__ import annotations

import asyncio
import math
import random
import statistics
from collections.abc import Sequence

import pytest

from benchmarks.queueing import Service, Workers, highest_rate, most, poisson, predicted, waits
from rapbot.errors import RapbotError
from rapbot.inference.job import Answer, Job, Task
from rapbot.inference.queue import JobQueue
from rapbot.messages import ProgressListener
from tests.virtual_time import run

ONE = {"text": 1.0}


def mean_wait(rate: float, workers: Workers, *, exponential: bool) -> float:
    """Seconds before service begins; a service takes 1 s on average."""
    chance = random.Random(7)
    taken: list[float] = []

    def seconds(kinds: tuple[str, ...]) -> float:
        taken.append(chance.expovariate(1.0) if exponential else 1.0)
        return taken[-1]

    whole = [one for _kind, one in waits(poisson(rate, ONE, 40_000, chance), seconds, workers)]
    return statistics.mean(whole) - statistics.mean(taken)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_worker_is_the_queue_of_pollaczek_and_khinchine(load: float) -> None:
    alone = Workers(1, batch=1)
    assert mean_wait(load, alone, exponential=False) == pytest.approx(load / (2 * (1 - load)), rel=0.1)
    assert mean_wait(load, alone, exponential=True) == pytest.approx(load / (1 - load), rel=0.1)


@pytest.mark.parametrize(("load", "count"), [(0.5, 2), (0.8, 4)])
def test_several_workers_are_the_queue_of_erlang(load: float, count: int) -> None:
    offered = load * count
    last = offered**count / math.factorial(count) / (1 - load)
    delayed = last / (sum(offered**n / math.factorial(n) for n in range(count)) + last)
    expected = delayed / (count * (1 - load))
    assert mean_wait(offered, Workers(count, batch=1), exponential=True) == pytest.approx(expected, rel=0.1)


def test_a_batch_takes_what_waits_and_a_free_worker_waits_for_company() -> None:
    sizes: list[int] = []

    def seconds(kinds: tuple[str, ...]) -> float:
        sizes.append(len(kinds))
        return 1.0

    arrivals = [(at, "text") for at in (0.0, 0.05, 0.2, 0.3, 0.4, 0.5, 0.6, 5.0)]
    told = [round(one, 2) for _kind, one in waits(arrivals, seconds, Workers(1, batch=4, wait=0.1))]
    assert sizes == [2, 4, 1, 1]
    assert told == [1.1, 1.05, 1.9, 1.8, 1.7, 1.6, 2.5, 1.1]


class Timed:
    """A worker on which batches take what `SERVICE` says."""

    awake = True

    async def run(self, jobs: Sequence[Job], listeners: dict[str, ProgressListener]) -> list[Answer | RapbotError]:
        await asyncio.sleep(SERVICE.mean(tuple("photo" if job.photo else "text" for job in jobs)))
        return [Answer(job.id) for job in jobs]

    def stop(self, job_id: str) -> None:
        raise AssertionError("nobody changes their mind here")


SERVICE = Service(0.4, {"photo": 0.5, "text": 0.1})


async def real_queue(arrivals: Sequence[tuple[float, str]]) -> list[float]:
    """Seconds to each answer of the real queue, whose messages all come from different people."""
    loop = asyncio.get_running_loop()
    taken = [0.0] * len(arrivals)

    async def ask(queue: JobQueue, number: int, kind: str) -> None:
        photo = b"x" if kind == "photo" else None
        began = loop.time()
        await queue.submit(Job(str(number), str(number), Task.CAPTION if photo else Task.QUESTION, photo=photo))
        taken[number] = loop.time() - began

    async with JobQueue(Timed()) as queue:
        asked = []
        for number, (at, kind) in enumerate(arrivals):
            await asyncio.sleep(at - loop.time())
            asked.append(asyncio.create_task(ask(queue, number, kind)))
        await asyncio.gather(*asked)
    return taken


@pytest.mark.parametrize("load", [0.3, 0.6, 0.9])
def test_the_real_queue_takes_as_long_as_the_model_says(load: float) -> None:
    """In virtual time: the same messages, one by one."""
    mix = {"photo": 3.0, "text": 4.0}
    arrivals = poisson(load * most(SERVICE, mix, Workers()), mix, 600, random.Random(5))
    told = [seconds for _kind, seconds in waits(arrivals, SERVICE.mean, Workers())]
    assert run(real_queue(arrivals)) == pytest.approx(told, abs=0.01)


def test_what_a_batch_takes_is_found_again() -> None:
    chance = random.Random(3)
    true = Service(0.04, {"photo": 0.2, "text": 0.05})
    batches = [
        (kinds, true.mean(kinds) * chance.uniform(0.9, 1.1))
        for kinds in (tuple(chance.choices(["photo", "text"], k=chance.randint(1, 4))) for _ in range(200))
    ]
    found = Service.fitted(batches)
    assert found.base == pytest.approx(0.04, rel=0.2)
    assert found.each == pytest.approx(true.each, rel=0.05)
    for some in found.chances.values():
        assert 0.85 < min(some) < max(some) < 1.15


def test_what_varies_in_photos_says_nothing_of_texts() -> None:
    batches = [(("photo",), one) for one in (1.0, 2.0, 3.0)] + [(("text",), 0.001)] * 3
    found = Service.fitted(batches)
    assert found.mean(("photo",)) == pytest.approx(2.0, rel=0.01)
    assert found.mean(("text",)) == pytest.approx(0.001, rel=0.01)
    assert max(found.drawn(("text",), random.Random(seed)) for seed in range(20)) < 0.002


def test_times_are_never_negative() -> None:
    """Larger batches that take less than twice a single one could make a single message cost less than nothing."""
    found = Service.fitted([(("text",), 1.0), (("text",) * 4, 0.9), (("photo", "text"), 1.1)])
    assert found.base >= 0
    assert min(found.each.values()) >= 0


def test_more_workers_serve_more_people_and_never_more_than_they_get_done() -> None:
    service, mix = Service(0.1, {"photo": 0.3, "text": 0.1}), {"photo": 3.0, "text": 4.0}
    rates = [highest_rate(service, mix, Workers(count), within=2.0, count=1500) for count in (1, 2, 4)]
    assert 0 < rates[0] < most(service, mix, Workers(1))
    assert 2 * rates[0] <= rates[1] < rates[2] < most(service, mix, Workers(4))
    assert highest_rate(service, mix, Workers(1), within=0.2, count=2000) == 0.0  # no photo is that quick


def test_waiting_grows_without_end_where_more_comes_than_gets_done() -> None:
    service, workers = Service(0.1, {"text": 0.1}), Workers(1)
    full = most(service, ONE, workers)
    calm, busy = (
        statistics.mean(one for _k, one in predicted(rate, service, ONE, workers)) for rate in (0.3 * full, 2 * full)
    )
    assert busy > 100 * calm
