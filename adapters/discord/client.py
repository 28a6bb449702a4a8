"""The client: Discord's events on one side, their handlers on the other."""

from __future__ import annotations

import sys
from typing import Any

import discord
from discord import app_commands

from adapters.desk import Desk
from adapters.discord.commands import BOTH_INSTALLS, EVERYWHERE, add_commands
from adapters.discord.forms import EDIT, TEACH, Forms, add_menus, words_of
from adapters.discord.places import Members, guild_chat
from adapters.discord.presses import Presses
from adapters.discord.receiving import Receiving
from adapters.discord.reception import Reception
from adapters.discord.showing import PRESS
from adapters.discord.translation import Translation
from rapbot.assistant import Assistant
from rapbot.config import Settings
from rapbot.logs import get_logger, place_of

_log = get_logger(__name__)


def intents(settings: Settings) -> discord.Intents:
    """Servers and channels, messages; the words of messages that do not mention us only where the owner wants it.

    Not the members intent: it is privileged, and who left can be asked (`places.Members`).
    """
    return discord.Intents(
        guilds=True, guild_messages=True, dm_messages=True, message_content=settings.discord.message_content
    )


class Tree(app_commands.CommandTree["Client"]):
    async def on_error(self, interaction: discord.Interaction[Client], error: app_commands.AppCommandError) -> None:
        """The library would write the traceback, and with it what people wrote, into the log."""
        _report(error.__cause__ or error, "command")


class Client(discord.AutoShardedClient):
    def __init__(self, assistant: Assistant, settings: Settings) -> None:
        super().__init__(
            intents=intents(settings),
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,  # nothing that people write to each other is kept
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
        )
        self.reception = Reception(assistant, Desk(assistant), settings, Members(self, assistant.groups))
        self._receiving: Receiving | None = None
        self._forms = Forms(self.reception)
        self._presses = Presses(self.reception, self._forms)
        self._tree = Tree(self, allowed_contexts=EVERYWHERE, allowed_installs=BOTH_INSTALLS)
        add_commands(self._tree, self.reception, self._forms)
        add_menus(self._tree, self._forms)

    async def setup_hook(self) -> None:
        assert self.user is not None  # login has told it
        self._receiving = Receiving(self.reception, self.user)
        await self._tree.set_translator(Translation())
        try:
            await self._tree.sync()
        except discord.HTTPException as error:  # the menu of the last start still stands
            _log.warning("commands not registered", status=error.status, code=error.code)

    async def on_message(self, message: discord.Message) -> None:
        if self._receiving is not None:
            await self._receiving.message(message)

    async def on_raw_message_edit(self, payload: discord.RawMessageUpdateEvent) -> None:
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
        if interaction.type is discord.InteractionType.component and key.startswith(PRESS):
            await self._presses.pressed(interaction, key.removeprefix(PRESS))
        elif interaction.type is discord.InteractionType.modal_submit and key.startswith((EDIT, TEACH)):
            await self._forms.sent(interaction, key, words_of(data))

    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """We were removed: what was shared there is not shared any more. Not called when Discord has an outage."""
        await self.reception.assistant.groups.close(guild_chat(guild.id))

    async def on_raw_member_remove(self, payload: discord.RawMemberRemoveEvent) -> None:
        """Comes only where the owner of the application has the members intent."""
        await self.reception.members.left(payload.guild_id, payload.user.id)

    async def on_error(self, event_method: str, /, *_args: Any, **_kwargs: Any) -> None:
        """As `Tree.on_error`: kind and place of the failure, nothing that people wrote."""
        error = sys.exc_info()[1]
        if error is not None:
            _report(error, event_method)


def _report(error: BaseException, doing: str) -> None:
    _log.error("event failed", doing=doing, error=type(error).__name__, where=place_of(error))
