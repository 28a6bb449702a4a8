"""JobQueue: what waits for the worker. Fair between people, bounded, batched.

Each person has a line of their own (lines.py) and the lines are served in turn, so a flooder delays only themself
(fairness.py). What does not fit is shed oldest first, out of the line that caused it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Protocol

from rapbot.errors import Busy, InferenceError, RapbotError
from rapbot.i18n import _
from rapbot.inference.fairness import Fairness
from rapbot.inference.job import Answer, Job
from rapbot.inference.lines import Lines, Waiting
from rapbot.messages import Progress, ProgressListener, Stage
from rapbot.watching import Batch, Shed, tell, worked


class Runner(Protocol):
    """Runs a batch; the worker process in production."""

    @property
    def awake(self) -> bool:
        """Whether the models are loaded: a batch would begin at once."""
        ...

    async def run(self, jobs: Sequence[Job], listeners: dict[str, ProgressListener]) -> list[Answer | RapbotError]:
        """One answer or error per job, in order."""
        ...

    def stop(self, job_id: str) -> None:
        """Nobody waits for this running job any more."""
        ...


class JobQueue:
    """Start it with `async with`; `submit` waits for the answer and may be cancelled at any time."""

    def __init__(
        self,
        runner: Runner,
        *,
        batch_size: int = 4,
        batch_wait: float = 0.005,
        size: int = 200,
        per_person: int = 20,
        per_chat: int = 60,
        lanes: int = 1,
    ) -> None:
        """`batch_wait` seconds: how long a batch that is not full waits for company. `lanes`: batches run at once."""
        self._runner = runner
        self._batch_size = batch_size
        self._batch_wait = batch_wait
        self._lanes = lanes
        self._lines = Lines(size, per_person, per_chat)
        self._arrived = asyncio.Event()
        self._fairness = Fairness()
        self._server: asyncio.Task[None] | None = None
        self._out: set[asyncio.Task[None]] = set()
        """The batches that run."""
        self._heavy_out = False
        """Whether one of them is of somebody who is held back."""
        self._served = False

    async def __aenter__(self) -> JobQueue:
        self._server = asyncio.create_task(self._serve(), name="job-queue")
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._server is not None:
            ending = {self._server, *self._out}
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)
        for waiting in self._lines:
            waiting.fail(InferenceError(_("rapbot is stopping; please send that again later.")))
        self._lines.clear()

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def oldest(self) -> float:
        """Seconds for which the first of a line has been waiting, at most; 0: none waits."""
        return self._lines.oldest(asyncio.get_running_loop().time())

    @property
    def restarting(self) -> bool:
        """Whether the models that have answered before are gone: what is asked now waits until they are back."""
        return self._served and not self._runner.awake

    async def submit(self, job: Job, listener: ProgressListener | None = None, *, again: bool = False) -> Answer:
        """The worker's answer, or the error that the job met. Raises Busy for one that waited and had to make room.

        `again`: the second half of a job that has waited its turn; it goes first, and never has to leave.
        """
        waiting = Waiting(job, listener, kept=again)
        if again:
            self._lines.put_first(waiting)
            return await self._answered(waiting)
        self._make_room(job)
        self._lines.append(waiting)
        self._tell_positions()
        return await self._answered(waiting)

    async def _answered(self, waiting: Waiting) -> Answer:
        self._arrived.set()
        try:
            answer = await waiting.future
            worked(waiting.told(answer))
            return answer
        except RapbotError as error:
            worked(waiting.told(error))
            raise
        except asyncio.CancelledError:
            if waiting.running:
                self._runner.stop(waiting.job.id)
            raise
        finally:
            self._remove(waiting)

    def _remove(self, waiting: Waiting) -> None:
        """Take a cancelled job out of its line (nothing to do once it was served)."""
        if self._lines.remove(waiting):
            self._tell_positions()

    def _make_room(self, job: Job) -> None:
        """Shed the oldest of those who are too many. Raises Busy where none may go."""
        crowd = self._lines.crowd(job)
        if crowd is None:
            return
        tell(Shed(crowd.reason))
        oldest = next((one for one in crowd.waiting if not one.kept), None)
        if oldest is None:
            raise Busy(crowd.told)
        self._remove(oldest)
        oldest.fail(Busy(crowd.told))

    # -- whose turn it is -----------------------------------------------------------------------------------

    def _heavy(self) -> frozenset[str]:
        return self._fairness.heavy(self._lines.people, asyncio.get_running_loop().time())

    def _take(self) -> list[Waiting]:
        """The next batch; empty where only heavy people wait and the worker rests for others."""
        now, heavy, lines = asyncio.get_running_loop().time(), self._heavy(), self._lines
        waits = [person for person in lines.people if person in heavy]
        if self._heavy_out:  # one at a time, however many batches may run
            return lines.turns(self._batch_size, [person for person in lines.people if person not in heavy])
        heads = {person: lines.head(person) for person in waits}
        due = next((one for one in waits if heads[one].kept or self._fairness.overdue(heads[one].since, now)), None)
        if due is not None or (waits and len(waits) == len(lines.people)):
            return lines.turns(1, [due or waits[0]]) if due or not self._fairness.rest_left(now) else []
        taken = lines.turns(self._batch_size, [person for person in lines.people if person not in heavy])
        if not self._fairness.alone(lines.people, now):  # a batch takes longer the fuller it is: one of each
            return taken
        while lines and len(taken) < self._batch_size:
            taken += lines.turns(1, lines.people)
        return taken

    def _tell_positions(self) -> None:
        for position, waiting in enumerate(self._lines.order(self._heavy())):
            if waiting.listener is not None:
                stage = Stage.QUEUED if self._runner.awake else Stage.STARTING
                waiting.listener(Progress(stage, position))

    async def _serve(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if self._batch_size > 1 and len(self) < self._batch_size:
                await asyncio.sleep(self._batch_wait)
            while self._lines:
                if len(self._out) >= self._lanes:
                    await asyncio.wait(self._out, return_when=asyncio.FIRST_COMPLETED)
                elif batch := self._take():
                    self._tell_positions()
                    self._begin(batch)
                else:
                    await self._rested()

    async def _rested(self) -> None:
        """Until a heavy person's job may begin, or somebody else comes meanwhile."""
        rest = None if self._heavy_out else self._fairness.rest_left(asyncio.get_running_loop().time())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rest):
                await self._arrived.wait()
        self._arrived.clear()

    def _begin(self, batch: list[Waiting]) -> None:
        heavy = self._heavy()
        held_back = any(waiting.job.person in heavy for waiting in batch)
        self._heavy_out |= held_back
        task = asyncio.create_task(self._run(batch, held_back), name="batch")
        self._out.add(task)
        task.add_done_callback(self._out.discard)

    async def _run(self, batch: list[Waiting], held_back: bool) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        tell(Batch(len(batch)))
        for waiting in batch:
            waiting.running, waiting.began, waiting.batch = True, began, len(batch)
        await self._run_now(batch)
        now = loop.time()
        for waiting in batch:
            self._fairness.had(waiting.job.person, (now - began) / len(batch), now)
        if held_back:
            self._fairness.rest(now - began, now)
            self._heavy_out = False
            self._arrived.set()  # the next of theirs may begin to rest
        else:
            self._fairness.go_on_resting((now - began) / self._lanes)

    async def _run_now(self, batch: list[Waiting]) -> None:
        listeners = {w.job.id: w.listener for w in batch if w.listener is not None}
        try:
            results = await self._runner.run([w.job for w in batch], listeners)
        except asyncio.CancelledError:
            for waiting in batch:
                waiting.fail(InferenceError(_("rapbot is stopping; please send that again later.")))
            raise
        except Exception as error:  # the queue must outlive whatever the runner does
            failure = (
                error
                if isinstance(error, RapbotError)
                else InferenceError(_("Something broke inside me. Sorry! Please try that again."))
            )
            results = [failure for _ in batch]
        self._served = True
        for waiting, result in zip(batch, results, strict=True):
            if isinstance(result, RapbotError):
                waiting.fail(result)
            elif not waiting.future.done():
                waiting.future.set_result(result)
