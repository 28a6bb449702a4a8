"""An hour of a busy bot as fast as it goes: does memory grow, do file handles?

    python -m benchmarks.soak [--messages 3600] [--models light]

3,600 messages are one every second for an hour: photos, commands, questions, things that are taught and forgotten, from
40 people on a stand-in of Telegram. The program and its worker run in processes of their own; their memory (resident,
private) and open files are read from /proc after every hundred answers. The slope is that of a straight line through
the second half of the samples, when caches are full.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.chaos import picture, workers_of
from tests.inbox_child import Child
from tests.peers.telegram import BotMessage, Chat, Person, TelegramPeer

PEOPLE = 40
AT_ONCE = 20
"""People who wait for an answer at the same time."""
EVERY = 100


@dataclass(frozen=True, slots=True)
class Sample:
    answered: int
    program_mb: float
    worker_mb: float
    files: int
    worker_files: int
    threads: int
    data_kb: int
    """Of the database, the inbox and their logs."""


class Soak:
    def __init__(self, peer: TelegramPeer, program: Child, folder: Path, seed: int) -> None:
        self._peer = peer
        self._program = program
        self._folder = folder
        self._chance = random.Random(seed)
        self._people = [peer.person(f"Person {number}") for number in range(PEOPLE)]
        self._answered = 0
        self.samples: list[Sample] = []

    async def run(self, messages: int) -> None:
        free: asyncio.Queue[Person] = asyncio.Queue()
        for person in self._people:
            free.put_nowait(person)
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with slots:
                person = await free.get()
                await self._ask(person, number)
                free.put_nowait(person)

        async with asyncio.TaskGroup() as asking:
            for number in range(messages):
                asking.create_task(one(number))

    async def _ask(self, person: Person, number: int) -> None:
        chat = self._peer.private(person)
        before = len(self._peer.sent(chat))
        colour = tuple(self._chance.randrange(30, 220) for _ in range(3))
        photo = picture(colour) + number.to_bytes(4, "big")
        match self._chance.choices(["photo", "teach", "forget", "text", "command"], [4, 1, 1, 2, 2])[0]:
            case "photo":
                self._peer.send_photo(chat, person, photo)
            case "teach":
                self._peer.send_photo(chat, person, photo, f"/remember Thing{number} A thing of colour.")
            case "forget":
                self._peer.say(chat, person, "/undo")
            case "text":
                self._peer.say(chat, person, "What colour is Thing1?")
            case _:
                self._peer.say(chat, person, self._chance.choice(["/concepts", "/help", "/privacy"]))
        await self._peer.wait_for(lambda: _done(self._peer.sent(chat)[before:]), 300)
        self._clear(chat)
        self._answered += 1
        if self._answered % EVERY == 0:
            self.samples.append(self._sample())
            print(json.dumps(asdict(self.samples[-1])), flush=True)

    def _clear(self, chat: Chat) -> None:
        """The stand-in remembers every call; that is not what is measured, but it would slow the measuring down."""
        self._peer.calls.clear()

    def _sample(self) -> Sample:
        program = self._program.pid
        workers = workers_of(program)
        worker = workers[0] if workers else program
        data = sum(file.stat().st_size for file in self._folder.iterdir() if ".sqlite3" in file.name)
        return Sample(
            self._answered,
            round(_private_mb(program), 2),
            round(_private_mb(worker), 2),
            len(list(Path(f"/proc/{program}/fd").iterdir())),
            len(list(Path(f"/proc/{worker}/fd").iterdir())),
            len(list(Path(f"/proc/{program}/task").iterdir())),
            data // 1024,
        )


def _done(messages: Sequence[BotMessage]) -> bool:
    return any(not (one.text or one.caption).endswith("…") for one in messages)


def _private_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def slopes(samples: Sequence[Sample]) -> dict[str, float]:
    """Growth for each thousand messages."""
    late = samples[len(samples) // 2 :]
    answered = [one.answered / 1000 for one in late]
    return {
        name: round(float(np.polyfit(answered, [getattr(one, name) for one in late], 1)[0]), 3)
        for name in ("program_mb", "worker_mb", "files", "worker_files", "threads")
    }


async def soak(folder: Path, messages: int, seed: int = 1, models: str = "light") -> list[Sample]:
    for limit in ("MESSAGES_PER_MINUTE", "MESSAGES_AT_ONCE"):  # an hour in minutes is more than people may send
        os.environ[f"RAPBOT_LIMITS__{limit}"] = "1000000"
    module = "tests.chaos_child" if models == "light" else "tests.inbox_child"
    async with TelegramPeer.start() as peer:
        program = Child("telegram", peer.address, peer.token, folder / "data", module)
        await program.start()
        try:
            running = Soak(peer, program, folder / "data", seed)
            await running.run(messages)
        finally:
            await program.kill()
        peer.violations.clear()
    return running.samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--models", choices=["light", "real"], default="light")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        samples = asyncio.run(soak(Path(folder), options.messages, options.seed, options.models))
    print(json.dumps({"for_each_1000_messages": slopes(samples), "minutes": round((time.monotonic() - began) / 60, 1)}))


if __name__ == "__main__":
    main()
