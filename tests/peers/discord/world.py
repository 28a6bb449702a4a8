"""The state of the stand-in, and the one place where its changes become known: waiters wake, gateway events go out."""

import asyncio
import io
import mimetypes
import secrets
import time
import warnings
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

from PIL import Image

from tests.peers.discord import wire
from tests.peers.discord.records import (
    ALL_PERMISSIONS,
    DM,
    EVERYONE,
    GROUP,
    TEXT,
    THREAD,
    Attachment,
    Call,
    Channel,
    Guild,
    Message,
    Person,
    Role,
)

T = TypeVar("T")

GUILDS, MEMBERS, CONTENT = 1 << 0, 1 << 1, 1 << 15  # gateway intents
GUILD_MESSAGES, GUILD_REACTIONS, DM_MESSAGES, DM_REACTIONS = 1 << 9, 1 << 10, 1 << 12, 1 << 13


class Dispatch(Protocol):
    """Sends one event to the sessions of its shard; `make` builds the body for the intents of a session."""

    def __call__(self, event: str, make: Callable[[int], dict[str, Any]], guild: Guild | None, intent: int) -> None: ...


class World:
    """Everything that exists, by id. `shards` decides ids and routes; nothing here knows HTTP or websockets."""

    def __init__(self, shards: int) -> None:
        self.shards = shards
        self.token = f"stand-in.{secrets.token_hex(8)}"
        self.base = ""
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.messages: dict[int, Message] = {}
        self.people: dict[int, Person] = {}
        self.files: dict[int, Attachment] = {}
        self.interactions: dict[str, Any] = {}
        self.commands: list[dict[str, Any]] = []
        self.guild_commands: dict[int, list[dict[str, Any]]] = {}
        self.command_syncs = 0
        self.nonces: dict[tuple[int, str], Message] = {}
        self.calls: list[Call] = []
        self.failures: list[Exception] = []
        self.typings: list[tuple[int, float]] = []
        self.content_intent = True
        self.members_intent = True
        self.upload_limit = wire.UPLOAD_LIMIT
        self.acknowledge_within = 3.0
        self.token_lifetime = 900.0
        self.dispatch: Dispatch = lambda event, make, guild, intent: None
        self._last_id = 0
        self._order = 0
        self._waiters: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self.bot = Person(self.new_id(), "rapbot", bot=True)
        self.people[self.bot.id] = self.bot
        self.owner = self.person("Owner of the bot", "en-US", None)

    # --- waiting: every change asks each waiting condition once more, so nobody polls ---

    def changed(self) -> None:
        for condition, future in list(self._waiters):
            if not future.done():
                try:
                    value = condition()
                except Exception as error:  # the condition is a test's: its failure belongs to the test
                    future.set_exception(error)
                else:
                    if value:
                        future.set_result(value)

    async def wait_for(self, condition: Callable[[], T], timeout: float, what: str = "") -> T:  # noqa: ASYNC109 - a test's bound
        value = condition()
        if value:
            return value
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        entry = (condition, future)
        self._waiters.append(entry)
        try:
            async with asyncio.timeout(timeout):
                return cast(T, await future)
        except TimeoutError:
            calls = "\n  ".join(f"{call.line} -> {call.status}" for call in self.calls[-10:]) or "none"
            wanted = what or "the condition"
            raise TimeoutError(f"{wanted} did not come true within {timeout} s; the last calls:\n  {calls}") from None
        finally:
            self._waiters.remove(entry)

    # --- ids ---

    def new_id(self, shard: int | None = None) -> int:
        """A snowflake of now, always rising; with `shard` one that Discord's formula puts on that shard."""
        self._last_id = max(self._last_id + 1, (int(time.time() * 1000) - wire.EPOCH) << 22)
        if shard is None:
            return self._last_id
        back = ((self._last_id >> 22) - shard) % self.shards
        return self._last_id - (back << 22)

    def new_order(self) -> int:
        """When a message came to be read: an answered 'is thinking...' is newer than what was said meanwhile."""
        self._order += 1
        return self._order

    # --- making things ---

    def person(self, name: str, locale: str, number: int | None) -> Person:
        record = Person(number or self.new_id(), name, locale)
        self.people[record.id] = record
        return record

    def channel(self, record: Channel) -> Channel:
        self.channels[record.id] = record
        if record.guild is not None:
            record.guild.channels.append(record)
        return record

    def guild(self, name: str, members: list[Person], admins: list[Person], shard: int | None, bot: bool) -> Guild:
        owner = self.person(f"Owner of {name}", "en-US", None)
        guild = Guild(self.new_id(shard), name, owner, bot)
        guild.roles[guild.id] = Role(guild.id, "@everyone", EVERYONE, 0)
        for one in [owner, *members, *admins, *([self.bot] if bot else [])]:
            guild.members[one.id] = one
        self.guilds[guild.id] = guild
        for one in admins:
            self.grant(guild, one, ALL_PERMISSIONS)
        self.channel(Channel(self.new_id(), TEXT, "general", guild))
        return guild

    def grant(self, guild: Guild, person: Person, permissions: int) -> Role | None:
        """Gives the role with exactly these permissions; returns it where it had to be made."""
        found = next(
            (one for one in guild.roles.values() if one.permissions == permissions and one.id != guild.id), None
        )
        role = found or Role(self.new_id(), f"role {len(guild.roles)}", permissions, len(guild.roles))
        guild.roles[role.id] = role
        mine = guild.roles_of.setdefault(person.id, [])
        if role.id not in mine:
            mine.append(role.id)
        return None if found else role

    def dm(self, people: list[Person], *, bot: bool) -> Channel:
        """The one channel of these people with the bot (or, `bot=False`, without it: a group of theirs)."""
        kind = DM if bot else GROUP
        for one in self.channels.values():
            if one.kind == kind and one.recipients == people:
                return one
        name = ", ".join(one.name for one in people)
        return self.channel(Channel(self.new_id(), kind, name, None, None, people, bot_can_see=bot))

    def thread(self, parent: Channel, name: str) -> Channel:
        return self.channel(Channel(self.new_id(), THREAD, name, parent.guild, parent))

    def file(self, channel_id: int, name: str, data: bytes, *, ephemeral: bool = False) -> Attachment:
        """Puts a file on the CDN. Discord writes _ for a space; sizes are those of the picture, where it is one."""
        number, name = self.new_id(), name.replace(" ", "_")
        folder = "ephemeral-attachments" if ephemeral else "attachments"
        kinds = {"heic": "image/heic", "heif": "image/heif", "webp": "image/webp", "avif": "image/avif"}
        kind = kinds.get(name.rsplit(".", 1)[-1].lower()) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        url = f"{self.base}/cdn/{folder}/{channel_id}/{number}/{name}?ex={number:x}"
        record = Attachment(number, name, data, kind, url, ephemeral=ephemeral)
        if kind.startswith("image/"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    with Image.open(io.BytesIO(data)) as picture:
                        record.width, record.height = picture.size
                except (OSError, ValueError, Image.DecompressionBombError):
                    pass  # not a picture after all: Discord then leaves out the sizes
        self.files[number] = record
        return record

    # --- events of messages ---

    def sees(self, channel: Channel) -> bool:
        """Whether gateway events of this channel reach the bot at all."""
        return channel.bot_can_see and (channel.guild is None or channel.guild.bot_is_member)

    def publish(self, event: str, message: Message) -> None:
        """MESSAGE_CREATE or MESSAGE_UPDATE; an ephemeral message is no event of the channel."""
        if self.sees(message.channel) and not message.ephemeral:
            guild = message.channel.guild

            def make(intents: int) -> dict[str, Any]:
                return wire.message_event(message, self.bot, content=bool(intents & CONTENT))

            self.dispatch(event, make, guild, GUILD_MESSAGES if guild else DM_MESSAGES)
        self.changed()

    def post(self, message: Message) -> Message:
        """Puts a message into its channel and tells the gateway."""
        message.order = self.new_order()
        message.texts.append(message.content)
        self.messages[message.id] = message
        message.channel.messages[message.id] = message
        self.publish("MESSAGE_CREATE", message)
        return message

    def remove(self, message: Message) -> None:
        message.deleted = True
        self.messages.pop(message.id, None)
        message.channel.messages.pop(message.id, None)
        guild = message.channel.guild
        if self.sees(message.channel) and not message.ephemeral:
            body = {"id": str(message.id), "channel_id": str(message.channel.id)}
            if guild is not None:
                body["guild_id"] = str(guild.id)
            self.dispatch("MESSAGE_DELETE", lambda intents: body, guild, GUILD_MESSAGES if guild else DM_MESSAGES)
        self.changed()

    def react(self, message: Message, person: Person, emoji: str, *, add: bool) -> None:
        people = message.reactions.setdefault(emoji, [])
        if add == (person in people):
            return
        if add:
            people.append(person)
        else:
            people.remove(person)
            if not people:
                del message.reactions[emoji]
        guild = message.channel.guild
        body: dict[str, Any] = {
            "user_id": str(person.id),
            "channel_id": str(message.channel.id),
            "message_id": str(message.id),
            "emoji": {"id": None, "name": emoji},
            "message_author_id": str(message.author.id),
            "burst": False,
            "type": 0,
        }
        if guild is not None:
            body["guild_id"] = str(guild.id)
            if add and person.id in guild.members:
                body["member"] = wire.member(guild, person)
        if self.sees(message.channel):
            event = "MESSAGE_REACTION_ADD" if add else "MESSAGE_REACTION_REMOVE"
            self.dispatch(event, lambda intents: body, guild, GUILD_REACTIONS if guild else DM_REACTIONS)
        self.changed()
