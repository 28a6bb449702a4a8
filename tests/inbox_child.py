"""The bot of one platform in a process of its own, to be killed.

`python -m tests.inbox_child PLATFORM ADDRESS TOKEN DIR`; ADDRESS is the stand-in's. It prints "ready" once the bot
listens; SIGKILL is its only end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import discord.gateway
import discord.http
import yarl
from pydantic import SecretStr

from rapbot.app import serve
from rapbot.config import DiscordSettings, Settings, TelegramSettings, WorkerSettings
from tests.polling import until


class Child:
    """Started, killed, and started again on the same folder."""

    def __init__(
        self, platform: str, address: str, token: str, folder: Path, module: str = "tests.inbox_child"
    ) -> None:
        self._arguments = (module, platform, address, token, str(folder))
        self._log = folder.with_name(f"{folder.name}.log")
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *self._arguments),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            lines = [await self._process.stdout.readline()]
            while lines[-1] not in (b"ready\n", b""):
                lines.append(await self._process.stdout.readline())
        assert lines[-1], b"".join(lines).decode() + self._log.read_text()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def kill(self) -> None:
        """The whole program at once, its worker with it: nobody gets to clean up."""
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()


async def changed(folder: Path) -> None:
    """Waits until a message has changed the memory of the program that runs there."""
    await _until(folder / "rapbot.sqlite3", "SELECT 1 FROM applied", 1)


async def arrived(folder: Path, count: int) -> None:
    """Waits until so many messages are in the inbox there."""
    await _until(folder / "inbox.sqlite3", "SELECT 1 FROM inbox", count)


async def _until(file: Path, query: str, count: int) -> None:
    """The files are another program's: there is nothing to wait on but what they hold."""

    def enough() -> bool:
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
            return len(db.execute(query).fetchall()) >= count

    await until(lambda: asyncio.to_thread(enough), 90)


@asynccontextmanager
async def child(platform: str, address: str, token: str, folder: Path) -> AsyncIterator[Child]:
    started = Child(platform, address, token, folder)
    try:
        await started.start()
        yield started
    finally:
        await started.kill()


def settings_of(platform: str, address: str, token: str, folder: str) -> Settings:
    worker = WorkerSettings(threads=1)
    if platform == "telegram":
        telegram = TelegramSettings(token=SecretStr(token), api_url=address, album_wait_s=0.3)
        return Settings(data_dir=Path(folder), worker=worker, telegram=telegram)
    discord.http.Route.BASE = f"{address}/api/v10"
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(address.replace("http", "ws", 1) + "/gateway/")
    return Settings(
        data_dir=Path(folder), worker=worker, discord=DiscordSettings(token=SecretStr(token), message_content=True)
    )


if __name__ == "__main__":
    asyncio.run(serve(settings_of(*sys.argv[1:]), lambda _name: print("ready", flush=True)))
