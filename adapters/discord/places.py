"""Who acts and where, in rapbot's words; and who is still a member of a server."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import discord

from adapters.recent import Recent
from rapbot.errors import RapbotError
from rapbot.groups import Groups
from rapbot.i18n import _
from rapbot.inbox import handled
from rapbot.logs import get_logger
from rapbot.messages import Actor, Chat, ChatKind

_log = get_logger(__name__)
PLATFORM = "discord:"
MANAGER = discord.Permissions(manage_guild=True)
"""What makes somebody an administrator for `/settings`."""

FRESH_S = 1.0
"""So long a member counts as present without being asked for again: a burst of messages is one question."""
PATIENCE_S = 3.0


class Unsure(RapbotError):
    """Discord does not say who is still a member."""

    def __init__(self) -> None:
        super().__init__(_("Discord does not tell me who is still here. Please try again in a moment."))


def guild_chat(guild_id: int) -> Chat:
    """A server is one group: people share with the server, not with one of its channels."""
    return Chat(f"{PLATFORM}{guild_id}", ChatKind.GROUP)


def chat_of_message(message: discord.Message) -> Chat:
    if message.guild is not None:
        return guild_chat(message.guild.id)
    return Chat(f"{PLATFORM}{message.channel.id}")


def present(interaction: discord.Interaction[Any]) -> bool:
    """Whether the bot itself is in this place (and not only installed by the person who calls it)."""
    if interaction.guild_id is not None:
        # Both: the library keeps servers that removed the bot while it was not connected.
        known = interaction.client.get_guild(interaction.guild_id) is not None
        return known and interaction.is_guild_integration()
    return interaction.context.dm_channel


def chat_of_interaction(interaction: discord.Interaction[Any]) -> Chat:
    """Where the bot is no member it cannot see who leaves, so such a place is a group of its own without shares."""
    if interaction.guild_id is not None and present(interaction):
        return guild_chat(interaction.guild_id)
    kind = ChatKind.PRIVATE if present(interaction) else ChatKind.GROUP
    return Chat(f"{PLATFORM}{interaction.channel_id}", kind, member=present(interaction))


class People:
    """Actors; remembers (in memory) the language that each person's Discord speaks: messages do not tell it."""

    def __init__(self, most: int = 5000) -> None:
        self._languages: Recent[int, str] = Recent(most)

    def of_interaction(self, interaction: discord.Interaction[Any]) -> Actor:
        self._languages.put(interaction.user.id, interaction.locale.value)
        return self.of(interaction.user)

    def of(self, person: discord.abc.User) -> Actor:
        return Actor(f"{PLATFORM}{person.id}", person.display_name, self._languages.get(person.id))


class Members:
    """Who shares something with a server must still be there whenever it may be shown.

    Without the privileged members intent Discord does not report who leaves, so it is asked, all at once through the
    gateway (which takes that without the intent); who is not in its answer is asked for again, one by one.
    """

    def __init__(self, client: discord.Client, groups: Groups) -> None:
        self._client = client
        self._groups = groups
        self._seen: Recent[tuple[int, int], float] = Recent(10_000)
        self._closing: dict[str, asyncio.Task[None]] = {}

    async def close(self, guild_id: int) -> None:
        """We were removed from the server: from this moment nothing that was shared there is shown."""
        chat = guild_chat(guild_id)
        closing = self._closing[chat.id] = asyncio.create_task(self._groups.close(chat), name="close")
        try:
            await closing
        finally:
            if self._closing.get(chat.id) is closing:
                del self._closing[chat.id]

    async def look_around(self) -> None:
        """At the start: of servers that removed us while we were not connected, nothing is kept."""
        inside, outside = False, []
        for chat_id in await self._groups.known(PLATFORM.rstrip(":")):
            number = int(chat_id.removeprefix(PLATFORM))
            try:
                await self._client.fetch_guild(number, with_counts=False)
                inside = True
            except (discord.NotFound, discord.Forbidden):
                outside.append(number)
            except (discord.HTTPException, aiohttp.ClientError, OSError) as error:
                _log.info("server not checked", error=type(error).__name__)
        me = self._client.user
        if me is not None and await self._groups.are_of(PLATFORM.rstrip(":"), me.id, inside=inside):
            for number in outside:
                _log.info("removed while away", guild=number)
                await self.close(number)

    async def check(self, chat: Chat) -> None:
        """Takes what people who left shared out of the group. Raises Unsure."""
        if chat.kind is not ChatKind.GROUP:
            return
        if (closing := self._closing.get(chat.id)) is not None:  # and we are back already
            await asyncio.wait([closing])
        guild = self._client.get_guild(int(chat.id.removeprefix(PLATFORM)))
        if guild is None:
            return
        sharers = [one.removeprefix(PLATFORM) for one in await self._groups.sharers(chat) if one.startswith(PLATFORM)]
        unsure = [person for person in map(int, sharers) if not self._is_fresh(guild.id, person)]
        here = await _present_members(guild, unsure) if unsure else frozenset()
        for person in unsure:
            if person in here:
                self._seen.put((guild.id, person), time.monotonic())
            else:
                await self._confirm(guild, person)

    async def left(self, guild_id: int, person_id: int) -> None:
        self._seen.pop((guild_id, person_id))
        with handled(None):  # found out while somebody asks for something else, which is not done by that
            await self._groups.leave(f"{PLATFORM}{person_id}", guild_chat(guild_id))

    def _is_fresh(self, guild_id: int, person_id: int) -> bool:
        seen = self._seen.get((guild_id, person_id))
        return seen is not None and time.monotonic() - seen < FRESH_S

    async def _confirm(self, guild: discord.Guild, person_id: int) -> None:
        try:
            await guild.fetch_member(person_id)
        except discord.NotFound:
            _log.info("a member who shared has left", guild=guild.id)
            await self.left(guild.id, person_id)
        except discord.HTTPException as error:
            raise Unsure from error
        else:
            self._seen.put((guild.id, person_id), time.monotonic())


async def _present_members(guild: discord.Guild, people: list[int]) -> frozenset[int]:
    """Those of `people` whom Discord names as members; nobody when the gateway does not answer."""
    found: set[int] = set()
    try:
        async with asyncio.timeout(PATIENCE_S):
            for at in range(0, len(people), 100):  # Discord's limit of one question
                some = people[at : at + 100]
                members = await guild.query_members(user_ids=some, limit=100, cache=False)
                found.update(member.id for member in members)
    except (TimeoutError, discord.DiscordException, OSError) as error:
        _log.info("members not asked through the gateway", error=type(error).__name__)
    return frozenset(found)
