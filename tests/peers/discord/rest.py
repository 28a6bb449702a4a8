"""The REST API v10 that a bot uses: one function per route, from the request to the answer's JSON."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from tests.peers.discord import limits, wire, writing
from tests.peers.discord.limits import Refused
from tests.peers.discord.records import EVERYONE, MANAGE_MESSAGES, THREAD, Call, Channel, Guild, Message
from tests.peers.discord.world import World

Handler = Callable[..., Any]
ROUTES: list[tuple[str, re.Pattern[str], str, Handler]] = []


def route(method: str, template: str) -> Callable[[Handler], Handler]:
    """Registers the function; {names} of the template become its arguments."""
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template))

    def register(handler: Handler) -> Handler:
        ROUTES.append((method, pattern, f"{method} {template}", handler))
        return handler

    return register


def find(call: Call) -> tuple[str, Handler, dict[str, str]]:
    """The template, the function and its arguments for this request; 404 code 0 as Discord says it."""
    for method, pattern, template, handler in ROUTES:
        match = pattern.fullmatch(call.route)
        if match and method == call.method:
            return template, handler, {key: unquote(value) for key, value in match.groupdict().items()}
    raise Refused(404, 0, "404: Not Found")


def channel_for(world: World, number: str) -> Channel:
    """The channel if the bot may look into it: 10003 where there is none, 50001 where the bot is not."""
    channel = world.channels.get(int(number))
    if channel is None:
        raise Refused(404, 10003, "Unknown Channel")
    if not world.sees(channel):
        raise Refused(403, 50001, "Missing Access")
    return channel


def message_for(world: World, channel: Channel, number: str) -> Message:
    message = channel.messages.get(int(number))
    if message is None or message.ephemeral:
        raise Refused(404, 10008, "Unknown Message")
    return message


def guild_for(world: World, number: str) -> Guild:
    guild = world.guilds.get(int(number))
    if guild is None or not guild.bot_is_member:
        raise Refused(404, 10004, "Unknown Guild")
    return guild


def shown(world: World, message: Message) -> dict[str, Any]:
    """A message as REST gives it: its text depends on the application's intent, not on the session's."""
    return wire.message(message, world.bot, content=world.content_intent)


# --- the application ---


@route("GET", "/users/@me")
def me(world: World, call: Call) -> Any:
    return wire.user(world.bot) | {"verified": True, "mfa_enabled": False, "email": None, "locale": "en-US"}


@route("GET", "/gateway/bot")
def gateway(world: World, call: Call) -> Any:
    limit = {"total": 1000, "remaining": 999, "reset_after": 86_400_000, "max_concurrency": 1}
    url = world.base.replace("http://", "ws://") + "/gateway/"
    return {"url": url, "shards": world.shards, "session_start_limit": limit}


@route("GET", "/oauth2/applications/@me")
@route("GET", "/applications/@me")
def application(world: World, call: Call) -> Any:
    return {
        "id": str(world.bot.id),
        "name": world.bot.name,
        "icon": None,
        "description": "",
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "0" * 64,
        "owner": wire.user(world.owner),
        "team": None,
        "flags": 1 << 19 if world.content_intent else 0,
        "integration_types_config": {"0": {}, "1": {}},
        "approximate_guild_count": len(world.guilds),
    }


def _registered(
    world: World, commands: list[dict[str, Any]], before: list[dict[str, Any]], extra: dict[str, str]
) -> list[dict[str, Any]]:
    """The commands as stored; one that was there under this name keeps its id."""
    limits.check_commands(commands)
    ids = {(one["type"], one["name"]): one["id"] for one in before}
    fixed = {"application_id": str(world.bot.id), "version": str(world.new_id()), "dm_permission": True, "nsfw": False}
    answer = []
    for command in commands:
        entry = fixed | {"type": 1, "description": "", **command} | extra
        entry["id"] = ids.get((entry["type"], entry["name"]), str(world.new_id()))
        if entry.get("default_member_permissions") is not None:
            entry["default_member_permissions"] = str(entry["default_member_permissions"])
        answer.append(entry)
    return answer


@route("GET", "/applications/{app}/commands")
def commands(world: World, call: Call, app: str) -> Any:
    return world.commands


@route("PUT", "/applications/{app}/commands")
def put_commands(world: World, call: Call, app: str) -> Any:
    world.commands = _registered(world, call.json, world.commands, {})
    world.command_syncs += 1
    return world.commands


@route("GET", "/applications/{app}/guilds/{guild}/commands")
def guild_commands(world: World, call: Call, app: str, guild: str) -> Any:
    return world.guild_commands.get(guild_for(world, guild).id, [])


@route("PUT", "/applications/{app}/guilds/{guild}/commands")
def put_guild_commands(world: World, call: Call, app: str, guild: str) -> Any:
    number = guild_for(world, guild).id
    before = world.guild_commands.get(number, [])
    world.guild_commands[number] = _registered(world, call.json, before, {"guild_id": guild})
    world.command_syncs += 1
    return world.guild_commands[number]


# --- people and servers ---


@route("POST", "/users/@me/channels")
def open_dm(world: World, call: Call) -> Any:
    person = world.people.get(int(call.json["recipient_id"]))
    if person is None or person.bot:
        raise Refused(400, 50033, "Invalid Recipient(s)")
    return wire.channel(world.dm([person], bot=True))


@route("GET", "/users/{user}")
def user(world: World, call: Call, user: str) -> Any:
    if int(user) not in world.people:
        raise Refused(404, 10013, "Unknown User")
    return wire.user(world.people[int(user)])


@route("GET", "/guilds/{guild}")
def guild(world: World, call: Call, guild: str) -> Any:
    answer = wire.guild(guild_for(world, guild), world.bot)
    return {key: value for key, value in answer.items() if key not in ("members", "channels", "threads", "joined_at")}


@route("GET", "/guilds/{guild}/members/{user}")
def member(world: World, call: Call, guild: str, user: str) -> Any:
    place = guild_for(world, guild)
    if int(user) not in place.members:
        raise Refused(404, 10007, "Unknown Member")
    return wire.member(place, place.members[int(user)])


@route("GET", "/guilds/{guild}/channels")
def guild_channels(world: World, call: Call, guild: str) -> Any:
    return [wire.channel(one) for one in guild_for(world, guild).channels if one.kind != THREAD]


@route("GET", "/guilds/{guild}/roles")
def guild_roles(world: World, call: Call, guild: str) -> Any:
    return [wire.role(one) for one in guild_for(world, guild).roles.values()]


@route("DELETE", "/users/@me/guilds/{guild}")
def leave_guild(world: World, call: Call, guild: str) -> Any:
    place = guild_for(world, guild)
    world.dispatch("GUILD_DELETE", lambda intents: {"id": guild}, place, 0)
    place.bot_is_member = False


# --- channels and messages ---


@route("GET", "/channels/{channel}")
def channel(world: World, call: Call, channel: str) -> Any:
    return wire.channel(channel_for(world, channel))


@route("GET", "/channels/{channel}/messages")
def history(world: World, call: Call, channel: str) -> Any:
    found = [one for one in channel_for(world, channel).messages.values() if not one.ephemeral]
    if "before" in call.query:
        found = [one for one in found if one.id < int(call.query["before"])]
    limit = int(call.query.get("limit", 50))
    if "after" in call.query:
        found = [one for one in found if one.id > int(call.query["after"])]
        return [shown(world, one) for one in found[:limit][::-1]]
    return [shown(world, one) for one in found[::-1][:limit]]


@route("POST", "/channels/{channel}/messages")
def send(world: World, call: Call, channel: str) -> Any:
    place = channel_for(world, channel)
    if place.refuses is not None:
        raise Refused(403, place.refuses, "Missing Permissions")
    if place.guild is None and not all(one.accepts_dms for one in place.recipients):
        raise Refused(403, 50007, "Cannot send messages to this user")
    return shown(world, writing.create(world, place, call.json, call))


@route("GET", "/channels/{channel}/messages/{message}")
def get_message(world: World, call: Call, channel: str, message: str) -> Any:
    return shown(world, message_for(world, channel_for(world, channel), message))


@route("PATCH", "/channels/{channel}/messages/{message}")
def edit(world: World, call: Call, channel: str, message: str) -> Any:
    record = message_for(world, channel_for(world, channel), message)
    if record.author is not world.bot:
        raise Refused(403, 50005, "Cannot edit a message authored by another user")
    return shown(world, writing.amend(world, record, call.json, call))


@route("DELETE", "/channels/{channel}/messages/{message}")
def delete(world: World, call: Call, channel: str, message: str) -> Any:
    place = channel_for(world, channel)
    record = message_for(world, place, message)
    allowed = EVERYONE if place.guild is None else place.guild.permissions(world.bot)
    if record.author is not world.bot and not allowed & MANAGE_MESSAGES:
        raise Refused(403, 50013 if place.guild else 50003, "Missing Permissions")
    world.remove(record)


@route("POST", "/channels/{channel}/typing")
def typing(world: World, call: Call, channel: str) -> Any:
    world.typings.append((channel_for(world, channel).id, call.at))


@route("PUT", "/channels/{channel}/messages/{message}/reactions/{emoji}/@me")
def add_reaction(world: World, call: Call, channel: str, message: str, emoji: str) -> Any:
    if emoji.isascii():  # a name, not a picture; the emoji of servers are none of the stand-in's
        raise Refused(400, 10014, "Unknown Emoji")
    world.react(message_for(world, channel_for(world, channel), message), world.bot, emoji, add=True)


@route("DELETE", "/channels/{channel}/messages/{message}/reactions/{emoji}/@me")
def remove_reaction(world: World, call: Call, channel: str, message: str, emoji: str) -> Any:
    world.react(message_for(world, channel_for(world, channel), message), world.bot, emoji, add=False)
