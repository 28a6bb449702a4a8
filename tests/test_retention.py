"""What expires: people who do not come any more are warned, then forgotten; groups that removed the bot are too.

The bots run against the stand-ins of their platforms, without models: nobody sends a photo here.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from rapbot.app import App, running
from rapbot.concepts.places import SharedConcept
from rapbot.config import DiscordSettings, RetentionSettings, Settings, TelegramSettings
from rapbot.messages import Actor, Chat
from rapbot.retention import DAY_S, NotNow
from tests.concept_samples import avatar, lala, taught
from tests.discord_house import serving
from tests.peers.discord import DiscordPeer
from tests.peers.telegram import TelegramPeer
from tests.pictures import cat_jpeg
from tests.polling import until
from tests.telegram_visitor import answer, bot, words

DAYS, WARNED = 60, 14


def expiring(folder: Path, **options: object) -> Settings:
    return Settings(data_dir=folder, retention=RetentionSettings(days=DAYS, warn_days=WARNED), **options)  # type: ignore[arg-type]


@asynccontextmanager
async def started(settings: Settings) -> AsyncIterator[App]:
    async with running(settings, models=False) as app:
        yield app


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with started(expiring(tmp_path)) as one:
        yield one


async def silent(app: App, person: str, days: float, language: str | None = None) -> None:
    """Taught something, and was here last so many days ago."""
    await taught(app.store, replace(lala("Zyxmark"), avatar=avatar(0, cat_jpeg())), person)
    await app.store.visits.seen(person, language, time.time() - days * DAY_S)


def in_days(days: float) -> float:
    return time.time() + days * DAY_S


def every_byte(app: App) -> bytes:
    return b"".join(file.read_bytes() for file in app.settings.data_dir.iterdir() if file.is_file())


async def known(app: App, person: str) -> list[str]:
    return [concept.name for concept in await app.assistant.memory.concepts(Actor(person))]


async def test_on_telegram_a_warning_comes_first_in_their_language(app: App) -> None:
    async with TelegramPeer.start() as peer:
        ann = peer.person("Ann", language="de")
        chat, person = peer.private(ann), f"telegram:{ann.id}"
        async with bot(app, peer):
            peer.say(chat, ann, "/start")
            await answer(peer, chat)
            await silent(app, person, DAYS - WARNED + 1, "de")
            for _twice in range(2):
                await app.assistant.retention.sweep()
            (warning,) = [words(one) for one in peer.sent(chat)[1:]]
            assert "/mydata" in warning
            assert "Tagen" in warning
            await app.assistant.retention.sweep(in_days(WARNED - 1))
            assert await known(app, person) == ["Zyxmark"]
            await app.assistant.retention.sweep(in_days(WARNED + 1))
            assert len(peer.sent(chat)) == 2
    assert await known(app, person) == []
    assert b"Zyxmark" not in every_byte(app)
    assert str(ann.id).encode() not in every_byte(app)


async def test_on_discord_whoever_answers_the_warning_stays(tmp_path: Path) -> None:
    async with DiscordPeer.start() as peer:
        settings = expiring(tmp_path, discord=DiscordSettings(token=SecretStr(peer.token)))
        ann = peer.person("Ann")
        person = f"discord:{ann.id}"
        async with started(settings) as app, serving(app.assistant, settings, peer):
            await silent(app, person, DAYS - WARNED + 1)
            await app.assistant.retention.sweep()
            dm = peer.dm(ann)
            (warning,) = peer.sent(dm)
            assert "I have not heard from you for 47 days" in warning.text
            peer.say(dm, ann, "/concepts")
            await peer.wait_for(lambda: len(peer.sent(dm)) == 2)
            await app.assistant.retention.sweep(in_days(WARNED + 1))
            assert await known(app, person) == ["Zyxmark"]


async def test_who_cannot_be_reached_is_told_at_the_next_contact(app: App) -> None:
    async with TelegramPeer.start() as peer:
        ann = peer.person("Ann")
        group, person = peer.group("Cats", [ann]), f"telegram:{ann.id}"
        async with bot(app, peer):
            await silent(app, person, DAYS)
            await app.assistant.retention.sweep()  # she never opened the private chat: Telegram refuses
            peer.say(group, ann, "/privacy")
            assert "could not reach you" not in words(await answer(peer, group))  # others read along
            chat = peer.private(ann)
            peer.say(chat, ann, "/concepts")
            assert "could not reach you" in words(await answer(peer, chat))
            peer.say(chat, ann, "/concepts")
            assert "could not reach you" not in words(await answer(peer, chat))


async def test_who_cannot_be_reached_and_does_not_come_is_forgotten_all_the_same(app: App) -> None:
    await silent(app, "discord:5", DAYS + 100)
    await app.assistant.retention.sweep()
    assert await known(app, "discord:5") == ["Zyxmark"]
    await app.assistant.retention.sweep(in_days(WARNED + 1))
    assert await known(app, "discord:5") == []


async def test_while_a_platform_is_away_nobody_of_it_is_warned_or_forgotten(tmp_path: Path) -> None:
    async def away(person: str, said: str) -> bool:
        raise NotNow

    async with started(expiring(tmp_path, telegram=TelegramSettings(token=SecretStr("1:a")))) as app:
        retention = app.assistant.retention
        await silent(app, "telegram:5", DAYS + 100)
        for days in (0.0, 50.0):
            await retention.sweep(in_days(days))  # not connected yet
            with retention.reaching("telegram", away):
                await retention.sweep(in_days(days))
        assert await known(app, "telegram:5") == ["Zyxmark"]


async def test_a_clock_that_jumps_erases_nobody_without_a_warning(app: App) -> None:
    await silent(app, "telegram:5", 1)
    await app.assistant.retention.sweep(in_days(3650))
    await app.assistant.retention.sweep()  # and back
    await app.assistant.retention.sweep(in_days(1))
    assert await known(app, "telegram:5") == ["Zyxmark"]


async def test_the_page_and_the_command_line_never_expire(app: App) -> None:
    await silent(app, "local:me", 5000)
    for days in (0.0, 100.0, 200.0):
        await app.assistant.retention.sweep(in_days(days))
    assert await known(app, "local:me") == ["Zyxmark"]


async def test_linked_accounts_are_one_person_who_is_warned_everywhere(app: App) -> None:
    said: list[str] = []

    async def send(person: str, warning: str) -> bool:
        said.append(person)
        return True

    await silent(app, "telegram:5", DAYS)
    await app.store.visits.seen("discord:7", None, time.time())
    await app.store.places.offer_link("telegram:5", b"code", time.time() + 60)
    await app.store.places.link("discord:7", b"code", time.time())
    retention = app.assistant.retention
    with retention.reaching("telegram", send), retention.reaching("discord", send):
        await retention.sweep()
        assert said == ["discord:7", "telegram:5"]
        await retention.seen(Actor("discord:7"), Chat("discord:7"))
        await retention.sweep(in_days(WARNED + 1))
        assert await known(app, "telegram:5") == ["Zyxmark"]
        await retention.sweep(in_days(DAYS + 1))
        await retention.sweep(in_days(DAYS + WARNED + 2))
    assert await known(app, "telegram:5") == await known(app, "discord:7") == []


async def test_where_nothing_expires_nobodys_visits_are_kept(tmp_path: Path) -> None:
    async with started(Settings(data_dir=tmp_path)) as app:
        await silent(app, "telegram:5", 5000)
        await app.store.visits.clear()
        await app.assistant.retention.seen(Actor("telegram:5"), Chat("telegram:5"))
        await app.assistant.retention.sweep()
        assert await app.store.fetch("SELECT * FROM visits") == []
        assert await known(app, "telegram:5") == ["Zyxmark"]


def test_a_warning_must_fit_into_the_time() -> None:
    with pytest.raises(ValidationError, match="warn_days must be less"):
        RetentionSettings(days=10, warn_days=10)


# Groups that the bot was removed from while it was off


async def share(app: App, person: str, group: str) -> None:
    concept = await taught(app.store, lala(f"Zyxmark {group}"[:32].replace(":", " ")), person)
    await app.store.places.share(group, SharedConcept(concept.id, person, "Ann Zyxmark"))
    await app.store.places.refuse_face(group, "telegram:77", b"\0\0\x80?")


async def only(app: App, platform: str, *groups: int) -> None:
    """Waits until nothing is known of any other group."""
    wanted = tuple(sorted(f"{platform}:{group}" for group in groups))

    async def as_wanted() -> bool:
        return await app.store.places.known_chats(platform) == wanted

    await until(as_wanted)


async def test_telegram_groups_that_threw_the_bot_out_while_it_was_off_are_forgotten(tmp_path: Path) -> None:
    async with TelegramPeer.start() as peer, started(Settings(data_dir=tmp_path)) as app:
        ann = peer.person("Ann")
        left, kept, moved = (peer.group(name, [ann], basic=name == "C") for name in "ABC")
        for group in (left, kept, moved):
            await share(app, f"telegram:{ann.id}", f"telegram:{group.id}")
        peer.kick_bot(left)
        new = peer.migrate(moved)
        async with bot(app, peer):
            places = app.store.places
            await only(app, "telegram", kept.id, new.id)
        assert await places.unwanted_faces(f"telegram:{left.id}") == ()
        assert len(await places.unwanted_faces(f"telegram:{new.id}")) == 1
        assert await places.withdraw_refusal(f"telegram:{new.id}", "telegram:77")  # moved with its group


async def test_another_bot_tried_out_on_the_same_memory_closes_no_groups(tmp_path: Path) -> None:
    """It is in none of them, but nobody removed it."""
    async with started(Settings(data_dir=tmp_path)) as app:
        groups = app.assistant.groups
        assert await groups.are_of("telegram", 1, inside=False)
        assert not await groups.are_of("telegram", 2, inside=False)
        assert await groups.are_of("telegram", 1, inside=False)
        assert await groups.are_of("telegram", 2, inside=True)  # it has groups of its own by now
        assert await groups.are_of("discord", 9, inside=False)


async def test_discord_servers_that_removed_the_bot_while_it_was_off_are_forgotten(tmp_path: Path) -> None:
    async with DiscordPeer.start() as peer:
        settings = Settings(data_dir=tmp_path, discord=DiscordSettings(token=SecretStr(peer.token)))
        ann = peer.person("Ann")
        left, kept = (peer.guild(name, members=[ann]) for name in ("A", "B"))
        async with started(settings) as app:
            await share(app, f"discord:{ann.id}", f"discord:{left.id}")
            await app.store.places.set_photo_mode(f"discord:{kept.id}", "every")
            peer.kick_bot(left)
            async with serving(app.assistant, settings, peer):
                places = app.store.places
                await only(app, "discord", kept.id)
            assert await places.unwanted_faces(f"discord:{left.id}") == ()
        assert b"Ann Zyxmark" not in every_byte(app)  # nobody waited for the wiping, but the end of the program does
