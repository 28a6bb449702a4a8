"""`rapbot migrate-store`: all of a file arrives in PostgreSQL, whatever interrupts it, and nothing else is touched."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rapbot.cli import cli
from rapbot.concepts.kept import MEMORY
from rapbot.concepts.places import SharedConcept
from rapbot.concepts.postgres import PostgresConceptStore
from rapbot.concepts.postgres_connection import PostgresDatabase
from rapbot.concepts.postgres_moving import Moved, move
from rapbot.concepts.postgres_sealing import agree
from rapbot.concepts.postgres_statements import PostgresStatements
from rapbot.concepts.sealing import PLAIN, Seal, new_key, seal_of
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.concepts.store import AddAvatar, Edit, EraseOwner, Forget, Remember, SetFaces, Undo
from rapbot.errors import StoreError
from tests.concept_samples import ENCODER, avatar, everything, key, lala, taught

GROUP = "telegram:-1"
PEOPLE = [f"telegram:{number}" for number in range(7)]
COMPARED = [table for table in MEMORY if table not in ("counters", "migrations", "encoders", "sealing")]


async def fill(path: Path, seal: Seal = PLAIN) -> Path:
    """A file with everything that can lie in one."""
    async with SqliteConceptStore.open(path, ENCODER, seal=seal) as store:
        for number, person in enumerate(PEOPLE):
            concept = await taught(store, lala(f"Lala {number}", number), person)
            gone = await taught(store, lala("gone", 50), person)
            two = replace(avatar(20 + number), other_keys=((ENCODER + "-2", key(number, 24)),))
            await store.write(person, AddAvatar(concept.id, two))
            await store.write(person, SetFaces(concept.id, ((concept.avatars[0].id, key(number, 8)),)))
            await store.write(person, Forget(gone.id))
            await store.write(person, Edit(concept.id, info="edited"))
            await store.places.share(GROUP, SharedConcept(concept.id, person, f"Person {number}"))
            await store.visits.seen(person, "de", 5.0 + number)
        await store.write("telegram:99", lala())
        await store.write("telegram:99", EraseOwner())
        await store.places.offer_link(PEOPLE[0], b"code", time.time() + 600)
        await store.places.link("discord:1", b"code", time.time())
        await store.places.offer_link(PEOPLE[1], b"open", time.time() + 600)
        await store.places.refuse_face(GROUP, "telegram:5", key(1, 8).tobytes())
        await store.places.served_by("telegram", 77)
    return path


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    return await fill(tmp_path / "rapbot.sqlite3")


async def moved(path: Path, url: str, seal: Seal = PLAIN, **options: Any) -> Moved:
    async with PostgresDatabase.open(url) as database:
        await agree(database, seal)
        return await move(path, database, seal, **options)


def in_file(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(path)) as db:
        return {
            table: sorted(db.execute(f"SELECT {', '.join(MEMORY[table])} FROM {table}").fetchall(), key=repr)
            for table in COMPARED
        }


async def in_postgres(url: str) -> dict[str, list[tuple[Any, ...]]]:
    async with PostgresDatabase.open(url) as database:
        return {
            table: sorted(map(tuple, await database.fetch(f"SELECT {', '.join(MEMORY[table])} FROM {table}")), key=repr)
            for table in COMPARED
        }


async def test_every_row_arrives_as_it_was_and_the_file_stays(path: Path, postgres_url: str) -> None:
    before, told = in_file(path), list[tuple[int, int]]()
    done = await moved(path, postgres_url, told=lambda done, all_: told.append((done, all_)))
    assert (done.people, done.present, done.rows["concepts"]) == (8, 0, 7)
    assert told == [(number, 8) for number in range(9)]
    assert await in_postgres(postgres_url) == before == in_file(path)
    assert all(before[table] for table in COMPARED if table not in ("applied",))


async def test_life_goes_on_where_it_was(path: Path, postgres_url: str) -> None:
    async with SqliteConceptStore.open(path, ENCODER) as store:
        before = await everything(store, PEOPLE[2])
        stranger = (await everything(store, "telegram:99")).revision
    await moved(path, postgres_url)
    async with PostgresConceptStore.open(postgres_url, ENCODER) as store:
        after = await everything(store, PEOPLE[2])
        assert (after.concepts, after.revision, after.faces) == (before.concepts, before.revision, before.faces)
        assert after.keys == before.keys
        assert (await store.write(PEOPLE[2], Undo())).revision > before.revision
        assert (await everything(store, "discord:1")).cards == (await everything(store, PEOPLE[0])).cards
        assert (await everything(store, "telegram:99")).revision == stranger
        fresh = await taught(store, lala("New"), "telegram:99")
        assert fresh.id > max(card.concept_id for card in after.cards)
        assert (await everything(store, "telegram:99")).revision > stranger
        assert await store.places.served_by("telegram") == 77


async def test_a_move_that_is_stopped_goes_on_and_moves_nothing_twice(path: Path, postgres_url: str) -> None:
    before = in_file(path)

    def stop(done: int, _all: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    async with PostgresDatabase.open(postgres_url) as database:
        with pytest.raises(KeyboardInterrupt):
            await move(path, database, PLAIN, told=stop)
    done = await moved(path, postgres_url)
    assert (done.people, done.present) == (8, 3)
    assert (await moved(path, postgres_url)).present == 8
    assert await in_postgres(postgres_url) == before


async def test_what_changed_in_the_file_after_a_stop_is_moved_as_it_is_now(path: Path, postgres_url: str) -> None:
    await moved(path, postgres_url)
    async with SqliteConceptStore.open(path, ENCODER) as store:
        await taught(store, lala("Late"), PEOPLE[3])
    assert (await moved(path, postgres_url)).present == 7
    assert await in_postgres(postgres_url) == in_file(path)


async def test_what_was_changed_there_since_is_not_overwritten(path: Path, postgres_url: str) -> None:
    await moved(path, postgres_url)
    async with PostgresConceptStore.open(postgres_url, ENCODER) as store:
        await taught(store, lala("Late"), PEOPLE[3])
    with pytest.raises(StoreError, match="changed something there"):
        await moved(path, postgres_url)
    async with PostgresConceptStore.open(postgres_url, ENCODER) as store:
        assert len((await everything(store, PEOPLE[3])).concepts) == 2


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE photos SET jpeg = 'x'",
        "UPDATE concepts SET info = 'y'",
        "DELETE FROM faces",
        "DELETE FROM keys WHERE encoder_no = 1",
    ],
)
async def test_what_does_not_arrive_as_it_was_is_told(
    path: Path, postgres_url: str, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the other side lost or changed something on the way."""
    fetch = PostgresStatements.fetch

    async def harmed(self: PostgresStatements, statement: str, parameters: Any = ()) -> Any:
        if statement.endswith("FROM owners WHERE no = ?1"):  # the first look at what arrived
            await self.connection.execute(harm)
        return await fetch(self, statement, parameters)

    monkeypatch.setattr(PostgresStatements, "fetch", harmed)
    with pytest.raises(StoreError, match="is not what is in the file"):
        await moved(path, postgres_url)


