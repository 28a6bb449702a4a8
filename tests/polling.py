"""Waiting for what nobody announces: a file of another program, a row that a background task writes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

_PAUSE_S = 0.02
"""Whoever looks all the time keeps the one who is waited for from working, on a machine with one free core."""


async def until(true: Callable[[], Awaitable[object]], seconds: float = 20.0) -> None:
    """Returns once `true` is; raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await true():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(_PAUSE_S)
