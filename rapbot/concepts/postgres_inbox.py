"""The inbox in PostgreSQL, shared by several processes: none loses an update, and one at a time answers a chat.

An update is kept by whichever process receives it. Its chat (its lane) belongs to the process that answered there last,
else to the one that received it, so albums and conversations, which live in memory, live in one place, and the order
of a chat is kept. What a process that dies, hangs or leaves had begun is taken over by the others.

What arrives while a transaction runs is written by the next one (group commit), so this process hands on what it takes
in the order in which that was committed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from rapbot.concepts.kept import INBOX
from rapbot.concepts.postgres_connection import PostgresDatabase
from rapbot.concepts.postgres_inbox_presence import Callbacks, Presence
from rapbot.concepts.postgres_inbox_rows import (
    OF_PERSON,
    Name,
    Reaped,
    Shards,
    Taken,
    Who,
    delete_answered,
    delete_of,
    give_away,
    insert,
    lock_lanes,
    notify,
    take_free_lanes,
    take_lanes,
    take_part,
    take_rows,
)
from rapbot.concepts.postgres_statements import PostgresStatements
from rapbot.concepts.sealing import PLAIN, Seal
from rapbot.errors import StoreError
from rapbot.inbox import Arrived, Kept
from rapbot.logs import get_logger

_log = get_logger(__name__)

_AGAIN_S = 1.0
"""After a failure, what is owed to the database is tried again."""
_CLOSES_WITHIN_S = 20.0

Result = TypeVar("Result")
_Step = Callable[[PostgresStatements, Who], Awaitable[Any]]


@dataclass(slots=True)
class _Turn:
    """What the next transaction is to do."""

    answered: list[tuple[Arrived, bytes]] = field(default_factory=list)
    """With their lanes."""
    arrived: list[tuple[tuple[Arrived, ...], asyncio.Future[Any]]] = field(default_factory=list)
    steps: list[tuple[_Step, asyncio.Future[Any]]] = field(default_factory=list)
    claim: bool = False
    """Look for what others left or received."""


@dataclass(frozen=True, slots=True)
class _Done:
    new: list[list[bool]]
    results: list[Any]
    taken: list[Taken]
    more: bool
    """There may be further free lanes."""


class PostgresInbox:
    """An `Inbox` and its `Sharing`; made by `open`."""

    def __init__(self, database: PostgresDatabase, seal: Seal, shards: Shards | None) -> None:
        self._database = database
        self._seal = seal
        self._shards = shards
        self._presence: Presence | None = None
        self._turn = _Turn()
        self._wanted = asyncio.Event()
        self._mine: dict[Name, bytes] = {}
        """What is this process's to answer, with its lane."""
        self._handed: dict[str, asyncio.Queue[Kept]] = {}
        """By platform, what `more` has not given yet."""
        self._leaving: set[str] = set()
        self._closing = False
        self.on_told: Callable[[Any], None] = lambda _what: None
        """Gets what another process told (`tell`)."""
        self.on_missed: Callable[[], None] = lambda: None
        """For a while nothing could be heard."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, database: PostgresDatabase, *, seal: Seal = PLAIN, shards: Shards | None = None
    ) -> AsyncIterator[PostgresInbox]:
        """`shards`: of Discord, those of this process (None: all); others' updates are left to others.

        Raises StoreError.
        """
        inbox = cls(database, seal, shards)
        callbacks = Callbacks(inbox._heard, lambda what: inbox.on_told(what), inbox._missed, inbox._reaped)
        async with Presence.open(database, callbacks) as inbox._presence:
            writing = asyncio.create_task(inbox._write(), name="inbox")
            try:
                yield inbox
            finally:
                inbox._closing = True
                inbox._wanted.set()
                await asyncio.wait([writing], timeout=_CLOSES_WITHIN_S)  # what is on its way, arrives
                writing.cancel()
                await asyncio.wait([writing])

    @property
    def sharing(self) -> PostgresInbox:
        return self

    # -- as every inbox -------------------------------------------------------------------------------------

    async def accept(self, arrived: Sequence[Arrived]) -> list[bool]:
        future: asyncio.Future[list[bool]] = asyncio.get_running_loop().create_future()
        self._turn.arrived.append((tuple(arrived), future))
        self._wanted.set()
        return await future

    async def note(self, arrived: Arrived, answer: str) -> None:
        async def write(db: PostgresStatements, who: Who) -> None:
            await db.execute(
                "UPDATE inbox SET answer = ? WHERE platform = ? AND question = ?",
                (self._seal.text(answer, "answer"), arrived.platform, arrived.question),
            )

        try:
            await self._do(write)
        except StoreError as error:
            _log.warning("answer not noted", error=type(error).__name__)

    async def done(self, arrived: Arrived) -> None:
        lane = self._mine.pop((arrived.platform, arrived.key), None)
        if lane is None:
            return
        self._turn.answered.append((arrived, lane))
        with suppress(StoreError):
            await self._do(_nothing)

    async def about(self, people: Sequence[str]) -> list[dict[str, Any]]:
        names = tuple(INBOX["inbox"])
        found: list[dict[str, Any]] = []
        for person in people:
            rows = await self._database.fetch(
                f"SELECT {', '.join(names)} FROM inbox WHERE {OF_PERSON} ORDER BY no", person.split(":", 1)
            )
            found += [dict(zip(names, row, strict=True)) for row in rows]
        for row in found:
            row |= {name: self._seal.open_text(row[name], name) for name in ("content", "answer")}
        return found

    async def forget(self, people: Sequence[str], but: Arrived) -> None:
        await self._do(lambda db, who: delete_of(db, people, (but.platform, but.key)))

    async def waiting(self, platform: str) -> list[Kept]:
        """What is there for this process at once; the rest comes by `more`."""
        queue = self._handed.setdefault(platform, asyncio.Queue())
        self._turn.claim = True
        await self._do(_nothing)
        return _all_of(queue)

    async def count(self) -> int:
        """In all processes together."""
        ((count,),) = await self._database.fetch("SELECT count(*) FROM inbox")
        return int(count)

    # -- sharing --------------------------------------------------------------------------------------------

    async def more(self, platform: str) -> list[Kept]:
        queue = self._handed.setdefault(platform, asyncio.Queue())
        first = await queue.get()
        return [kept for kept in (first, *_all_of(queue)) if (kept.platform, kept.key) in self._mine]

    async def leave(self, platform: str) -> None:
        self._leaving.add(platform)
        with suppress(StoreError):
            await self._do(give_away)

    async def holds(self, arrived: Arrived) -> bool:
        if self._presence is not None:
            await self._presence.sure()
        return (arrived.platform, arrived.key) in self._mine

    async def leads(self, task: str) -> bool:
        """Whether this process is the one that does what is to be done once in all processes."""
        return self._presence is not None and await self._presence.leads(task)

    async def tell(self, what: Any) -> None:
        """All other processes hear this (JSON). What cannot be told is logged."""
        try:
            if self._presence is not None:
                await self._presence.tell(what)
        except StoreError as error:
            _log.warning("other processes not told", error=type(error).__name__)

    # -- inside ---------------------------------------------------------------------------------------------

    @property
    def _who(self) -> Who:
        assert self._presence is not None
        platforms, leaving = frozenset(self._handed), frozenset(self._leaving)
        return Who(self._presence.no, self._seal, self._shards, platforms, leaving)

    async def _do(self, step: Callable[[PostgresStatements, Who], Awaitable[Result]]) -> Result:
        """Run in the next transaction; returns once that is on the server's disk."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._turn.steps.append((step, future))
        self._wanted.set()
        return await future

    async def _write(self) -> None:
        while not self._closing or self._wanted.is_set():
            await self._wanted.wait()
            self._wanted.clear()
            turn, self._turn = self._turn, _Turn()
            try:
                done = await self._carried_out(turn)
            except StoreError as error:
                self._fail(turn, error)
                continue
            self._hand_over(done.taken)
            if done.more:
                self._look()
            for (_, future), new in zip(turn.arrived, done.new, strict=True):
                _resolve(future, new)
            for (_step, future), result in zip(turn.steps, done.results, strict=True):
                _resolve(future, result)

    async def _carried_out(self, turn: _Turn) -> _Done:
        while True:
            who = self._who
            try:
                return await self._database.run(lambda db, who=who: _carry_out(db, who, turn))  # type: ignore[misc]
            except Reaped:
                assert self._presence is not None
                await self._presence.wait_until_known()

    def _fail(self, turn: _Turn, error: StoreError) -> None:
        _log.error("inbox not written", error=type(error).__name__)
        self._turn.answered = [*turn.answered, *self._turn.answered]
        self._turn.claim |= turn.claim
        if self._turn.answered or turn.claim:
            asyncio.get_running_loop().call_later(_AGAIN_S, self._wanted.set)
        for _what, future in (*turn.arrived, *turn.steps):
            if not future.done():
                future.set_exception(error)

    def _hand_over(self, taken: Sequence[Taken]) -> None:
        for one in taken:
            self._mine[one.kept.platform, one.kept.key] = one.lane
            self._handed.setdefault(one.kept.platform, asyncio.Queue()).put_nowait(one.kept)

    def _heard(self, payload: str) -> None:
        """Something is in a lane of ours, or a lane is free."""
        if self._presence is None or payload in ("", str(self._presence.no)):
            self._look()

    def _look(self) -> None:
        self._turn.claim = True
        self._wanted.set()

    def _missed(self) -> None:
        self._look()
        self.on_missed()

    def _reaped(self) -> None:
        self._mine.clear()


