"""Several processes of the bot on Discord: each answers on the servers of its shards; what one leaves, stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from pydantic import SecretStr

from adapters.discord import serve
from rapbot.app import App, inbox_of, running
from rapbot.config import DiscordSettings, Settings, StoreSettings, WorkerSettings
from tests.peers.discord import Channel, DiscordPeer, Message, Person

SLOW = 90.0


@asynccontextmanager
async def process(peer: DiscordPeer, folder: Path, url: str, shard: int, grace_s: float = 10.0) -> AsyncIterator[App]:
    """As one process of the bot, without models."""
    discord = DiscordSettings(token=SecretStr(peer.token), shard_count=2, shard_ids=[shard], grace_s=grace_s)
    store = StoreSettings(url=url)
    settings = Settings(data_dir=folder, worker=WorkerSettings(threads=1), discord=discord, store=store)
    ready: asyncio.Event = asyncio.Event()
    async with running(settings, models=False) as app, inbox_of(settings, app) as (inbox, _leads):
        task = asyncio.create_task(serve(app.assistant, settings, ready=lambda _name: ready.set(), inbox=inbox))
        try:
            await asyncio.wait_for(ready.wait(), SLOW)
            yield app
        finally:
            task.cancel()
            await asyncio.wait([task])


async def answered(peer: DiscordPeer, question: Message) -> list[Message]:
    def told() -> list[Message]:
        return [one for one in peer.sent(question.channel) if one.replies_to is question]

    return list(await peer.wait_for(told, SLOW, "a reply") or ())


async def test_each_process_answers_on_its_shards_and_one_in_private(postgres_url: str, tmp_path: Path) -> None:
    async with DiscordPeer.start(shards=2) as peer, AsyncExitStack() as open_:
        ann = peer.person("Ann")
        servers = [peer.guild(f"Home {shard}", members=[ann], shard=shard) for shard in range(2)]
        for shard in range(2):
            await open_.enter_async_context(process(peer, tmp_path / str(shard), postgres_url, shard))
        places: list[Channel] = [peer.dm(ann), *(server.channels[0] for server in servers)]
        for place in places:
            question = ask(peer, place, ann)
            assert len(await answered(peer, question)) == 1


async def test_what_a_process_left_is_answered_by_the_next_with_its_shard(postgres_url: str, tmp_path: Path) -> None:
    async with DiscordPeer.start(shards=2) as peer:
        ann = peer.person("Ann")
        home = peer.guild("Home", members=[ann], shard=1)
        gate = peer.hold("POST /channels/.*/messages")
        async with process(peer, tmp_path / "1", postgres_url, 1, grace_s=0.1):
            question = ask(peer, home.channels[0], ann)
            await gate.reached(SLOW)
        assert peer.sent(question.channel) == []
        gate.release()
        other, same = (process(peer, tmp_path / f"again {shard}", postgres_url, shard) for shard in range(2))
        async with other, same:
            assert len(await answered(peer, question)) == 1


def ask(peer: DiscordPeer, place: Channel, person: Person) -> Message:
    return peer.say(place, person, f"{peer.bot_user.mention} /help")
