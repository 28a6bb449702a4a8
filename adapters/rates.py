"""How much one person, and one group, may ask: so much at once, then so much a minute.

What is more gets one sentence, then silence until it fits again: an answer to each would be the flood's other half.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from adapters.recent import Recent
from rapbot.config import LimitSettings

_CALM = 0.5
"""Of what may come at once: who has so much left again is told anew when it is too much."""
_KNOWN = 10_000
"""People and groups; who is forgotten begins anew."""


class Verdict(StrEnum):
    WELCOME = "welcome"
    TOO_MUCH = "too much"
    """For the first time: to be told."""
    SILENCE = "silence"
    """Told already."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks where. Ids as in `Actor.id` and `Chat.id`."""

    person: str
    group: str = ""
    """Empty in private."""
    unasked: bool = False
    """Nobody spoke to us, so nobody is told anything."""
    open: bool = False
    """The platform shows that an answer is being made: it must come, whatever it says."""


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float
    told: bool = False


class Rates:
    """One for each platform, in memory. `clock` in seconds."""

    def __init__(self, limits: LimitSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._buckets: Recent[str, _Bucket] = Recent(_KNOWN)

    def admit(self, asker: Asker) -> Verdict:
        """Counts the message, unless it is refused."""
        buckets = self._buckets_of(asker)
        empty = [bucket for bucket in buckets if bucket.left < 1.0]
        if not empty:
            for bucket in buckets:
                bucket.left -= 1.0
            return Verdict.WELCOME
        if asker.open:
            return Verdict.TOO_MUCH
        told = all(bucket.told for bucket in empty)
        if asker.unasked or told:
            return Verdict.SILENCE
        for bucket in empty:
            bucket.told = True
        return Verdict.TOO_MUCH

    def full(self, asker: Asker) -> bool:
        """Whether one more message would be too much; counts nothing."""
        return any(bucket.left < 1.0 for bucket in self._buckets_of(asker))

    def _buckets_of(self, asker: Asker) -> list[_Bucket]:
        limits = self._limits
        buckets = [self._filled(asker.person, limits.messages_at_once, limits.messages_per_minute)]
        if asker.group:
            buckets.append(self._filled(asker.group, limits.group_messages_at_once, limits.group_messages_per_minute))
        return buckets

    def _filled(self, name: str, most: int, per_minute: float) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(name) or _Bucket(most, now)
        bucket.left = min(most, bucket.left + (now - bucket.at) * per_minute / 60)
        bucket.at = now
        bucket.told = bucket.told and bucket.left < most * _CALM
        self._buckets.put(name, bucket)
        return bucket
