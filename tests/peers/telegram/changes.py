"""Waiting without polling: whoever changes something says so, whoever waits looks again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Changes:
    """Wakes every waiter at each change of the stand-in's state."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()

    def notify(self) -> None:
        """Something changed."""
        for event in self._waiting:
            event.set()

    async def until(self, check: Callable[[], T], seconds: float | None) -> T:
        """The first true value of `check`. Raises TimeoutError after so many seconds (None: never)."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            async with asyncio.timeout(seconds):
                while not (value := check()):
                    await event.wait()
                    event.clear()
                return value
        finally:
            self._waiting.discard(event)
