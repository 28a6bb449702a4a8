"""Processes of the bot are restarted one after the other while people write: lost, doubled, slower by how much?

    python -m benchmarks.rolling_restart [--processes 3] [--seconds 30] [--rate 8] [--people 30] [--seed 1] [--kill]
        [--beside]

Real processes with workers of their own (light models) share one PostgreSQL server, which is started for the run, and
get Telegram's calls through a balancer that hands each to the next process in turn. First nothing happens for a while,
then for as long one process after the other is restarted without a pause (`--kill`: with SIGKILL), under the same load.
Every question, photo and album must get one answer.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import sys
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.chaos import picture
from tests.fleet import Fleet, fleet
from tests.peers.telegram import Chat, Person, TelegramPeer
from tests.peers.telegram.wire import Call

WAITING = "…"
"""Ends every message that is no answer yet."""
ALL_ANSWERED_S = 120.0
BETWEEN_S = 0.5
"""From the start of one to the end of the next."""
AFTER_S = 2.0
"""From the last answer until nothing is expected to follow any more."""
_KINDS = {"help": "commands", "concepts": "commands", "photo": "photos", "about it": "photos", "album": "albums"}
Question = tuple[int, int]
"""Chat and message."""


@dataclass(slots=True)
class Asked:
    kind: str
    at: float
    phase: str


@dataclass(slots=True)
class Found:
    """Times in seconds. The first three must stay empty."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    stop_start: list[tuple[float, float]] = field(default_factory=list)
    """Of each process that was restarted: how long its end took, and its start."""
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    """By phase and kind: median, p99, slowest."""
    forgotten_photos: dict[str, str] = field(default_factory=dict)
    """By phase: of the questions about the photo before, those whose chat had changed to another process."""
    calls: list[int] = field(default_factory=list)
    """Of Telegram, by process."""

    @property
    def well(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)