# Beside other people


async def test_other_peoples_memory_is_refused_unless_told_and_stays_as_it_was(path: Path, postgres_url: str) -> None:
    async with PostgresConceptStore.open(postgres_url, ENCODER) as store:
        for number in range(3):
            await taught(store, lala("Theirs", number), f"discord:5{number}")
        before = await in_postgres(postgres_url)
        with pytest.raises(StoreError, match=r"memory of 3 other people.*--among-others"):
            await moved(path, postgres_url)
        assert await in_postgres(postgres_url) == before
        for present in (0, 8):
            assert (await moved(path, postgres_url, among_others=True)).present == present
        assert (await everything(store, "discord:51")).concepts[0].name == "Theirs"
        theirs = await everything(store, PEOPLE[2])
        async with SqliteConceptStore.open(path, ENCODER) as old:
            ours = await everything(old, PEOPLE[2])
        assert [card.name for card in theirs.cards] == [card.name for card in ours.cards]
        assert (theirs.keys.keys == ours.keys.keys).all()
        assert theirs.concepts[0].id == ours.concepts[0].id + 3
        assert await store.photo(PEOPLE[2], theirs.concepts[0].avatars[0].id) == b"\xff\xd8\xff picture 2"
        await store.write("discord:50", lala("More"))


async def test_two_memories_of_one_person_are_refused(path: Path, postgres_url: str) -> None:
    async with PostgresConceptStore.open(postgres_url, ENCODER) as store:
        await taught(store, lala(), PEOPLE[4])
    with pytest.raises(StoreError, match="1 of these people have a memory"):
        await moved(path, postgres_url, among_others=True)


# Encrypted, running, missing


async def test_encrypted_cells_arrive_and_are_found_by_name(tmp_path: Path, postgres_url: str) -> None:
    new_key(tmp_path / "key")
    seal = seal_of((tmp_path / "key").read_text().strip())
    path = await fill(tmp_path / "sealed.sqlite3", seal)
    async with PostgresConceptStore.open(postgres_url, ENCODER, seal=seal) as store:
        await taught(store, Remember("Theirs", "dog", "", avatar(9)), "discord:50")
        await moved(path, postgres_url, seal, among_others=True)
        with pytest.raises(Exception, match="Lala 3"):
            await taught(store, lala("LALA 3"), PEOPLE[3])
        assert (await everything(store, PEOPLE[3])).keys.keys.tobytes()[:64] == key(3).tobytes()
    with pytest.raises(StoreError, match="encrypted"):
        await moved(path, postgres_url)


async def test_a_file_in_use_is_refused(path: Path, postgres_url: str) -> None:
    async with SqliteConceptStore.open(path, ENCODER):
        with pytest.raises(StoreError, match="rapbot is running"):
            await moved(path, postgres_url)


def test_the_command_moves_and_says_so(
    tmp_path: Path, postgres_databases: Callable[..., Any], postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPBOT_DATA_DIR", str(tmp_path))
    path = asyncio.run(fill(tmp_path / "rapbot.sqlite3"))
    run = CliRunner()
    done = run.invoke(cli, ["migrate-store", f"sqlite:{path}", f"postgres:{postgres_url}", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rows"]["concepts"] == 7
    again = run.invoke(cli, ["migrate-store", f"sqlite:{path}", postgres_url])
    assert (
        "7 concepts of 8 people are in the PostgreSQL database, checked (8 of them were there already)" in again.stdout
    )
    for wrong in (["migrate-store", str(path), postgres_url], ["migrate-store", f"sqlite:{path}", "nowhere"]):
        assert run.invoke(cli, wrong).exit_code != 0
