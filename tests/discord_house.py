"""The bot as people on Discord meet it: the real `serve` against the stand-in of Discord, with the real models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from adapters.discord import serve
from rapbot.app import App, running
from rapbot.assistant import Assistant
from rapbot.concepts.sqlite_inbox import SqliteInbox
from rapbot.config import DiscordSettings, Settings, WorkerSettings
from tests.peers.discord import Channel, DiscordPeer, Guild, Interaction, Message, Person
from tests.pictures import cat_jpeg

SLOW = 60.0
"""Seconds: an answer that needs the models, on a machine that does other things as well."""
CAT = ("cat.jpg", cat_jpeg())


@dataclass(slots=True)
class House:
    """A running bot and the Discord around it. Times are seconds."""

    app: App
    peer: DiscordPeer
    settings: Settings

    def person(self, name: str = "Ann", locale: str = "en-US") -> tuple[Person, Channel]:
        """Somebody new, and their direct messages with the bot."""
        person = self.peer.person(name, locale)
        return person, self.peer.dm(person)

    def guild(self, *members: Person, admins: tuple[Person, ...] = ()) -> Guild:
        return self.peer.guild("Home", members=list(members), admins=list(admins))

    def mention(self, text: str = "") -> str:
        return f"{self.peer.bot_user.mention} {text}".strip()

    async def teach(self, person: Person, channel: Channel, name: str, info: str = "A ginger cat.") -> Message:
        """/remember with Chelsea's picture."""
        return await self.call(channel, person, "remember", name=name, info=info, photo=CAT)

    async def call(self, channel: Channel, person: Person, command: str, **options: Any) -> Message:
        """A slash command and its answer."""
        return await self.answer(self.peer.slash(channel, person, command, **options))

    async def press(self, message: Message, label: str, person: Person) -> Message:
        """A button by the beginning of its label, and what the bot shows then."""
        whole = next((one for one in message.labels if one.startswith(label)), label)
        return await self.answer(self.peer.press(message, whole, person=person))

    async def answer(self, interaction: Interaction) -> Message:
        """The answer itself, not the place in the queue that may be told before it."""

        def told() -> Message | None:
            shown = [*interaction.messages, *([interaction.message] if _updated(interaction) else [])]
            return next((one for one in shown if one is not None and not _waits(one)), None)

        found = await self.peer.wait_for(told, SLOW, "an answer")
        assert found is not None
        return found

    async def reply(self, question: Message) -> Message:
        """The bot's answer to a message."""

        def told() -> Message | None:
            mine = [one for one in self.peer.sent(question.channel) if one.replies_to is question]
            return next((one for one in mine if not _waits(one)), None)

        found = await self.peer.wait_for(told, SLOW, "a reply")
        assert found is not None
        return found

    async def asked(self, channel: Channel, person: Person, text: str = "", *files: tuple[str, bytes]) -> Message:
        """Somebody says something; the bot's answer."""
        return await self.reply(self.peer.say(channel, person, text, list(files)))


def _waits(message: Message) -> bool:
    return message.text.endswith("…")


def _updated(interaction: Interaction) -> bool:
    """Whether the message with the pressed button was changed in answer."""
    edits = interaction.message.edits if interaction.message is not None else []
    return bool(edits) and edits[-1] > interaction.dispatched_at


@asynccontextmanager
async def serving(assistant: Assistant, settings: Settings, peer: DiscordPeer) -> AsyncIterator[asyncio.Task[None]]:
    """The bot, online with its commands registered; stopped as `rapbot serve` stops it."""
    names: list[str] = []
    async with SqliteInbox.open(settings.inbox_file) as inbox:
        task = asyncio.create_task(serve(assistant, settings, ready=names.append, inbox=inbox))
        task.add_done_callback(lambda _task: peer.world.changed())
        try:
            shards = set(range(peer.world.shards))
            await peer.wait_for(lambda: task.done() or peer.gateway.online() == shards, SLOW, "the bot online")
            if task.done():
                await task
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def bot_settings(peer: DiscordPeer, folder: Path, weights: Path, *, message_content: bool = True) -> Settings:
    return Settings(
        data_dir=folder,
        weights_dir=weights,
        worker=WorkerSettings(threads=2),
        discord=DiscordSettings(token=SecretStr(peer.token), message_content=message_content, grace_s=60),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with DiscordPeer.start() as peer:
        settings = bot_settings(peer, tmp_path_factory.mktemp("discord"), weights)
        async with running(settings) as app, serving(app.assistant, settings, peer):
            yield House(app, peer, settings)


@pytest.fixture
def peer(house: House) -> Iterator[DiscordPeer]:
    yield house.peer
    assert not house.peer.faults.rules, "a fault that was ordered did not happen"
    for call in house.peer.calls:
        said = call.json.get("data", call.json) if isinstance(call.json, dict) else None
        if isinstance(said, dict) and said.get("content"):
            assert said["allowed_mentions"]["parse"] == []
