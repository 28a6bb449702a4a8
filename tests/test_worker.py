"""The worker process: real pebble process, real models, killed and hung for real."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rapbot.errors import PhotoError, WeightsError
from rapbot.inference import serving
from rapbot.inference.job import Answer, Job, Task
from rapbot.inference.profiles import find_profile
from rapbot.inference.serving import WorkerStart
from rapbot.inference.specs import Runtime
from rapbot.inference.worker import Worker
from rapbot.messages import Progress, Stage
from tests.pictures import cat_jpeg


def start(weights: Path, threads: int = 2) -> WorkerStart:
    return WorkerStart(find_profile("pocket"), weights, 20_000_000, 50_000_000, Runtime(threads))


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(weights: Path) -> AsyncIterator[Worker]:
    """One worker for the whole file: it must survive everything that is done to it here."""
    async with Worker(start(weights), backoff_first=0.01) as running:
        await running.ready()
        yield running


_unseen = itertools.count()


def caption(name: str = "job", photo: bytes | None = None, deadline: float = 120.0) -> Job:
    """A photo the worker has not seen yet: what follows the end of a JPEG makes it another file."""
    fresh = cat_jpeg() + str(next(_unseen)).encode()
    return Job(name, "ann", Task.CAPTION, photo=photo or fresh, deadline=deadline)


async def test_a_photo_becomes_a_caption_with_progress(worker: Worker) -> None:
    stages: list[Stage] = []
    [answer] = await worker.run([caption()], {"job": lambda progress: stages.append(progress.stage)})
    assert isinstance(answer, Answer)
    assert "cat" in answer.text.lower()
    # The last stages may be overtaken by the answer itself, which takes another way out of the worker.
    assert stages
    assert stages == [Stage.LOOKING, Stage.RECALLING, Stage.WRITING][: len(stages)]


async def test_kill_9_in_the_middle_of_a_caption_still_brings_the_answer(worker: Worker) -> None:
    first, restarts = worker.pid, worker.restarts
    assert first is not None
    killed = False

    def kill_once(progress: Progress) -> None:
        nonlocal killed
        if progress.stage is Stage.LOOKING and not killed:
            killed = True
            os.kill(first, signal.SIGKILL)

    [answer] = await worker.run([caption()], {"job": kill_once})
    assert killed
    assert isinstance(answer, Answer)
    assert answer.text
    assert worker.restarts == restarts + 1
    assert worker.pid not in (None, first)


async def test_a_worker_killed_while_idle_costs_nobody_an_answer(worker: Worker) -> None:
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    [answer] = await worker.run([caption()], {})
    assert isinstance(answer, Answer)


async def test_a_worker_killed_while_idle_is_missed_and_started_again_before_anybody_asks(worker: Worker) -> None:
    first, restarts = (await worker.ready()).pid, worker.restarts
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(60):
        while worker.awake:  # noqa: ASYNC110 - nothing else tells of it
            await asyncio.sleep(0.01)
        assert worker.pid is None
        assert worker.restarts == restarts + 1
        while not worker.awake:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert worker.pid not in (None, first)
    [answer] = await worker.run([caption()], {})
    assert isinstance(answer, Answer)
    assert worker.restarts == restarts + 1


async def test_a_job_past_its_deadline_is_stopped_and_the_next_one_is_served(worker: Worker) -> None:
    [late] = await worker.run([caption("late", deadline=0.02)], {})
    assert "took longer" in str(late)
    [answer] = await worker.run([caption("next")], {})
    assert isinstance(answer, Answer)


async def test_a_process_that_hung_before_it_took_the_job_is_replaced(worker: Worker) -> None:
    hung = (await worker.ready()).pid
    os.kill(hung, signal.SIGSTOP)
    [late] = await worker.run([caption("late", deadline=0.1)], {})
    assert "took longer" in str(late)
    [answer] = await worker.run([caption("next")], {})
    assert isinstance(answer, Answer)
    assert worker.pid != hung


async def test_a_job_that_a_dying_process_took_along_is_given_again(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await worker.ready()
    schedule, lost = worker._pool.schedule, list[object]()

    def losing(*given: Any, **named: Any) -> Any:
        if lost:
            return schedule(*given, **named)
        lost.append(given)
        return concurrent.futures.Future[Any]()  # nobody will ever hear of it

    monkeypatch.setattr(worker._pool, "schedule", losing)
    [answer] = await worker.run([caption("again")], {})
    assert lost
    assert isinstance(answer, Answer)


async def test_a_bad_photo_fails_alone(worker: Worker) -> None:
    bad, good = await worker.run([caption("bad", b"not a picture at all"), caption("good")], {})
    assert isinstance(bad, PhotoError)
    assert isinstance(good, Answer)


async def test_damaged_weights_are_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    async with Worker(start(tmp_path / "empty"), backoff_first=0.01) as running:
        with pytest.raises(WeightsError):
            await running.ready()


async def test_the_event_loop_stays_free_while_the_worker_works(worker: Worker) -> None:
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.001)
            longest = max(longest, loop.time() - before - 0.001)

    watcher = asyncio.create_task(watch())
    cpu_before = asyncio.get_running_loop().time()
    await worker.run([caption(f"j{i}") for i in range(2)], {})
    watcher.cancel()
    assert asyncio.get_running_loop().time() > cpu_before
    assert longest < 0.25  # the machine is shared: its own pauses count here too; benchmarks/ measures the 20 ms


async def test_a_fresh_process_refuses_jobs_until_it_is_warm() -> None:
    with pytest.raises(serving.NotWarm):
        serving.run_batch([])
