"""What grows with the number of people and of concepts: times of the store and the index, memory of the program.

    python -m benchmarks.growth [--owners 1000,10000,100000] [--concepts 10,100,500,1000]

The same operations are timed in SQLite files of each size, for people drawn at random. Then all people of the largest
one ask the bot something: through limits, turns, desk, assistant, index, store and queue, as messages of a platform do;
only the platform's connection is left out, and the models say the same to everybody. Memory is what is private to the
process; `--plot FILE` draws both.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from adapters.delivery import Turns
from adapters.desk import Desk
from adapters.rates import Asker, Rates
from adapters.shown import Shown
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
Operation = Callable[[], Awaitable[None]]
Times = dict[str, float]
"""Median milliseconds by what was done."""


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


_COPIES = """
INSERT INTO owners SELECT ?1 + x, 'telegram:' || (?2 + x), ?4 + x FROM n;
INSERT INTO concepts SELECT ?5 + x, ?1 + x, name, folded, category, info, created_at, updated_at, taught_by,
    traits FROM concepts, n WHERE id = ?5;
INSERT INTO avatars SELECT ?6 + x, ?1 + x, ?5 + x, role, encoder, box_left, box_top, box_right,
    box_bottom, created_at FROM avatars, n WHERE id = ?6;
INSERT INTO photos SELECT ?6 + x, randomblob(length(jpeg)) FROM photos, n WHERE avatar_id = ?6;
INSERT INTO keys SELECT ?1 + x, ?6 + x, encoder_no, key FROM keys, n WHERE avatar_id = ?6;
UPDATE counters SET value = value + ?3 WHERE name = 'revision'
"""
"""What one person (?1: owner, ?5: concept, ?6: avatar) taught, for ?3 others; n(x) counts them."""
_COUNTING = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < ?3)"


async def fill(store: ConceptStore, owners: range, dimensions: int, photo_bytes: int) -> None:
    """One concept each: that of the first is taught, the others' rows are copies of it, which is far quicker."""
    assert isinstance(store, SqliteConceptStore)
    chance = np.random.default_rng(owners.start)
    key = chance.standard_normal(dimensions).astype(np.float32)
    avatar = NewAvatar(chance.bytes(photo_bytes), key / np.linalg.norm(key), ENCODER, WHOLE)
    first = person_of(owners.start)
    changed = await store.write(first, Remember("Lala", "dog", "A white dog who loves cheese.", avatar))
    assert changed.concept is not None
    ((owner,),) = await store.fetch("SELECT no FROM owners WHERE id = ?", (first,))
    ((latest,),) = await store.fetch("SELECT max(id) FROM concepts")
    assert latest == changed.concept.id, "the ids of the copies must be free"
    concept, avatar_id = changed.concept.id, changed.concept.avatars[0].id
    values = (owner, owners.start, len(owners) - 1, changed.revision, concept, avatar_id)
    async with store.transaction() as db:
        for statement in _COPIES.split(";"):
            words = f"{_COUNTING} {statement}"
            await db.execute(words, values[: max(map(int, re.findall(r"\?(\d)", words)))])


async def median_ms(work: Callable[[], Awaitable[object]], times: int = REPEAT) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - began)
    return 1000 * statistics.median(taken)


def operations(store: ConceptStore, owners: int, dimensions: int) -> dict[str, Operation]:
    """For other people each time, so that nothing of them is in memory."""
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

    return {"open a person's index": open_cold, "read and photo": photo, "read and edit": edit, "remember": remember}


async def times_at(folder: Path, counts: Sequence[int], dimensions: int, photo_bytes: int) -> dict[int, Times]:
    """Milliseconds by number of people: a store of each size, which take turns, so that noise hits all alike."""
    async with AsyncExitStack() as opened:
        every = {}
        for owners in counts:
            path = folder / f"{owners}.sqlite3"
            store = await opened.enter_async_context(SqliteConceptStore.open(path, ENCODER))
            await fill(store, range(owners), dimensions, photo_bytes)
            every[owners] = operations(store, owners, dimensions)
        taken: dict[tuple[int, str], list[float]] = defaultdict(list)
        for _ in range(REPEAT):
            for what in every[counts[0]]:
                for owners in counts:
                    began = time.perf_counter()
                    await every[owners][what]()
                    taken[owners, what].append(1000 * (time.perf_counter() - began))
    return {owners: {what: statistics.median(taken[owners, what]) for what in every[owners]} for owners in counts}


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


