"""Telegram sends the photos of an album as messages of their own, one by one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Message = TypeVar("Message")


class Albums(Generic[Message]):
    """Collects the messages of one album, which arrive one by one, until none came for `quiet` seconds."""

    def __init__(self, ready: Callable[[list[Message]], Awaitable[None]], quiet: float = 1.5) -> None:
        self._ready = ready
        self._quiet = quiet
        self._albums: dict[str, list[Message]] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}

    def add(self, album: str, message: Message) -> None:
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
