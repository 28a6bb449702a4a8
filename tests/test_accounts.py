"""Accounts of one person: separate until linked with a one-time code, one memory then, separate again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio

from rapbot.app import App, running
from rapbot.concepts.concept import NewAvatar
from rapbot.concepts.kept import MEMORY
from rapbot.concepts.store import Remember
from rapbot.config import Settings, StoreSettings
from rapbot.errors import ConceptError, Gone
from rapbot.inbox import Arrived, Handling, Inbox, handled
from rapbot.inference.profiles import encoder_name
from rapbot.messages import WHOLE, Actor, Chat, ChatKind
from tests.concept_samples import key

TELEGRAM, DISCORD, STRANGER = Actor("telegram:1", "Ann"), Actor("discord:2", "Ann"), Actor("discord:3", "Eve")
PRIVATE = Chat("somewhere")


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else ""
    return Settings(data_dir=tmp_path, store=StoreSettings(url=url))


@pytest_asyncio.fixture
async def app(settings: Settings) -> AsyncIterator[App]:
    async with running(settings, models=False) as started:
        yield started


async def teach(app: App, actor: Actor, name: str) -> int:
    picture = NewAvatar(b"\xff\xd8 " + name.encode(), key(len(name), 64), encoder_name("pocket"), WHOLE)
    changed = await app.store.write(actor.id, Remember(name, "dog", f"{name} is a dog.", picture))
    assert changed.concept is not None
    return changed.concept.avatars[0].id


async def names(app: App, actor: Actor) -> list[str]:
    return sorted(concept.name for concept in await app.assistant.memory.concepts(actor))


async def code(app: App, actor: Actor) -> str:
    found = re.search(r"/link (\S+)", (await app.assistant.accounts.offer(actor, PRIVATE)).text)
    assert found is not None
    return found[1]


async def test_separate_until_linked_then_one_memory(app: App) -> None:
    photo = await teach(app, TELEGRAM, "Lala")
    await teach(app, DISCORD, "Bo")
    assert await names(app, TELEGRAM) == ["Lala"]
    assert await names(app, DISCORD) == ["Bo"]
    reply = await app.assistant.accounts.link(DISCORD, PRIVATE, (await code(app, TELEGRAM)).lower())
    assert "Telegram" in reply.text
    assert await names(app, TELEGRAM) == await names(app, DISCORD) == ["Bo", "Lala"]
    assert await app.assistant.memory.picture(DISCORD, photo) == b"\xff\xd8 Lala"
    await teach(app, DISCORD, "Cleo")
    await app.assistant.teaching.edit(DISCORD, "Lala", info="She loves tuna.")
    assert (await app.assistant.memory.concept(TELEGRAM, "Lala")).info == "She loves tuna."
    index = (await app.assistant.memory.index(DISCORD)).visible
    assert len(index.rows) == 3
    assert len(index.index) > 3 * 64 * 4


@pytest.mark.parametrize("who", [TELEGRAM, DISCORD])
async def test_unlinked_each_keeps_what_it_taught(app: App, who: Actor) -> None:
    await teach(app, TELEGRAM, "Lala")
    photo = await teach(app, DISCORD, "Bo")
    await app.assistant.accounts.link(DISCORD, PRIVATE, await code(app, TELEGRAM))
    await teach(app, DISCORD, "Cleo")
    await teach(app, TELEGRAM, "Dora")
    await app.assistant.accounts.unlink(who)
    assert await names(app, TELEGRAM) == ["Dora", "Lala"]
    assert await names(app, DISCORD) == ["Bo", "Cleo"]
    with pytest.raises(Gone):
        await app.assistant.memory.picture(TELEGRAM, photo)
    with pytest.raises(ConceptError):
        await app.assistant.accounts.unlink(who)


async def test_a_code_works_once_and_not_for_oneself(app: App) -> None:
    word = await code(app, TELEGRAM)
    with pytest.raises(ConceptError):
        await app.assistant.accounts.link(TELEGRAM, PRIVATE, word)
    await app.assistant.accounts.link(DISCORD, PRIVATE, word)
    with pytest.raises(ConceptError, match="don't know that code"):
        await app.assistant.accounts.link(STRANGER, PRIVATE, word)


async def test_a_newer_code_makes_the_older_one_void(app: App) -> None:
    old = await code(app, TELEGRAM)
    new = await code(app, TELEGRAM)
    with pytest.raises(ConceptError):
        await app.assistant.accounts.link(DISCORD, PRIVATE, old)
    await app.assistant.accounts.link(DISCORD, PRIVATE, new)


async def test_codes_cannot_be_guessed(app: App) -> None:
    word = await code(app, TELEGRAM)
    for _attempt in range(5):
        with pytest.raises(ConceptError, match="don't know that code"):
            await app.assistant.accounts.link(STRANGER, PRIVATE, "AAAA-AAAA")
    with pytest.raises(ConceptError, match="Too many"):
        await app.assistant.accounts.link(STRANGER, PRIVATE, word)


async def test_an_old_code_is_refused(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    word = await code(app, TELEGRAM)
    monkeypatch.setattr("rapbot.accounts.time.time", lambda: 10**12)
    with pytest.raises(ConceptError, match="don't know that code"):
        await app.assistant.accounts.link(DISCORD, PRIVATE, word)


async def test_codes_are_not_spoken_in_groups(app: App) -> None:
    group = Chat("group", ChatKind.GROUP)
    with pytest.raises(ConceptError, match="private"):
        await app.assistant.accounts.offer(TELEGRAM, group)
    with pytest.raises(ConceptError, match="private"):
        await app.assistant.accounts.link(DISCORD, group, await code(app, TELEGRAM))


async def test_the_same_name_in_both_memories_changes_nothing(app: App) -> None:
    await teach(app, TELEGRAM, "Lala")
    await teach(app, DISCORD, "lala")
    await teach(app, DISCORD, "Bo")
    with pytest.raises(ConceptError, match="Both of your accounts"):
        await app.assistant.accounts.link(DISCORD, PRIVATE, await code(app, TELEGRAM))
    assert await names(app, TELEGRAM) == ["Lala"]
    assert await names(app, DISCORD) == ["Bo", "lala"]


async def test_three_accounts(app: App) -> None:
    third = Actor("local:me")
    for actor, name in ((TELEGRAM, "Lala"), (DISCORD, "Bo"), (third, "Cleo")):
        await teach(app, actor, name)
    await app.assistant.accounts.link(DISCORD, PRIVATE, await code(app, TELEGRAM))
    await app.assistant.accounts.link(third, PRIVATE, await code(app, DISCORD))
    assert set(await app.assistant.accounts.all_of(TELEGRAM.id)) == {TELEGRAM.id, DISCORD.id, third.id}
    assert await names(app, third) == ["Bo", "Cleo", "Lala"]
    await app.assistant.accounts.unlink(DISCORD)
    assert await names(app, DISCORD) == ["Bo"]
    assert await names(app, third) == await names(app, TELEGRAM) == ["Cleo", "Lala"]


async def test_erasing_a_linked_person_erases_all_of_them(app: App) -> None:
    await teach(app, TELEGRAM, "Lala")
    await teach(app, DISCORD, "Bo")
    await teach(app, STRANGER, "Cleo")
    await app.assistant.accounts.link(DISCORD, PRIVATE, await code(app, TELEGRAM))
    await app.assistant.erase(DISCORD)
    assert await names(app, TELEGRAM) == await names(app, DISCORD) == []
    assert await names(app, STRANGER) == ["Cleo"]
    if app.settings.store.enabled:
        data = repr([await app.store.fetch(f"SELECT * FROM {table}") for table in MEMORY]).encode()
    else:
        data = app.settings.database.read_bytes()
    for trace in (b"Lala", b"telegram:1", b"discord:2"):
        assert trace not in data
    assert b"Cleo" in data


class _EndsHere:
    """An inbox at which the task is cancelled: the store has committed."""

    async def forget(self, people: Sequence[str], but: Arrived) -> None:
        raise asyncio.CancelledError


async def test_an_erasure_that_is_cancelled_after_its_commit_leaves_nothing_in_memory(app: App) -> None:
    await teach(app, TELEGRAM, "Lala")
    before = app.assistant.memory.erasures(TELEGRAM)
    arrived = Arrived(platform="telegram:9", key="1", question="5:1", person="1", update="{}", expires_at=2e9)
    with handled(Handling(cast("Inbox", _EndsHere()), arrived)), pytest.raises(asyncio.CancelledError):
        await app.assistant.erase(TELEGRAM)
    assert app.assistant.memory.erasures(TELEGRAM) == before + 1  # a photo that is being taught is not kept
    assert await names(app, TELEGRAM) == []


async def test_what_one_account_shared_the_other_may_take_back(app: App) -> None:
    await teach(app, TELEGRAM, "Lala")
    group = Chat("group", ChatKind.GROUP)
    await app.assistant.share(TELEGRAM, group, "Lala")
    await app.assistant.accounts.link(DISCORD, PRIVATE, await code(app, TELEGRAM))
    await app.assistant.unshare(DISCORD, group, "Lala")
    assert await app.assistant.groups.sharers(group) == ()
