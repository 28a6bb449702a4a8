"""The Telegram bot as people meet it: the real program behind a stand-in of Telegram, reached over sockets."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from adapters.telegram import serve
from rapbot.app import App, running
from rapbot.concepts.sqlite_inbox import SqliteInbox
from rapbot.config import Settings, TelegramSettings, WorkerSettings
from rapbot.messages import Chat as RapbotChat
from rapbot.messages import ChatKind
from tests.peers.telegram import BotMessage, Chat, Person, TelegramPeer
from tests.pictures import cat_jpeg

PATIENCE = 40.0
"""Seconds for an answer that needs the models, on a busy machine."""

_numbers = itertools.count(1)


def inbox_file(app: App, peer: TelegramPeer) -> Path:
    """Every stand-in numbers its updates alike, so each has an inbox of its own."""
    return app.settings.data_dir / f"inbox-{peer.address.rpartition(':')[2]}.sqlite3"


@asynccontextmanager
async def bot(app: App, peer: TelegramPeer, **options: Any) -> AsyncIterator[asyncio.Task[None]]:
    """The adapter, listening; stopped at the end as a person would stop it."""
    chosen: dict[str, Any] = {"api_url": peer.address, "album_wait_s": 0.3, "grace_s": 20.0, **options}
    telegram = TelegramSettings(token=SecretStr(chosen.pop("token", peer.token)), **chosen)
    settings = app.settings.model_copy(update={"telegram": telegram})
    ready = asyncio.Event()
    said: list[str] = []

    def listening(what: str) -> None:
        said.append(what)
        ready.set()

    async with SqliteInbox.open(inbox_file(app, peer)) as inbox:
        task = asyncio.create_task(serve(app.assistant, settings, ready=listening, inbox=inbox), name="telegram")
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
        assert said == ["Telegram: @rapbot_test_bot"]
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    """The whole program with real weights and a real database, once for a file of tests."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("telegram"), weights_dir=weights, worker=WorkerSettings(threads=2)
    )
    async with running(settings) as started:
        await started.worker.ready()
        yield started


@asynccontextmanager
async def telegram(*, privacy: bool = True) -> AsyncIterator[TelegramPeer]:
    """Telegram, with people and groups that no other test has."""
    async with TelegramPeer.start(privacy=privacy) as started:
        started._world.numbers = itertools.count(next(_numbers) * 10_000)
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def peer() -> AsyncIterator[TelegramPeer]:
    async with telegram() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def open_peer() -> AsyncIterator[TelegramPeer]:
    """Telegram, where the bot reads everything in groups (privacy mode off)."""
    async with telegram(privacy=False) as started:
        yield started


def words(message: BotMessage) -> str:
    return message.text or message.caption


async def answer(peer: TelegramPeer, chat: Chat) -> BotMessage:
    """The next message of the bot that is an answer, not its place in the queue."""
    return await peer.next_message(chat, timeout=PATIENCE)


async def teach(
    peer: TelegramPeer, chat: Chat, person: Person, name: str, what: str, photo: bytes | None = None
) -> str:
    """Teach by the caption of a photo; what the bot says."""
    peer.send_photo(chat, person, photo or cat_jpeg(), f"/remember {name} {what}")
    said = words(await answer(peer, chat))
    assert name in said
    return said


def core(chat: Chat) -> RapbotChat:
    return RapbotChat(f"telegram:{chat.id}", ChatKind.GROUP)


async def say(peer: TelegramPeer, group: Chat, person: Person, text: str, photo: bytes | None = None) -> BotMessage:
    """Address the bot in a group and read its answer."""
    if photo is None:
        peer.say(group, person, text)
    else:
        peer.send_photo(group, person, photo, text)
    return await answer(peer, group)
