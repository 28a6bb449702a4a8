"""JobQueue: what waits for the worker. Fair between people, bounded, batched.

Each person has a line of their own and the lines are served in turn, so a flooder delays only themself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rapbot.errors import Busy, InferenceError, RapbotError
from rapbot.i18n import _
from rapbot.inference.job import Answer, Job
from rapbot.messages import Progress, ProgressListener, Stage


class Runner(Protocol):
    """Runs a batch; the worker process in production."""

    async def run(self, jobs: Sequence[Job], listeners: dict[str, ProgressListener]) -> list[Answer | RapbotError]:
        """One answer or error per job, in order."""
        ...

    def stop(self, job_id: str) -> None:
        """Nobody waits for this running job any more."""
        ...


@dataclass(slots=True)
class _Waiting:
    job: Job
    listener: ProgressListener | None
    running: bool = False
    future: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class JobQueue:
    """Start it with `async with`; `submit` waits for the answer and may be cancelled at any time."""

    def __init__(
        self, runner: Runner, *, batch_size: int = 4, batch_wait: float = 0.005, size: int = 200, per_person: int = 20
    ) -> None:
        """`batch_wait` seconds: how long a batch that is not full waits for company."""
        self._runner = runner
        self._batch_size = batch_size
        self._batch_wait = batch_wait
        self._size = size
        self._per_person = per_person
        self._lines: OrderedDict[str, deque[_Waiting]] = OrderedDict()
        self._arrived = asyncio.Event()
        self._server: asyncio.Task[None] | None = None

    async def __aenter__(self) -> JobQueue:
        self._server = asyncio.create_task(self._serve(), name="job-queue")
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._server is not None:
            self._server.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._server
        for waiting in self._take(len(self)):
            _fail(waiting, InferenceError(_("rapbot is stopping; please send that again later.")))

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    async def submit(self, job: Job, listener: ProgressListener | None = None, *, again: bool = False) -> Answer:
        """The worker's answer. Raises Busy when too much waits, or the error that the job met.

        `again`: the second half of a job that has waited its turn; it goes first, and is never refused.
        """
        if again:
            waiting = _Waiting(job, listener)
            self._lines.setdefault(job.person, deque()).appendleft(waiting)
            self._lines.move_to_end(job.person, last=False)
            return await self._answered(waiting)
        if len(self) >= self._size:
            raise Busy(_("I have too much to do right now. Please try again in a minute."))
        if len(self._lines.get(job.person, ())) >= self._per_person:
            raise Busy(
                _("You already have {count} messages waiting. Please wait for some answers first.").format(
                    count=self._per_person
                )
            )
        waiting = _Waiting(job, listener)
        self._lines.setdefault(job.person, deque()).append(waiting)
        self._tell_positions()
        return await self._answered(waiting)

    async def _answered(self, waiting: _Waiting) -> Answer:
        self._arrived.set()
        try:
            return await waiting.future
        except asyncio.CancelledError:
            if waiting.running:
                self._runner.stop(waiting.job.id)
            raise
        finally:
            self._remove(waiting)

    def _remove(self, waiting: _Waiting) -> None:
        """Take a cancelled job out of its line (nothing to do once it was served)."""
        line = self._lines.get(waiting.job.person)
        if line is not None and waiting in line:
            line.remove(waiting)
            if not line:
                del self._lines[waiting.job.person]
            self._tell_positions()

    def _take(self, count: int) -> list[_Waiting]:
        """Up to `count` jobs, one per person in turn; who was served goes to the end."""
        taken: list[_Waiting] = []
        while self._lines and len(taken) < count:
            person, line = self._lines.popitem(last=False)
            taken.append(line.popleft())
            if line:
                self._lines[person] = line
        return taken

    def _order(self) -> list[_Waiting]:
        """Everything that waits, in the order in which it will be served."""
        lines = [list(line) for line in self._lines.values()]
        return [line[turn] for turn in range(max(map(len, lines), default=0)) for line in lines if turn < len(line)]

    def _tell_positions(self) -> None:
        for position, waiting in enumerate(self._order()):
            if waiting.listener is not None:
                waiting.listener(Progress(Stage.QUEUED, position))

    async def _serve(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if self._batch_size > 1 and len(self) < self._batch_size:
                await asyncio.sleep(self._batch_wait)
            while batch := self._take(self._batch_size):
                self._tell_positions()
                await self._run(batch)

    async def _run(self, batch: list[_Waiting]) -> None:
        listeners = {w.job.id: w.listener for w in batch if w.listener is not None}
        for waiting in batch:
            waiting.running = True
        try:
            results = await self._runner.run([w.job for w in batch], listeners)
        except asyncio.CancelledError:
            for waiting in batch:
                _fail(waiting, InferenceError(_("rapbot is stopping; please send that again later.")))
            raise
        except Exception as error:  # the queue must outlive whatever the runner does
            failure = (
                error
                if isinstance(error, RapbotError)
                else InferenceError(_("Something broke inside me. Sorry! Please try that again."))
            )
            results = [failure for _ in batch]
        for waiting, result in zip(batch, results, strict=True):
            if isinstance(result, RapbotError):
                _fail(waiting, result)
            elif not waiting.future.done():
                waiting.future.set_result(result)


def _fail(waiting: _Waiting, error: RapbotError) -> None:
    if not waiting.future.done():
        waiting.future.set_exception(error)
