"""`DiscordPeer`: the stand-in as a test holds it. What people do is immediate; what the bot does is awaited."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import discord
import discord.gateway
import discord.http
import yarl

from tests.peers.discord import people, wire
from tests.peers.discord.faults import Fault, Faults, Gate
from tests.peers.discord.gateway import INVALID, RECONNECT, Gateway
from tests.peers.discord.interactions import Interaction, Modal
from tests.peers.discord.people import File
from tests.peers.discord.records import ALL_PERMISSIONS, Attachment, Call, Channel, Guild, Message, Person
from tests.peers.discord.server import PREFIX, Server
from tests.peers.discord.world import GUILDS, MEMBERS, World

T = TypeVar("T")


class DiscordPeer:
    """Discord on a local port. Make it with `async with DiscordPeer.start() as peer:`."""

    def __init__(self, shards: int = 1) -> None:
        self.world = World(shards)
        self.gateway = Gateway(self.world)
        self.faults = Faults()
        self._server = Server(self.world, self.gateway, self.faults)
        self._read_to: dict[int, int] = {}  # channel -> the order of the last message that next_message gave
        self._edits_seen: dict[int, int] = {}

    @classmethod
    @asynccontextmanager
    async def start(
        cls, *, shards: int = 1, message_content: bool = True, members: bool = True
    ) -> AsyncIterator["DiscordPeer"]:
        """Starts the server and points discord.py at it until the end of the block.

        `message_content` and `members`: whether the application was granted these privileged intents; asking for one
        that was not closes the gateway with 4014.
        """
        peer = cls(shards)
        peer.world.content_intent, peer.world.members_intent = message_content, members
        await peer._server.start()
        try:
            with peer.endpoints():
                yield peer
        finally:
            for rule in peer.faults.rules:
                if rule.gate is not None:
                    rule.gate.release()
            await peer.gateway.close()
            await peer._server.stop()
        if peer.world.failures:  # the stand-in itself broke on a request: the test must not pass over it
            raise peer.world.failures[0]

    @contextmanager
    def endpoints(self) -> Iterator[None]:
        """discord.py's two addresses, set and put back."""
        route, socket = discord.http.Route, discord.gateway.DiscordWebSocket
        before = route.BASE, socket.DEFAULT_GATEWAY
        route.BASE, socket.DEFAULT_GATEWAY = self.world.base + PREFIX, yarl.URL(self.gateway.url)
        try:
            yield
        finally:
            route.BASE, socket.DEFAULT_GATEWAY = before

    @asynccontextmanager
    async def running(self, client: discord.Client, *, commands: bool = False) -> AsyncIterator[None]:
        """Runs a client of the test within the block, from the moment it is online; its crash is the block's.

        Online is earlier than discord.py's `on_ready`, which waits 2 s for further servers (`guild_ready_timeout`).
        """
        task = asyncio.create_task(client.start(self.token))
        task.add_done_callback(lambda _: self.world.changed())
        try:
            await self.wait_for(lambda: task.done() or self._is_online(commands), what="the start of the client")
            if task.done():
                await task
            yield
        finally:
            await client.close()
            await asyncio.gather(task, return_exceptions=True)

    # --- who and where ---

    @property
    def token(self) -> str:
        return self.world.token

    @property
    def application_id(self) -> int:
        return self.world.bot.id

    @property
    def bot_user(self) -> Person:
        return self.world.bot

    @property
    def owner(self) -> Person:
        """Who made the application."""
        return self.world.owner

    def person(self, name: str, locale: str = "en-US", id: int | None = None) -> Person:  # noqa: A002 - Discord's word
        return self.world.person(name, locale, id)

    def guild(
        self,
        name: str,
        members: list[Person] | None = None,
        admins: list[Person] | None = None,
        *,
        shard: int | None = None,
        bot: bool = True,
    ) -> Guild:
        """A server with one channel. `bot=False`: the bot is no member, only users who installed it for themselves use
        it there. `shard`: take an id that belongs to this shard."""
        guild = self.world.guild(name, members or [], admins or [], shard, bot)
        if bot:
            self._created(guild)
        return guild

    def channel(self, guild: Guild, name: str) -> Channel:
        """One more text channel of the server."""
        record = self.world.channel(Channel(self.world.new_id(), 0, name, guild))
        return self._announce("CHANNEL_CREATE", record)

    def thread(self, channel: Channel, name: str = "thread") -> Channel:
        return self._announce("THREAD_CREATE", self.world.thread(channel, name), {"newly_created": True})

    def dm(self, person: Person) -> Channel:
        return self.world.dm([person], bot=True)

    def group(self, *persons: Person) -> Channel:
        """A private channel of these people without the bot (context 2: user-installed commands only)."""
        return self.world.dm(list(persons), bot=False)

    def close(self, channel: Channel) -> None:
        """Deletes the channel: CHANNEL_DELETE or THREAD_DELETE, and 404 code 10003 from then on."""
        self._announce("THREAD_DELETE" if channel.kind == 11 else "CHANNEL_DELETE", channel)
        self.world.channels.pop(channel.id)

    # --- membership and permissions ---

    def join(self, guild: Guild, person: Person) -> None:
        guild.members[person.id] = person
        self._member_event("GUILD_MEMBER_ADD", guild, wire.member(guild, person))

    def leave(self, guild: Guild, person: Person) -> None:
        del guild.members[person.id]
        guild.roles_of.pop(person.id, None)
        self._member_event("GUILD_MEMBER_REMOVE", guild, {"user": wire.user(person)})

    def promote(self, guild: Guild, person: Person, permissions: int = ALL_PERMISSIONS) -> None:
        """Gives a role with these permissions (a bit field; all by default)."""
        role = self.world.grant(guild, person, permissions)
        if role is not None:
            body = {"guild_id": str(guild.id), "role": wire.role(role)}
            self.world.dispatch("GUILD_ROLE_CREATE", lambda intents: body, guild, GUILDS)
        self._member_event("GUILD_MEMBER_UPDATE", guild, wire.member(guild, person))

    def demote(self, guild: Guild, person: Person) -> None:
        """Takes every role away."""
        guild.roles_of.pop(person.id, None)
        self._member_event("GUILD_MEMBER_UPDATE", guild, wire.member(guild, person))

    def kick_bot(self, guild: Guild) -> None:
        """GUILD_DELETE; what the bot sends there answers 403 code 50001, its server is 404 code 10004."""
        self.world.dispatch("GUILD_DELETE", lambda intents: {"id": str(guild.id)}, guild, GUILDS)
        guild.bot_is_member = False
        guild.members.pop(self.bot_user.id, None)
        self.world.changed()

    def invite_bot(self, guild: Guild) -> None:
        guild.bot_is_member = True
        guild.members[self.bot_user.id] = self.bot_user
        self._created(guild)

    # --- what people do ---

    def say(
        self,
        channel: Channel,
        person: Person,
        text: str = "",
        attachments: list[File] | None = None,
        reply_to: Message | None = None,
        mentions: list[Person] | None = None,
    ) -> Message:
        """MESSAGE_CREATE. `mentions` None: those named with <@id> in the text and the author replied to are pinged."""
        return people.say(self.world, channel, person, text, attachments or [], reply_to, mentions)

    def edit(self, message: Message, text: str) -> Message:
        return people.edit(self.world, message, text)

    def delete(self, message: Message) -> None:
        self.world.remove(message)

    def react(self, message: Message, person: Person, emoji: str) -> None:
        self.world.react(message, person, emoji, add=True)

    def unreact(self, message: Message, person: Person, emoji: str) -> None:
        self.world.react(message, person, emoji, add=False)

    def slash(self, channel: Channel, person: Person, command: str, /, **options: Any) -> Interaction:
        """Calls a slash command ('group sub' for a subcommand). A file option takes (name, bytes), a user option a
        Person. LookupError, TypeError or ValueError where Discord's client would not let the person send this."""
        return people.slash(self.world, channel, person, command, options)

    async def autocomplete(
        self, channel: Channel, person: Person, command: str, option: str, typed: Any = "", /, **others: Any
    ) -> list[dict[str, Any]]:
        """What the bot suggests while `typed` stands in the option: [{"name": ..., "value": ...}, ...]."""
        asked = people.complete(self.world, channel, person, command, option, {**others, option: typed})
        await self.wait_for(lambda: asked.choices is not None, what=f"suggestions for {option}")
        return asked.choices or []

    def context_menu(self, channel: Channel, person: Person, command: str, target: Message | Person) -> Interaction:
        return people.menu(self.world, channel, person, command, target)

    def press(
        self, message: Message, label: str | None = None, *, custom_id: str | None = None, person: Person
    ) -> Interaction:
        return people.press(self.world, message, person, label, custom_id)

    def choose(self, message: Message, values: list[Any], *, menu: str | None = None, person: Person) -> Interaction:
        """Chooses from a select menu; `menu` is its custom_id or placeholder, values are labels, values or people."""
        return people.choose(self.world, message, menu, values, person)

    def submit(self, modal: Modal, person: Person, values: dict[str, Any] | None = None) -> Interaction:
        """Sends a form with values by label or custom_id."""
        return people.submit(self.world, modal, person, values or {})

    # --- what the bot did ---

    @property
    def calls(self) -> list[Call]:
        return self.world.calls

    def calls_to(self, pattern: str) -> list[Call]:
        """The calls whose 'METHOD /route' holds the regular expression."""
        return [call for call in self.calls if re.search(pattern, call.line)]

    @property
    def commands(self) -> list[dict[str, Any]]:
        """What is registered globally, as the bot sent it (ids added)."""
        return self.world.commands

    def command(self, name: str) -> dict[str, Any]:
        return next(one for one in self.commands if one["name"] == name)

    def sent(self, channel: Channel, *, ephemeral: bool = False) -> list[Message]:
        """The bot's messages there as they are now, in the order in which they came to be read."""
        mine = [one for one in channel.messages.values() if one.author is self.bot_user and not one.loading]
        return sorted((one for one in mine if ephemeral or not one.ephemeral), key=lambda one: one.order)

    def typings(self, channel: Channel) -> list[float]:
        """When the bot typed there (monotonic seconds)."""
        return [at for number, at in self.world.typings if number == channel.id]

    def reactions(self, message: Message) -> list[str]:
        """The emoji with which the bot reacts now."""
        return [emoji for emoji, persons in message.reactions.items() if self.bot_user in persons]

    async def wait_for(self, condition: Callable[[], T], timeout: float = 10.0, what: str = "") -> T:  # noqa: ASYNC109
        """Waits until the condition holds, and returns its value; it is asked at every call and change here."""
        return await self.world.wait_for(condition, timeout, what)

    async def next_message(
        self,
        channel: Channel,
        after: Message | None = None,
        timeout: float = 10.0,  # noqa: ASYNC109 - a test's bound
        *,
        ephemeral: bool = False,
    ) -> Message:
        """The bot's first message there that is newer than `after`, or that no earlier call gave."""
        start = after.order if after is not None else self._read_to.get(channel.id, 0)

        def newer() -> Message | None:
            return next((one for one in self.sent(channel, ephemeral=ephemeral) if one.order > start), None)

        found = await self.wait_for(newer, timeout, f"a message in {channel.name}")
        assert found is not None
        self._read_to[channel.id] = max(found.order, self._read_to.get(channel.id, 0))
        return found

    async def next_edit(self, message: Message, timeout: float = 10.0) -> Message:  # noqa: ASYNC109 - a test's bound
        """The message once it has an edit that no earlier call gave; `message.texts` holds what it said before."""
        seen = self._edits_seen.get(message.id, 0)
        await self.wait_for(lambda: len(message.edits) > seen, timeout, "an edit of the message")
        self._edits_seen[message.id] = seen + 1
        return message

    async def gone(self, message: Message, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - a test's bound
        await self.wait_for(lambda: message.deleted, timeout, "the deletion of the message")

    async def online(self, *, commands: bool = False, timeout: float = 10.0) -> None:  # noqa: ASYNC109 - a test's bound
        """Waits until every shard is identified and, if asked, the commands are registered."""
        await self.wait_for(lambda: self._is_online(commands), timeout, "the bot online")

    # --- trouble ---

    def fail_next(
        self,
        pattern: str,
        status: int = 429,
        *,
        retry_after: float = 0.05,
        times: int = 1,
        code: int = 0,
        everywhere: bool = False,
    ) -> None:
        """The next `times` requests whose 'METHOD /route' fits fail so; `everywhere` makes a 429 a global one. The
        CDN's routes are /cdn/... and /media/..."""
        self.faults.add(Fault(pattern, "before", times, status, retry_after, code, everywhere))

    def drop_next(self, pattern: str, *, times: int = 1, after_work: bool = False) -> None:
        """Cuts the line instead of answering; `after_work`: Discord did what was asked, only the answer is lost."""
        self.faults.add(Fault(pattern, "after" if after_work else "before", times))

    def delay(self, pattern: str, seconds: float, *, times: int | None = None) -> None:
        """Requests take this long to arrive (always, or so many times)."""
        self.faults.add(Fault(pattern, "arriving", times, seconds=seconds))

    def hold(self, pattern: str) -> Gate:
        """Fitting requests do not arrive until `gate.release()`."""
        gate = Gate()
        self.faults.add(Fault(pattern, "arriving", None, gate=gate))
        return gate

    def forget(self, attachment: Attachment) -> None:
        """The CDN's link has run out: 404 from now on."""
        self.world.files.pop(attachment.id)

    def expire(self, interaction: Interaction) -> None:
        """Time is up: an unanswered interaction is unknown, an answered one's token is invalid."""
        interaction.expired = True
        interaction.dispatched_at = time.monotonic() - self.world.token_lifetime - 1

    async def drop_connections(self, resumable: bool = True) -> None:
        """Cuts the gateway's lines. The bot comes back at once; to hold it off meanwhile use `offline`."""
        await self.gateway.drop(resumable=resumable)

    @asynccontextmanager
    async def offline(self, resumable: bool = True) -> AsyncIterator[None]:
        """The gateway is away within the block: what is said there reaches the bot by RESUME only."""
        self.gateway.open.clear()
        await self.gateway.drop(resumable=resumable)
        try:
            yield
        finally:
            self.gateway.open.set()

    def reconnect(self) -> None:
        """Asks every shard to reconnect (op 7)."""
        self.gateway.tell_all(RECONNECT, None)

    def invalidate(self, resumable: bool = False) -> None:
        """Tells every shard that its session is invalid (op 9). discord.py waits 5 s before it identifies anew."""
        self.gateway.tell_all(INVALID, resumable)

    # --- within ---

    def _is_online(self, commands: bool) -> bool:
        everybody = self.gateway.online() == set(range(self.world.shards))
        return everybody and (self.world.command_syncs > 0 or not commands)

    def _created(self, guild: Guild) -> None:
        self.world.dispatch("GUILD_CREATE", lambda intents: wire.guild(guild, self.bot_user), guild, GUILDS)
        self.world.changed()

    def _announce(self, event: str, channel: Channel, more: dict[str, Any] | None = None) -> Channel:
        if self.world.sees(channel):
            body = wire.channel(channel) | (more or {})
            self.world.dispatch(event, lambda intents: body, channel.guild, GUILDS)
        self.world.changed()
        return channel

    def _member_event(self, event: str, guild: Guild, body: dict[str, Any]) -> None:
        if guild.bot_is_member:
            body = body | {"guild_id": str(guild.id)}
            self.world.dispatch(event, lambda intents: body, guild, MEMBERS)
        self.world.changed()
