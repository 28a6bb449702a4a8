"""What the bot writes: messages made and edited from a request, after the checks of Discord."""

import copy
import re
import time
from typing import Any

from tests.peers.discord import limits
from tests.peers.discord.interactions import Interaction
from tests.peers.discord.limits import Refused, invalid
from tests.peers.discord.records import (
    COMPONENTS_V2,
    EPHEMERAL,
    LOADING,
    SUPPRESS_EMBEDS,
    Attachment,
    Call,
    Channel,
    Message,
    Person,
    walk,
)
from tests.peers.discord.world import World

REPLY, SLASH_ANSWER, MENU_ANSWER = 19, 20, 23  # message types


def create(
    world: World,
    channel: Channel,
    body: dict[str, Any],
    call: Call,
    interaction: Interaction | None = None,
    below: Message | None = None,
) -> Message:
    """A new message of the bot, checked and put into the channel; `below` the response that a followup hangs on."""
    nonce = (channel.id, str(body.get("nonce")))
    if body.get("enforce_nonce") and nonce in world.nonces:  # for some minutes; nothing is made
        return world.nonces[nonce]
    message = Message(world.new_id(), channel, world.bot, "", interaction=interaction)
    _fill(world, message, body, call)
    message.flags = body.get("flags", 0) & (COMPONENTS_V2 | SUPPRESS_EMBEDS | (EPHEMERAL if interaction else 0))
    message.nonce = body.get("nonce")
    reference = body.get("message_reference")
    if reference is not None:
        target = world.messages.get(int(reference["message_id"]))
        if target is None or target.channel is not channel:
            if reference.get("fail_if_not_exists", True):
                raise invalid("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
        else:
            refer(message, target)
    _mentions(world, message, body)
    if interaction is not None:
        message.kind = SLASH_ANSWER if interaction.kind == 2 else 0
        if interaction.kind == 2 and interaction.data.get("type", 1) in (2, 3):
            message.kind = MENU_ANSWER
        if below is not None:
            refer(message, below)
    for file in message.attachments:
        file.ephemeral = message.ephemeral
    world.nonces[nonce] = message
    return world.post(message)


def refer(message: Message, target: Message) -> None:
    """Makes the message a reply."""
    message.kind = REPLY
    message.replies_to = target
    guild = {"guild_id": str(target.channel.guild.id)} if target.channel.guild else {}
    message.message_reference = {"type": 0, "channel_id": str(target.channel.id), "message_id": str(target.id), **guild}


def loading(world: World, interaction: Interaction, flags: int) -> Message:
    """The 'is thinking...' of a deferral: a message without words until it is edited."""
    message = Message(world.new_id(), interaction.channel, world.bot, "", interaction=interaction)
    message.flags = LOADING | (flags & EPHEMERAL)
    message.kind = SLASH_ANSWER if interaction.kind == 2 else 0
    return world.post(message)


def amend(world: World, message: Message, body: dict[str, Any], call: Call) -> Message:
    """Edits: what the request names is replaced, the rest stays. A loading message becomes a real one."""
    was_loading = message.loading
    _fill(world, message, body, call)
    message.flags &= ~LOADING
    if "flags" in body and body["flags"] is not None:
        message.flags = (message.flags & EPHEMERAL) | (body["flags"] & (COMPONENTS_V2 | SUPPRESS_EMBEDS))
    _mentions(world, message, body)
    if was_loading:
        message.order = world.new_order()
        message.texts = [message.content]
    else:
        message.edits.append(time.monotonic())
        message.texts.append(message.content)
    world.publish("MESSAGE_UPDATE", message)
    return message


def _fill(world: World, message: Message, body: dict[str, Any], call: Call) -> None:
    """Takes the new parts over once the whole has been checked; a refused request leaves the message as it was."""
    content = (body["content"] or "") if "content" in body else message.content
    embeds = (body["embeds"] or []) if "embeds" in body else message.embeds
    components = copy.deepcopy(body["components"] or []) if "components" in body else message.components
    kept, new = _files(message, body, call)
    if sum(len(data) for _, data, _ in new) > world.upload_limit:
        raise Refused(413, 40005, "Request entity too large")
    flags = body.get("flags") or (message.flags & COMPONENTS_V2)
    limits.check_message(content, embeds, components, len(kept) + len(new), flags)
    names = {name for name, _, _ in new} | {one.filename for one in kept}
    for embed in embeds if "embeds" in body else []:
        url = embed.get("image", {}).get("url", "")
        if url.startswith("attachment://") and url.removeprefix("attachment://") not in names:
            raise invalid("embeds.0.image.url", "ATTACHMENT_NOT_FOUND", f"{url} is not attached")
    message.content, message.embeds = content, embeds
    message.components = components
    for number, part in enumerate(walk(components)):
        part.setdefault("id", number + 1)
    message.attachments = [*kept]
    for name, data, description in new:
        file = world.file(message.channel.id, name, data, ephemeral=message.ephemeral)
        file.description = description
        message.attachments.append(file)
    if "allowed_mentions" in body:
        message.allowed_mentions = body["allowed_mentions"]


def _files(
    message: Message, body: dict[str, Any], call: Call
) -> tuple[list[Attachment], list[tuple[str, bytes, str | None]]]:
    """The files that stay, and those that come: (name, bytes, description). Without `attachments` all stay."""
    if body.get("attachments") is None:
        return ([] if "attachments" in body else message.attachments), [(*file, None) for file in call.files]
    kept: list[Attachment] = []
    new: list[tuple[str, bytes, str | None]] = []
    mine = {one.id: one for one in message.attachments}
    for entry in body["attachments"]:
        number = int(entry["id"])
        if number in mine:
            kept.append(mine[number])
        elif number in call.uploads:
            name, data = call.uploads[number]
            new.append((entry.get("filename") or name, data, entry.get("description")))
        else:
            raise invalid("attachments", "ATTACHMENT_UNKNOWN", f"No file and no attachment {number}")
    return kept, new


def _mentions(world: World, message: Message, body: dict[str, Any]) -> None:
    """Who is pinged, by the text and `allowed_mentions` (absent: everybody who is named)."""
    allowed = body.get("allowed_mentions")
    parse = {"users", "roles", "everyone"} if allowed is None else set(allowed.get("parse", []))
    listed = set() if allowed is None else {int(number) for number in allowed.get("users", [])}
    message.mentions = [one for one in named(world, message.content) if "users" in parse or one.id in listed]
    message.mention_everyone = "everyone" in parse and bool(re.search("@(everyone|here)", message.content))
    pings_author = True if allowed is None else allowed.get("replied_user", False)
    author = message.replies_to.author if message.replies_to is not None else None
    if author is not None and author is not world.bot and pings_author and author not in message.mentions:
        message.mentions.append(author)


def named(world: World, text: str) -> list[Person]:
    """The people whom a text names with <@id>, each once."""
    ids = dict.fromkeys(int(number) for number in re.findall(r"<@!?(\d+)>", text))
    return [world.people[number] for number in ids if number in world.people]
