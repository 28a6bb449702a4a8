"""The queue between people and the worker. The runner here stands for the worker process and answers at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from rapbot.errors import Busy, InferenceError, RapbotError
from rapbot.inference.job import Answer, Job, Task
from rapbot.inference.queue import JobQueue
from rapbot.messages import Progress, ProgressListener, Stage


class GatedRunner:
    """Answers with the job's own text once the gate is open; remembers the batches."""

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


async def test_limits_per_person_and_in_all_are_told_in_a_sentence() -> None:
    runner = GatedRunner()
    async with JobQueue(runner, batch_size=1, batch_wait=0, size=4, per_person=2) as queue:
        tasks = [asyncio.create_task(queue.submit(job("running", "zoe")))]
        await started(5)
        tasks += [asyncio.create_task(queue.submit(job(f"a{i}", "ann"))) for i in range(2)]
        await started(2)
        with pytest.raises(Busy, match="2 messages waiting"):
            await queue.submit(job("a3", "ann"))
        tasks += [asyncio.create_task(queue.submit(job(f"b{i}", f"p{i}"))) for i in range(2)]
        await started(2)
        with pytest.raises(Busy, match="too much to do"):
            await queue.submit(job("c", "carl"))
        runner.gate.set()
        await asyncio.gather(*tasks)


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
