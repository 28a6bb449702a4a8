"""JobQueue: what waits for the worker. Fair between people, bounded, batched.

Each person has a line of their own and the lines are served in turn, so a flooder delays only themself (fairness.py).
What does not fit is shed oldest first, out of the line that caused it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rapbot.errors import Busy, InferenceError, RapbotError
from rapbot.i18n import _
from rapbot.inference.fairness import Fairness
from rapbot.inference.job import Answer, Job
from rapbot.messages import Progress, ProgressListener, Stage
from rapbot.watching import Batch, Reason, Shed, Worked, tell, worked


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


@dataclass(slots=True)
class _Waiting:
    job: Job
    listener: ProgressListener | None
    kept: bool = False
    """The second half of a job: it has waited its turn already."""
    running: bool = False
    since: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    began: float | None = None
    """When the worker took it, in a batch of so many."""
    batch: int = 0
    future: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


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
        self._size = size
        self._per_person = per_person
        self._per_chat = per_chat
        self._lanes = lanes
        self._lines: OrderedDict[str, deque[_Waiting]] = OrderedDict()
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
        for waiting in self._all():
            _fail(waiting, InferenceError(_("rapbot is stopping; please send that again later.")))
        self._lines.clear()

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    @property
    def oldest(self) -> float:
        """Seconds for which the first of a line has been waiting, at most; 0: none waits."""
        now = asyncio.get_running_loop().time()
        return max((now - line[0].since for line in self._lines.values()), default=0.0)

    @property
    def restarting(self) -> bool:
        """Whether the models that have answered before are gone: what is asked now waits until they are back."""
        return self._served and not self._runner.awake

    async def submit(self, job: Job, listener: ProgressListener | None = None, *, again: bool = False) -> Answer:
        """The worker's answer, or the error that the job met. Raises Busy for one that waited and had to make room.

        `again`: the second half of a job that has waited its turn; it goes first, and never has to leave.
        """
        waiting = _Waiting(job, listener, kept=again)
        if again:
            self._lines.setdefault(job.person, deque()).appendleft(waiting)
            self._lines.move_to_end(job.person, last=False)
            return await self._answered(waiting)
        self._make_room(job)
        self._lines.setdefault(job.person, deque()).append(waiting)
        self._tell_positions()
        return await self._answered(waiting)

    async def _answered(self, waiting: _Waiting) -> Answer:
        self._arrived.set()
        try:
            answer = await waiting.future
            worked(_told(waiting, answer))
            return answer
        except RapbotError as error:
            worked(_told(waiting, error))
            raise
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

    # -- too much -------------------------------------------------------------------------------------------

    def _make_room(self, job: Job) -> None:
        """Shed the oldest of the person, of the chat, or of whoever has most waiting. Raises Busy where none may go."""
        own = self._lines.get(job.person, deque())
        chat = [one for one in self._all() if one.job.chat == job.chat] if job.chat else []
        if len(own) >= self._per_person:
            told = _("So much of yours is waiting that I leave this out. Please send it again if you still want it.")
            self._shed(own, told, Reason.PERSON)
        elif len(chat) >= self._per_chat:
            told = _("So much of this group is waiting that I leave this out. Please try again later.")
            self._shed(_most(chat), told, Reason.CHAT)
        elif len(self) >= self._size:
            told = _("I have too much to do right now, so I leave this out. Please try again in a minute.")
            self._shed(_most(self._all()), told, Reason.QUEUE)

    def _shed(self, line: Iterable[_Waiting], told: str, reason: Reason) -> None:
        tell(Shed(reason))
        oldest = next((one for one in line if not one.kept), None)
        if oldest is None:
            raise Busy(told)
        self._remove(oldest)
        _fail(oldest, Busy(told))

    # -- whose turn it is -----------------------------------------------------------------------------------

    def _all(self) -> list[_Waiting]:
        return [waiting for line in self._lines.values() for waiting in line]

    def _heavy(self) -> frozenset[str]:
        return self._fairness.heavy(self._lines, asyncio.get_running_loop().time())

    def _take(self) -> list[_Waiting]:
        """The next batch; empty where only heavy people wait and the worker rests for others."""
        now, heavy = asyncio.get_running_loop().time(), self._heavy()
        waits = [person for person in self._lines if person in heavy]
        if self._heavy_out:  # one at a time, however many batches may run
            return self._turns(self._batch_size, [person for person in self._lines if person not in heavy])
        heads = {person: self._lines[person][0] for person in waits}
        due = next((one for one in waits if heads[one].kept or self._fairness.overdue(heads[one].since, now)), None)
        if due is not None or (waits and len(waits) == len(self._lines)):
            return self._turns(1, [due or waits[0]]) if due or not self._fairness.rest_left(now) else []
        taken = self._turns(self._batch_size, [person for person in self._lines if person not in heavy])
        if not self._fairness.alone(self._lines, now):  # a batch takes longer the fuller it is: one of each
            return taken
        while self._lines and len(taken) < self._batch_size:
            taken += self._turns(1, list(self._lines))
        return taken

    def _turns(self, count: int, people: Collection[str]) -> list[_Waiting]:
        """One job of each, at most `count`; who was served goes to the end."""
        taken: list[_Waiting] = []
        for person in list(people)[:count]:
            line = self._lines[person]
            taken.append(line.popleft())
            self._lines.move_to_end(person)
            if not line:
                del self._lines[person]
        return taken

    def _order(self) -> list[_Waiting]:
        """Everything that waits, in the order in which it will be served, as far as can be told."""
        heavy = self._heavy()
        order: list[_Waiting] = []
        for later in (False, True):
            lines = [list(line) for person, line in self._lines.items() if (person in heavy) is later]
            turns = range(max(map(len, lines), default=0))
            order += [line[turn] for turn in turns for line in lines if turn < len(line)]
        return order

    def _tell_positions(self) -> None:
        for position, waiting in enumerate(self._order()):
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

    def _begin(self, batch: list[_Waiting]) -> None:
        heavy = self._heavy()
        held_back = any(waiting.job.person in heavy for waiting in batch)
        self._heavy_out |= held_back
        task = asyncio.create_task(self._run(batch, held_back), name="batch")
        self._out.add(task)
        task.add_done_callback(self._out.discard)

    async def _run(self, batch: list[_Waiting], held_back: bool) -> None:
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

    async def _run_now(self, batch: list[_Waiting]) -> None:
        listeners = {w.job.id: w.listener for w in batch if w.listener is not None}
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
        self._served = True
        for waiting, result in zip(batch, results, strict=True):
            if isinstance(result, RapbotError):
                _fail(waiting, result)
            elif not waiting.future.done():
                waiting.future.set_result(result)


def _most(waiting: Iterable[_Waiting]) -> list[_Waiting]:
    """What waits of the person of whom most does; of several such people, of the one who came first."""
    lines: dict[str, list[_Waiting]] = {}
    for one in sorted(waiting, key=lambda one: one.since):
        lines.setdefault(one.job.person, []).append(one)
    return max(lines.values(), key=len)


def _told(waiting: _Waiting, result: Answer | RapbotError) -> Worked:
    """What watchers learn of a job that is over."""
    ended, answer = asyncio.get_running_loop().time(), result if isinstance(result, Answer) else None
    # What an earlier job saw was counted then.
    looked = answer.scene if answer is not None and waiting.job.scene is None else None
    candidates = looked.candidates if looked is not None else ()
    accepted = sum(candidate.accepted for candidate in candidates)
    return Worked(
        task=waiting.job.task,
        since=waiting.since,
        began=waiting.began,
        ended=ended,
        batch=waiting.batch,
        stages=answer.timings if answer is not None else {},
        accepted=accepted,
        rejected=len(candidates) - accepted,
        error="" if answer is not None else type(result).__name__,
    )


def _fail(waiting: _Waiting, error: RapbotError) -> None:
    if not waiting.future.done():
        waiting.future.set_exception(error)