async def _carry_out(db: PostgresStatements, who: Who, turn: _Turn) -> _Done:
    if turn.claim:
        await take_part(db, who)
    arrived = [one for some, _future in turn.arrived for one in some]
    lanes = {one.lane: one for one in arrived}
    if turn.answered:
        await lock_lanes(db, {*lanes, *(lane for _one, lane in turn.answered)})
    holders = await take_lanes(db, who, lanes) if lanes else {}
    if turn.answered:
        await delete_answered(db, who, [one for one, _lane in turn.answered])
    new = await insert(db, who, arrived, time.time()) if arrived else []
    if turn.answered and who.leaving:
        await give_away(db, who, {lane for _one, lane in turn.answered})
    taken = await take_rows(db, who, [lane for lane, holder in holders.items() if holder == who.no]) if lanes else []
    if others := {str(holder or "") for holder in holders.values() if holder != who.no}:
        await notify(db, others)
    more = False
    if turn.claim:
        more = bool(who.platforms - who.leaving) and await take_free_lanes(db, who)
        taken += await take_rows(db, who)
    results = [await step(db, who) for step, _future in turn.steps]
    told = iter(new)
    return _Done([[next(told) for _one in some] for some, _future in turn.arrived], results, taken, more)


async def _nothing(db: PostgresStatements, who: Who) -> None:
    """What is owed is written by every transaction."""


def _resolve(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _all_of(queue: asyncio.Queue[Kept]) -> list[Kept]:
    return [queue.get_nowait() for _n in range(queue.qsize())]
