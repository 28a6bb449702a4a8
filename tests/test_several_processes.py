"""Two processes on one PostgreSQL database: what is set, linked, shared or forgotten in one holds in the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest_asyncio

from rapbot.app import App, inbox_of, running
from rapbot.config import Settings, StoreSettings
from rapbot.conversation import Draft
from rapbot.groups import PhotoMode
from rapbot.inference.job import Turn
from rapbot.messages import Actor, Chat, ChatKind
from tests.concept_samples import lala

ANN, ANN_ELSEWHERE, BEN = Actor("telegram:1", "Ann"), Actor("discord:2", "Ann"), Actor("telegram:3", "Ben")
GROUP = Chat("telegram:-100", ChatKind.GROUP)


@asynccontextmanager
async def process(url: str, folder: Path) -> AsyncIterator[App]:
    settings = Settings(data_dir=folder, store=StoreSettings(url=url))
    async with running(settings, models=False) as app, inbox_of(settings, app):
        yield app


@pytest_asyncio.fixture
async def two(postgres_url: str, tmp_path: Path) -> AsyncIterator[tuple[App, App]]:
    async with process(postgres_url, tmp_path / "a") as one, process(postgres_url, tmp_path / "b") as other:
        yield one, other


async def soon(check: Callable[[], bool]) -> None:
    """Well within a second where the machine does nothing else (`python -m benchmarks.inbox_speed --postgres`)."""
    async with asyncio.timeout(30):
        while not check():  # noqa: ASYNC110 - another task changes it
            await asyncio.sleep(0.01)


async def test_settings_of_a_group_hold_at_once(two: tuple[App, App]) -> None:
    one, other = two
    assert await other.assistant.groups.mode(GROUP) is PhotoMode.ADDRESSED
    await one.assistant.groups.set_mode(GROUP, PhotoMode.EVERY)
    assert await other.assistant.groups.mode(GROUP) is PhotoMode.EVERY


async def test_linked_accounts_share_one_memory_at_once(two: tuple[App, App]) -> None:
    one, other = two
    await one.store.write(ANN.id, lala())
    assert await other.assistant.memory.concepts(ANN_ELSEWHERE) == ()
    offer = await one.assistant.accounts.offer(ANN, Chat(ANN.id))
    code = next(word for word in offer.text.split() if word.count("-") == 1 and word.isupper())
    await other.assistant.accounts.link(ANN_ELSEWHERE, Chat(ANN_ELSEWHERE.id), code)
    for app in two:
        assert [concept.name for concept in await app.assistant.memory.concepts(ANN_ELSEWHERE)] == ["Lala"]
    await one.assistant.accounts.unlink(ANN)
    assert await other.assistant.memory.concepts(ANN_ELSEWHERE) == ()


async def test_what_is_shared_with_a_group_is_seen_and_gone_at_once(two: tuple[App, App]) -> None:
    one, other = two
    await one.store.write(ANN.id, lala())
    await one.assistant.share(ANN, GROUP, "Lala")
    assert await other.assistant.groups.sharers(GROUP) == (ANN.id,)
    await other.assistant.groups.leave(ANN.id, GROUP)
    assert await one.assistant.groups.sharers(GROUP) == ()


async def test_what_is_forgotten_leaves_the_memory_of_the_others_within_a_second(two: tuple[App, App]) -> None:
    one, other = two
    concept = (await one.store.write(ANN.id, lala())).concept
    assert concept is not None
    assert await other.assistant.memory.concepts(ANN)
    spoken = other.conversations.context(GROUP.id, BEN.id)
    spoken.subjects, spoken.turns = (concept.id,), (Turn("Who is that?", "That is Lala."),)
    await one.assistant.teaching.forget(ANN, "Lala")
    await soon(lambda: not spoken.turns and not spoken.subjects)
    assert await other.assistant.memory.concepts(ANN) == ()


async def test_who_deletes_everything_is_forgotten_by_all_within_a_second(two: tuple[App, App]) -> None:
    one, other = two
    await one.store.write(ANN.id, lala())
    other.conversations.context(ANN.id, ANN.id).draft = Draft("Rex")
    await one.assistant.erase(ANN)
    await soon(lambda: other.conversations.context(ANN.id, ANN.id).draft is None)
    assert await other.assistant.memory.concepts(ANN) == ()
