"""The connections to PostgreSQL: they outlive the server, no error tells too much, and one process migrates."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

from rapbot.concepts import postgres_migrations
from rapbot.concepts.postgres_connection import PostgresDatabase
from rapbot.concepts.postgres_errors import Unreachable
from rapbot.concepts.postgres_statements import PostgresStatements, numbered
from rapbot.errors import StoreError
from tests.concept_samples import key
from tests.postgres import LOCKED, PASSWORD, PostgresServer


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    async with PostgresDatabase.open(postgres_url, patience=60) as opened:  # as long as a busy machine may take
        yield opened


async def counted(database: PostgresDatabase) -> int:
    ((count,),) = await database.fetch("SELECT count(*) FROM chats")
    return int(count)


def test_places_for_parameters_are_numbered_as_sqlite_numbers_them() -> None:
    assert numbered("a = ? AND b IN (?, ?)") == "a = $1 AND b IN ($2, $3)"
    assert numbered("a = ?2 AND b = ?1 AND c = ?") == "a = $2 AND b = $1 AND c = $2"


# All or nothing


async def test_a_transaction_is_whole_or_absent(database: PostgresDatabase) -> None:
    async with database.transaction() as db:
        assert await db.execute("INSERT INTO chats VALUES (?, ?)", ("a", "all")) == 1
        assert await counted(database) == 0

    async def fails(db: PostgresStatements) -> None:
        await db.execute("INSERT INTO chats VALUES (?, ?)", ("b", "all"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.run(fails)
    assert await counted(database) == 1


async def test_a_cancelled_transaction_is_whole_or_absent_and_the_pool_stays_full(postgres_url: str) -> None:
    async with PostgresDatabase.open(postgres_url, connections=1) as database:

        async def add(name: str) -> None:
            async with database.transaction() as db:
                for part in "ab":
                    await db.execute("INSERT INTO chats VALUES (?, ?)", (name + part, "all"))

        for number in range(12):
            task = asyncio.ensure_future(add(f"{number}"))
            await asyncio.sleep(number * 0.0005)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await counted(database) % 2 == 0
        await add("last")


async def test_who_is_alone_waits_for_the_others_and_they_for_it(database: PostgresDatabase) -> None:
    order: list[str] = []

    async def change(name: str, alone: bool, begun: asyncio.Event, go: asyncio.Event) -> None:
        async with database.transaction(alone=alone):
            order.append(name)
            begun.set()
            await go.wait()
            order.append(f"{name} ends")

    events = {name: (asyncio.Event(), asyncio.Event()) for name in ("first", "second", "alone")}
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(change("first", False, *events["first"]))
        tasks.create_task(change("second", False, *events["second"]))
        await events["first"][0].wait()
        await events["second"][0].wait()  # those who are not alone do not wait for each other
        tasks.create_task(change("alone", True, *events["alone"]))
        events["alone"][1].set()
        await _somebody_waits(database)
        events["second"][1].set()
        events["first"][1].set()
    assert order[-2:] == ["alone", "alone ends"]


async def _somebody_waits(database: PostgresDatabase) -> None:
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    while not await database.fetch(waiting):  # noqa: ASYNC110 - only the server knows
        await asyncio.sleep(0.01)


async def test_work_that_was_in_the_way_of_other_work_is_done_again(database: PostgresDatabase) -> None:
    async with database.transaction() as db:
        for name in "ab":
            await db.execute("INSERT INTO counters VALUES (?, 0)", (name,))
    first_locks = asyncio.Barrier(2)
    tries = 0

    async def add(first: str, second: str) -> None:
        async def work(db: PostgresStatements) -> None:
            nonlocal tries
            tries += 1
            await db.execute("UPDATE counters SET value = value + 1 WHERE name = ?", (first,))
            if tries <= 2:
                await first_locks.wait()
            await db.execute("UPDATE counters SET value = value + 1 WHERE name = ?", (second,))

        await database.run(work)

    await asyncio.gather(add("a", "b"), add("b", "a"))
    assert tries == 3  # the server stopped one of the two
    assert await database.fetch("SELECT value FROM counters WHERE name IN ('a', 'b')") == [(2,), (2,)]


# A server that goes away


async def test_a_server_that_was_killed_and_comes_back_is_not_noticed(
    database: PostgresDatabase, postgres_server: PostgresServer
) -> None:
    async def add(db: PostgresStatements) -> None:
        await db.execute("INSERT INTO chats VALUES (?, ?)", (f"{await counted(database)}", "all"))

    await database.run(add)
    postgres_server.crash()
    late = [asyncio.ensure_future(database.run(add)), asyncio.ensure_future(counted(database))]
    await asyncio.sleep(0)
    await asyncio.to_thread(postgres_server.start)
    await asyncio.gather(*late)
    assert await counted(database) == 2


async def test_a_transaction_in_which_the_server_dies_is_done_again_as_a_whole(
    database: PostgresDatabase, postgres_server: PostgresServer
) -> None:
    tries = 0

    async def add(db: PostgresStatements) -> None:
        nonlocal tries
        tries += 1
        await db.execute("INSERT INTO chats VALUES ('a', 'all')")
        if tries == 1:
            await asyncio.to_thread(postgres_server.crash)
            await asyncio.to_thread(postgres_server.start)
        await db.execute("INSERT INTO chats VALUES ('b', 'all')")

    await database.run(add)
    assert (tries, await counted(database)) == (2, 2)


class Losing:
    """A connection that is lost with the word COMMIT, or with the answer to it (`arrives`)."""

    def __init__(self, connection: Any, arrives: bool) -> None:
        self._connection, self._arrives = connection, arrives

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def execute(self, statement: str, *parameters: Any) -> Any:
        if statement != "COMMIT":
            return await self._connection.execute(statement, *parameters)
        if self._arrives:
            await self._connection.execute(statement)
        self._connection.terminate()
        raise ConnectionResetError


async def test_whether_a_commit_arrived_that_nobody_confirmed_is_asked_for(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = database._start

    async def insert(name: str, arrives: bool) -> None:
        async def losing(*arguments: Any) -> Any:
            return Losing(await start(*arguments), arrives)

        with monkeypatch.context() as patch:
            patch.setattr(database, "_start", losing)
            async with database.transaction() as db:
                await db.execute("INSERT INTO chats VALUES (?, 'all')", (name,))

    await insert("arrived", arrives=True)
    with pytest.raises(Unreachable, match="Nothing was changed"):
        await insert("lost", arrives=False)
    assert await database.fetch("SELECT id FROM chats") == [("arrived",)]


# What errors tell


@pytest.mark.parametrize("password", ["", "wrong guess"])
async def test_a_password_that_is_wrong_or_missing_gives_one_sentence(
    postgres_databases: Callable[..., Any], password: str
) -> None:
    url = await postgres_databases(owner=LOCKED)
    with pytest.raises(StoreError, match="does not let me in") as caught:
        async with PostgresDatabase.open(url, password, patience=0):
            pass
    _tells_nothing(caught.value, "wrong guess", "host=", "/tmp", LOCKED)


async def test_the_right_password_opens_the_database(postgres_databases: Callable[..., Any]) -> None:
    async with PostgresDatabase.open(await postgres_databases(empty=True, owner=LOCKED), PASSWORD) as database:
        assert await counted(database) == 0


async def test_no_server_and_no_database_give_one_sentence_without_the_address(postgres_url: str) -> None:
    cases = {
        "postgresql://me@127.0.0.1:9/secret": "cannot be reached",
        "postgresql://me@/secret?host=/no/such/secret": "cannot be reached",
        postgres_url.replace("/test", "/secret"): "no such database",
        "postgresql://[secret": "no address of PostgreSQL",
    }
    for url, sentence in cases.items():
        with pytest.raises(StoreError, match=sentence) as caught:
            async with PostgresDatabase.open(url, "secret word", patience=0):
                pass
        _tells_nothing(caught.value, "secret", "127.0.0.1")


async def test_an_error_of_a_statement_tells_no_value(database: PostgresDatabase) -> None:
    async def twice(db: PostgresStatements) -> None:
        for _ in range(2):
            await db.execute("INSERT INTO chats VALUES ('private words', 'all')")

    with pytest.raises(StoreError, match="UniqueViolationError") as caught:
        await database.run(twice)
    _tells_nothing(caught.value, "private words")


def _tells_nothing(error: StoreError, *secrets: str) -> None:
    told = error.sentence + str(error.__cause__)
    told += "".join(traceback.format_exception_only(error))
    assert not [secret for secret in secrets if secret in told]
    assert error.__cause__ is None


# Keys, and who may see which row


async def test_a_key_comes_back_bit_for_bit_and_is_a_vector_there(database: PostgresDatabase) -> None:
    stored = key(3, 1281).tobytes()
    ((back, dimensions, far),) = await database.fetch(
        "SELECT key, vector_dims(key), key <-> ? FROM (SELECT ?::vector) AS one (key)", (key(4, 1281).tobytes(), stored)
    )
    assert (back, dimensions) == (stored, 1281)
    assert far == pytest.approx(float(np.linalg.norm(key(3, 1281) - key(4, 1281))))


# Migrations


async def test_several_processes_that_start_together_make_the_tables_once(
    postgres_databases: Callable[..., Any],
) -> None:
    url = await postgres_databases(empty=True)

    async def start() -> int:
        async with PostgresDatabase.open(url) as database:
            return await counted(database)

    assert await asyncio.gather(*(start() for _ in range(6))) == [0] * 6
    async with PostgresDatabase.open(url) as database:
        done = [name for (name,) in await database.fetch("SELECT name FROM migrations ORDER BY name")]
    assert done == [step.__name__ for step in postgres_migrations.MIGRATIONS]


def test_steps_are_numbered_in_the_order_they_are_taken() -> None:
    numbers = [int(step.__name__[1:4]) for step in postgres_migrations.MIGRATIONS]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_step_that_fails_changes_nothing(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def m999_half(db: Any) -> None:
        await db.execute("CREATE TABLE half (id integer)")
        await db.execute("SELECT no_such_function()")

    with monkeypatch.context() as patch:
        patch.setattr(postgres_migrations, "MIGRATIONS", [*postgres_migrations.MIGRATIONS, m999_half])
        with pytest.raises(StoreError, match="UndefinedFunctionError"):
            async with PostgresDatabase.open(postgres_url):
                pass
    async with PostgresDatabase.open(postgres_url) as database:
        assert await database.fetch("SELECT to_regclass('half')") == [(None,)]


async def test_a_database_of_a_newer_program_is_refused(postgres_url: str) -> None:
    async with PostgresDatabase.open(postgres_url) as database, database.transaction() as db:
        await db.execute("INSERT INTO migrations (name) VALUES ('m777_later')")
    with pytest.raises(StoreError, match=r"written by a newer rapbot \(it has the step m777_later\)"):
        async with PostgresDatabase.open(postgres_url):
            pass


async def test_a_database_without_pgvector_says_what_a_superuser_has_to_do(
    postgres_databases: Callable[..., Any], postgres_server: PostgresServer
) -> None:
    url = await postgres_databases(empty=True)
    name = url.split("/")[3].partition("?")[0]
    await postgres_server.administer("DROP EXTENSION vector", database=name)
    with pytest.raises(StoreError, match="CREATE EXTENSION vector"):
        async with PostgresDatabase.open(url):
            pass