class People:
    """Who write at random, each in a private chat, at `rate` messages a second together."""

    def __init__(self, peer: TelegramPeer, count: int, rate: float, chance: random.Random) -> None:
        self._peer, self._rate, self._chance = peer, rate, chance
        persons = [peer.person(f"Person {number}") for number in range(count)]
        self._chats: list[tuple[Chat, Person]] = [(peer.private(person), person) for person in persons]
        self._sent_photo: set[int] = set()
        self.asked: dict[Question, Asked] = {}
        self.phase = "starting"

    async def write(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(self._chance.expovariate(self._rate))
            self._write_one()

    def _write_one(self) -> None:
        chat, person = self._chance.choice(self._chats)
        kind = self._chance.choices(["help", "concepts", "photo", "album", "about it"], [3, 3, 3, 1, 2])[0]
        if kind == "about it" and chat.id not in self._sent_photo:
            kind = "photo"
        if kind == "album":
            gap = self._chance.choice([0.0, 0.05])
            first = self._peer.send_album(chat, person, [self._photo(), self._photo()], gap=gap)[0]
        elif kind == "photo":
            first = self._peer.send_photo(chat, person, self._photo())
        else:
            first = self._peer.say(chat, person, "/describe" if kind == "about it" else f"/{kind}")
        if kind in ("photo", "album"):
            self._sent_photo.add(chat.id)
        self.asked[chat.id, first["message_id"]] = Asked(kind, asyncio.get_running_loop().time(), self.phase)

    def _photo(self) -> bytes:
        colour = tuple(self._chance.randrange(30, 220) for _ in range(3))
        return picture(colour) + self._chance.randbytes(4)  # no two files are the same


@dataclass(slots=True)
class Answer:
    text: str
    at: float
    """When the message became an answer."""


def answers(calls: list[Call]) -> dict[Question, list[Answer]]:
    """The messages that answer each question; one that said "wait" first counts from when it was edited."""
    found: dict[Question, list[Answer]] = defaultdict(list)
    of_message: dict[Question, Answer] = {}
    for call in calls:
        if not call.ok or not call.method.startswith(("send", "edit")) or call.method == "sendChatAction":
            continue
        text = _text(call.arguments)
        chat = int(call.arguments["chat_id"])
        if call.method.startswith("edit"):
            answer = of_message.get((chat, int(call.arguments["message_id"])))
            if answer is not None and answer.text.endswith(WAITING):
                answer.text, answer.at = text, call.at
            continue
        replied = call.arguments.get("reply_parameters") or {}
        answer = Answer(text, call.at)
        found[chat, int(replied.get("message_id", 0))].append(answer)
        assert call.answer is not None
        of_message[chat, int(call.answer["result"]["message_id"])] = answer
    return found


def _text(arguments: dict[str, Any]) -> str:
    return str(arguments.get("text") or arguments.get("caption") or (arguments.get("media") or {}).get("caption") or "")


async def campaign(
    bots: Fleet,
    *,
    seconds: float,
    rate: float,
    people: int,
    seed: int,
    restarts: int | None = None,
    kill: bool = False,
    beside: bool = False,
) -> Found:
    """`seconds` of each phase at least; `restarts`: of how many processes (None: of all), each at least once."""
    crowd = People(bots.peer, people, rate, random.Random(seed))
    writing = asyncio.create_task(crowd.write())
    took: list[tuple[float, float]] = []
    try:
        await asyncio.sleep(min(seconds, 3.0))
        crowd.phase = "steady"
        await asyncio.sleep(seconds)
        if beside:
            crowd.phase = "beside starts of others"
            await _starts_of_others(seconds)
        end = asyncio.get_running_loop().time() + seconds
        for process in itertools.cycle(bots.processes[:restarts]):
            crowd.phase, before = "restarting: while one ends", asyncio.get_running_loop().time()
            await (process.kill() if kill else process.stop())
            crowd.phase, between = "restarting: while one starts", asyncio.get_running_loop().time()
            await process.start()
            took.append((round(between - before, 2), round(asyncio.get_running_loop().time() - between, 2)))
            crowd.phase = "restarting: between"
            await asyncio.sleep(BETWEEN_S)
            if len(took) >= len(bots.processes[:restarts]) and asyncio.get_running_loop().time() > end:
                break
    finally:
        writing.cancel()
    await _all_answered(bots.peer, crowd)
    return _found(bots, crowd, took)


async def _starts_of_others(seconds: float) -> None:
    """Programs that load what a process loads and then end, one after the other: they cost the same processor time."""
    loads = "import adapters.telegram.serving, rapbot.app, rapbot.inference.serving, rapbot.inference.pipeline, asyncpg"
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        for _of_program_and_worker in range(2):
            other = await asyncio.create_subprocess_exec(sys.executable, "-c", loads)
            await other.wait()
        await asyncio.sleep(BETWEEN_S)


async def _all_answered(peer: TelegramPeer, crowd: People) -> None:
    """Returns in any case: what is missing is found afterwards."""
    end = asyncio.get_running_loop().time() + ALL_ANSWERED_S
    while asyncio.get_running_loop().time() < end:
        told = answers(peer.calls)
        if all(any(not one.text.endswith(WAITING) for one in told.get(question, ())) for question in crowd.asked):
            break
        await asyncio.sleep(0.5)
    await asyncio.sleep(AFTER_S)


def _found(bots: Fleet, crowd: People, took: list[tuple[float, float]]) -> Found:
    found = Found(stop_start=took, asked=Counter(one.kind for one in crowd.asked.values()))
    found.calls = list(bots.balancer.taken.values())
    told = answers(bots.peer.calls)
    times: dict[str, list[float]] = defaultdict(list)
    about, forgotten = Counter[str](), Counter[str]()
    for question, asked in crowd.asked.items():
        said = [one for one in told.get(question, []) if not one.text.endswith(WAITING)]
        words = f"{asked.kind} {question} while {asked.phase}"
        if not said:
            found.lost.append(words)
            continue
        if len(told[question]) > 1:
            found.doubled.append(f"{words}: {[one.text for one in told[question]]}")
        if not _fits(asked.kind, said[0].text):
            found.wrong.append(f"{words}: {said[0].text}")
        whole = asked.phase.partition(":")[0]
        for what in dict.fromkeys((whole, f"{whole}, {_KINDS[asked.kind]}", asked.phase)):
            times[what].append(said[0].at - asked.at)
        if asked.kind == "about it":
            about[whole] += 1
            forgotten[whole] += "Which photo" in said[0].text
    found.forgotten_photos = {phase: f"{forgotten[phase]} of {count}" for phase, count in about.items()}
    found.seconds = {phase: _spread(sorted(some)) for phase, some in times.items() if not phase.startswith("starting")}
    return found


def _fits(kind: str, text: str) -> bool:
    match kind:
        case "help":
            return "/remember" in text
        case "concepts":
            return "anything of yours" in text
        case _:
            return bool(text) and "Sorry" not in text


def _spread(times: list[float]) -> dict[str, float]:
    ranks = {"median": len(times) // 2, "p99": int(len(times) * 0.99), "slowest": len(times) - 1}
    return {"answers": len(times), **{name: round(times[rank], 3) for name, rank in ranks.items()}}


async def run(options: argparse.Namespace, folder: Path) -> Found:
    from rapbot.concepts.postgres_connection import PostgresDatabase
    from tests.postgres import ROLE, PostgresServer

    server = PostgresServer.install(fsync="on", autovacuum="on")
    try:
        server.start()
        await server.administer(f"CREATE ROLE {ROLE} LOGIN", f"CREATE DATABASE fleet OWNER {ROLE}")
        await server.administer("CREATE EXTENSION vector", database="fleet")
        async with PostgresDatabase.open(server.url("fleet")):
            pass
        async with fleet(server.url("fleet"), folder, options.processes) as bots:
            return await campaign(
                bots,
                seconds=options.seconds,
                rate=options.rate,
                people=options.people,
                seed=options.seed,
                kill=options.kill,
                beside=options.beside,
            )
    finally:
        server.remove()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=8.0, help="messages a second")
    parser.add_argument("--people", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--beside", action="store_true", help="first a phase in which only the processor is as busy")
    parser.add_argument("--folder", type=Path, help="is kept, with the logs of the processes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = asyncio.run(run(options, options.folder or Path(temporary)))
    told = {name: getattr(found, name) for name in Found.__slots__}
    print(json.dumps(told, indent=1))
    sys.exit(0 if found.well else 1)


if __name__ == "__main__":
    main()
