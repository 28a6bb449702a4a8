"""Whether a store is as quick with a million owners as with a thousand, and what PostgreSQL costs against SQLite.

    python -m benchmarks.store_owners [--owners 1000000] [--few 1000] [--rounds 200] [--dimensions 1281] [--visits 5000]

Three stores side by side: SQLite and PostgreSQL with `--few` owners, PostgreSQL with `--owners`. All are filled by SQL
(one concept of one avatar for everybody), then asked in turn, each time for an owner drawn at random, through the same
code as the program; so a slow moment of the machine hits all three. Both databases write to the disk before they say
that something is saved. The PostgreSQL server is that of the tests (tests/postgres.py).

Then as many people as `--visits` says come one after the other, and the memory of this process is noted.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import numpy as np

from rapbot.concepts.concept import Key, NewAvatar
from rapbot.concepts.index import IndexCache
from rapbot.concepts.opening import Store
from rapbot.concepts.places import SharedConcept
from rapbot.concepts.postgres import PostgresConceptStore
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.concepts.store import AddAvatar, Edit, Forget, Remember, Undo
from rapbot.messages import WHOLE
from tests.postgres import ROLE, PostgresServer

ENCODER = "benchmark"
PHOTO_BYTES = 20_000
Taken = dict[str, dict[str, list[float]]]
"""Milliseconds by command and store."""

_EVERYBODY = "WITH RECURSIVE everybody (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM everybody WHERE n < {count})"
_FILL = (
    "INSERT INTO owners (no, id, revision) SELECT n, 'telegram:' || n, n FROM everybody",
    "INSERT INTO concepts (id, owner_no, name, folded, category, info, created_at, updated_at)"
    " SELECT n, n, 'Thing ' || n, 'thing ' || n, 'thing', 'A thing of which much can be said.', 0.0, 0.0"
    " FROM everybody",
    "INSERT INTO avatars (id, owner_no, concept_id, role, encoder, box_left, box_top, box_right, box_bottom,"
    f" created_at) SELECT n, n, n, 'avatar', '{ENCODER}', 0.0, 0.0, 1.0, 1.0, 0.0 FROM everybody",
    "INSERT INTO photos (avatar_id, jpeg) SELECT n, {photo} FROM everybody",
    "INSERT INTO keys (owner_no, avatar_id, encoder_no, key) SELECT n, n, 1, {key} FROM everybody",
    "INSERT INTO journal (owner_no, kind, concept_id) SELECT n, 'remember', n FROM everybody",
)


def some_key(dimensions: int, seed: int) -> Key:
    return np.random.default_rng(seed).standard_normal(dimensions).astype(np.float32)


async def fill_postgres(server: PostgresServer, name: str, owners: int, dimensions: int) -> str:
    """Without checking references row by row: that takes longer than all the rest."""
    await server.administer(f"CREATE DATABASE {name} OWNER {ROLE}")
    await server.administer("CREATE EXTENSION vector", database=name)
    async with PostgresConceptStore.open(server.url(name), ENCODER):
        pass
    everybody = f"WITH everybody (n) AS (SELECT generate_series(1, {owners}))"
    cells = {"photo": "decode(repeat('ff', 300), 'hex')", "key": f"array_fill(0.05::real, ARRAY[{dimensions}])::vector"}
    await server.administer(
        "SET session_replication_role = replica",
        f"INSERT INTO encoders (no, name) OVERRIDING SYSTEM VALUE VALUES (1, '{ENCODER}')",
        "SELECT setval('encoders_no_seq', 1)",
        *(f"{everybody} {fill.format(**cells)}" for fill in _FILL),
        f"SELECT setval(sequence, {owners}) FROM unnest(ARRAY['owners_no_seq', 'concepts_id_seq', 'avatars_id_seq',"
        " 'revisions']::regclass[]) AS sequence",
        "VACUUM ANALYZE",
        database=name,
    )
    return server.url(name)


async def fill_sqlite(path: Path, owners: int, dimensions: int) -> None:
    async with SqliteConceptStore.open(path, ENCODER):
        pass
    key = np.full(dimensions, 0.05, "<f4").tobytes().hex()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO encoders (no, name) VALUES (1, ?)", (ENCODER,))
        for fill in _FILL:
            head, _, select = fill.partition(" SELECT")
            everybody = _EVERYBODY.format(count=owners)
            cells = {"photo": "zeroblob(300)", "key": f"x'{key}'"}
            db.execute(f"{head} {everybody} SELECT{select}".format(**cells))
        db.execute("UPDATE counters SET value = ? WHERE name = 'revision'", (owners,))


async def visit(store: Store, owner: str, dimensions: int, number: int, note: Callable[[str, float], None]) -> None:
    """Somebody comes, looks, teaches, corrects, shares, and takes it all back."""

    async def timed(what: str, work: Awaitable[object]) -> object:
        start = time.perf_counter()
        done = await work
        note(what, (time.perf_counter() - start) * 1000)
        return done

    photo = os.urandom(PHOTO_BYTES)
    start = time.perf_counter()
    collection = await store.read(owner)
    note("read for the first time", (time.perf_counter() - start) * 1000)
    assert collection is not None
    await timed("is it as before", store.read(owner, collection.revision))
    await timed("read once more", store.read(owner))
    await timed("read a photo", store.photo(owner, collection.keys.rows[0].avatar_id))
    avatar = NewAvatar(photo, some_key(dimensions, number), ENCODER, WHOLE)
    remember = Remember(f"New {number}", "thing", "Something new.", avatar)
    start = time.perf_counter()
    changed = await store.write(owner, remember)
    note("remember", (time.perf_counter() - start) * 1000)
    assert changed.concept is not None
    concept = changed.concept.id
    await timed("edit", store.write(owner, Edit(concept, info="edited")))
    await timed("add a photo", store.write(owner, AddAvatar(concept, avatar)))
    await timed("undo", store.write(owner, Undo()))
    await timed("share", store.places.share("telegram:-1", SharedConcept(concept, owner, "Ann")))
    await timed("what is shared here", store.places.shares("telegram:-1"))
    await timed("unshare", store.places.unshare("telegram:-1", owner))
    await timed("forget", store.write(owner, Forget(concept)))


async def compare(stores: dict[str, tuple[Store, int]], rounds: int, dimensions: int) -> Taken:
    taken: Taken = {}
    dice = random.Random(7)
    for number in itertools.islice(itertools.count(), rounds + 5):
        names = list(stores)
        dice.shuffle(names)
        for name in names:
            store, owners = stores[name]

            def note(what: str, milliseconds: float, name: str = name, number: int = number) -> None:
                if number >= 5:
                    taken.setdefault(what, {}).setdefault(name, []).append(milliseconds)

            await visit(store, f"telegram:{dice.randint(1, owners)}", dimensions, number, note)
    return taken


async def memory_of_visits(store: Store, owners: int, visits: int) -> list[tuple[int, float]]:
    """(people who were here, MiB of this process) at growing numbers of them."""
    cache, noted = IndexCache(store), []
    steps = {visits // 20, visits // 5, visits // 2, visits}
    people = random.Random(8).sample(range(1, owners + 1), min(visits, owners))
    for number, person in enumerate(people, 1):
        await cache.get(f"telegram:{person}")
        if number in steps:
            noted.append((number, _resident()))
    return noted


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@asynccontextmanager
async def three_stores(given: argparse.Namespace, folder: Path) -> AsyncIterator[dict[str, tuple[Store, int]]]:
    server = PostgresServer.install(
        fsync="on", autovacuum="on", shared_buffers="512MB", max_wal_size="4GB", checkpoint_timeout="30min"
    )
    try:
        server.start()
        await server.administer(f"CREATE ROLE {ROLE} LOGIN")
        began = time.monotonic()
        few = await fill_postgres(server, "few", given.few, given.dimensions)
        many = await fill_postgres(server, "many", given.owners, given.dimensions)
        await fill_sqlite(folder / "rapbot.sqlite3", given.few, given.dimensions)
        print(f"filled in {time.monotonic() - began:.0f} s", flush=True)
        if given.wait:
            await asyncio.to_thread(input, "Return measures: ")
        async with AsyncExitStack() as opened:
            enter = opened.enter_async_context
            yield {
                "sqlite": (await enter(SqliteConceptStore.open(folder / "rapbot.sqlite3", ENCODER)), given.few),
                "few": (await enter(PostgresConceptStore.open(few, ENCODER)), given.few),
                "many": (await enter(PostgresConceptStore.open(many, ENCODER)), given.owners),
            }
    finally:
        server.remove()


async def measure(given: argparse.Namespace, folder: Path) -> None:
    async with three_stores(given, folder) as stores:
        taken = await compare(stores, given.rounds, given.dimensions)
        show(taken, given)
        many, owners = stores["many"]
        for people, mebibytes in await memory_of_visits(many, owners, given.visits):
            print(f"memory after {people:6} of {owners} people were here: {mebibytes:.0f} MiB")


def show(taken: Taken, given: argparse.Namespace) -> None:
    heads = ("SQLite", "PostgreSQL", "added", f"of {given.owners}", "ratio", "p95")
    print(f"{'p50 in ms, of ' + str(given.few) + ' owners':24}" + "".join(f"{head:>14}" for head in heads))
    for what, by_store in taken.items():
        sqlite_, few, many = (statistics.median(by_store[name]) for name in ("sqlite", "few", "many"))
        p95 = statistics.quantiles(by_store["many"], n=20)[-1]
        cells = (sqlite_, few, few - sqlite_, many, many / few, p95)
        print(f"{what:24}" + "".join(f"{cell:>14.2f}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--owners", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--dimensions", type=int, default=1281)
    parser.add_argument("--visits", type=int, default=5_000)
    parser.add_argument("--wait", action="store_true", help="wait for Return between filling and measuring")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(given, Path(folder)))


if __name__ == "__main__":
    main()
