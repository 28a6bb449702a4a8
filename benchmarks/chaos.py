"""Kills, full disks, locked databases, failing platforms, wrong clocks: what of all that was asked is answered?

    python -m benchmarks.chaos [--rounds 300] [--seed 1] [--platform telegram] [--models light]

In every round people ask something and something goes wrong; then all must be answered. At the end the database, its
index and the inbox must agree with what people were told. The program runs in a process of its own, with its worker in
another, behind a stand-in of the platform; `--models real` loads those of the profile pocket instead of light ones.
Equal seeds make equal campaigns, as far as the operating system lets them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from benchmarks.chaos_houses import WAITING, House, house
from rapbot.concepts.backups import check
from rapbot.concepts.index import IndexCache
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.inbox import Arrived
from rapbot.inference.profiles import POCKET, encoder_name
from tests.inbox_child import Child
from tests.light_models import TROUBLE

PATIENCE_S = 120.0
"""For all answers of a round, on a machine that does other things too."""
SHORT_S = 8.0
"""After which it is asked whether the program knows of what is not answered at all."""
AT_RISK_S = 3.0
"""Sent so shortly before a kill, an answer may not be noted yet: it may come twice."""


@dataclass(slots=True)
class Question:
    person: int
    kind: str
    name: str = ""
    """The concept that it teaches."""
    at_risk: bool = False


@dataclass(slots=True)
class Found:
    """What a campaign came to. The first four must stay empty."""

    missing: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    disagreeing: list[str] = field(default_factory=list)
    rounds: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    never_accepted: int = 0
    """Discord says nothing again: what came while nobody listened is not the program's to answer."""
    twice_at_risk: int = 0

    @property
    def well(self) -> bool:
        return not (self.missing or self.doubled or self.wrong or self.disagreeing)


