"""The inbox of several processes: a chat is one process's at a time, nothing is lost, nothing is handed out twice."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from adapters.intake import Intake, Replaying
from rapbot import watching
from rapbot.concepts import postgres_inbox_presence
from rapbot.concepts.kept import SHARED_INBOX
from rapbot.concepts.postgres_connection import PostgresDatabase
from rapbot.concepts.postgres_inbox import PostgresInbox
from rapbot.concepts.postgres_inbox_rows import Shards
from rapbot.inbox import Arrived, Kept
from tests.postgres import PostgresServer

PLATFORM = "telegram:7"
SLOW = 90.0
"""Seconds, on a machine that does other things too."""


def update(number: int, chat: str = "", person: str = "1", platform: str = PLATFORM, **more: object) -> Arrived:
    told = {"key": str(number), "question": f"q{number}", "person": person, "place": chat or person, **more}
    return Arrived(platform=platform, update=f'{{"n": {number}}}', expires_at=2e9, **told)  # type: ignore[arg-type]


@asynccontextmanager
async def process(url: str, shards: Shards | None = None, platform: str = PLATFORM) -> AsyncIterator[PostgresInbox]:
    """As one process of the bot; it has asked for what waits."""
    async with PostgresDatabase.open(url) as database, PostgresInbox.open(database, shards=shards) as inbox:
        inbox.left = await inbox.waiting(platform)  # type: ignore[attr-defined]
        yield inbox


async def handed(inbox: PostgresInbox, count: int, platform: str = PLATFORM) -> list[Kept]:
    got: list[Kept] = []
    async with asyncio.timeout(SLOW):
        while len(got) < count:
            got += await inbox.more(platform)
    return got


def keys(kept: list[Kept]) -> list[int]:
    return [int(one.key) for one in kept]


async def test_whoever_receives_it_a_chat_is_answered_by_one_process_in_order(postgres_url: str) -> None:
    async with process(postgres_url) as one, process(postgres_url) as two:
        await one.accept([update(1, "a")])
        await two.accept([update(2, "a"), update(3, "b")])
        await one.accept([update(4, "a"), update(5, "b")])
        assert keys(await handed(one, 3)) == [1, 2, 4]
        assert keys(await handed(two, 2)) == [3, 5]
        assert all(not kept.begun for kept in await handed_after(one, two))


async def test_a_message_has_one_number_whichever_process_answers_it(postgres_url: str) -> None:
    """So the lines of both logs can be put together, and its traces too."""
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def answer(_kept: Kept, _again: bool) -> None:
        heard.put_nowait(watching.number())

    async def nothing(_kept: Kept, _words: str) -> None:
        return None

    async with (
        PostgresDatabase.open(postgres_url) as one,
        PostgresDatabase.open(postgres_url) as two,
        PostgresInbox.open(one) as receiving,
        PostgresInbox.open(two) as answering,
    ):
        await answering.waiting(PLATFORM)
        await answering.accept([update(1, "a")])  # so the chat is its own
        intake = Intake(PLATFORM, answering, SLOW)
        await intake.replay(Replaying(answer, lambda _question, _note: None, nothing))
        await receiving.waiting(PLATFORM)
        await receiving.accept([update(2, "a")])
        try:
            async with asyncio.timeout(SLOW):
                numbers = [await heard.get() for _ in range(2)]
        finally:
            await intake.close()
    assert numbers == [update(number, "a").digest.hex() for number in (1, 2)]


async def handed_after(one: PostgresInbox, two: PostgresInbox) -> list[Kept]:
    await two.accept([update(6, "a")])
    return await handed(one, 1)


async def test_a_chat_stays_where_its_conversation_is_also_when_it_rests(postgres_url: str) -> None:
    async with process(postgres_url) as one, process(postgres_url) as two:
        for number in range(1, 6):
            await (two if number % 2 else one).accept([update(number, "a")])
            [kept] = await handed(two, 1)
            assert int(kept.key) == number
            assert await two.sharing.holds(kept)
            await two.done(kept)
            assert not await two.sharing.holds(kept)


async def test_who_leaves_gives_away_what_rests_at_once_and_the_rest_when_it_is_done(postgres_url: str) -> None:
    async with process(postgres_url) as one, process(postgres_url) as two:
        await one.accept([update(1, "rests"), update(2, "busy")])
        resting, busy = await handed(one, 2)
        await one.done(resting)
        await one.sharing.leave(PLATFORM)
        await one.accept([update(3, "rests"), update(4, "new"), update(5, "busy")])
        assert keys(await handed(two, 2)) == [3, 4]
        [late] = await handed(one, 1)  # what is under way there may belong to it
        assert int(late.key) == 5
        await one.done(late)
        await one.done(busy)
        await one.accept([update(6, "busy")])
        [kept] = await handed(two, 1)
        assert (int(kept.key), kept.begun) == (6, False)


async def test_what_is_unfinished_at_the_end_is_taken_over_as_begun(postgres_url: str) -> None:
    async with process(postgres_url) as two:
        async with process(postgres_url) as one:
            await one.accept([update(1, "a"), update(2, "a")])
            await handed(one, 2)
            await one.note(update(1, "a"), '{"sent": 1}')
        taken = await handed(two, 2)
        assert [(int(kept.key), kept.begun, kept.attempts, kept.answer) for kept in taken] == [
            (1, True, 1, '{"sent": 1}'),
            (2, True, 1, ""),
        ]


async def test_a_process_whose_connections_end_is_missed_soon(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_inbox_presence, "MISSED_S", 0.3)
    monkeypatch.setattr(postgres_inbox_presence, "_TICK_S", 0.1)
    async with process(postgres_url) as one, process(postgres_url) as two:
        await one.accept([update(1, "a")])
        [kept] = await handed(one, 1)
        open_again = cut_off(one, monkeypatch)
        [taken] = await handed(two, 1)
        assert (taken.key, taken.begun) == (kept.key, True)
        await two.done(taken)
        open_again.set()
        assert not await one.sharing.holds(kept), "it finds out before it says anything"
        await one.accept([update(2, "b")])
        assert keys(await handed(one, 1)) == [2]


def cut_off(inbox: PostgresInbox, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Its connection is gone, and it finds no way back until the event is set."""
    presence, open_again = inbox._presence, asyncio.Event()
    assert presence is not None
    connect = presence._database.own_connection

    async def later() -> object:
        await open_again.wait()
        return await connect()

    monkeypatch.setattr(presence._database, "own_connection", later)
    presence._connection.terminate()
    return open_again


