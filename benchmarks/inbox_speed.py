"""What the inbox adds to a message: commits one by one and many at once, beside a plain write of the same bytes.

    python -m benchmarks.inbox_speed [--messages 300] [--folder FOLDER]

and what a person notices of it: from "/help" to its answer through the whole Telegram adapter, with and without.

Compare the ratios; single times depend on the disk. `fsync` is the least that any durable inbox can cost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from pydantic import SecretStr

from adapters.telegram import serve
from rapbot.app import running
from rapbot.concepts.sqlite_inbox import SqliteInbox
from rapbot.config import Settings, TelegramSettings
from rapbot.inbox import Arrived
from tests.peers.telegram import TelegramPeer

_WORDS = json.dumps({"update_id": 1, "message": {"text": "x" * 900}})


def _update(number: int) -> Arrived:
    return Arrived(platform="bench", key=str(number), question=str(number), person="me", update=_WORDS, expires_at=2e9)


def _synced(folder: Path, count: int) -> float:
    """Median seconds of appending as many bytes to a file and waiting for the disk."""
    times = []
    with (folder / "plain").open("wb", buffering=0) as file:
        for _ in range(count):
            began = time.perf_counter()
            file.write(_WORDS.encode())
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times)


async def _measure(folder: Path, count: int) -> dict[str, float]:
    accepted, done, steps = [], [], []
    async with SqliteInbox.open(folder / "inbox.sqlite3") as inbox:
        for number in range(count):
            began = time.perf_counter()
            await inbox.accept([_update(number)])
            accepted.append(time.perf_counter() - began)
            began = time.perf_counter()
            await inbox.done(_update(number))
            done.append(time.perf_counter() - began)

        async def watch() -> None:
            while True:
                before = time.thread_time()
                await asyncio.sleep(0)
                steps.append(time.thread_time() - before)

        watching = asyncio.create_task(watch())
        began = time.perf_counter()
        await asyncio.gather(*(inbox.accept([_update(count + number)]) for number in range(count)))
        burst = (time.perf_counter() - began) / count
        watching.cancel()
    return {
        "accept_ms": 1e3 * statistics.median(accepted),
        "done_ms": 1e3 * statistics.median(done),
        "accept_in_a_burst_ms": 1e3 * burst,
        "loop_busy_p99_ms": 1e3 * sorted(steps)[int(len(steps) * 0.99)],
    }


async def _round_trips(folder: Path, count: int) -> dict[str, float]:
    """Median seconds from a message to its answer; the two bots take turns, so that noise hits both alike."""
    times: dict[str, list[float]] = {"without": [], "with": []}
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(running(Settings(data_dir=folder), models=False))
        inbox = await stack.enter_async_context(SqliteInbox.open(folder / "inbox.sqlite3"))
        chats = {}
        for name, kept in (("without", None), ("with", inbox)):
            peer = await stack.enter_async_context(TelegramPeer.start())
            telegram = TelegramSettings(token=SecretStr(peer.token), api_url=peer.address)
            ready = asyncio.Event()
            settings = app.settings.model_copy(update={"telegram": telegram})
            task = asyncio.create_task(
                serve(app.assistant, settings, ready=lambda _, ready=ready: ready.set(), inbox=kept)  # type: ignore[misc]
            )
            stack.push_async_callback(asyncio.wait, [task])
            stack.callback(task.cancel)
            await ready.wait()
            person = peer.person("Ann")
            chats[name] = (peer, person, peer.private(person))
        for _turn in range(count):
            for name, (peer, person, chat) in chats.items():
                began = time.perf_counter()
                peer.say(chat, person, "/concepts")
                await peer.next_message(chat, timeout=60)
                times[name].append(time.perf_counter() - began)
    return {f"answer_{name}_ms": 1e3 * statistics.median(taken) for name, taken in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=300)
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        fsync = 1e3 * _synced(folder, options.messages)
        found = asyncio.run(_measure(folder, options.messages))
        found |= {"fsync_ms": fsync, "accept_over_fsync": found["accept_ms"] / fsync}
        found |= asyncio.run(_round_trips(folder / "telegram", 40))
        found["answer_with_over_without"] = found["answer_with_ms"] / found["answer_without_ms"]
        print(json.dumps({key: round(value, 3) for key, value in found.items()}, indent=1))


if __name__ == "__main__":
    main()
