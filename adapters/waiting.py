"""What somebody sees while their answer is being made: typing, their place in the queue, the answer as it grows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic

from adapters.sentences import progress_sentence
from adapters.shown import Channel, Sent, Shown
from rapbot.logs import get_logger
from rapbot.messages import Progress, Stage

_log = get_logger(__name__)


@dataclass(slots=True)
class Pace:
    """Seconds. Shorter in tests only where a test waits for exactly this."""

    typing: float = 4.0
    """Typing fades after 5 s on Telegram, 10 s on Discord."""
    before_typing: float = 0.3
    """What is answered sooner needs no typing, which would be one more call than the answer itself."""
    patience: float = 3.0
    """Who waits longer than this is told their place in the queue."""
    edits: float = 1.5
    """At most one edit of the placeholder in this time."""


@dataclass(slots=True)
class Standing(Generic[Sent]):
    """What stands in the chat under one question."""

    sent: Sent | None = None
    placeholder: bool = False
    """What was sent is not an answer yet."""


class Placeholder(Generic[Sent]):
    """One message that tells a waiting person their place in the queue, edited seldom; the answer replaces it."""

    def __init__(
        self, channel: Channel[Sent], pace: Pace, standing: Standing[Sent], note: Callable[[], Awaitable[None]]
    ) -> None:
        self._channel = channel
        self._pace = pace
        self._standing = standing
        self._note = note
        self._latest: Progress | None = None
        self._news = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    @property
    def own(self) -> bool:
        """The message shown is this placeholder, not an earlier answer."""
        return self._standing.placeholder

    def listen(self, progress: Progress) -> None:
        self._latest = progress
        self._news.set()

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._show(), name="placeholder")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            if self._telling is not None:  # never cut off half-way: whether a message exists must be known
                await asyncio.wait([self._telling])

    async def remove(self) -> None:
        """There will be no answer in its place."""
        if not self.own or self._standing.sent is None:
            return
        await _quietly(self._channel.delete(self._standing.sent))
        self._standing.sent, self._standing.placeholder = None, False
        await self._note()

    def working(self) -> bool:
        """Whether "typing" is true: not for those who know their place in the queue and wait there."""
        return not (self.own and self._waits)

    @property
    def _waits(self) -> bool:
        return self._latest is not None and self._latest.stage in (Stage.QUEUED, Stage.STARTING)

    async def _show(self) -> None:
        told: Progress | None = None
        await self._first_words()
        while True:
            await self._news.wait()
            self._news.clear()
            progress = self._latest
            # Who waits in the queue is told their place, and an answer is shown while it grows; else typing is enough.
            if progress is not None and (self._waits or self.own or progress.text) and _is_news(progress, told):
                told = progress
                self._telling = asyncio.create_task(self._tell(progress_sentence(progress)), name="tell")
                await asyncio.shield(self._telling)
                await asyncio.sleep(self._pace.edits)

    async def _first_words(self) -> None:
        """Until patience ends, or the answer has begun."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._pace.patience):
                while self._latest is None or not self._latest.text:
                    await self._news.wait()
                    self._news.clear()
        if self._latest is not None:
            self._news.set()

    async def _tell(self, text: str) -> None:
        try:
            if self._standing.sent is None:
                self._standing.sent = await self._channel.send(Shown(text))
                self._standing.placeholder = True
                await self._note()
            elif self.own:
                self._standing.sent = await self._channel.edit(self._standing.sent, Shown(text))
        except Exception as error:
            _log.info("placeholder not shown", error=type(error).__name__)


def _is_news(progress: Progress, told: Progress | None) -> bool:
    """With hundreds of people waiting, not every step of everybody is worth one of the edits that platforms allow."""
    if told is None or progress.stage is not told.stage:
        return True
    if progress.text or told.text:
        return progress.text not in ("", told.text)
    return progress.position <= told.position * 0.8


@asynccontextmanager
async def typing(
    show: Callable[[], Awaitable[None]], pace: Pace, wanted: Callable[[], bool] = lambda: True
) -> AsyncIterator[None]:
    """Keep "typing" on while it is `wanted`; its failures never fail the turn."""

    async def keep() -> None:
        await asyncio.sleep(pace.before_typing)
        while True:
            if wanted():
                await _quietly(show())
            await asyncio.sleep(pace.typing)

    task = asyncio.create_task(keep(), name="typing")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _quietly(doing: Awaitable[object]) -> None:
    try:
        await doing
    except Exception as error:
        _log.info("not shown", error=type(error).__name__)
