"""What becomes of messages, told to whoever watches: figures and traces where they are configured, else nobody.

A trip is one message from its arrival to its answer; its number is in every log line on the way. Nothing that is told
here holds a word, a name or the id of a person.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum

from rapbot.logs import about, get_logger, place_of

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """A job that left the queue. Times are those of the event loop, in seconds."""

    task: str
    since: float
    ended: float
    began: float | None = None
    """When the worker took it; None: it never did."""
    batch: int = 0
    """How many jobs the worker took with it, itself included."""
    stages: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each stage, as the worker reports them: this job's share of its batch."""
    accepted: int = 0
    """Regions in which a concept was recognised."""
    rejected: int = 0
    """Regions that were compared and found too different."""
    error: str = ""
    """Class of what went wrong."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """An answer was given to the platform, or not taken by it."""

    began: float
    ended: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """The worker takes so many jobs together."""

    size: int


class Reason(StrEnum):
    """Why a message was left out."""

    PERSON = "person"
    """So much of this person waits."""
    CHAT = "chat"
    QUEUE = "queue"
    RATE = "rate"
    """More messages than one may send in a while."""
    LATE = "late"
    """Not answered in time, over several runs."""


@dataclass(frozen=True, slots=True)
class Shed:
    reason: Reason


@dataclass(frozen=True, slots=True)
class Refused:
    """Somebody was told in a sentence why there is no answer; `error` is the class."""

    platform: str
    error: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """A call of a platform failed."""

    platform: str
    error: str


class Outcome(StrEnum):
    ANSWERED = "answered"
    REFUSED = "refused"
    SILENT = "silent"
    """There was nothing to say: talk of others, a photo that nobody asked about."""
    UNDELIVERED = "undelivered"
    INTERRUPTED = "interrupted"
    """The program ended, or the message was deleted or edited meanwhile."""


@dataclass(slots=True)
class Trip:
    """One message; told when it is over."""

    number: str
    """32 hexadecimal digits, also the number of its trace. The same when it is handled again after a crash."""
    platform: str
    began: float
    wall: float
    """Seconds since 1970 when the time of the event loop was 0."""
    ended: float = 0.0
    steps: list[Worked | Delivered] = field(default_factory=list)
    refused: str = ""
    cut_off: bool = False

    @property
    def outcome(self) -> Outcome:
        last = next((step for step in reversed(self.steps) if isinstance(step, Delivered)), None)
        if self.cut_off:
            return Outcome.INTERRUPTED
        if last is None:
            return Outcome.SILENT
        if last.error:
            return Outcome.UNDELIVERED
        return Outcome.REFUSED if self.refused else Outcome.ANSWERED


Event = Worked | Delivered | Batch | Shed | Refused | Trouble | Trip
Watcher = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told, and which platforms are there."""

    watchers: tuple[Watcher, ...] = ()
    connected: dict[str, bool] = field(default_factory=dict)
    """Whether each platform can be reached; those that are configured stand here from the start."""


_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)
_trip: ContextVar[Trip | None] = ContextVar("trip", default=None)


@contextmanager
def watched_by(watch: Watch) -> Iterator[None]:
    """Everything that is started inside is watched."""
    before = _watch.get()
    _watch.set(watch)
    try:
        yield
    finally:
        _watch.set(before)  # not by a token: a fixture of a test may end in another context


def tell(event: Event) -> None:
    """What a watcher does wrong never reaches the message."""
    watch = _watch.get()
    if watch is None:
        return
    for watcher in watch.watchers:
        try:
            watcher(event)
        except Exception as error:
            _log.error("watcher failed", error=type(error).__name__, where=place_of(error))


def connected(platform: str, reached: bool) -> None:
    """Whether this platform can be reached from now on."""
    if (watch := _watch.get()) is not None:
        watch.connected[platform] = reached


def trouble(platform: str, error: BaseException) -> None:
    tell(Trouble(platform, type(error.__cause__ or error).__name__))


def number() -> str:
    """Of the message at work; empty outside of any."""
    trip = _trip.get()
    return trip.number if trip is not None else ""


@contextmanager
def trip(platform: str, digest: bytes = b"") -> Iterator[None]:
    """Everything inside is done for one message. `digest`: 16 bytes that are the same when it comes again."""
    now = asyncio.get_running_loop().time
    made = Trip(digest.hex() or uuid.uuid4().hex, platform.partition(":")[0], now(), time.time() - now())
    token = _trip.set(made)
    try:
        with about(request=made.number):
            yield
            _log.debug("message", platform=made.platform, outcome=made.outcome, ms=round(1000 * (now() - made.began)))
    except asyncio.CancelledError:
        made.cut_off = True
        raise
    finally:
        _trip.reset(token)
        made.ended = now()
        tell(made)


def worked(job: Worked) -> None:
    """A job of the message at work is over, or one that nobody asked for."""
    if (trip := _trip.get()) is not None:
        trip.steps.append(job)
    tell(job)


def refused(error: Exception) -> None:
    """The answer will be the sentence of this error."""
    trip = _trip.get()
    if trip is not None:
        trip.refused = type(error).__name__
        tell(Refused(trip.platform, trip.refused))


@contextmanager
def delivering() -> Iterator[None]:
    """Around giving the answer to the platform."""
    now = asyncio.get_running_loop().time
    began, error = now(), ""
    try:
        yield
    except BaseException as failure:
        error = type(failure).__name__
        raise
    finally:
        step = Delivered(began, now(), error)
        if (trip := _trip.get()) is not None:
            trip.steps.append(step)
        tell(step)


def shown_at_once() -> None:
    """The answer stands on a page of ours: giving it takes no time."""
    with delivering():
        pass
