"""The seam of the inbox: what arrived from a platform and is not answered yet, kept so that a crash loses nothing.

An update is accepted once (its key makes a redelivery harmless), noted with the answer that is being made visible, and
deleted when that is done. It holds the platform's own JSON: photos are named in it, never contained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """One update of a platform, as it came. Times are seconds since 1970, UTC."""

    platform: str
    key: str
    """Names the update on its platform: a redelivery has the same."""
    question: str
    """Names what is answered: the messages of an album, and a message with its edits, have one answer."""
    person: str
    """Whose order it keeps: updates of one person are answered in the order in which they came."""
    update: str
    """JSON, as the platform gave it."""
    expires_at: float
    """Later than this nobody waits for an answer any more."""
    work: str = ""
    """Names what it may change in the memory of the person; empty: `key`."""
    answer: str = ""
    """JSON, by which the platform finds the messages that answer it already; empty: there are none."""
    place: str = ""
    """Names the chat: of several processes one at a time handles all of its updates. Empty: `person`."""
    server: int | None = None
    """Discord: the number by which its shard is found; 0 in private."""

    @property
    def digest(self) -> bytes:
        """Recognises this update without naming it."""
        return _digest(self.platform, "update", self.key)

    @property
    def work_digest(self) -> bytes:
        return _digest(self.platform, "work", self.work or self.key)

    @property
    def lane(self) -> bytes:
        """Recognises `place` without naming it."""
        return _digest(self.platform, "place", self.place or self.person)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Arrived):
    """What an earlier run of the program left unanswered; or what is handed to this process to answer."""

    attempts: int = 0
    """How many runs have tried before."""
    begun: bool = True
    """False: nobody has tried yet."""


class Sharing(Protocol):
    """How several processes work on one inbox: each place belongs to one of them at a time."""

    async def more(self, platform: str) -> list[Kept]:
        """Waits for updates that this process is to answer, whoever accepted them: of one place in the order in which
        they came. Those that a process which died or left had begun are among them. Never raises."""
        ...

    async def leave(self, platform: str) -> None:
        """From now on this process begins with no further place, and gives each away when nothing of it is under way.
        Never raises."""
        ...

    async def holds(self, arrived: Arrived) -> bool:
        """Whether this update is still this process's to answer; waits while that cannot be known. Never raises."""
        ...


class Inbox(Protocol):
    """Where updates wait. Each method returns when what it says survives a power cut."""

    @property
    def sharing(self) -> Sharing | None:
        """None: the inbox of one process, which handles what it accepts itself. Else everything comes by `more`."""
        ...

    async def accept(self, arrived: Sequence[Arrived]) -> list[bool]:
        """Keep all of these; for each whether it is new. Raises StoreError: then none is kept."""
        ...

    async def note(self, arrived: Arrived, answer: str) -> None:
        """The messages that answer it now (as `Arrived.answer`), for every update of the same question.

        Never raises: without the note a crash may make a second answer, which is better than none.
        """
        ...

    async def done(self, arrived: Arrived) -> None:
        """It is answered, and with it all of the same `work`: nothing but digests is kept. To be called any number of
        times. Never raises; what fails is tried again, and what is cancelled is written all the same."""
        ...

    async def about(self, people: Sequence[str]) -> list[dict[str, Any]]:
        """Everything that waits of these people (ids as in `Actor.id`): its columns. Raises StoreError."""
        ...

    async def forget(self, people: Sequence[str], but: Arrived) -> None:
        """Nothing of these people waits any more, except `but`, which is being answered. Raises StoreError."""
        ...

    async def waiting(self, platform: str) -> list[Kept]:
        """What is not answered yet, oldest first; counts as an attempt. Raises StoreError."""
        ...

    async def count(self) -> int:
        """How much is not answered yet. Raises StoreError."""
        ...


@dataclass(frozen=True, slots=True)
class Handling:
    """An update of the inbox at work."""

    inbox: Inbox
    arrived: Arrived
    again: bool = False
    """It was begun before, and nobody knows how far that came."""


_handling: ContextVar[Handling | None] = ContextVar("handling", default=None)


def handling() -> Handling | None:
    """The update that the running task (or one that started it) handles."""
    return _handling.get()


@contextmanager
def handled(update: Handling | None) -> Iterator[None]:
    """Everything inside is done for this update; None: for itself, whatever update gave the occasion."""
    token = _handling.set(update)
    try:
        yield
    finally:
        _handling.reset(token)


def _digest(*words: str) -> bytes:
    return hashlib.blake2b("\0".join(words).encode(), digest_size=16).digest()
