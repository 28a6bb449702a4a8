"""What grows with the number of people and of concepts: times of the store and the index, memory of the program.

    python -m benchmarks.growth [--owners 1000,10000,100000] [--concepts 10,100,500,1000]

One SQLite file grows from step to step. At each step the same operations are timed for people drawn at random, then as
many people as there are (at most `--visits`) ask the bot something: through limits, turns, desk, assistant, index,
store and queue, as messages of a platform do; only the platform's connection is left out, and the models say the same
to everybody. Memory is what is private to the process, after all of them were there; `--plot FILE` draws both.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from adapters.delivery import Shown, Turns
from adapters.desk import Desk
from adapters.rates import Asker, Rates
from rapbot.app import App, running
from rapbot.concepts.concept import ConceptLimits, NewAvatar
from rapbot.concepts.index import ConceptIndex, IndexCache
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.concepts.store import ConceptStore, Edit, Remember
from rapbot.config import Settings
from rapbot.errors import RapbotError
from rapbot.inference.job import Answer, Job
from rapbot.inference.profiles import encoder_name
from rapbot.messages import WHOLE, Actor, Chat, ProgressListener, Request

ENCODER = encoder_name("pocket")
REPEAT = 60
ANSWER = "Lala loves cheese."
AT_ONCE = 16


class Nowhere:
    """A channel on which everything is delivered at once; `sent` is the last text."""

    sent = ""

    async def typing(self) -> None:
        pass

    async def send(self, shown: Shown) -> str:
        self.sent = shown.text
        return shown.text

    async def edit(self, sent: str, shown: Shown) -> str:
        return await self.send(shown)

    async def delete(self, sent: str) -> None:
        pass


class Sayer:
    """In the place of the worker: says the same to everybody, at once."""

    awake = True

    async def run(self, jobs: Sequence[Job], listeners: dict[str, ProgressListener]) -> list[Answer | RapbotError]:
        return [Answer(job.id, ANSWER) for job in jobs]

    def stop(self, job_id: str) -> None:
        pass


class Visits:
    """People who ask the bot something, as a platform would bring them."""

    def __init__(self, app: App) -> None:
        self._desk = Desk(app.assistant)
        self._turns: Turns[str] = Turns(rates=Rates(app.settings.limits))
        self._number = 0

    @classmethod
    @asynccontextmanager
    async def to(cls, folder: Path) -> AsyncIterator[tuple[App, Visits]]:
        async with running(Settings(data_dir=folder), models=False) as app:
            app.queue._runner = Sayer()
            async with app.queue:
                yield app, cls(app)

    async def of(self, people: Iterable[str]) -> None:
        for some in batched(people, AT_ONCE):
            await asyncio.gather(*(self._one(person) for person in some))

    async def _one(self, person: str) -> None:
        self._number += 1
        request = Request(Actor(person, "Ann"), Chat(person), "What does Lala eat?")

        async def work(listener: ProgressListener) -> Shown | None:
            return await self._desk.message(request, listener)

        channel = Nowhere()
        await self._turns.answer(f"{person}/{self._number}", channel, work, "en", Asker(person))
        assert channel.sent == ANSWER, channel.sent


def batched(people: Iterable[str], size: int) -> Iterator[list[str]]:
    """itertools has it from Python 3.12 on."""
    line = iter(people)
    while some := list(islice(line, size)):
        yield some


def person_of(number: int) -> str:
    return f"telegram:{number}"


async def fill(store: ConceptStore, owners: range, dimensions: int, photo_bytes: int) -> None:
    """One concept each. Durability costs a flush a change, and is not what is measured here."""
    assert isinstance(store, SqliteConceptStore)
    chance = np.random.default_rng(owners.start)
    await store._writer.execute("PRAGMA synchronous = OFF")
    for number in owners:
        key = chance.standard_normal(dimensions).astype(np.float32)
        avatar = NewAvatar(chance.bytes(photo_bytes), key, ENCODER, WHOLE)
        await store.write(person_of(number), Remember("Lala", "dog", "A white dog who loves cheese.", avatar))
    await store._writer.execute("PRAGMA synchronous = FULL")


async def median_ms(work: Callable[[], Awaitable[object]], times: int = REPEAT) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - began)
    return 1000 * statistics.median(taken)


async def times_at(store: ConceptStore, owners: int, dimensions: int) -> dict[str, float]:
    """Median milliseconds; other people each time, so that nothing of them is in memory."""
    chance = random.Random(owners)
    cache = IndexCache(store, capacity=1)
    key = np.random.default_rng(1).standard_normal(dimensions).astype(np.float32)

    async def open_cold() -> None:
        await cache.get(person_of(chance.randrange(owners)))

    async def photo() -> None:
        person = person_of(chance.randrange(owners))
        collection = await store.read(person)
        assert collection is not None
        await store.photo(person, collection.keys.rows[0].avatar_id)

    async def edit() -> None:
        person = person_of(chance.randrange(owners))
        collection = await store.read(person)
        assert collection is not None
        await store.write(person, Edit(collection.cards[0].concept_id, info=f"New {chance.random()}"))

    async def remember() -> None:
        person, name = person_of(chance.randrange(owners)), f"Thing {chance.random()}"[:32]
        await store.write(person, Remember(name, "thing", "New.", NewAvatar(b"x" * 2000, key, ENCODER, WHOLE)))

    return {
        "open a person's index": await median_ms(open_cold),
        "read and photo": await median_ms(photo),
        "read and edit": await median_ms(edit),
        "remember": await median_ms(remember),
    }


async def times_with(store: SqliteConceptStore, concepts: int, dimensions: int) -> dict[str, float]:
    """Of one person with so many concepts."""
    person = f"telegram:with-{concepts}"
    chance = np.random.default_rng(concepts)
    for number in range(concepts):
        key = chance.standard_normal(dimensions).astype(np.float32)
        avatar = NewAvatar(b"x" * 2000, key / np.linalg.norm(key), ENCODER, WHOLE)
        await store.write(person, Remember(f"Concept {number}", "thing", "A thing with a story. " * 5, avatar))
    collection = await store.read(person)
    assert collection is not None
    index, queries = ConceptIndex.from_bytes(collection.keys.index), collection.keys.keys[:8]
    cache = IndexCache(store, capacity=1)
    await cache.get(person)

    async def search() -> None:
        index.search(queries, 2)

    async def open_cold() -> None:
        cache.drop(person)
        await cache.get(person)

    return {
        "open the index": await median_ms(open_cold, 20),
        "open it again, unchanged": await median_ms(lambda: cache.get(person), 20),
        "search 8 regions": await median_ms(search, 20),
    }


def private_mb() -> float:
    """Of this process, without what the garbage collector and the C library could give back."""
    gc.collect()
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.iterdir()) / 1e6


@dataclass(frozen=True, slots=True)
class Step:
    owners: int
    ms: dict[str, float]
    file_mb: float
    visits: int
    seconds: float
    memory_mb: float
    """After the visits."""


async def steps(folder: Path, counts: Sequence[int], dimensions: int, photo_bytes: int, most: int) -> list[Step]:
    found: list[Step] = []
    async with Visits.to(folder) as (app, visits):
        before = 0
        for owners in counts:
            await fill(app.store, range(before, owners), dimensions, photo_bytes)
            before = owners
            ms = await times_at(app.store, owners, dimensions)
            number, began = min(owners, most), time.perf_counter()
            await visits.of(map(person_of, random.Random(owners).sample(range(owners), number)))
            seconds = time.perf_counter() - began
            found.append(Step(owners, ms, _megabytes(folder), number, seconds, private_mb()))
            print(json.dumps({"owners": owners, "ms": ms, "memory_mb": found[-1].memory_mb}), flush=True)
    return found


async def by_concepts(folder: Path, counts: Sequence[int], dimensions: int) -> dict[int, dict[str, float]]:
    limits = ConceptLimits(concepts=max(counts))
    async with SqliteConceptStore.open(folder / "concepts.sqlite3", ENCODER, limits) as store:
        await store._writer.execute("PRAGMA synchronous = OFF")
        return {count: await times_with(store, count, dimensions) for count in counts}


def plot(found: Sequence[Step], file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    owners = [step.owners for step in found]
    for what in found[0].ms:
        left.plot(owners, [step.ms[what] for step in found], marker="o", label=what)
    left.set(xscale="log", xlabel="people in the store", ylabel="median, ms", ylim=(0, None))
    left.legend(fontsize="small")
    right.plot(owners, [step.memory_mb for step in found], marker="o", color="black")
    right.set(xscale="log", xlabel="people who were there", ylabel="private memory, MB", ylim=(0, None))
    figure.savefig(file, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--owners", default="1000,10000,100000")
    parser.add_argument("--concepts", default="10,100,500,1000")
    parser.add_argument("--dimensions", type=int, default=1281)
    parser.add_argument("--photo-bytes", type=int, default=2_000)
    parser.add_argument("--visits", type=int, default=100_000, help="people who write at each step, at most")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    owners, concepts = ([int(word) for word in text.split(",")] for text in (options.owners, options.concepts))
    os.environ["RAPBOT_LIMITS__CONCEPTS_PER_PERSON"] = "1000"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").mkdir()
        found = asyncio.run(steps(folder / "data", owners, options.dimensions, options.photo_bytes, options.visits))
        table = asyncio.run(by_concepts(folder, concepts, options.dimensions))
    if options.plot:
        plot(found, options.plot)
    least = found[0]
    result = {
        "steps": [
            {
                "owners": step.owners,
                "ms": {what: round(value, 2) for what, value in step.ms.items()},
                "times_the_first": {what: round(value / least.ms[what], 2) for what, value in step.ms.items()},
                "file_mb": round(step.file_mb),
                "visits_a_second": round(step.visits / step.seconds),
                "memory_mb": round(step.memory_mb, 1),
            }
            for step in found
        ],
        "concepts_of_one_person_ms": {
            count: {what: round(value, 2) for what, value in row.items()} for count, row in table.items()
        },
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