@dataclass(frozen=True, slots=True)
class Visited:
    people: int
    seconds_each: float
    memory_mb: float


def private_mb() -> float:
    """Of this process, without what the garbage collector and the C library could give back."""
    gc.collect()
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


async def memory_after(folder: Path, counts: Sequence[int], dimensions: int, photo_bytes: int) -> list[Visited]:
    """Of one program, after so many people of the largest number were there."""
    found: list[Visited] = []
    async with Visits.to(folder) as (app, visits):
        await fill(app.store, range(max(counts)), dimensions, photo_bytes)
        people = random.Random(1).sample(range(max(counts)), max(counts))
        for before, owners in pairwise([0, *counts]):
            began = time.perf_counter()
            await visits.of(map(person_of, people[before:owners]))
            found.append(Visited(owners, (time.perf_counter() - began) / (owners - before), private_mb()))
            print(json.dumps(asdict(found[-1])), flush=True)
    return found


async def by_concepts(folder: Path, counts: Sequence[int], dimensions: int) -> dict[int, dict[str, float]]:
    limits = ConceptLimits(concepts=max(counts))
    async with SqliteConceptStore.open(folder / "concepts.sqlite3", ENCODER, limits) as store:
        await store._writer.execute("PRAGMA synchronous = OFF")
        return {count: await times_with(store, count, dimensions) for count in counts}


def plot(times: dict[int, Times], visited: Sequence[Visited], file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    owners = list(times)
    for what in times[owners[0]]:
        left.plot(owners, [times[count][what] for count in owners], marker="o", label=what)
    left.set(xscale="log", xlabel="people in the store", ylabel="median, ms", ylim=(0, None))
    left.legend(fontsize="small")
    right.plot([one.people for one in visited], [one.memory_mb for one in visited], marker="o", color="black")
    right.set(xscale="log", xlabel="people who were there", ylabel="private memory, MB", ylim=(0, None))
    figure.savefig(file, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--owners", default="1000,10000,100000")
    parser.add_argument("--concepts", default="10,100,500,1000")
    parser.add_argument("--dimensions", type=int, default=1281)
    parser.add_argument("--photo-bytes", type=int, default=2_000)
    parser.add_argument("--only", choices=["times", "memory"])
    parser.add_argument("--plot", type=Path, help="of a run of both")
    options = parser.parse_args()
    owners, concepts = ([int(word) for word in text.split(",")] for text in (options.owners, options.concepts))
    result: dict[str, object] = {}
    times: dict[int, Times] = {}
    visited: list[Visited] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.only != "memory":
            times = asyncio.run(times_at(folder, owners, options.dimensions, options.photo_bytes))
            first, last = times[owners[0]], times[owners[-1]]
            result["owners_ms"] = _rounded(times)
            result["last_over_first"] = {what: round(last[what] / first[what], 2) for what in first}
            result["concepts_of_one_person_ms"] = _rounded(
                asyncio.run(by_concepts(folder, concepts, options.dimensions))
            )
        if options.only != "times":
            (folder / "data").mkdir()
            visited = asyncio.run(memory_after(folder / "data", owners, options.dimensions, options.photo_bytes))
            result["visits"] = [{**asdict(one), "memory_mb": round(one.memory_mb, 1)} for one in visited]
    if options.plot:
        plot(times, visited, options.plot)
    print(json.dumps(result, indent=1))


def _rounded(table: dict[int, Times]) -> dict[int, Times]:
    return {count: {what: round(value, 2) for what, value in row.items()} for count, row in table.items()}


if __name__ == "__main__":
    main()
