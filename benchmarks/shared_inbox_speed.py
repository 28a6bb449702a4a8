"""What PostgreSQL adds to a message against the SQLite files, and how soon processes hear of each other.

    python -m benchmarks.shared_inbox_speed [--messages 300]

Both take turns, message by message, so that noise hits both alike. The PostgreSQL server is started for the run, with
`fsync`; it is reached over a socket of this machine, so the way over a network comes on top. The last rows are what a
person notices: from "/concepts" to its answer through the whole Telegram adapter, without models.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from adapters.telegram import serve
from rapbot.app import inbox_of, running
from rapbot.concepts.postgres_connection import PostgresDatabase
from rapbot.concepts.postgres_inbox import PostgresInbox
from rapbot.concepts.sqlite_inbox import SqliteInbox
from rapbot.config import Settings, StoreSettings, TelegramSettings
from rapbot.inbox import Arrived
from tests.peers.telegram import Chat, Person, TelegramPeer
from tests.postgres import ROLE, PostgresServer

_PLATFORM = "telegram:7"
_WORDS = json.dumps({"update_id": 1, "message": {"text": "x" * 900}})

Times = defaultdict[str, list[float]]


def _update(number: int, place: str) -> Arrived:
    told: dict[str, Any] = {"key": f"{place} {number}", "question": f"{place} {number}", "person": "1", "place": place}
    return Arrived(platform=_PLATFORM, update=_WORDS, expires_at=2e9, **told)


@asynccontextmanager
async def _process(url: str) -> AsyncIterator[PostgresInbox]:
    async with PostgresDatabase.open(url, connections=3) as database, PostgresInbox.open(database) as inbox:
        await inbox.waiting(_PLATFORM)
        yield inbox


async def _inboxes(url: str, folder: Path, count: int) -> Times:
    times: Times = defaultdict(list)
    async with (
        SqliteInbox.open(folder / "inbox.sqlite3") as alone,
        _process(url) as one,
        _process(url) as other,
    ):
        heard = asyncio.Event()
        other.on_told = lambda _what: heard.set()

        async def hand_in(name: str, receiver: PostgresInbox, update: Arrived) -> None:
            began = time.perf_counter()
            await receiver.accept([update])
            times[f"{name}: accepted"].append(time.perf_counter() - began)
            [kept] = await one.more(_PLATFORM)
            times[f"{name}: begun"].append(time.perf_counter() - began)
            began = time.perf_counter()
            await one.done(kept)
            times[f"{name}: done"].append(time.perf_counter() - began)

        for number in range(count):
            update = _update(number, "a")
            began = time.perf_counter()
            await alone.accept([update])
            times["SQLite: accepted"].append(time.perf_counter() - began)
            began = time.perf_counter()
            await alone.done(update)
            times["SQLite: done"].append(time.perf_counter() - began)
            await hand_in("PostgreSQL", one, update)
            await hand_in("PostgreSQL, received by another process", other, _update(count + number, "a"))
            heard.clear()
            began = time.perf_counter()
            await one.tell(["turns", "telegram:1"])
            await heard.wait()
            times["told until heard"].append(time.perf_counter() - began)
    return times


async def _answers(url: str, folder: Path, count: int) -> Times:
    times: Times = defaultdict(list)
    bots: list[tuple[str, TelegramPeer, Person, Chat]] = []
    async with AsyncExitStack() as stack:
        for name, address in (("SQLite", ""), ("PostgreSQL", url)):
            peer = await stack.enter_async_context(TelegramPeer.start())
            telegram = TelegramSettings(token=SecretStr(peer.token), api_url=peer.address)
            settings = Settings(data_dir=folder / name, telegram=telegram, store=StoreSettings(url=address))
            app = await stack.enter_async_context(running(settings, models=False))
            inbox, _leads = await stack.enter_async_context(inbox_of(settings, app))
            ready = asyncio.Event()
            doing: Any = serve(app.assistant, settings, ready=lambda _, ready=ready: ready.set(), inbox=inbox)  # type: ignore[misc]
            task = asyncio.create_task(doing)
            stack.push_async_callback(asyncio.wait, [task])
            stack.callback(task.cancel)
            await ready.wait()
            person = peer.person("Ann")
            bots.append((name, peer, person, peer.private(person)))
        for _turn in range(count):
            for name, peer, person, chat in bots:
                began = time.perf_counter()
                peer.say(chat, person, "/concepts")
                await peer.next_message(chat, timeout=60)
                times[f"{name}: /concepts until its answer"].append(time.perf_counter() - began)
    return times


async def measure(server: PostgresServer, folder: Path, count: int) -> dict[str, dict[str, float]]:
    await server.administer(f"CREATE ROLE {ROLE} LOGIN", f"CREATE DATABASE speed OWNER {ROLE}")
    await server.administer("CREATE EXTENSION vector", database="speed")
    url = server.url("speed")
    times = {**await _inboxes(url, folder, count), **await _answers(url, folder, min(count, 50))}
    return {name: _spread(sorted(some)) for name, some in times.items()}


def _spread(times: list[float]) -> dict[str, float]:
    return {"p50_ms": round(1e3 * statistics.median(times), 2), "p99_ms": round(1e3 * times[int(len(times) * 0.99)], 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=300)
    options = parser.parse_args()
    server = PostgresServer.install(fsync="on", autovacuum="on")
    try:
        server.start()
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(asyncio.run(measure(server, Path(folder), options.messages)), indent=1))
    finally:
        server.remove()


if __name__ == "__main__":
    main()
