"""The queue between people and the worker. The runner here stands for the worker process and answers at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from benchmarks.fair_shares import Timed, slowdown
from rapbot.errors import Busy, InferenceError, RapbotError
from rapbot.inference.job import Answer, Job, Task
from rapbot.inference.queue import JobQueue
from rapbot.messages import Progress, ProgressListener, Stage
from tests.virtual_time import run


class GatedRunner:
    """Answers with the job's own text once the gate is open; remembers the batches."""

    awake = True

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.batches: list[list[str]] = []
        self.stopped: list[str] = []

    async def run(self, jobs: Sequence[Job], listeners: dict[str, ProgressListener]) -> list[Answer | RapbotError]:
        await self.gate.wait()
        self.batches.append([job.id for job in jobs])
        return [InferenceError("broken") if job.text == "bad" else Answer(job.id, job.text) for job in jobs]

    def stop(self, job_id: str) -> None:
        self.stopped.append(job_id)


def job(name: str, person: str = "ann", text: str = "") -> Job:
    return Job(name, person, Task.QUESTION, text or name)


async def started(count: int) -> None:
    """Let `count` rounds of the event loop pass, so that submitted jobs stand in their lines."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_flooder_delays_only_themself() -> None:
    runner = GatedRunner()
    async with JobQueue(runner, batch_size=1, batch_wait=0, per_person=50) as queue:
        first = asyncio.create_task(queue.submit(job("first", "flooder")))
        await started(5)
        flood = [asyncio.create_task(queue.submit(job(f"flood{i}", "flooder"))) for i in range(20)]
        await started(3)
        other = asyncio.create_task(queue.submit(job("other", "ann")))
        await started(3)
        runner.gate.set()
        await asyncio.gather(first, other, *flood)
    order = [name for batch in runner.batches for name in batch]
    assert order.index("other") <= 2


async def test_waiting_jobs_share_a_batch_and_each_gets_its_own_answer() -> None:
    runner = GatedRunner()
    runner.gate.set()
    async with JobQueue(runner, batch_size=4, batch_wait=0.05) as queue:
        answers = await asyncio.gather(*(queue.submit(job(f"j{i}", f"p{i}", text=f"t{i}")) for i in range(4)))
    assert [answer.text for answer in answers] == ["t0", "t1", "t2", "t3"]
    assert runner.batches == [["j0", "j1", "j2", "j3"]]


async def test_one_failed_job_leaves_the_others_of_its_batch_alone() -> None:
    runner = GatedRunner()
    runner.gate.set()
    async with JobQueue(runner, batch_size=2, batch_wait=0.05) as queue:
        results = await asyncio.gather(
            queue.submit(job("a", "p1", text="bad")), queue.submit(job("b", "p2")), return_exceptions=True
        )
    assert isinstance(results[0], InferenceError)
    assert isinstance(results[1], Answer)


async def outcomes(queue: JobQueue, runner: GatedRunner, jobs: Sequence[Job]) -> dict[str, str]:
    """Submits these in order behind a running job; what came of each: its answer, or why it was left out."""
    tasks = {"running": asyncio.create_task(queue.submit(job("running", "zoe")))}
    await started(5)
    for one in jobs:
        tasks[one.id] = asyncio.create_task(queue.submit(one))
        await started(2)
    runner.gate.set()
    results = await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert all(isinstance(one, Answer | Busy) for one in results)
    return {
        name: "answered" if isinstance(one, Answer) else str(one)
        for name, one in zip(tasks, results, strict=True)
        if name != "running"
    }


async def test_what_is_too_much_of_one_person_is_shed_oldest_first_with_a_sentence() -> None:
    runner = GatedRunner()
    async with JobQueue(runner, batch_size=1, batch_wait=0, per_person=2) as queue:
        told = await outcomes(queue, runner, [*(job(f"a{i}", "ann") for i in range(4)), job("b", "ben")])
    assert [name for name, what in told.items() if what == "answered"] == ["a2", "a3", "b"]
    assert "of yours" in told["a0"]
    assert "send it again" in told["a1"]


async def test_what_is_too_much_in_all_is_shed_from_whoever_has_most_waiting() -> None:
    runner = GatedRunner()
    async with JobQueue(runner, batch_size=1, batch_wait=0, size=4) as queue:
        jobs = [job("b0", "ben"), *(job(f"a{i}", "ann") for i in range(3)), job("c", "cleo"), job("d", "dan")]
        told = await outcomes(queue, runner, jobs)
    assert [name for name, what in told.items() if what != "answered"] == ["a0", "a1"]
    assert "too much to do" in told["a0"]


async def test_a_group_cannot_fill_the_queue() -> None:
    runner = GatedRunner()
    group = [replace(job(f"g{i}", f"person {i}"), chat="group") for i in range(5)]
    async with JobQueue(runner, batch_size=1, batch_wait=0, per_chat=3) as queue:
        told = await outcomes(queue, runner, [job("private", "ann"), *group, replace(job("other"), chat="other")])
    assert [name for name, what in told.items() if what != "answered"] == ["g0", "g1"]
    assert "group" in told["g0"]


async def test_while_the_models_start_whoever_waits_is_told_so() -> None:
    runner = GatedRunner()
    told: list[Progress] = []
    async with JobQueue(runner, batch_size=1, batch_wait=0) as queue:
        first = asyncio.create_task(queue.submit(job("first", "zoe")))
        await started(5)
        assert not queue.restarting, "nothing has run yet, so nothing was lost"
        runner.awake = False
        second = asyncio.create_task(queue.submit(job("second"), told.append))
        await started(3)
        assert told == [Progress(Stage.STARTING, 0)]
        runner.gate.set()
        await asyncio.gather(first, second)
        assert queue.restarting


@pytest.mark.parametrize(("people", "load"), [(1, 0.05), (5, 0.25), (50, 0.5)])
def test_a_flooder_slows_nobody_by_more_than_a_fifth(people: int, load: float) -> None:
    """Hours of virtual time: the same questions at the same moments, with and without somebody who never stops."""
    found = slowdown(people, load, hours=1.0)
    assert found["slower"] <= 0.2
    assert found["of_the_flooder_a_minute"] > 1, "held back, not shut out"


def test_who_is_alone_is_never_held_back() -> None:
    async def flood() -> float:
        loop = asyncio.get_running_loop()
        async with JobQueue(Timed(1.0), batch_size=4, per_person=200) as queue:
            await asyncio.gather(*(queue.submit(job(f"j{i}")) for i in range(200)))
            return loop.time()

    assert run(flood()) == pytest.approx(200.0, rel=0.01)


async def test_a_cancelled_message_leaves_the_line_and_the_positions_move_up() -> None:
    runner = GatedRunner()
    told: list[Progress] = []
    async with JobQueue(runner, batch_size=1, batch_wait=0) as queue:
        running = asyncio.create_task(queue.submit(job("running", "zoe")))
        await started(5)
        regretted = asyncio.create_task(queue.submit(job("regretted", "ann")))
        await started(2)
        last = asyncio.create_task(queue.submit(job("last", "bob"), told.append))
        await started(2)
        assert told[-1] == Progress(Stage.QUEUED, 1)
        regretted.cancel()
        await started(3)
        assert told[-1] == Progress(Stage.QUEUED, 0)
        runner.gate.set()
        await asyncio.gather(running, last)
    assert [name for batch in runner.batches for name in batch] == ["running", "last"]


async def test_whoever_still_waits_when_it_stops_is_told() -> None:
    runner = GatedRunner()
    async with JobQueue(runner, batch_size=1, batch_wait=0) as queue:
        waiting = [asyncio.create_task(queue.submit(job(f"j{i}"))) for i in range(3)]
        await started(5)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, InferenceError) for result in results)


async def test_the_second_half_of_a_job_goes_before_what_came_meanwhile() -> None:
    runner = GatedRunner()
    async with JobQueue(runner, batch_size=1, batch_wait=0, size=3) as queue:
        running = asyncio.create_task(queue.submit(job("running", "bob")))
        await started(5)
        others = [asyncio.create_task(queue.submit(job(name, name))) for name in ("one", "two", "three")]
        await started(3)
        again = asyncio.create_task(queue.submit(job("again"), again=True))  # although the queue is full
        await started(3)
        runner.gate.set()
        await asyncio.gather(running, again, *others)
    assert [name for batch in runner.batches for name in batch] == ["running", "again", "one", "two", "three"]


async def test_a_running_job_that_nobody_waits_for_is_stopped_and_a_waiting_one_is_not_begun() -> None:
    runner = GatedRunner()
    async with JobQueue(runner, batch_size=1, batch_wait=0) as queue:
        running = asyncio.create_task(queue.submit(job("running")))
        await started(5)
        waiting = asyncio.create_task(queue.submit(job("waiting")))
        await started(3)
        running.cancel()
        waiting.cancel()
        await asyncio.wait([running, waiting])
        assert runner.stopped == ["running"]
        runner.gate.set()
        await queue.submit(job("next"))
    assert runner.batches == [["running"], ["next"]]


class Counting:
    """A runner on which a batch takes a second; the most batches that ran at once, of all and of one person."""

    awake = True

    def __init__(self) -> None:
        self.out: list[str] = []
        self.most: dict[str, int] = {}

    async def run(self, jobs: Sequence[Job], listeners: dict[str, ProgressListener]) -> list[Answer | RapbotError]:
        people = {job.person for job in jobs}
        self.out += ["all", *people]
        for name in ("all", *people):
            self.most[name] = max(self.most.get(name, 0), self.out.count(name))
        await asyncio.sleep(1.0)
        for name in ("all", *people):
            self.out.remove(name)
        return [Answer(job.id) for job in jobs]

    def stop(self, job_id: str) -> None:
        raise AssertionError("nobody changes their mind here")


def test_as_many_batches_run_at_once_as_there_are_lanes() -> None:
    async def three_lanes() -> tuple[float, Counting]:
        runner = Counting()
        async with JobQueue(runner, batch_size=2, batch_wait=0, lanes=3) as queue:
            await asyncio.gather(*(queue.submit(job(f"j{n}", f"p{n}")) for n in range(12)))
            return asyncio.get_running_loop().time(), runner

    ended, runner = run(three_lanes())
    assert ended == pytest.approx(2.0, abs=0.1)  # twelve in pairs, three pairs at once
    assert runner.most["all"] == 3


def test_of_whoever_is_held_back_one_job_runs_however_many_lanes_there_are() -> None:
    async def flood() -> Counting:
        runner = Counting()
        async with JobQueue(runner, batch_size=1, batch_wait=0, per_person=200, lanes=4) as queue:
            ann = asyncio.create_task(queue.submit(job("hello", "ann")))
            await asyncio.gather(*(queue.submit(job(f"first{n}", "flooder")) for n in range(60)))
            await ann
            runner.most.clear()  # heavy from here on, and ann may come again at any moment
            await asyncio.gather(*(queue.submit(job(f"more{n}", "flooder")) for n in range(20)))
            return runner

    assert run(flood()).most["flooder"] == 1
