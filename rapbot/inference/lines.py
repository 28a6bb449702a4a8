"""The jobs that wait for the worker: a line for each person, and how long the lines may get."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Iterator, KeysView
from dataclasses import dataclass, field

from rapbot.errors import RapbotError
from rapbot.i18n import _
from rapbot.inference.job import Answer, Job
from rapbot.messages import ProgressListener
from rapbot.watching import Reason, Worked


@dataclass(slots=True)
class Waiting:
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

    def fail(self, error: RapbotError) -> None:
        """Whoever waits for the answer gets this instead, unless they have one or do not wait any more."""
        if not self.future.done():
            self.future.set_exception(error)

    def told(self, result: Answer | RapbotError) -> Worked:
        """What watchers learn of a job that is over."""
        ended, answer = asyncio.get_running_loop().time(), result if isinstance(result, Answer) else None
        # What an earlier job saw was counted then.
        looked = answer.scene if answer is not None and self.job.scene is None else None
        candidates = looked.candidates if looked is not None else ()
        accepted = sum(candidate.accepted for candidate in candidates)
        return Worked(
            task=self.job.task,
            since=self.since,
            began=self.began,
            ended=ended,
            batch=self.batch,
            stages=answer.timings if answer is not None else {},
            accepted=accepted,
            rejected=len(candidates) - accepted,
            error="" if answer is not None else type(result).__name__,
        )


@dataclass(frozen=True, slots=True)
class Crowd:
    """Those who are too many for one more: the oldest of them has to leave, and is `told` why."""

    waiting: Collection[Waiting]
    told: str
    reason: Reason


class Lines:
    """Who stands first in the order of the lines is served next. Nobody has an empty line."""

    def __init__(self, size: int, per_person: int, per_chat: int) -> None:
        self._size = size
        self._per_person = per_person
        self._per_chat = per_chat
        self._lines: OrderedDict[str, deque[Waiting]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def __iter__(self) -> Iterator[Waiting]:
        """Person by person."""
        return (waiting for line in self._lines.values() for waiting in line)

    @property
    def people(self) -> KeysView[str]:
        """Whoever waits, in the order of the lines; it changes with them."""
        return self._lines.keys()

    def head(self, person: str) -> Waiting:
        """The first of their line."""
        return self._lines[person][0]

    def oldest(self, now: float) -> float:
        """Seconds for which the first of a line has been waiting, at most; 0: none waits."""
        return max((now - line[0].since for line in self._lines.values()), default=0.0)

    def append(self, waiting: Waiting) -> None:
        """At the end of the person's line."""
        self._lines.setdefault(waiting.job.person, deque()).append(waiting)

    def put_first(self, waiting: Waiting) -> None:
        """Before everything else, of this person and of all others."""
        self._lines.setdefault(waiting.job.person, deque()).appendleft(waiting)
        self._lines.move_to_end(waiting.job.person, last=False)

    def remove(self, waiting: Waiting) -> bool:
        """Whether it was still here."""
        line = self._lines.get(waiting.job.person)
        if line is None or waiting not in line:
            return False
        line.remove(waiting)
        if not line:
            del self._lines[waiting.job.person]
        return True

    def clear(self) -> None:
        self._lines.clear()

    def crowd(self, job: Job) -> Crowd | None:
        """Those of the person, of the chat, or of whoever has most waiting; None: there is room for this job."""
        own = self._lines.get(job.person, deque())
        chat = [one for one in self if one.job.chat == job.chat] if job.chat else []
        if len(own) >= self._per_person:
            told = _("So much of yours is waiting that I leave this out. Please send it again if you still want it.")
            return Crowd(own, told, Reason.PERSON)
        if len(chat) >= self._per_chat:
            told = _("So much of this group is waiting that I leave this out. Please try again later.")
            return Crowd(_most(chat), told, Reason.CHAT)
        if len(self) >= self._size:
            told = _("I have too much to do right now, so I leave this out. Please try again in a minute.")
            return Crowd(_most(self), told, Reason.QUEUE)
        return None

    def turns(self, count: int, people: Iterable[str]) -> list[Waiting]:
        """Take one job of each, at most `count`; who was served goes to the end."""
        taken: list[Waiting] = []
        for person in list(people)[:count]:
            line = self._lines[person]
            taken.append(line.popleft())
            self._lines.move_to_end(person)
            if not line:
                del self._lines[person]
        return taken

    def order(self, heavy: Collection[str]) -> list[Waiting]:
        """Everything that waits, in the order in which it will be served, as far as can be told."""
        order: list[Waiting] = []
        for later in (False, True):
            lines = [list(line) for person, line in self._lines.items() if (person in heavy) is later]
            turns = range(max(map(len, lines), default=0))
            order += [line[turn] for turn in turns for line in lines if turn < len(line)]
        return order


def _most(waiting: Iterable[Waiting]) -> list[Waiting]:
    """What waits of the person of whom most does; of several such people, of the one who came first."""
    lines: dict[str, list[Waiting]] = {}
    for one in sorted(waiting, key=lambda one: one.since):
        lines.setdefault(one.job.person, []).append(one)
    return max(lines.values(), key=len)