async def test_a_connection_that_breaks_and_comes_back_costs_nothing(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_inbox_presence, "_TICK_S", 0.1)
    async with process(postgres_url) as one, process(postgres_url) as two:
        await one.accept([update(1, "a")])
        [kept] = await handed(one, 1)
        missed = asyncio.Event()
        one.on_missed = missed.set
        one._presence._connection.terminate()  # type: ignore[union-attr]
        await asyncio.wait_for(missed.wait(), SLOW)
        assert await one.sharing.holds(kept)
        await two.accept([update(2, "a")])
        assert keys(await handed(one, 1)) == [2]


async def test_a_restart_of_the_database_takes_nothing_from_anybody(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    async with process(postgres_url) as one, process(postgres_url) as two:
        await one.accept([update(1, "a"), update(2, "b")])
        first, second = await handed(one, 2)
        missed = [asyncio.Event(), asyncio.Event()]
        one.on_missed, two.on_missed = missed[0].set, missed[1].set
        postgres_server.crash()
        done = asyncio.create_task(one.done(first))  # waits for the server
        postgres_server.start()
        async with asyncio.timeout(SLOW):
            await asyncio.gather(done, *(event.wait() for event in missed))
        await two.accept([update(3, "b"), update(1, "a")])
        assert await one.sharing.holds(second)
        assert keys(await handed(one, 1)) == [3]
        assert [row["key"] for row in await one.about(["telegram:1"])] == ["2", "3"]


async def test_a_process_that_hangs_loses_what_it_was_at_and_finds_that_out(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in {"LEASE_S": 2.0, "MISSED_S": 0.3, "_TICK_S": 0.1, "_PATIENCE_S": 5.0}.items():
        monkeypatch.setattr(postgres_inbox_presence, name, seconds)
    async with process(postgres_url) as one, process(postgres_url) as two:
        await one.accept([update(1, "a")])
        [kept] = await handed(one, 1)
        monkeypatch.setattr(one._presence, "_tick", asyncio.Event().wait)  # its connection stays
        [taken] = await handed(two, 1)
        assert (taken.key, taken.begun) == (kept.key, True)
        assert not await one.sharing.holds(kept)
        await one.done(kept)
        assert await two.sharing.holds(taken)


async def test_every_column_is_classified(postgres_url: str) -> None:
    async with process(postgres_url) as inbox:
        rows = await inbox._database.fetch(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND (table_name = 'answered' OR table_name LIKE 'inbox%')"
        )
    assert {(table, column) for table, column in rows} == {
        (table, column) for table, columns in SHARED_INBOX.items() for column in columns
    }


async def test_one_process_leads_until_it_ends(postgres_url: str) -> None:
    async with process(postgres_url) as two:
        async with process(postgres_url) as one:
            assert await one.leads("sweeping")
            assert await one.leads("sweeping")
            assert not await two.leads("sweeping")
        assert await two.leads("sweeping")


async def test_the_others_hear_what_one_tells(postgres_url: str) -> None:
    async with process(postgres_url) as one, process(postgres_url) as two:
        heard: asyncio.Queue[tuple[str, object]] = asyncio.Queue()
        one.on_told = lambda what: heard.put_nowait(("one", what))
        two.on_told = lambda what: heard.put_nowait(("two", what))
        await one.tell(["forget", 5, None])
        await two.tell(["erase", "telegram:1"])
        assert await asyncio.wait_for(heard.get(), SLOW) == ("two", ["forget", 5, None])
        assert await asyncio.wait_for(heard.get(), SLOW) == ("one", ["erase", "telegram:1"])


async def test_an_update_of_a_server_waits_for_a_process_with_its_shard(postgres_url: str) -> None:
    platform = "discord:7"
    servers = {shard: (8 + shard) << 22 for shard in range(2)}  # (id >> 22) % 2 is the shard
    async with process(postgres_url, Shards(2, (0,)), platform) as first:
        told = [
            update(1 + shard, f"server {shard}", platform=platform, server=server) for shard, server in servers.items()
        ]
        await first.accept([*told, update(3, "dm", platform=platform, server=0)])
        await handed(first, 3, platform)
    async with process(postgres_url, Shards(2, (1,)), platform) as second:
        assert keys(second.left) == [2]  # type: ignore[attr-defined]
    async with process(postgres_url, Shards(2, (0,)), platform) as first:
        assert keys(first.left) == [1, 3]  # type: ignore[attr-defined]


async def test_what_is_left_is_shared_out(postgres_url: str) -> None:
    async with process(postgres_url) as one:
        await one.accept([update(number, f"chat {number}") for number in range(200)])
    async with AsyncExitStack() as open_:
        three = [await open_.enter_async_context(process(postgres_url)) for _n in range(3)]
        parts = [[*inbox.left] for inbox in three]  # type: ignore[attr-defined]

        async def collect(inbox: PostgresInbox, part: list[Kept]) -> None:
            while True:
                part += await inbox.more(PLATFORM)

        tasks = [asyncio.create_task(collect(*both)) for both in zip(three, parts, strict=True)]
        async with asyncio.timeout(SLOW):
            while sum(map(len, parts)) < 200:  # noqa: ASYNC110 - the tasks fill it
                await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        assert sorted(key for part in parts for key in keys(part)) == list(range(200))


@pytest.mark.parametrize("seed", range(2))
async def test_nothing_is_lost_or_handed_out_twice_while_processes_come_and_go(postgres_url: str, seed: int) -> None:
    """Everything is delivered twice, to different processes at once; they leave and come at random."""
    chance = random.Random(seed)
    answered: dict[str, list[int]] = defaultdict(list)
    begun_twice = 0

    async with AsyncExitStack() as all_:
        living: list[tuple[PostgresInbox, AsyncExitStack]] = []

        async def answer(inbox: PostgresInbox) -> None:
            nonlocal begun_twice
            while True:
                for kept in await inbox.more(PLATFORM):
                    begun_twice += kept.begun
                    if await inbox.holds(kept):
                        answered[kept.question].append(int(kept.key))
                        await inbox.done(kept)

        async def start() -> None:
            own = await all_.enter_async_context(AsyncExitStack())
            inbox = await own.enter_async_context(process(postgres_url))
            task = asyncio.create_task(answer(inbox))

            async def leave() -> None:
                await inbox.leave(PLATFORM)
                while inbox._mine:  # noqa: ASYNC110 - as `Intake.drain`
                    await asyncio.sleep(0.002)
                task.cancel()
                await asyncio.wait([task])

            own.push_async_callback(leave)
            living.append((inbox, own))

        async def deliver(number: int) -> None:
            one = update(number, f"chat {number % 7}", question=f"chat {number % 7}")
            takers = chance.sample(living, 2)
            for fate in await asyncio.gather(*(inbox.accept([one]) for inbox, _own in takers)):
                news[number] += fate[0]

        news: dict[int, int] = defaultdict(int)
        for _n in range(3):
            await start()
        for number in range(60):
            await deliver(number)
            if number % 20 == 19:
                _inbox, own = living.pop(chance.randrange(3))
                await asyncio.gather(own.aclose(), start())
        async with asyncio.timeout(SLOW):
            while sum(map(len, answered.values())) < 60:  # noqa: ASYNC110 - the tasks fill it
                await asyncio.sleep(0.01)
    assert set(news.values()) == {1}
    assert begun_twice == 0
    for chat, numbers in answered.items():
        assert numbers == sorted(numbers), chat