class Campaign:
    def __init__(self, house: House, folder: Path, seed: int, module: str = "tests.chaos_child") -> None:
        self._house = house
        self._folder = folder
        self._chance = random.Random(seed)
        self._program = Child(house.name, house.address, house.token, folder, module)
        self._light = module == "tests.chaos_child"
        self._questions: dict[int, Question] = {}
        self._bad_disk_s = 0.0
        self._log: list[str] = []
        self.found = Found()
        self._faults: list[Callable[[], object]] = [
            *[self._kill] * 4,
            *[self._kill_worker] * 2,
            self._hang_worker,
            self._full_disk,
            self._locked,
            *[self._platform] * 4,
            self._wrong_clock,
            self._power_cut,
        ]

    async def run(self, rounds: int, told: Callable[[int, Found], None] = lambda _round, _found: None) -> Found:
        await self._program.start()
        try:
            for number in range(rounds):
                self._log = []
                await self._round()
                self.found.rounds += 1
                told(number, self.found)
                if len(self.found.missing) > 3:
                    break
            with contextlib.suppress(TimeoutError):  # an answer is sent before that is noted
                async with asyncio.timeout(15):
                    while self._inbox_holds():  # noqa: ASYNC110 - another program writes it
                        await asyncio.sleep(0.1)
        finally:
            await self._program.kill()
        self._answers()
        await self._agree()
        return self.found

    # -- a round --------------------------------------------------------------------------------------------

    async def _round(self) -> None:
        self._bad_disk_s = 0.0
        for _message in range(self._chance.randrange(2, 7)):
            self._ask()
        for _fault in range(self._chance.choice([1, 1, 2])):
            fault = self._chance.choice(self._faults)
            calls = self._house.calls + self._chance.randrange(0, 12)
            await self._house.until(lambda calls=calls: self._house.calls >= calls, 1.0)  # type: ignore[misc]
            what = fault()
            if asyncio.iscoroutine(what):
                what = await what
            kind = fault.__name__.strip("_").replace("_", " ")
            self.found.faults[kind] += 1
            self._log.append(str(what or kind))
            if self._chance.random() < 0.5:
                self._ask()
        self._house.calm()
        for question in await self._left_over():
            asked = self._questions.pop(question)
            if not self._house.always_told and not self._accepted(question):
                self.found.never_accepted += 1
            else:
                self.found.missing.append(f"{asked.kind} ({question}) in round {self.found.rounds}: {self._log}")

    async def _left_over(self) -> list[int]:
        """What is not answered when the time is up, or when nothing of it was ever accepted."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            patience = PATIENCE_S if self._house.always_told else SHORT_S
            if await self._house.until(lambda: not self._unanswered(), patience):
                return []
            if not self._house.always_told and not any(map(self._accepted, self._unanswered())):
                break
        return self._unanswered()

    def _ask(self) -> None:
        person, chance = self._chance.randrange(len(self._house.people)), self._chance
        kind = chance.choices(
            ["photo", "teach", "help", "concepts", "memory", "death", "hang"], [6, 4, 3, 3, 0.3, 0.3, 0.2]
        )[0]
        if kind in TROUBLE and not self._light:
            kind = "photo"
        name, words, photo = "", "", None
        if kind in ("help", "concepts"):
            words = f"/{kind}"
        else:
            colour = TROUBLE.get(kind) or tuple(chance.randrange(30, 220) for _ in range(3))
            photo = picture(colour) + chance.randbytes(4)  # no two files are the same
        if kind == "teach":
            name = f"Thing{sum(self.found.asked.values())}"
            words = f"/remember {name} A thing of colour."
        self._questions[self._house.ask(person, words, photo)] = Question(person, kind, name)
        self.found.asked[kind] += 1

    def _unanswered(self) -> list[int]:
        answered = {one.question for one in self._house.said() if not one.text.endswith(WAITING)}
        return [question for question in self._questions if question not in answered]

    def _accepted(self, question: int) -> bool:
        """Whether the program has, or had, this in its inbox."""
        platform = f"{self._house.name}:{self._house.bot}"
        arrived = Arrived(platform=platform, key=str(question), question="", person="", update="", expires_at=0.0)
        with contextlib.closing(sqlite3.connect(self._folder / "inbox.sqlite3")) as inbox:
            held = inbox.execute("SELECT 1 FROM inbox WHERE key = ?", (arrived.key,)).fetchone()
            done = inbox.execute("SELECT 1 FROM answered WHERE digest = ?", (arrived.digest,)).fetchone()
            return bool(held or done)

    def _inbox_holds(self) -> list[str]:
        with contextlib.closing(sqlite3.connect(self._folder / "inbox.sqlite3")) as inbox:
            return [key for (key,) in inbox.execute("SELECT key FROM inbox")]

    # -- what goes wrong ------------------------------------------------------------------------------------

    async def _kill(self) -> None:
        self._at_risk()
        await self._program.kill()
        self._at_risk()
        if self._chance.random() < 0.5 and self._house.always_told:
            self._ask()  # while nobody is there
        await self._program.start()

    async def _power_cut(self) -> None:
        """The files as they are at one moment, without what only memory held."""
        self._at_risk()
        os.killpg(self._program.pid, signal.SIGSTOP)
        copy = self._folder.with_name(self._folder.name + "-copy")
        shutil.copytree(self._folder, copy, ignore=shutil.ignore_patterns("*-shm"))
        await self._program.kill()
        self._at_risk()
        shutil.rmtree(self._folder)
        copy.rename(self._folder)
        await self._program.start()

    def _at_risk(self) -> None:
        since = time.monotonic() - AT_RISK_S - self._bad_disk_s
        for one in self._house.said():
            if one.at > since and one.question in self._questions:
                self._questions[one.question].at_risk = True

    def _kill_worker(self) -> None:
        for pid in workers_of(self._program.pid):
            os.kill(pid, signal.SIGKILL)

    def _hang_worker(self) -> None:
        for pid in workers_of(self._program.pid):
            os.kill(pid, signal.SIGSTOP)

    async def _full_disk(self) -> str:
        """No file of the program may grow beyond its first page."""
        seconds = self._chance.uniform(0.2, 3.0)
        limit = resource.RLIMIT_FSIZE
        former = resource.prlimit(self._program.pid, limit)
        resource.prlimit(self._program.pid, limit, (4096, former[1]))
        await asyncio.sleep(seconds)
        resource.prlimit(self._program.pid, limit, former)
        self._bad_disk_s += seconds + 2.0
        return f"the disk is full for {seconds:.1f} s"

    async def _locked(self) -> str:
        """Another program writes; more than five seconds are waited for in vain."""
        seconds, name = self._chance.uniform(0.2, 7.0), self._chance.choice(["rapbot", "inbox"])
        with contextlib.closing(sqlite3.connect(self._folder / f"{name}.sqlite3", timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(seconds)
            other.rollback()
        self._bad_disk_s += seconds + 2.0
        return f"{name} is locked for {seconds:.1f} s"

    def _platform(self) -> str:
        return self._house.trouble(self._chance)

    def _wrong_clock(self) -> str:
        hours = self._chance.choice([-24 * 365, -5, -1, 1, 5, 12])
        if self._light:
            (self._folder / "clock").write_text(str(3600.0 * hours))
            os.kill(self._program.pid, signal.SIGUSR1)
        return f"the clock is wrong by {hours} hours"

    # -- the end --------------------------------------------------------------------------------------------

    def _answers(self) -> None:
        """Each question once, and with an answer of its kind."""
        told: dict[int, list[str]] = defaultdict(list)
        for one in self._house.said():
            told[one.question].append(one.text)
        fates = self._house.unknown_fate()
        for number, question in self._questions.items():
            texts = [text for text in told[number] if not text.endswith(WAITING)]
            more = len(told[number]) - 1
            if more and (question.at_risk or number in fates):
                self.found.twice_at_risk += 1
            elif more:
                self.found.doubled.append(f"{question.kind} ({number}): {told[number]}")
            self.found.wrong += [f"{question.kind} ({number}): {text}" for text in texts if not _fits(question, text)]

    async def _agree(self) -> None:
        """The database is whole, holds what people were told that it holds, and the index is made of the same."""
        wrong = self.found.disagreeing
        database = self._folder / "rapbot.sqlite3"
        check(database)
        wrong += [f"the inbox still holds {key}" for key in self._inbox_holds()]
        with contextlib.closing(sqlite3.connect(self._folder / "inbox.sqlite3")) as inbox:
            wrong += [f"inbox: {row[0]}" for row in inbox.execute("PRAGMA integrity_check") if row[0] != "ok"]
        told: dict[int, list[str]] = defaultdict(list)
        for one in self._house.said():
            told[one.question].append(one.text)
        async with SqliteConceptStore.open(database, encoder_name(POCKET)) as store:
            indexes = IndexCache(store)
            for number, person in enumerate(self._house.people):
                index = await indexes.get(person)
                known = {concept.name for concept in index.collection.concepts}
                keys = {row.avatar_id for row in index.collection.keys.rows}
                avatars = {avatar.id for concept in index.collection.concepts for avatar in concept.avatars}
                if keys != avatars:
                    wrong.append(f"{person}: pictures without keys or keys without pictures: {keys ^ avatars}")
                said = {
                    one.name
                    for question, one in self._questions.items()
                    if one.kind == "teach" and one.person == number and any(map(_taught, told[question]))
                }
                wrong += [f"{person} was told of {name}, which is not there" for name in said - known]
                wrong += [f"{person} was not told of {name}, which is there" for name in known - said]


def _taught(text: str) -> bool:
    return "I will know" in text or "It is done" in text


_EXPECTED = {
    "help": ("/remember",),
    "concepts": ("Thing", "anything of yours"),
    "photo": ("photo", "Thing", "see", "picture", "It shows", "A "),
    "teach": ("I will know", "It is done"),
    "memory": ("more memory",),
    "death": ("stopped twice",),
    "hang": ("longer than",),
}
_EXCUSES = ("disk", "Another program", "could not get that photo", "does not hand me", "took longer", "stopped twice")
"""What may go wrong for everybody while something is wrong; it is told, and nothing is changed."""


def _fits(question: Question, text: str) -> bool:
    return any(part in text for part in (*_EXPECTED[question.kind], *_EXCUSES))


def picture(colour: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (colour[0], colour[1], colour[2])).save(file, "JPEG", quality=95)
    return file.getvalue()


def workers_of(program: int) -> list[int]:
    """The processes that the program started and that run models."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == program and b"spawn_main" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


async def campaign(platform: str, folder: Path, seed: int, rounds: int, models: str = "light") -> Found:
    def told(number: int, found: Found) -> None:
        if number % 10 == 9:
            print(f"{platform}: {number + 1} rounds, {len(found.missing)} missing", file=sys.stderr, flush=True)

    module = "tests.chaos_child" if models == "light" else "tests.inbox_child"
    async with house(platform) as there:
        return await Campaign(there, folder / "data", seed, module).run(rounds, told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--platform", choices=["telegram", "discord"], default="telegram")
    parser.add_argument("--models", choices=["light", "real"], default="light")
    parser.add_argument("--folder", type=Path, help="is kept, with the log of the program (data.log)")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = asyncio.run(campaign(options.platform, folder, options.seed, options.rounds, options.models))
    told = {name: getattr(found, name) for name in Found.__slots__}
    print(json.dumps({**told, "minutes": round((time.monotonic() - began) / 60, 1)}, indent=1))
    sys.exit(0 if found.well else 1)


if __name__ == "__main__":
    main()
