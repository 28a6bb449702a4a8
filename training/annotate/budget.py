"""Limits of a service: money (nothing is asked that could exceed it) and tokens a minute."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from training.annotate.kept import Kept
from training.annotate.notes import Stopped

_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Price:
    """Money for a million tokens, read and written."""

    read: float = 0.0
    written: float = 0.0

    def of(self, read: float, written: float) -> float:
        return (read * self.read + written * self.written) / 1e6


@dataclass(slots=True)
class Budget:
    """`most`: money for all runs on `kept` together. For one event loop."""

    kept: Kept
    price: Price = Price()
    most: float | None = None
    tokens_per_minute: int | None = None
    clock: Callable[[], float] = time.monotonic
    """Seconds."""
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep
    _reserved: float = 0.0
    _recent: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def money(self) -> float:
        """Spent so far."""
        return self.price.of(*self.kept.spent())

    async def reserve(self, read: int, written: int) -> float:
        """Before a request of `read` tokens with an answer of up to `written`: waits for its turn, puts money aside.

        Returns what `settle` takes back. Raises Stopped where the budget could be exceeded.
        """
        cost = self.price.of(read, written)
        if self.most is not None and self.money + self._reserved + cost > self.most:
            raise Stopped(
                f"The budget ends here: {self.money:.4f} of {self.most:g} is spent, and the next request may cost "
                f"{cost:.4f}. What is done is kept; with a larger --budget the same command goes on."
            )
        # Before the first await: two at once never see the same money.
        self._reserved += cost
        try:
            await self._turn(read + written)
        except BaseException:
            self._reserved -= cost
            raise
        return cost

    def settle(self, reserved: float, read: int, written: int) -> None:
        """After it: what it has really cost (0, 0 where it never reached the service)."""
        self._reserved -= reserved
        if read or written:
            self.kept.spend(read, written)

    async def _turn(self, tokens: int) -> None:
        if self.tokens_per_minute is None:
            return
        while True:
            now = self.clock()
            while self._recent and now - self._recent[0][0] >= _MINUTE:
                self._recent.popleft()
            used = sum(count for _, count in self._recent)
            # One larger than the limit goes alone: it would wait for ever.
            if not self._recent or used + tokens <= self.tokens_per_minute:
                self._recent.append((now, tokens))
                return
            await self.wait(_MINUTE - (now - self._recent[0][0]))
