"""Databases of every age: an old one is brought up to date, a newer or a foreign one is left alone."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import aiosqlite
import pytest

from rapbot.concepts import migrations
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.errors import StoreError
from tests.concept_samples import ENCODER, everything, key, lala


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rapbot.db"


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        return db.execute(query).fetchall()


async def test_the_steps_taken_are_recorded_once(path: Path) -> None:
    for _ in range(2):
        async with SqliteConceptStore.open(path, ENCODER):
            pass
    done = [name for (name,) in rows(path, "SELECT name FROM migrations ORDER BY name")]
    assert done == [step.__name__ for step in migrations.MIGRATIONS]
    assert done[0] == "m001_initial"


def test_steps_are_numbered_in_the_order_they_are_taken() -> None:
    numbers = [int(step.__name__[1:4]) for step in migrations.MIGRATIONS]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_new_step_keeps_what_an_older_program_stored(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with SqliteConceptStore.open(path, ENCODER) as store:
        await store.write("me", lala())
        before = await everything(store)

    async def m999_favourites(db: aiosqlite.Connection) -> None:
        await db.execute("ALTER TABLE concepts ADD COLUMN favourite INTEGER NOT NULL DEFAULT 0")

    monkeypatch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, m999_favourites])
    async with SqliteConceptStore.open(path, ENCODER) as store:
        assert (await everything(store)).concepts == before.concepts
    assert rows(path, "SELECT name, favourite FROM concepts") == [("Lala", 0)]


async def test_a_step_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with SqliteConceptStore.open(path, ENCODER) as store:
        await store.write("me", lala())
    before = rows(path, "SELECT name, sql FROM sqlite_schema")

    async def m998_half(db: aiosqlite.Connection) -> None:
        await db.execute("CREATE TABLE half (id INTEGER)")
        await db.execute("DELETE FROM concepts")
        await db.execute("SELECT no_such_function()")

    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, m998_half])
        with pytest.raises(StoreError, match="no_such_function"):
            async with SqliteConceptStore.open(path, ENCODER):
                pass
    assert rows(path, "SELECT name, sql FROM sqlite_schema") == before
    async with SqliteConceptStore.open(path, ENCODER) as store:
        assert len((await everything(store)).concepts) == 1


async def test_a_database_of_a_newer_program_is_refused_and_left_alone(path: Path) -> None:
    async with SqliteConceptStore.open(path, ENCODER) as store:
        await store.write("me", lala())
    rows(path, "INSERT INTO migrations VALUES ('m777_later', '2031-01-01')")
    with pytest.raises(StoreError, match=r"written by a newer rapbot \(it has the step m777_later\)") as caught:
        async with SqliteConceptStore.open(path, ENCODER):
            pass
    assert str(path) in caught.value.sentence
    assert rows(path, "SELECT name FROM concepts") == [("Lala",)]


async def test_a_database_of_another_program_gives_one_sentence_and_is_left_alone(path: Path) -> None:
    rows(path, "CREATE TABLE concepts (mine TEXT)")
    with pytest.raises(StoreError, match="cannot be used"):
        async with SqliteConceptStore.open(path, ENCODER):
            pass
    assert rows(path, "SELECT name FROM sqlite_schema") == [("concepts",)]


async def test_two_programs_may_make_the_same_new_database_at_once(path: Path) -> None:
    async def start(name: str) -> None:
        async with SqliteConceptStore.open(path, ENCODER) as store:
            await store.write("me", lala(name))

    await asyncio.gather(*(start(f"Lala {number}") for number in range(6)))
    assert rows(path, "SELECT count(*) FROM concepts") == [(6,)]


async def test_keys_of_a_database_from_before_the_encoders_had_a_table_are_carried_over(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [step for step in migrations.MIGRATIONS if step.__name__ < "m004"]
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", old)
        async with aiosqlite.connect(path, isolation_level=None) as db:
            await migrations.migrate(db, path)
    with contextlib.closing(sqlite3.connect(path)) as file, file:
        file.execute("INSERT INTO owners (no, id, revision) VALUES (1, 'me', 1)")
        file.execute("INSERT INTO concepts VALUES (7, 1, 'Lala', 'lala', 'dog', '', 0.0, 0.0, 'me')")
        for number, encoder in ((5, ENCODER), (6, "former")):
            file.execute("INSERT INTO avatars VALUES (?, 1, 7, 'avatar', ?, 0, 0, 1, 1, 0.0)", (number, encoder))
            file.execute("INSERT INTO photos VALUES (?, x'ffd8')", (number,))
            file.execute("INSERT INTO keys VALUES (1, ?, ?)", (number, key(number).tobytes()))
    async with SqliteConceptStore.open(path, ENCODER) as store:
        table = (await everything(store)).keys
        assert ([row.avatar_id for row in table.rows], table.stale) == ([5], (6,))
        assert table.keys.tobytes() == key(5).tobytes()
        pending = await store.encodings.pending()
        assert (pending.total, pending.done, pending.others) == (2, 1, ("former",))
        store.serve_also("former")
        assert [table.encoder for table in (await everything(store)).tables] == [ENCODER, "former"]
    assert rows(path, "PRAGMA freelist_count") == [(0,)]
    assert rows(path, "PRAGMA foreign_key_check") == []
