"""What somebody taught expires when they do not come any more: after a warning, and only where the operator wants it.

Only people of chat platforms are meant. The page and the command line belong to whoever runs the program.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rapbot.concepts.visits import Visit, VisitStore
from rapbot.config import Settings
from rapbot.errors import RapbotError
from rapbot.i18n import _, speaking
from rapbot.inbox import handled
from rapbot.logs import get_logger
from rapbot.messages import Actor, Chat, ChatKind

_log = get_logger(__name__)

Send = Callable[[str, str], Awaitable[bool]]
"""Write (person as in `Actor.id`, words) in private; False: there is no way to them. Raises NotNow."""
Erase = Callable[[Actor], Awaitable[object]]

DAY_S = 86400.0
_CHATS = ("telegram:", "discord:")
_FIRST_SWEEP_S, _BETWEEN_SWEEPS_S = 300.0, 6 * 3600.0
"""Seconds: by then the platforms are connected."""
_REMEMBERED = 10_000


class NotNow(Exception):
    """The platform cannot be reached: later it may."""


class Retention:
    """`visits` None: the store keeps none, so nothing expires."""

    def __init__(self, visits: VisitStore | None, erase: Erase, settings: Settings) -> None:
        self._visits = visits if settings.retention.days else None
        self._erase = erase
        self._days = settings.retention.days
        self._warn_days = settings.retention.warn_days
        self._wanted = {name for name in ("telegram", "discord") if getattr(settings, name).enabled}
        self._senders: dict[str, Send] = {}
        self._noted: OrderedDict[str, float] = OrderedDict()
        """When the visit of each person was written last: once a day is enough."""
        self._owed: OrderedDict[str, str] = OrderedDict()
        """What those are told who could not be warned, once they write in private."""

    @contextmanager
    def reaching(self, platform: str, send: Send) -> Iterator[None]:
        """While this platform is connected, its people can be warned."""
        self._senders[platform] = send
        try:
            yield
        finally:
            self._senders.pop(platform, None)  # two bots of one platform are one at the end

    async def seen(self, actor: Actor, chat: Chat) -> str:
        """This person is here. Returns what they are to be told beside their answer; mostly nothing."""
        if self._visits is None:
            return ""
        now = time.time()
        if now - self._noted.get(actor.id, 0.0) > DAY_S:
            try:
                with handled(None):  # nothing that the message asks for is done by that
                    before = await self._visits.seen(actor.id, actor.language, now)
            except RapbotError as error:  # their answer matters more
                _log.warning("visit not noted", error=type(error).__name__)
                return ""
            self._noted[actor.id] = now
            while len(self._noted) > _REMEMBERED:
                self._noted.popitem(last=False)
            if before is not None and before.warned_at is not None and not before.told:
                self._owed[actor.id] = self._late_words(before)
                while len(self._owed) > _REMEMBERED:
                    self._owed.popitem(last=False)
        return self._owed.get(actor.id, "") if chat.kind is ChatKind.PRIVATE else ""

    def told(self, actor: Actor) -> None:
        """What `seen` returned was shown."""
        self._owed.pop(actor.id, None)

    async def keep_sweeping(self, leads: Callable[[str], Awaitable[bool]] | None = None) -> None:
        """Until it is cancelled. `leads`: whether this is the one of several processes that does it."""
        if self._visits is None:
            return
        await asyncio.sleep(_FIRST_SWEEP_S)
        while True:
            try:
                if leads is None or await leads("retention"):
                    await self.sweep()
            except RapbotError as error:
                _log.warning("nothing expired", error=type(error).__name__)
            await asyncio.sleep(_BETWEEN_SWEEPS_S)

    async def sweep(self, now: float | None = None) -> None:
        """Warn whose time is nearly over, erase what they taught whose time is. `now`: seconds since 1970.

        Between warning and erasure lie `warn_days` whatever the clock did. Raises StoreError.
        """
        if self._visits is None:
            return
        now = time.time() if now is None else now
        visits = await self._visits.last(now - (self._days - self._warn_days) * DAY_S, now)
        meant = [visit for visit in visits if all(person.startswith(_CHATS) for person in visit.people)]
        for visit in meant:  # at once, before anybody is written to, which takes its time
            if visit.warned_at is not None and now > self._ends(visit, visit.warned_at):
                await self._erase(Actor(visit.people[0]))
                _log.info("expired", platform=visit.people[0].partition(":")[0])
        for visit in meant:
            if visit.warned_at is None:
                await self._warn(visit, now)

    def _ends(self, visit: Visit, warned_at: float) -> float:
        return max(visit.seen_at + self._days * DAY_S, warned_at + self._warn_days * DAY_S)

    async def _warn(self, visit: Visit, now: float) -> None:
        with speaking(visit.language):
            words = self._warning(visit, now)
        told, later = False, False
        for person in visit.people:
            platform = person.partition(":")[0]
            send = self._senders.get(platform)
            if send is None:
                later = later or platform in self._wanted  # not connected just now
                continue
            try:
                told = await send(person, words) or told
            except NotNow:
                later = True
        if told or not later:
            assert self._visits is not None
            await self._visits.warned(visit.people[0], now, told=told)
            for person in visit.people:
                self._noted.pop(person, None)
            _log.info("warned before expiry", reached=told)

    def _warning(self, visit: Visit, now: float) -> str:
        return _(
            "I have not heard from you for {days} days. On {date} I will delete everything you taught me. Write me"
            " anything before that and I keep it; /mydata sends it to you, /forgetme deletes it now."
        ).format(days=int((now - visit.seen_at) / DAY_S), date=_date(self._ends(visit, now)))

    def _late_words(self, before: Visit) -> str:
        assert before.warned_at is not None
        return _(
            "I had not heard from you for a long time and could not reach you: on {date} I would have deleted"
            " everything you taught me. Now I keep it for {days} days more, and longer whenever you write."
        ).format(date=_date(self._ends(before, before.warned_at)), days=self._days)


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
