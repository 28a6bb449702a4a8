"""The client: Discord's events on one side, their handlers on the other."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import discord
from discord import app_commands

from adapters.desk import Desk
from adapters.discord.commands import BOTH_INSTALLS, EVERYWHERE, add_commands
from adapters.discord.forms import EDIT, TEACH, Forms, add_menus, words_of
from adapters.discord.keeping import (
    EDIT as EDITED,
)
from adapters.discord.keeping import (
    INTERACTION,
    MESSAGE,
    Event,
    arrival,
    handle,
    platform_of,
    read,
    to_the_end,
)
from adapters.discord.places import Members
from adapters.discord.presses import Presses
from adapters.discord.receiving import Receiving
from adapters.discord.reception import Reception
from adapters.discord.showing import PRESS, plain
from adapters.discord.translation import Translation
from adapters.intake import Intake, Replaying, accept_or_go_on
from rapbot.assistant import Assistant
from rapbot.config import Settings
from rapbot.i18n import _, speaking
from rapbot.inbox import Arrived, Inbox, Kept
from rapbot.logs import get_logger, place_of
from rapbot.watching import connected

_log = get_logger(__name__)


_LAST_WORDS_S = 1.0
"""For what follows an answer."""


def intents(settings: Settings) -> discord.Intents:
    """Servers and channels, messages; the words of messages that do not mention us only where the owner wants it.

    Not the members intent: it is privileged, and who left can be asked (`places.Members`).
    """
    return discord.Intents(
        guilds=True, guild_messages=True, dm_messages=True, message_content=settings.discord.message_content
    )


class Tree(app_commands.CommandTree["Client"]):
    async def _call(self, interaction: discord.Interaction[Client]) -> None:
        """The library's own way through a command has no other place that is reached at every end of it."""
        with to_the_end():
            await super()._call(interaction)

    async def on_error(self, interaction: discord.Interaction[Client], error: app_commands.AppCommandError) -> None:
        """The library would write the traceback, and with it what people wrote, into the log."""
        _report(error.__cause__ or error, "command")


