"""What every inbox promises, in SQLite and in PostgreSQL alike: kept, recognised, noted, done, told and forgotten."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rapbot.concepts.postgres_connection import PostgresDatabase
from rapbot.concepts.postgres_inbox import PostgresInbox
from rapbot.concepts.sealing import PLAIN, Seal, seal_of
from rapbot.concepts.sqlite_inbox import SqliteInbox
from rapbot.inbox import Arrived, Inbox

Open = Callable[..., AbstractAsyncContextManager[Inbox]]
"""A run of the program on the same inbox as before."""


@pytest.fixture(params=["sqlite", "postgres"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "sqlite":
        return lambda seal=PLAIN: SqliteInbox.open(tmp_path / "inbox.sqlite3", seal=seal)
    url = request.getfixturevalue("postgres_url")

    @asynccontextmanager
    async def postgres(seal: Seal = PLAIN) -> AsyncIterator[Inbox]:
        async with PostgresDatabase.open(url) as database, PostgresInbox.open(database, seal=seal) as inbox:
            yield inbox

    return postgres


def update(number: int, question: str = "", person: str = "1", words: str = "", **more: Any) -> Arrived:
    told = {"key": str(number), "question": question or f"q{number}", "person": person, "expires_at": 2e9, **more}
    return Arrived(platform="telegram:7", update=json.dumps({"text": words}), **told)


async def left(inbox: Inbox) -> list[int]:
    return [int(kept.key) for kept in await inbox.waiting("telegram:7")]


async def test_the_next_run_finds_what_was_accepted_in_its_order(run: Open) -> None:
    async with run() as inbox:
        assert await inbox.accept([update(3, words="hello"), update(1), update(2, person="2")]) == [True] * 3
    async with run() as inbox:
        kept = await inbox.waiting("telegram:7")
        assert [int(one.key) for one in kept] == [3, 1, 2]
        assert all(one.begun for one in kept)
        first = update(3, words="hello")
        assert (kept[0].update, kept[0].question, kept[0].digest) == (first.update, first.question, first.digest)
        assert await inbox.waiting("telegram:8") == []
    async with run() as inbox:
        assert all(
            again.attempts > before.attempts
            for again, before in zip(await inbox.waiting("telegram:7"), kept, strict=True)
        )


async def test_a_redelivery_is_recognised_while_it_waits_and_when_it_is_answered(run: Open) -> None:
    async with run() as inbox:
        assert await inbox.accept([update(1), update(1)]) == [True, False]
        assert await left(inbox) in ([1], [])
        await inbox.done(update(1))
        assert await inbox.accept([update(1), update(2)]) == [False, True]
    async with run() as inbox:
        assert await inbox.accept([update(1)]) == [False]
        assert await left(inbox) == [2]


async def test_an_answer_is_noted_for_every_part_of_its_question(run: Open) -> None:
    async with run() as inbox:
        await inbox.accept([update(1, "album"), update(2, "album"), update(3)])
        await inbox.note(update(2, "album"), '{"sent": 7}')
    async with run() as inbox:
        assert [kept.answer for kept in await inbox.waiting("telegram:7")] == ['{"sent": 7}'] * 2 + [""]


async def test_with_one_part_of_an_album_all_of_it_is_answered(run: Open) -> None:
    album = [update(number, "album", work="album") for number in (1, 2)]
    async with run() as inbox:
        await inbox.accept([*album, update(3, "album")])
        await left(inbox)
        await inbox.done(album[1])
        await inbox.done(album[0])
    async with run() as inbox:
        assert await left(inbox) == [3]
        assert await inbox.accept(album) == [False, False]


async def test_what_waits_of_a_person_is_told_and_forgotten_but_for_what_asks_for_that(run: Open) -> None:
    async with run() as inbox:
        mine = [update(1, words="one"), update(2, words="two")]
        other = replace(update(3), platform="discord:7")  # the same number, but somebody else
        await inbox.accept([*mine, other, update(4, person="2")])
        rows = await inbox.about(["telegram:1"])
        assert [json.loads(row["content"])["text"] for row in rows] == ["one", "two"]
        assert [row["key"] for row in rows] == ["1", "2"]
        assert await inbox.about(["telegram:3"]) == []
        await inbox.forget(["telegram:1"], mine[1])
        assert [row["key"] for row in await inbox.about(["telegram:1"])] == ["2"]
        assert await inbox.accept([mine[0]]) == [False]
    async with run() as inbox:
        assert await left(inbox) == [2, 4]
        assert len(await inbox.waiting("discord:7")) == 1


async def test_with_a_key_what_waits_is_closed_and_can_be_read(run: Open) -> None:
    seal = seal_of("a" * 43 + "=")
    async with run(seal) as inbox:
        await inbox.accept([update(1, words="xyzzy")])
        await inbox.note(update(1), '{"sent": "plugh"}')
        [row] = await inbox.about(["telegram:1"])
        assert "xyzzy" in row["content"]
        assert "plugh" in row["answer"]
    async with run(seal) as inbox:
        [kept] = await inbox.waiting("telegram:7")
        assert "xyzzy" in kept.update
        assert "plugh" in kept.answer
