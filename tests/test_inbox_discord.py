"""The Discord bot, killed while messages and commands are under way and started again."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rapbot.app import App, running
from rapbot.concepts.sqlite_inbox import SqliteInbox
from rapbot.inbox import Arrived
from tests.discord_house import CAT, bot_settings, serving
from tests.inbox_child import arrived, changed, child
from tests.peers.discord import Channel, DiscordPeer, Message, Person
from tests.pictures import cat_jpeg
from tests.test_inbox import every_byte

pytestmark = pytest.mark.asyncio(loop_scope="module")
SLOW = 90.0


@pytest_asyncio.fixture(loop_scope="module")
async def peer() -> AsyncIterator[DiscordPeer]:
    async with DiscordPeer.start() as started:
        yield started


def final(peer: DiscordPeer, channel: Channel) -> list[Message]:
    """The bot's answers there, without those that tell a place in the queue."""
    return [one for one in peer.sent(channel) if not one.text.endswith("…")]


async def test_what_is_under_way_at_a_kill_is_answered_once_and_in_order(peer: DiscordPeer, tmp_path: Path) -> None:
    people = [peer.person(name) for name in ("Ann", "Ben")]
    asked: dict[int, tuple[Channel, list[Message]]] = {}
    async with child("discord", peer.world.base, peer.token, tmp_path) as program:
        gate = peer.hold("GET /cdn/")
        for person in people:
            dm = peer.dm(person)
            files = [(f"{number}.jpg", cat_jpeg() + bytes([number])) for number in range(3)]
            asked[person.id] = (dm, [peer.say(dm, person, "", [file]) for file in files])
        await arrived(tmp_path, 6)
        await program.kill()
        gate.release()
        peer.faults.rules.clear()
        await program.start()
        for dm, questions in asked.values():
            await peer.wait_for(lambda dm=dm: len(final(peer, dm)) >= 3, SLOW, "the answers")  # type: ignore[misc]
            assert [one.replies_to for one in final(peer, dm)] == questions, "each once, in order"
            assert all("cat" in one.text for one in final(peer, dm))


async def test_a_command_that_was_acknowledged_keeps_its_answer(peer: DiscordPeer, tmp_path: Path) -> None:
    ann = peer.person("Ann")
    dm = peer.dm(ann)
    async with child("discord", peer.world.base, peer.token, tmp_path) as program:
        await peer.online(commands=True, timeout=SLOW)
        gate = peer.hold("PATCH /webhooks/")
        asked = peer.slash(dm, ann, "remember", name="Lala", info="A ginger cat.", photo=CAT)
        await changed(tmp_path)  # she is remembered, and nobody knows
        await program.kill()
        gate.release()
        peer.faults.rules.clear()
        await program.start()
        await peer.wait_for(lambda: asked.messages and "It is done" in asked.messages[-1].text, SLOW, "the answer")
        assert "Lala" in asked.messages[-1].text
        assert len(final(peer, dm)) == 1
        listed = peer.slash(dm, ann, "concepts")
        await peer.wait_for(lambda: listed.messages, SLOW)
        assert listed.messages[-1].text.count("Lala") == 1


# -- without a kill: what a crash would have left ---------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    async with DiscordPeer.start() as peer:
        settings = bot_settings(peer, tmp_path_factory.mktemp("discord"), weights)
    async with running(settings) as started:
        yield started


def serve_again(app: App, peer: DiscordPeer, folder: Path) -> Any:
    return serving(app.assistant, bot_settings(peer, folder, app.settings.weights_dir), peer)


def left_behind(peer: DiscordPeer, message: Message, event: dict[str, Any], **more: Any) -> Arrived:
    given: dict[str, Any] = {"expires_at": time.time() + 3600, **more}
    return Arrived(
        platform=f"discord:{peer.bot_user.id}",
        key=str(message.id),
        question=f"{message.channel.id}:{message.id}",
        person=str(message.author.id),
        update=json.dumps({"event": "MESSAGE_CREATE", "data": event}),
        **given,
    )


def event_of(peer: DiscordPeer, message: Message) -> dict[str, Any]:
    for session in peer.gateway.sessions.values():
        for frame in map(json.loads, session.log):
            if frame["t"] == "MESSAGE_CREATE" and frame["d"]["id"] == str(message.id):
                return dict(frame["d"])
    raise AssertionError


async def answered(app: App, peer: DiscordPeer, folder: Path, person: Person, text: str) -> tuple[Message, Any]:
    """A question that was answered, and its event: to be left behind as if the answer had not been noted."""
    dm = peer.dm(person)
    async with serve_again(app, peer, folder):
        asked = peer.say(dm, person, text)
        await peer.wait_for(lambda: final(peer, dm), SLOW)
        return asked, event_of(peer, asked)


async def test_an_answer_that_was_sent_but_not_noted_is_edited(app: App, peer: DiscordPeer, tmp_path: Path) -> None:
    ann = peer.person("Ann")
    asked, event = await answered(app, peer, tmp_path / "first", ann, "/help")
    event["content"] = "/concepts"  # so that the second answer differs from the first
    folder = tmp_path / "second"
    folder.mkdir()
    async with SqliteInbox.open(folder / "inbox.sqlite3") as inbox:
        await inbox.accept([left_behind(peer, asked, event)])
    async with serve_again(app, peer, folder):
        await peer.wait_for(lambda: "anything of yours yet" in final(peer, asked.channel)[0].text, SLOW)
    assert len(peer.sent(asked.channel)) == 1


async def test_a_noted_placeholder_becomes_the_answer(app: App, peer: DiscordPeer, tmp_path: Path) -> None:
    ann = peer.person("Ann")
    asked, event = await answered(app, peer, tmp_path / "first", ann, "/help")
    [before] = peer.sent(asked.channel)
    event["content"] = "/concepts"
    note = json.dumps({"sent": [asked.channel.id, [before.id], False], "placeholder": True})
    folder = tmp_path / "second"
    folder.mkdir()
    async with SqliteInbox.open(folder / "inbox.sqlite3") as inbox:
        await inbox.accept([left_behind(peer, asked, event, answer=note)])
    async with serve_again(app, peer, folder):
        await peer.wait_for(lambda: "anything of yours yet" in before.text, SLOW)
    assert peer.sent(asked.channel) == [before]


async def test_who_waited_too_long_gets_one_apology(app: App, peer: DiscordPeer, tmp_path: Path) -> None:
    ann = peer.person("Ann")
    asked, event = await answered(app, peer, tmp_path / "first", ann, "/help")
    folder = tmp_path / "second"
    folder.mkdir()
    async with SqliteInbox.open(folder / "inbox.sqlite3") as inbox:
        await inbox.accept([left_behind(peer, asked, event, expires_at=time.time() - 1)])
    for _run in range(2):
        async with serve_again(app, peer, folder):
            await peer.wait_for(lambda: len(peer.sent(asked.channel)) == 2, SLOW)
    assert "send it again" in peer.sent(asked.channel)[-1].text


async def test_nothing_of_a_message_stays(app: App, peer: DiscordPeer, tmp_path: Path) -> None:
    ann = peer.person("Ann")
    await answered(app, peer, tmp_path, ann, "MARKER of words")
    assert b"MARKER" not in every_byte(tmp_path / "inbox.sqlite3")