class Client(discord.AutoShardedClient):
    def __init__(self, assistant: Assistant, settings: Settings, inbox: Inbox | None = None) -> None:
        shard_ids: Any = settings.discord.shard_ids or None  # None as well, though the library's types do not say so
        super().__init__(
            intents=intents(settings),
            shard_count=settings.discord.shard_count,
            shard_ids=shard_ids,
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,  # nothing that people write to each other is kept
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
        )
        self.reception = Reception(assistant, Desk(assistant), settings, Members(self, assistant.groups))
        self._inbox = inbox
        self._intake: Intake | None = None
        self._events: set[asyncio.Task[None]] = set()
        self._lost: set[int] = set()
        """Shards whose connection broke."""
        self._parse: dict[str, Callable[[Event], Any]] = {}
        self._receiving: Receiving | None = None
        self._forms = Forms(self.reception)
        self._presses = Presses(self.reception, self._forms)
        self._tree = Tree(self, allowed_contexts=EVERYWHERE, allowed_installs=BOTH_INSTALLS)
        add_commands(self._tree, self.reception, self._forms)
        add_menus(self._tree, self._forms)

    async def setup_hook(self) -> None:
        assert self.user is not None  # login has told it
        self._receiving = Receiving(self.reception, self.user)
        await self._keep_events(self.user.id)
        await self._tree.set_translator(Translation())
        if not self._leads:
            return
        try:
            await self._tree.sync()
        except discord.HTTPException as error:  # the menu of the last start still stands
            _log.warning("commands not registered", status=error.status, code=error.code)

    async def on_shard_ready(self, shard: int) -> None:
        self._connection_of(shard, True)

    async def on_shard_resumed(self, shard: int) -> None:
        self._connection_of(shard, True)

    async def on_shard_disconnect(self, shard: int) -> None:
        self._connection_of(shard, False)

    def _connection_of(self, shard: int, reached: bool) -> None:
        self._lost.discard(shard) if reached else self._lost.add(shard)
        connected("discord", not self._lost)

    @property
    def _leads(self) -> bool:
        """Of several processes the one with the first shard does what is to be done once."""
        ids = self.reception.settings.discord.shard_ids
        return not ids or 0 in ids

    async def on_ready(self) -> None:
        """Comes again after each break that was too long to be resumed."""
        if self._leads:
            await self.reception.members.look_around()

    async def on_message(self, message: discord.Message) -> None:
        if self._receiving is not None:
            with to_the_end():
                await self._receiving.message(message)

    async def on_raw_message_edit(self, payload: discord.RawMessageUpdateEvent) -> None:
        with to_the_end():
            if self._receiving is not None and "content" in payload.data:
                await self._receiving.edited(payload.message)

    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        if self._receiving is not None:
            self._receiving.deleted(payload.channel_id, payload.message_id)

    async def on_raw_bulk_message_delete(self, payload: discord.RawBulkMessageDeleteEvent) -> None:
        if self._receiving is not None:
            for message_id in payload.message_ids:
                self._receiving.deleted(payload.channel_id, message_id)

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        """Buttons and forms; commands go through the tree."""
        data: dict[str, Any] = dict(interaction.data or {})
        key = str(data.get("custom_id", ""))
        if interaction.type not in (discord.InteractionType.component, discord.InteractionType.modal_submit):
            return
        with to_the_end():
            if interaction.type is discord.InteractionType.component and key.startswith(PRESS):
                await self._presses.pressed(interaction, key.removeprefix(PRESS))
            elif interaction.type is discord.InteractionType.modal_submit and key.startswith((EDIT, TEACH)):
                await self._forms.sent(interaction, key, words_of(data))

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """We were removed: what was shared there is not shared any more. Not called when Discord has an outage."""
        await self.reception.members.close(guild.id)

    async def on_raw_member_remove(self, payload: discord.RawMemberRemoveEvent) -> None:
        """Comes only where the owner of the application has the members intent."""
        await self.reception.members.left(payload.guild_id, payload.user.id)

    async def on_error(self, event_method: str, /, *_args: Any, **_kwargs: Any) -> None:
        """As `Tree.on_error`: kind and place of the failure, nothing that people wrote."""
        error = sys.exc_info()[1]
        if error is not None:
            _report(error, event_method)

    # -- the inbox ------------------------------------------------------------------------------------------

    async def _keep_events(self, me: int) -> None:
        """From now on what people do is on disk before the library reads it; begins with what the last run left."""
        if self._inbox is None:
            return
        self._intake = Intake(platform_of(me), self._inbox, self.reception.settings.inbox.hours * 3600)
        parsers = self._connection.parsers
        for kind in (MESSAGE, EDITED, INTERACTION):
            self._parse[kind] = parsers[kind]
            parsers[kind] = partial(self._arrived, kind)
        await self._intake.replay(Replaying(self._again, self._restore, self._apologise))

    def _arrived(self, kind: str, event: Event) -> None:
        assert self._intake is not None
        assert self.user is not None
        now, expires = time.time(), self._intake.expiry()
        try:
            arrived = arrival(
                self._intake.platform, kind, event, self.user.id, self.reception.turns.noted, expires, now
            )
        except (KeyError, TypeError) as error:  # an event of a kind that was not documented: handled without
            _report(error, "keeping")
            arrived = None
        if arrived is None or (kind == INTERACTION and not self.reception.taking):  # which is told at once
            self._parse[kind](event)
            return
        task = asyncio.create_task(self._take(self._intake, arrived, kind, event), name="event")
        self._events.add(task)
        task.add_done_callback(self._events.discard)

    async def _take(self, intake: Intake, arrived: Arrived, kind: str, event: Event) -> None:
        new, update = await accept_or_go_on(intake, arrived)
        if not new:
            return

        async def once(again: bool) -> None:
            if kind != INTERACTION and not self.reception.taking and update is not None:
                raise asyncio.CancelledError  # it stays in the inbox: the next run answers
            await handle(self._parse[kind], event)

        await intake.run(update, once)

    async def _again(self, kept: Kept, _again: bool) -> None:
        await self.wait_until_ready()  # else the servers are not known yet
        told = json.loads(kept.update)
        if told["event"] != INTERACTION and not self.reception.taking:
            raise asyncio.CancelledError  # it stays in the inbox: the next run answers, or another process
        await handle(self._parse[told["event"]], told["data"])

    def _restore(self, question: str, note: str) -> None:
        self.reception.turns.restore(question, note, partial(read, self))

    async def _apologise(self, kept: Kept, words: str) -> None:
        await self.wait_until_ready()
        told = json.loads(kept.update)["data"]
        channel = self.get_partial_messageable(int(told["channel_id"]))
        options: dict[str, Any] = {}
        if "author" in told:
            options = {"reference": channel.get_partial_message(int(told["id"])).to_reference(fail_if_not_exists=False)}
        with speaking(told.get("locale")):
            await channel.send(plain(_(words)), mention_author=False, **options)

    async def stop_taking(self, grace: float) -> None:
        """What runs may end within `grace` seconds; what does not, stays in the inbox."""
        self.reception.taking = False
        end = time.monotonic() + grace
        if self._intake is not None and self._intake.shares:
            await self._intake.drain(grace)
        await self.reception.turns.finish(max(0.0, end - time.monotonic()))
        if self._intake is not None:
            await self._intake.close()
        if self._events:
            await asyncio.wait(self._events, timeout=_LAST_WORDS_S)
        for task in self._events:
            task.cancel()
        if self._events:
            await asyncio.wait(self._events)


def _report(error: BaseException, doing: str) -> None:
    _log.error("event failed", doing=doing, error=type(error).__name__, where=place_of(error))
