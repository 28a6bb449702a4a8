"""What is PostgreSQL's own in the store: closed rows, many writers, search in SQL, a killed server, encryption."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from rapbot.app import running
from rapbot.concepts.index import ConceptIndex, IndexCache
from rapbot.concepts.kept import MEMORY
from rapbot.concepts.places import SharedConcept
from rapbot.concepts.postgres import PostgresConceptStore
from rapbot.concepts.postgres_statements import PostgresStatements
from rapbot.concepts.sealing import PLAIN, Seal, new_key, seal_of
from rapbot.concepts.store import AddAvatar, Edit, EraseOwner, Remember, SetFaces, Undo
from rapbot.config import EncryptionSettings, Settings, StoreSettings
from rapbot.errors import ConfigError, Gone, StoreError
from rapbot.messages import Actor
from tests.concept_samples import DIMENSIONS, ENCODER, avatar, everything, key, lala, taught
from tests.postgres import PostgresServer


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresConceptStore]:
    async with PostgresConceptStore.open(postgres_url, ENCODER, patience=60) as opened:
        yield opened


# Whose rows they are

TABLES = {
    "concepts": "owner_no",
    "avatars": "owner_no",
    "keys": "owner_no",
    "journal": "owner_no",
    "visits": "owner_no",
    "photos": "(SELECT owner_no FROM avatars WHERE id = avatar_id)",
    "faces": "(SELECT owner_no FROM avatars WHERE id = avatar_id)",
}


async def two_people(store: PostgresConceptStore) -> dict[str, int]:
    """Everything that a person can have, for two; their numbers."""
    for number, person in enumerate(("ann", "ben")):
        concept = await taught(store, lala(), person)
        await store.write(person, SetFaces(concept.id, ((concept.avatars[0].id, key(number, 8)),)))
        await store.write(person, Edit(concept.id, info="edited"))
        await store.visits.seen(person, "de", 1.0)
    return {str(person): int(number) for number, person in await store.fetch("SELECT no, id FROM owners")}


async def limited(store: PostgresConceptStore, owner: object, work: Callable[[PostgresStatements], Any]) -> Any:
    """`work` in a transaction in which the session names this owner."""

    async def named(db: PostgresStatements) -> Any:
        await db.execute("SELECT set_config('rapbot.owner', ?, true)", (str(owner),))
        return await work(db)

    return await store.database.run(named)


@pytest.mark.parametrize("table", TABLES)
async def test_who_names_one_owner_sees_and_changes_no_row_of_another(store: PostgresConceptStore, table: str) -> None:
    numbers = await two_people(store)

    async def seen(db: PostgresStatements) -> set[int]:
        return {row[0] for row in await db.fetch(f"SELECT {TABLES[table]} FROM {table}")}

    async def all_gone(db: PostgresStatements) -> int:
        return await db.execute(f"DELETE FROM {table}")

    assert await limited(store, "*", seen) == set(numbers.values())
    for owner in ("", "0"):  # nobody is named, or nobody whom there is
        assert await limited(store, owner, seen) == set()
    assert await limited(store, numbers["ann"], seen) == {numbers["ann"]}
    assert await limited(store, numbers["ann"], all_gone) == 1
    assert await limited(store, "*", seen) == {numbers["ben"]}


async def test_who_names_one_owner_can_give_no_row_to_another(store: PostgresConceptStore) -> None:
    numbers = await two_people(store)

    async def give(db: PostgresStatements) -> int:
        return await db.execute("UPDATE concepts SET owner_no = ?", (numbers["ben"],))

    with pytest.raises(StoreError, match="may not do that"):
        await limited(store, numbers["ann"], give)


async def test_a_change_is_closed_in_even_where_a_statement_names_no_owner(
    store: PostgresConceptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a programming mistake had dropped every WHERE of one person's transaction."""
    await two_people(store)
    seen: list[Any] = []
    fetch = PostgresStatements.fetch

    async def spied(self: PostgresStatements, statement: str, parameters: Any = ()) -> Any:
        rows = await fetch(self, statement, parameters)
        if statement.startswith("INSERT INTO avatars"):
            seen.extend(await fetch(self, "SELECT DISTINCT owner_no FROM concepts"))
        return rows

    monkeypatch.setattr(PostgresStatements, "fetch", spied)
    await taught(store, lala("Bo", 5), "ben")
    assert len(seen) == 1


