"""One platform's side of the inbox: what arrives is kept, then handled, then forgotten; after a crash it comes again.

The order of a person holds over a restart: first, one after the other, what the earlier run left unanswered, then what
is new. Within one run messages are handled as they come, as without an inbox. Where several processes share the inbox,
each hands in what it receives, and is handed what it is to answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from rapbot.errors import StoreError
from rapbot.i18n import mark
from rapbot.inbox import Arrived, Handling, Inbox, Kept, Sharing, handled
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
    """What a platform can do with an update that the inbox hands it."""

    handle: Callable[[Kept, bool], Awaitable[None]]
    """As one that just came; True: it was begun before. Raises Undelivered."""
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
        self._taking: asyncio.Task[None] | None = None
        self._begun: set[asyncio.Task[None]] = set()
        """What `more` handed over and is under way."""

    @property
    def keeps(self) -> bool:
        return self._inbox is not None

    @property
    def shares(self) -> bool:
        """Whether other processes may work on the same inbox."""
        return self._inbox is not None and self._inbox.sharing is not None

    def expiry(self) -> float:
        """For what arrives now."""
        return time.time() + self._lifetime

    async def accept(self, arrived: Sequence[Arrived]) -> list[Handling | None]:
        """Keep these; None for what is not to be handled now: it was accepted before, or the inbox will hand it over.

        Raises StoreError: nothing is kept.
        """
        if self._inbox is None or not arrived:
            return []
        new = await self._inbox.accept(arrived)
        if self._inbox.sharing is not None:
            return [None] * len(arrived)
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
        """Begin with what an earlier run left, then take what the inbox hands over, until `close`. Returns at once."""
        if self._inbox is None:
            return
        self._take(platform, self._inbox, await self._inbox.waiting(self.platform))
        if self._inbox.sharing is not None:
            doing = self._keep_taking(platform, self._inbox, self._inbox.sharing)
            self._taking = asyncio.create_task(doing, name="taking")

    async def drain(self, grace: float) -> None:
        """Other processes take over; what is under way here may end within `grace` seconds."""
        assert self._inbox is not None
        assert self._inbox.sharing is not None
        end = time.monotonic() + grace
        await self._inbox.sharing.leave(self.platform)
        # What belongs to something under way, as the rest of an album, still comes here meanwhile.
        while (tasks := self._begun | set(self._replays.values())) and (left := end - time.monotonic()) > 0:
            await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)

    async def close(self, grace: float = 0.0) -> None:
        """What is not answered within `grace` seconds stays in the inbox."""
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.wait([self._taking])
        tasks = self._begun | set(self._replays.values())
        if not tasks:
            return
        _done, late = await asyncio.wait(tasks, timeout=grace)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    # -- inside ---------------------------------------------------------------------------------------------

    async def _keep_taking(self, platform: Replaying, inbox: Inbox, sharing: Sharing) -> None:
        while True:
            self._take(platform, inbox, await sharing.more(self.platform))

    def _take(self, platform: Replaying, inbox: Inbox, rows: Sequence[Kept]) -> None:
        people: dict[str, list[Kept]] = {}
        new: list[Kept] = []
        for kept in rows:
            if kept.begun or kept.expires_at < time.time():
                people.setdefault(kept.person, []).append(kept)
            else:
                new.append(kept)
        if people:
            _log.info("unanswered updates found", platform=self.platform, people=len(people))
        for person, theirs in people.items():
            doing = self._replay(platform, inbox, theirs, self._replays.get(person))
            task = self._replays[person] = asyncio.create_task(doing, name="replay")
            task.add_done_callback(lambda task, person=person: self._end_replay(person, task))  # type: ignore[misc]
        for kept in new:
            begun = asyncio.create_task(self._new(platform, Handling(inbox, kept)), name="update")
            self._begun.add(begun)
            begun.add_done_callback(self._begun.discard)

    def _end_replay(self, person: str, task: asyncio.Task[None]) -> None:
        if self._replays.get(person) is task:
            del self._replays[person]

    async def _new(self, platform: Replaying, update: Handling) -> None:
        async def handle(again: bool) -> None:
            assert isinstance(update.arrived, Kept)
            await platform.handle(update.arrived, again)

        await self.run(update, handle)

    async def _replay(
        self, platform: Replaying, inbox: Inbox, rows: Sequence[Kept], earlier: asyncio.Task[None] | None
    ) -> None:
        if earlier is not None:
            await asyncio.wait([earlier])
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
            await platform.handle(update.arrived, True)

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
