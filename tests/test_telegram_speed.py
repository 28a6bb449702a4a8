"""What the Telegram adapter costs: time for a message, and how long it keeps the event loop from others."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.peers.telegram import TelegramPeer
from tests.pictures import cat_jpeg
from tests.telegram_visitor import peer as peer

pytestmark = pytest.mark.asyncio(loop_scope="module")

RATE = 50
"""Messages a second."""


class Child:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.measured: dict[str, Any] = {}

    async def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())
        await self._process.stdin.drain()

    async def read(self) -> str:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode()


@asynccontextmanager
async def child(peer: TelegramPeer, folder: Path) -> AsyncIterator[Child]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.telegram_child", peer.address, peer.token, str(folder)),
        stdin=pipe,
        stdout=pipe,
        cwd=Path(__file__).parents[1],
    )
    started = Child(process)
    try:
        while "ready" not in (line := await started.read()):
            assert line, "the bot did not start"
        yield started
        await started.tell("stop")
        while not (line := await started.read()).startswith("{"):
            assert line, "the bot did not stop in order"
        started.measured = json.loads(line)
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_cost_of_a_message_and_the_free_event_loop(weights: Path, peer: TelegramPeer, tmp_path: Path) -> None:
    people = [peer.person(f"P{number}") for number in range(20)]
    chats = [peer.private(person) for person in people]
    async with child(peer, tmp_path) as bot:
        await peer.wait_for(lambda: len(peer.called("setMyShortDescription")) == 5)
        trips = []
        for person, chat in zip(people, chats, strict=True):
            before = time.perf_counter()
            peer.say(chat, person, "/privacy")
            await peer.next_message(chat)
            trips.append(time.perf_counter() - before)
        # Both ways over the sockets, the stand-in and the command itself are in it.
        assert sorted(trips)[len(trips) // 2] < 0.030

        await bot.tell("measure")
        questions: list[dict[str, Any]] = []
        edits = 0
        for number in range(4 * RATE):
            person, chat = people[number % 20], chats[number % 20]
            match number % 25:
                case 0:
                    peer.send_photo(chat, person, cat_jpeg() + bytes([number]))
                case 5 | 15:
                    peer.say(chat, person, "/concepts")
                case 10 | 20:
                    peer.edit(questions[-1], text=f"/nonsense{number}")
                    edits += 1
                case _:
                    questions.append(peer.say(chat, person, "/privacy"))
            await asyncio.sleep(1 / RATE)  # the load itself
        expected = 20 + 4 * RATE - edits
        await peer.wait_for(lambda: sum(len(peer.sent(chat)) for chat in chats) >= expected, timeout=120)
    assert bot.measured["steps"] > 100
    assert bot.measured["p99"] < 0.020, "seconds in which nobody else on the loop has a turn"
