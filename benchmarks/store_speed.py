"""How quickly one person's index is opened from a store that many people use.

    python -m benchmarks.store_speed [--owners 10000] [--concepts 1000] [--dimensions 1281] [--encrypted]

One person has `--concepts` concepts; their rows lie between those of the other owners, as they would after months.
Before each opening one of them is edited: SQLite then reads the pages anew, as it does when a person comes back.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np

from rapbot.concepts.concept import ConceptLimits, NewAvatar
from rapbot.concepts.index import ConceptIndex, IndexCache
from rapbot.concepts.sealing import PLAIN, seal_of
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.concepts.store import Edit, Forget, Remember
from rapbot.messages import WHOLE

ENCODER = "benchmark"


async def milliseconds(
    work: Callable[[], Awaitable[object]], times: int, before: Callable[[], Awaitable[object]] | None = None
) -> tuple[float, float]:
    """(best, median) of `times` runs, each after `before`, which does not count."""
    taken = []
    for _ in range(times):
        if before is not None:
            await before()
        start = time.perf_counter()
        await work()
        taken.append((time.perf_counter() - start) * 1000)
    return min(taken), statistics.median(taken)


async def longest_block(work: Callable[[], Awaitable[object]]) -> float:
    """The longest time (ms) that the event loop could do nothing else while `work` ran."""
    worst = 0.0
    running = True

    async def tick() -> None:
        nonlocal worst
        while running:
            start = time.perf_counter()
            await asyncio.sleep(0)
            worst = max(worst, (time.perf_counter() - start) * 1000)

    ticker = asyncio.create_task(tick())
    await work()
    running = False
    await ticker
    return worst


async def fill(store: SqliteConceptStore, owners: int, concepts: int, dimensions: int, photo_bytes: int) -> None:
    random = np.random.default_rng(0)
    # Durability costs a disk flush a change, and is not what is measured here.
    await store._writer.execute("PRAGMA synchronous = OFF")
    total = owners + concepts
    mine = set(random.choice(total, concepts, replace=False).tolist())
    for number in range(total):
        key = random.standard_normal(dimensions).astype(np.float32)
        avatar = NewAvatar(os.urandom(photo_bytes), key, ENCODER, WHOLE)
        owner = "me" if number in mine else f"owner {number}"
        await store.write(
            owner, Remember(f"Concept {number}", "thing", "A thing of which much can be said. " * 4, avatar)
        )
    await store._writer.execute("PRAGMA synchronous = FULL")


async def measure(path: Path, arguments: argparse.Namespace) -> dict[str, tuple[float, float]]:
    limits = ConceptLimits(concepts=arguments.concepts)
    seal = seal_of(base64.urlsafe_b64encode(os.urandom(32)).decode()) if arguments.encrypted else PLAIN
    async with SqliteConceptStore.open(path, ENCODER, limits, seal=seal) as store:
        await fill(store, arguments.owners, arguments.concepts, arguments.dimensions, arguments.photo_bytes)
        collection = await store.read("me")
        assert collection is not None
        table = collection.keys
        index, queries = ConceptIndex.from_bytes(table.index), table.keys[:8]
        cache = IndexCache(store)

        first, last = collection.cards[0].concept_id, collection.cards[-1].concept_id

        async def change() -> None:
            await store.write("me", Edit(first, info="new"))

        async def leave() -> None:
            await change()
            cache.drop("me")

        def open_index() -> Awaitable[object]:
            return cache.get("me")

        async def search() -> None:
            index.search(queries, 2)

        def open_ordinary() -> Awaitable[object]:
            cache.drop("owner 1")
            return cache.get("owner 1")

        async def photo() -> None:
            await store.photo("me", table.rows[0].avatar_id)

        numbers = itertools.count()

        async def remember() -> None:
            key = np.random.default_rng(next(numbers)).standard_normal(arguments.dimensions).astype(np.float32)
            avatar = NewAvatar(os.urandom(arguments.photo_bytes), key, ENCODER, WHOLE)
            await store.write("somebody", Remember(f"New {next(numbers)}", "thing", "Something new.", avatar))

        blocks = []
        for _ in range(15):
            await change()
            blocks.append(await longest_block(open_index))
        return {
            "read the collection": await milliseconds(lambda: store.read("me"), 60, change),
            "open a changed index": await milliseconds(open_index, 60, change),
            "open an index of which nothing is cached": await milliseconds(open_index, 60, leave),
            "longest block of the event loop meanwhile": (min(blocks), statistics.median(blocks)),
            "open an unchanged index": await milliseconds(lambda: cache.get("me"), 50),
            "open the index of an ordinary person": await milliseconds(open_ordinary, 60, change),
            "search 8 regions": await milliseconds(search, 50),
            "edit": await milliseconds(change, 15),
            "read a photo": await milliseconds(photo, 50),
            "remember": await milliseconds(remember, 30),
            "forget, wiped from the file": await milliseconds(lambda: store.write("me", Forget(last)), 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--owners", type=int, default=10_000)
    parser.add_argument("--concepts", type=int, default=1_000)
    parser.add_argument("--dimensions", type=int, default=1281)
    parser.add_argument("--photo-bytes", type=int, default=20_000)
    parser.add_argument("--encrypted", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rapbot.db"
        results = asyncio.run(measure(path, arguments))
        size = path.stat().st_size / 2**20
    print(
        f"{arguments.concepts} concepts of one person among {arguments.owners} others, "
        f"{arguments.dimensions}-d keys, {size:.0f} MiB"
    )
    print(f"{'':44}{'best':>10}{'median':>10}")
    for what, (best, median) in results.items():
        print(f"{what:44}{best:>7.2f} ms{median:>7.2f} ms")


if __name__ == "__main__":
    main()
