"""What the platforms share about answering: one turn from question to answer, whatever the chat.

A platform gives a `Channel` (how to show something in answer to one question) and a piece of work; `Turns` keeps
typing alive, tells the place in the queue, turns errors into a sentence, answers an edited question by editing the
first answer, and cancels a deleted one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from adapters.rates import Asker, Rates, Verdict
from rapbot.config import LimitSettings
from rapbot.errors import ConfigError, RapbotError, StoreError, WeightsError
from rapbot.i18n import _, ngettext, speaking
from rapbot.inbox import handling
from rapbot.logs import get_logger, place_of
from rapbot.messages import Progress, ProgressListener, Stage
from rapbot.watching import Reason, Shed, delivering, refused, tell

_log = get_logger(__name__)

_MOST_WORDS = 1500
"""Characters of an unfinished answer: every platform takes that many in one message."""

Sent = TypeVar("Sent")
"""What a platform needs to edit or delete an answer that it has sent."""


@dataclass(frozen=True, slots=True)
class Button:
    """`data` comes back when it is pressed (at most 64 bytes: Telegram's limit); `url` opens a page instead."""

    label: str
    data: str = ""
    url: str = ""
    danger: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """What a platform shows: plain text without markup, pictures (JPEG), rows of buttons, a file to download."""

    text: str
    pictures: tuple[bytes, ...] = ()
    buttons: tuple[tuple[Button, ...], ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    """(file name, content)"""
    private: bool = False
    """Meant for the person alone: ephemeral where the platform can."""
    replaces: bool = False
    """Answer to a pressed button: takes the place of the message that has the button."""
    awaits: str = ""
    """The person's next message is awaited for this ("photo" or "text"); Telegram opens the reply field."""


class Channel(Protocol[Sent]):
    """How to answer one question in its place (thread, reply). Each method raises the platform's own errors."""

    async def typing(self) -> None:
        """Show that an answer is being made; it fades by itself after some seconds."""
        ...

    async def send(self, shown: Shown) -> Sent: ...

    async def edit(self, sent: Sent, shown: Shown) -> Sent:
        """Replace what `send` or `edit` gave; may give a new `Sent` where the platform cannot change its kind."""
        ...

    async def delete(self, sent: Sent) -> None: ...


Work = Callable[[ProgressListener], Awaitable[Shown | None]]
"""Makes the answer; None: nothing is to be said."""


@dataclass(slots=True)
class _Turn(Generic[Sent]):
    task: asyncio.Task[None] | None = None
    sent: Sent | None = None
    placeholder: bool = False
    """What was sent is not an answer yet."""


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
class Turns(Generic[Sent]):
    """The turns of one platform. `key` names a question: chat and message."""

    pace: Pace = field(default_factory=Pace)
    kept: int = 2000
    """How many questions are remembered for later edits."""
    described: Callable[[Sent], Any] | None = None
    """What was sent, as JSON can hold it: noted in the inbox, so that after a crash this very answer is edited."""
    rates: Rates = field(default_factory=lambda: Rates(LimitSettings()))
    _turns: OrderedDict[str, _Turn[Sent]] = field(default_factory=OrderedDict)
    _open: bool = True

    async def answer(
        self,
        key: str,
        channel: Channel[Sent],
        work: Work,
        language: str | None = None,
        asker: Asker | None = None,
    ) -> Sent | None:
        """Do the work and show its answer. A question asked again (an edit) gets its first answer edited.

        Returns what was sent; None when there was nothing to say or the question was deleted meanwhile. Who asks too
        much is told so instead, then nothing; what an earlier run of the program left is not counted.
        """
        update = handling()
        if asker is not None and not (update is not None and update.again):
            match self.rates.admit(asker):
                case Verdict.SILENCE:
                    tell(Shed(Reason.RATE))
                    return None
                case Verdict.TOO_MUCH:
                    tell(Shed(Reason.RATE))
                    work = _too_much
        turn = self._turns.setdefault(key, _Turn())
        self._turns.move_to_end(key)
        while len(self._turns) > self.kept:
            self._turns.popitem(last=False)
        # An edit while an earlier version is still being answered; "while", because several may wait here, in order.
        while (earlier := turn.task) is not None:
            earlier.cancel()
            await asyncio.wait([earlier])
            if turn.task is earlier:
                turn.task = None
        task = asyncio.create_task(self._run(key, turn, channel, work, language), name="turn")
        turn.task = task
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            if turn.task is task:
                turn.task = None
        if task.cancelled() and not self._open and handling() is not None:
            raise asyncio.CancelledError  # the program ends before the answer: it is owed, unlike one that was replaced
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
        return turn.sent

    def knows(self, key: str) -> bool:
        """Whether this question was answered or is being answered."""
        return key in self._turns

    def noted(self, key: str) -> str:
        """How the answer to this question is noted in the inbox; empty when there is none yet."""
        turn = self._turns.get(key)
        described = self.described(turn.sent) if turn is not None and turn.sent is not None and self.described else None
        return json.dumps({"sent": described, "placeholder": turn.placeholder}) if turn and described else ""

    def restore(self, key: str, note: str, read: Callable[[Any], Sent]) -> None:
        """After a restart: this question was answered so far as `noted` says."""
        told = json.loads(note)
        self._turns[key] = _Turn(sent=read(told["sent"]), placeholder=told["placeholder"])

    def cancel(self, key: str) -> bool:
        """The question was deleted: stop working on it. True when there was something to stop."""
        turn = self._turns.pop(key, None)
        return turn is not None and turn.task is not None and turn.task.cancel()

    async def finish(self, grace: float) -> None:
        """Let what runs end for at most `grace` seconds, then cancel it."""
        running = [turn.task for turn in self._turns.values() if turn.task is not None]
        if not running:
            return
        _, late = await asyncio.wait(running, timeout=grace)
        self._open = False
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _run(self, key: str, turn: _Turn[Sent], channel: Channel[Sent], work: Work, language: str | None) -> None:
        async def note() -> None:
            if (update := handling()) is not None and self.described is not None:
                await update.inbox.note(update.arrived, self.noted(key))

        if turn.sent is not None and (update := handling()) is not None and not update.arrived.answer:
            await note()
        with speaking(language):
            placeholder = _Placeholder(channel, self.pace, turn, note)
            try:
                async with typing(channel.typing, self.pace, placeholder.working), placeholder.shown():
                    shown = await work(placeholder.listen)
            except Exception as error:
                refused(error)
                shown = Shown(sentence(error))
            except asyncio.CancelledError:
                await placeholder.remove()
                raise
            if shown is None:
                await placeholder.remove()
                return
            await _only_if_ours()
            with delivering():
                turn.sent = await (channel.send(shown) if turn.sent is None else channel.edit(turn.sent, shown))
            turn.placeholder = False
            if (update := handling()) is not None:  # before reactions and whatever else follows
                await update.inbox.done(update.arrived)


class _Placeholder(Generic[Sent]):
    """One message that tells a waiting person their place in the queue, edited seldom; the answer replaces it."""

    def __init__(
        self, channel: Channel[Sent], pace: Pace, turn: _Turn[Sent], note: Callable[[], Awaitable[None]]
    ) -> None:
        self._channel = channel
        self._pace = pace
        self._turn = turn
        self._note = note
        self._latest: Progress | None = None
        self._news = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    @property
    def own(self) -> bool:
        """The message shown is this placeholder, not an earlier answer."""
        return self._turn.placeholder

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
        if not self.own or self._turn.sent is None:
            return
        await _quietly(self._channel.delete(self._turn.sent))
        self._turn.sent, self._turn.placeholder = None, False
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
            if self._turn.sent is None:
                self._turn.sent = await self._channel.send(Shown(text))
                self._turn.placeholder = True
                await self._note()
            elif self.own:
                self._turn.sent = await self._channel.edit(self._turn.sent, Shown(text))
        except Exception as error:
            _log.info("placeholder not shown", error=type(error).__name__)


async def _only_if_ours() -> None:
    """Raises CancelledError when another process has taken over what is at work here: it will answer."""
    update = handling()
    if update is not None and update.inbox.sharing is not None and not await update.inbox.sharing.holds(update.arrived):
        _log.warning("answer left to another process", platform=update.arrived.platform)
        raise asyncio.CancelledError


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


async def _too_much(_listener: ProgressListener) -> Shown:
    return Shown(_("That is more than I can answer at once. Please wait a minute, then send again what I left out."))


async def _quietly(doing: Awaitable[object]) -> None:
    try:
        await doing
    except Exception as error:
        _log.info("not shown", error=type(error).__name__)


def progress_sentence(progress: Progress) -> str:
    """What a waiting person reads."""
    if progress.text:
        return progress.text[:_MOST_WORDS] + " …"
    match progress.stage:
        case Stage.STARTING:
            return _("My models are just starting. Your message waits here; I answer as soon as they are ready …")
        case Stage.QUEUED if progress.position:
            return ngettext(
                "Waiting: {count} message before yours …", "Waiting: {count} messages before yours …", progress.position
            ).format(count=progress.position)
        case Stage.QUEUED:
            return _("You are next …")
        case Stage.LOOKING:
            return _("Looking at the photo …")
        case Stage.RECALLING:
            return _("Remembering what you taught me …")
        case Stage.WRITING:
            return _("Writing …")


_PATH = re.compile(r"(?<!\w)[~.]?/[^\s/]+/\S|\b[A-Za-z]:\\|https?://")
"""Files and servers are the business of whoever runs rapbot, who reads of them in the terminal and from the doctor."""


def sentence(error: Exception) -> str:
    """What a person reads about a failure: never a traceback, nor a path of the machine.

    The log gets the kind of a bug and its place, no text.
    """
    of_machine = isinstance(error, StoreError | ConfigError | WeightsError) and _PATH.search(error.sentence)
    if isinstance(error, RapbotError) and not of_machine:
        return _(error.sentence)  # what the worker said comes untranslated; the rest is as it was
    _log.error("turn failed", error=type(error).__name__, where=place_of(error))
    return _("Something broke inside me. Sorry! Please try that again.")


def split_text(text: str, limit: int, length: Callable[[str], int] = len) -> list[str]:
    """`text` in pieces of at most `limit` by `length`, cut at the end of a line, else a sentence, else a word."""
    pieces = []
    rest = text.strip()
    while length(rest) > limit:
        end = _fitting(rest, limit, length)
        cut = _best_cut(rest[:end])
        pieces.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*pieces, rest] if rest or not pieces else pieces


def utf16_length(text: str) -> int:
    """Telegram and Discord count UTF-16 code units: an emoji is two."""
    return len(text.encode("utf-16-le")) // 2


def _fitting(text: str, limit: int, length: Callable[[str], int]) -> int:
    end = min(len(text), limit)
    while length(text[:end]) > limit:
        end -= max(1, (length(text[:end]) - limit) // 2)
    return end


def _best_cut(head: str) -> int:
    for ends in ("\n", ". ! ? 。 ！ ？ …".split(), " "):
        at = max((head.rfind(end) + len(end) for end in ends if end in head), default=0)
        if at > len(head) // 3:
            return at
    return len(head)


class Albums(Generic[Sent]):
    """Collects the messages of one album, which arrive one by one, until none came for `quiet` seconds."""

    def __init__(self, ready: Callable[[list[Sent]], Awaitable[None]], quiet: float = 1.5) -> None:
        self._ready = ready
        self._quiet = quiet
        self._albums: dict[str, list[Sent]] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}

    def add(self, album: str, message: Sent) -> None:
        self._albums.setdefault(album, []).append(message)
        if (timer := self._timers.pop(album, None)) is not None:
            timer.cancel()
        self._timers[album] = asyncio.create_task(self._wait(album), name="album")

    async def _wait(self, album: str) -> None:
        await asyncio.sleep(self._quiet)
        self._timers.pop(album)
        await self._ready(self._albums.pop(album))

    async def finish(self) -> None:
        """Hand on at once what is still being collected."""
        for album in list(self._timers):
            self._timers.pop(album).cancel()
            with contextlib.suppress(KeyError):
                await self._ready(self._albums.pop(album))
