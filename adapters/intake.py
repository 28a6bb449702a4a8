"""One platform's side of the inbox: what arrives is kept, then handled, then forgotten; after a crash it comes again.

The order of a person holds over a restart: first, one after the other, what the earlier run left unanswered, then what
is new. Within one run messages are handled as they come, as without an inbox.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from rapbot.errors import StoreError
from rapbot.i18n import mark
from rapbot.inbox import Arrived, Handling, Inbox, Kept, handled
from rapbot.logs import get_logger
from rapbot.watching import Reason, Shed, tell, trip

_log = get_logger(__name__)

MOST_ATTEMPTS = 20
"""Runs of the program that try to answer one message: it may be what ends them."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
"""Before an answer that the platform did not take is tried again; the first doubles."""


class Undelivered(Exception):
    """The platform did not take the answer; later it may."""


Handle = Callable[[bool], Awaitable[None]]
"""Handle one update entirely; True: it was begun before. Raises Undelivered."""


@dataclass(frozen=True, slots=True)
class Replaying:
    """What a platform can do with an update of an earlier run."""

    handle: Callable[[Kept], Awaitable[None]]
    """As a new one. Raises Undelivered."""
    restore: Callable[[str, str], None]
    """(question, note): these messages answer it already."""
    apologise: Callable[[Kept, str], Awaitable[None]]
    """Tell the person, where that is possible, that this will not be answered."""


class Intake:
    """`inbox` None: nothing is kept, and what runs at a crash is lost."""

    def __init__(self, platform: str, inbox: Inbox | None, lifetime: float) -> None:
        """`lifetime`: seconds for which an answer is of use."""
        self.platform = platform
        self._inbox = inbox
        self._lifetime = lifetime
        self._replays: dict[str, asyncio.Task[None]] = {}

    @property
    def keeps(self) -> bool:
        return self._inbox is not None

    def expiry(self) -> float:
        """For what arrives now."""
        return time.time() + self._lifetime

    async def accept(self, arrived: Sequence[Arrived]) -> list[Handling | None]:
        """Keep these; None for what was accepted before. Raises StoreError: nothing is kept."""
        if self._inbox is None or not arrived:
            return []
        new = await self._inbox.accept(arrived)
        return [Handling(self._inbox, one) if is_new else None for one, is_new in zip(arrived, new, strict=True)]

    async def run(self, update: Handling | None, handle: Handle) -> None:
        """Handle a new update after those that its person sent to an earlier run."""
        if update is None:
            with suppress(Undelivered), trip(self.platform):
                await handle(False)
            return
        if (replay := self._replays.get(update.arrived.person)) is not None:
            await asyncio.wait([replay])
        await self._finish(update, handle)

    async def replay(self, platform: Replaying) -> None:
        """Begin with what an earlier run left. Returns at once; `close` ends it."""
        if self._inbox is None:
            return
        people: dict[str, list[Kept]] = {}
        for kept in await self._inbox.waiting(self.platform):
            people.setdefault(kept.person, []).append(kept)
        if people:
            _log.info("unanswered updates found", platform=self.platform, people=len(people))
        for person, rows in people.items():
            task = asyncio.create_task(self._replay(platform, self._inbox, rows), name="replay")
            self._replays[person] = task
            task.add_done_callback(lambda _task, person=person: self._replays.pop(person, None))  # type: ignore[misc]

    async def close(self, grace: float = 0.0) -> None:
        """What is not answered within `grace` seconds stays in the inbox."""
        tasks = list(self._replays.values())
        if not tasks:
            return
        _done, late = await asyncio.wait(tasks, timeout=grace)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    # -- inside ---------------------------------------------------------------------------------------------

    async def _replay(self, platform: Replaying, inbox: Inbox, rows: Sequence[Kept]) -> None:
        questions: dict[str, list[Kept]] = {}
        for kept in rows:
            questions.setdefault(kept.question, []).append(kept)
        for question, parts in questions.items():
            if all(kept.expires_at < time.time() or kept.attempts >= MOST_ATTEMPTS for kept in parts):
                await self._give_up(platform, inbox, parts)
                continue
            notes = [kept.answer for kept in parts if kept.answer]
            if notes:
                platform.restore(question, notes[-1])
            # Together, as they came: the pictures of an album, a message and its edits.
            await asyncio.gather(*(self._again(platform, Handling(inbox, kept, again=True)) for kept in parts))

    async def _again(self, platform: Replaying, update: Handling) -> None:
        async def handle(again: bool) -> None:
            assert isinstance(update.arrived, Kept)
            await platform.handle(update.arrived)

        await self._finish(update, handle)

    async def _give_up(self, platform: Replaying, inbox: Inbox, parts: Sequence[Kept]) -> None:
        _log.warning("update given up", platform=self.platform, attempts=parts[0].attempts)
        tell(Shed(Reason.LATE))
        for kept in parts:  # first: an apology may be lost, but must not come at every start
            await inbox.done(kept)
        try:
            await platform.apologise(parts[0], mark("I could not answer this in time. Please send it again."))
        except Exception as error:
            _log.info("apology not sent", error=type(error).__name__)

    async def _finish(self, update: Handling, handle: Handle) -> None:
        """Until the platform has taken the answer. Cancelled before that, the update stays."""
        with trip(self.platform, update.arrived.digest):
            await self._until_taken(update, handle)

    async def _until_taken(self, update: Handling, handle: Handle) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                with handled(update):
                    await handle(update.again)
                break
            except Undelivered:
                if time.time() + pause > update.arrived.expires_at:
                    break
                _log.warning("answer not delivered", platform=self.platform, again_in=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
            update = replace(update, again=True)
        await update.inbox.done(update.arrived)


async def accept_or_go_on(intake: Intake, arrived: Arrived) -> tuple[bool, Handling | None]:
    """For a platform that will not say it again: (is to be handled, as an update of the inbox where that works)."""
    try:
        [update] = await intake.accept([arrived]) or [None]
    except StoreError as error:
        _log.error("update not kept", platform=intake.platform, error=type(error).__name__)
        return True, None
    return update is not None or not intake.keeps, update