async def test_a_connection_that_says_nothing_sees_no_rows(store: PostgresConceptStore, postgres_url: str) -> None:
    import asyncpg

    await two_people(store)
    stranger = await asyncpg.connect(postgres_url)
    try:
        assert [await stranger.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES] == [0] * len(TABLES)
    finally:
        await stranger.close()


async def test_a_superuser_for_whom_no_row_is_closed_is_warned(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    database = postgres_url.split("/")[3].partition("?")[0]
    for role, expected in (("rapbot", 0), ("postgres", 1)):
        with capture_logs() as logs:
            async with PostgresConceptStore.open(postgres_server.url(database, role), ENCODER):
                pass
        assert sum(entry["event"] == "postgres.isolation_off" for entry in logs) == expected


async def test_every_column_is_classified_as_in_the_file(store: PostgresConceptStore) -> None:
    rows = await store.fetch(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
    )
    there: dict[str, set[str]] = {}
    for table, column in rows:
        there.setdefault(table, set()).add(column)
    assert {table: there.get(table) for table in MEMORY} == {table: set(columns) for table, columns in MEMORY.items()}


# Many at once


async def test_many_writers_of_two_programs_lose_nothing_and_revisions_only_grow(
    store: PostgresConceptStore, postgres_url: str
) -> None:
    async with PostgresConceptStore.open(postgres_url, ENCODER) as other:
        changes = [(store, other)[n % 2].write(("ann", "ben")[n // 2 % 2], lala(f"Lala {n}", n)) for n in range(40)]
        revisions = [changed.revision for changed in await asyncio.gather(*changes)]
        assert len(set(revisions)) == 40
        for person in ("ann", "ben"):
            collection = await everything(other, person)
            assert len(collection.concepts) == len(collection.keys.rows) == 20
            assert collection.revision == max(
                revision for n, revision in enumerate(revisions) if ("ann", "ben")[n // 2 % 2] == person
            )


async def test_people_do_not_wait_for_each_other(store: PostgresConceptStore) -> None:
    await taught(store, lala(), "ann")

    async def change_both(db: PostgresStatements) -> None:
        await db.execute("UPDATE owners SET revision = revision WHERE id = 'ann'")
        await asyncio.wait_for(store.write("ben", lala()), 30)  # Ann's transaction is open meanwhile

    await store.database.run(change_both)


async def test_linking_waits_for_what_is_being_taught_and_takes_it_along(store: PostgresConceptStore) -> None:
    await taught(store, lala("Ann's"), "ann")
    await store.places.offer_link("ann", b"code", 1e12)

    async def teach_and_link(number: int) -> None:
        if number == 5:
            await store.places.link("ben", b"code", 0.0)
        else:
            await store.write("ben", lala(f"Ben's {number}", number))

    await asyncio.gather(*map(teach_and_link, range(10)))
    anns = await everything(store, "ann")
    assert len(anns.concepts) == 10
    assert (await everything(store, "ben")).cards == anns.cards


async def test_sharing_what_is_just_being_forgotten_says_that_it_is_gone(store: PostgresConceptStore) -> None:
    concept = await taught(store, lala())
    shared = SharedConcept(concept.id, "me", "Ann")
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    async def forget_meanwhile(db: PostgresStatements) -> asyncio.Task[None]:
        await db.execute("DELETE FROM concepts")
        sharing = asyncio.create_task(store.places.share("telegram:-1", shared))
        while not await store.fetch(waiting):  # noqa: ASYNC110 - only the server knows
            await asyncio.sleep(0.01)
        return sharing

    sharing = await store.database.run(forget_meanwhile)
    with pytest.raises(Gone):
        await sharing
    assert await store.places.shares("telegram:-1") == ()


async def test_a_cancelled_change_is_whole_or_absent(store: PostgresConceptStore) -> None:
    for number in range(12):
        task = asyncio.ensure_future(store.write("me", lala(f"Lala {number}", number)))
        await asyncio.sleep(number * 0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await store.write("me", lala("last", 99))
    collection = await everything(store)
    assert collection.concepts[-1].name == "last"
    assert len(collection.keys.rows) == len(collection.concepts)


# The server


async def test_a_server_that_was_killed_comes_back_with_all_that_was_acknowledged(
    store: PostgresConceptStore, postgres_server: PostgresServer
) -> None:
    names = [f"Lala {number}" for number in range(6)]
    for name in names[:3]:
        await store.write("me", lala(name))
    known = await everything(store)
    postgres_server.crash()
    later = [asyncio.ensure_future(store.write("me", lala(name))) for name in names[3:]]
    looked = asyncio.ensure_future(store.photo("me", known.keys.rows[0].avatar_id))
    await asyncio.to_thread(postgres_server.start)
    await asyncio.gather(*later, looked)
    assert sorted(concept.name for concept in (await everything(store)).concepts) == names


async def test_without_the_server_each_request_gets_one_sentence(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    async with PostgresConceptStore.open(postgres_url, ENCODER, patience=0.1) as store:
        concept = await taught(store, lala())
        postgres_server.crash()
        for request in (store.read("me"), store.write("me", Undo()), store.photo("me", concept.avatars[0].id)):
            with pytest.raises(StoreError, match=r"cannot be reached\. Nothing was changed"):
                await request
        postgres_server.start()
        assert (await everything(store)).concepts == (concept,)


# Searching


async def test_the_database_finds_what_the_index_in_memory_finds(store: PostgresConceptStore) -> None:
    dice = np.random.default_rng(5)
    for number in range(12):
        concept = await taught(store, lala(f"Lala {number}", number), "ann")
        await store.write("ann", AddAvatar(concept.id, avatar(100 + number)))
    await taught(store, Remember("Near", "dog", "", avatar(3)), "ben")  # the very key of one of Ann's
    visible = (await IndexCache(store).get("ann")).visible
    for question in (key(3), *(key(int(seed)) for seed in dice.integers(1000, 9999, 20))):
        distances, ids = ConceptIndex.from_bytes(visible.index).search(question[np.newaxis], 5)
        found = await store.nearest("ann", question, 5)
        assert [avatar_id for avatar_id, _ in found] == ids[0].tolist()
        # The database adds up the differences in single precision, FAISS works with products.
        assert [distance for _, distance in found] == pytest.approx(distances[0].tolist(), abs=1e-3)
    assert await store.nearest("nobody", key(3), 5) == []
    assert await store.nearest("ann", key(3, 2 * DIMENSIONS), 5) == []
    assert await store.nearest("ann", key(3), 5, "another encoder") == []


async def test_keys_of_several_lengths_live_side_by_side(postgres_url: str) -> None:
    async with PostgresConceptStore.open(postgres_url, ENCODER) as store:
        both = replace(avatar(1), other_keys=(("long", key(2, 1281)),))
        await taught(store, Remember("Lala", "dog", "", avatar(0)))
        async with PostgresConceptStore.open(postgres_url, "long") as other:
            await other.write("me", Remember("Bo", "dog", "", replace(avatar(3), key=key(3, 1281), encoder="long")))
        store.serve_also("long")
        await store.write("me", Remember("Cy", "dog", "", both))
        tables = (await everything(store)).tables
    assert [(table.encoder, table.keys.shape) for table in tables] == [(ENCODER, (2, 16)), ("long", (2, 1281))]
    np.testing.assert_allclose(tables[1].keys, np.stack([key(3, 1281), key(2, 1281)]), atol=1e-6)


# Encryption


@pytest.fixture
def seal(tmp_path: Path) -> Seal:
    new_key(tmp_path / "key")
    return seal_of((tmp_path / "key").read_text().strip())


async def test_encrypted_nothing_can_be_read_in_the_database_and_all_works(postgres_url: str, seal: Seal) -> None:
    async with PostgresConceptStore.open(postgres_url, ENCODER, seal=seal) as store:
        concept = await taught(store, Remember("Zyxmark", "Zyxkind", "Zyxinfo", avatar(1, b"Zyxphoto"), "Zyxtraits"))
        await store.write("me", SetFaces(concept.id, ((concept.avatars[0].id, key(1, 8)),)))
        await store.write("me", Edit(concept.id, info="Zyxlater"))
        dump = repr([await store.fetch(f"SELECT * FROM {table}") for table in MEMORY])
        assert "Zyx" not in dump
        assert repr(key(1).tobytes())[2:20] not in dump
        collection = await everything(store)
        assert collection.keys.keys.tobytes() == key(1).tobytes()
        assert collection.concepts[0].traits == "Zyxtraits"
        assert await store.photo("me", concept.avatars[0].id) == b"Zyxphoto"
        undone = (await store.write("me", Undo())).concept
        assert undone is not None
        assert undone.info == "Zyxinfo"
        with pytest.raises(StoreError, match="cannot search"):
            await store.nearest("me", key(1), 1)


async def test_a_key_that_does_not_fit_is_told_and_nothing_changed(
    postgres_url: str, seal: Seal, tmp_path: Path
) -> None:
    async def opened(with_seal: Seal) -> None:
        async with PostgresConceptStore.open(postgres_url, ENCODER, seal=with_seal) as store:
            await store.write("me", lala("Lala"))
            await store.write("me", EraseOwner())
            await store.places.set_photo_mode("telegram:-1", "every")

    new_key(tmp_path / "other")
    await opened(PLAIN)
    with pytest.raises(StoreError, match=r"is not encrypted, but .* has a key.*migrate-store"):
        await opened(seal)
    await opened(PLAIN)


async def test_another_key_than_the_one_it_was_begun_with_is_refused(
    postgres_url: str, seal: Seal, tmp_path: Path
) -> None:
    new_key(tmp_path / "other")
    other = seal_of((tmp_path / "other").read_text().strip())
    async with PostgresConceptStore.open(postgres_url, ENCODER, seal=seal):
        pass
    for wrong, says in ((other, f"has the key {other.key_id}"), (PLAIN, "has none")):
        with pytest.raises(StoreError, match=f"encrypted with the key {seal.key_id}.*{says}"):
            async with PostgresConceptStore.open(postgres_url, ENCODER, seal=wrong):
                pass


# The program


async def test_the_program_keeps_its_memory_where_the_configuration_says(postgres_url: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", store=StoreSettings(url=postgres_url))
    async with running(settings, models=False) as app:
        await taught(app.store, lala(), "me")
        assert [concept.name for concept in await app.assistant.memory.concepts(Actor("me"))] == ["Lala"]
    assert not settings.database.exists()
    async with running(settings, models=False) as app:
        assert len((await everything(app.store)).concepts) == 1


@pytest.mark.parametrize(
    "url", ["postgresql://me:secret@host/db", "postgres://host/db?password=secret", "mysql://me:secret@host/db"]
)
def test_an_address_with_a_password_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError, match=r"store\.url") as caught:
        StoreSettings(url=url).address()
    assert "secret" not in caught.value.sentence


def test_the_password_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("correct horse\n")
    file.chmod(0o600)
    assert StoreSettings(url="postgresql://host/db", password_file=file).secret() == "correct horse"
    assert "correct horse" not in repr(Settings(store=StoreSettings.model_validate({"password": "correct horse"})))
    assert EncryptionSettings().secret() == ""
