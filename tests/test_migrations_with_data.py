"""A database of every earlier age, filled as its program filled it, is brought up to date without losing anything."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import aiosqlite
import pytest

from rapbot.concepts import migrations
from rapbot.concepts.backups import back_up, check
from rapbot.concepts.index import IndexCache
from rapbot.concepts.migrations import MIGRATIONS
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.concepts.store import Edit, Forget, Undo
from tests.concept_samples import ENCODER, everything, key, lala, taught

_SINCE = {
    1: (
        "INSERT INTO owners (no, id, revision) VALUES (1, 'telegram:1', 3), (2, 'telegram:2', 1)",
        "UPDATE counters SET value = 3 WHERE name = 'revision'",
        "INSERT INTO concepts (id, owner_no, name, folded, category, info, created_at, updated_at) VALUES"
        " (7, 1, 'Lala', 'lala', 'dog', 'She loves cheese.', 1.0, 2.0), (8, 1, 'Bo', 'bo', 'cat', '', 3.0, 3.0),"
        " (9, 2, 'Lala', 'lala', 'mug', 'Theirs.', 4.0, 4.0)",
        "INSERT INTO avatars VALUES (5, 1, 7, 'avatar', 'test-encoder', 0, 0, 1, 1, 1.0),"
        " (6, 1, 8, 'avatar', 'test-encoder', 0.1, 0.1, 0.9, 0.9, 3.0),"
        " (11, 1, 8, 'counterexample', 'test-encoder', 0, 0, 1, 1, 3.5),"
        " (12, 2, 9, 'avatar', 'test-encoder', 0, 0, 1, 1, 4.0)",
        "INSERT INTO photos SELECT id, CAST('photo ' || id AS BLOB) FROM avatars",
        "INSERT INTO journal (owner_no, kind, concept_id, name, category, info, updated_at)"
        " VALUES (1, 'edit', 7, 'Lala', 'dog', 'She loves bread.', 1.0)",
    ),
    2: (
        "UPDATE concepts SET taught_by = 'telegram:1' WHERE owner_no = 1",
        "INSERT INTO shares VALUES ('telegram:-100', 7, 'telegram:1', 'Ann')",
        "INSERT INTO chats VALUES ('telegram:-100', 'every')",
        "INSERT INTO identities VALUES ('discord:1', 1)",
    ),
    3: (
        "INSERT INTO faces VALUES (5, x'00', 5.0)",
        "INSERT INTO face_refusals (chat, person, key) VALUES (x'01', x'02', x'03')",
    ),
    5: ("UPDATE concepts SET traits = 'a white ear' WHERE id = 7",),
    8: ("INSERT INTO visits (owner_no, seen_at, language) VALUES (1, 6.0, 'de')",),
    6: ("INSERT INTO applied VALUES (x'04', 7, 9e9)",),
}
"""By the step that made the place for it: what a program of that age could have written."""


async def database_of(path: Path, step: int) -> None:
    """As a program that knew the first `step` steps left it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", MIGRATIONS[:step])
        async with aiosqlite.connect(path, isolation_level=None) as db:
            await migrations.migrate(db, path)
    with contextlib.closing(sqlite3.connect(path)) as file, file:
        file.execute("PRAGMA foreign_keys = ON")
        for since, statements in _SINCE.items():
            for statement in statements if since <= step else ():
                file.execute(statement)
        rows = file.execute("SELECT owner_no, id FROM avatars").fetchall()
        if step < 4:
            for owner, number in rows:
                file.execute("INSERT INTO keys VALUES (?, ?, ?)", (owner, number, key(number).tobytes()))
        else:
            file.execute("INSERT INTO encoders VALUES (1, 'test-encoder')")
            for owner, number in rows:
                file.execute("INSERT INTO keys VALUES (?, ?, 1, ?)", (owner, number, key(number).tobytes()))


@pytest.mark.parametrize("step", range(1, len(MIGRATIONS) + 1))
async def test_a_database_of_this_age_keeps_everything_and_can_be_used(tmp_path: Path, step: int) -> None:
    path = tmp_path / "rapbot.sqlite3"
    await database_of(path, step)
    async with SqliteConceptStore.open(path, ENCODER) as store:
        mine, theirs = await everything(store, "telegram:1"), await everything(store, "telegram:2")
        assert [(one.id, one.name, one.category, one.info) for one in mine.concepts] == [
            (7, "Lala", "dog", "She loves cheese."),
            (8, "Bo", "cat", ""),
        ]
        assert [one.info for one in theirs.concepts] == ["Theirs."]
        assert {row.avatar_id for row in mine.keys.rows} == {5, 6, 11}
        for collection in (mine, theirs):
            for position, row in enumerate(collection.keys.rows):
                assert collection.keys.keys[position].tobytes() == key(row.avatar_id).tobytes()
        assert await store.photo("telegram:1", 5) == b"photo 5"
        assert (await IndexCache(store).get("telegram:1")).collection.concepts == mine.concepts
        if step >= 2:
            assert [one.concept_id for one in await store.places.shares("telegram:-100")] == [7]
            assert await store.places.photo_mode("telegram:-100") == "every"
            assert [one.id for one in (await everything(store, "discord:1")).concepts] == [7, 8]
        if step >= 6:
            assert await store.applied(b"\x04") is not None
        await store.write("telegram:1", Undo())
        assert (await everything(store, "telegram:1")).concepts[0].info == "She loves bread."
        assert (await taught(store, lala("New", 3), "telegram:1")).id > 9, "ids are never used twice"
        await store.write("telegram:1", Edit(8, info="He sleeps."))
        await store.write("telegram:1", Forget(7))
        assert await store.places.shares("telegram:-100") == ()
    made = check(back_up(path).path)
    assert made.rows["concepts"] == 3
    assert made.rows["photos"] == made.rows["avatars"] == made.rows["keys"] == 4
