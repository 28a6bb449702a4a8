"""What people do in channels: they say, edit, delete, call commands, press buttons and fill in forms."""

import time
from typing import Any

from tests.peers.discord import writing
from tests.peers.discord.commands import Filling, offered, on_target
from tests.peers.discord.interactions import AUTOCOMPLETE, COMMAND, COMPONENT, MODAL, Interaction, Modal
from tests.peers.discord.records import BUTTON, GROUP, Channel, Message, Person
from tests.peers.discord.world import World

File = tuple[str, bytes]


def say(
    world: World,
    channel: Channel,
    person: Person,
    text: str,
    files: list[File],
    reply_to: Message | None,
    mentions: list[Person] | None,
) -> Message:
    """A message of a person. `mentions` None pings those whom the text names and the author replied to."""
    if channel.guild is not None and person.id not in channel.guild.members:
        raise LookupError(f"{person.name} is not a member of {channel.guild.name}")
    if not (text or files) or len(text) > 4000 or len(files) > 10:
        raise ValueError("Discord's client sends no empty message, and at most 4,000 characters and 10 files")
    message = Message(world.new_id(), channel, person, text)
    message.attachments = [world.file(channel.id, name, data) for name, data in files]
    message.mentions = writing.named(world, text) if mentions is None else list(mentions)
    if reply_to is not None:
        writing.refer(message, reply_to)
        if mentions is None and reply_to.author not in message.mentions:
            message.mentions.append(reply_to.author)
    return world.post(message)


def edit(world: World, message: Message, text: str) -> Message:
    """Edits as its author; mentions follow the new text."""
    message.content = text
    message.mentions = writing.named(world, text)
    message.edits.append(time.monotonic())
    message.texts.append(text)
    world.publish("MESSAGE_UPDATE", message)
    return message


def slash(world: World, channel: Channel, person: Person, line: str, values: dict[str, Any]) -> Interaction:
    name, *path = line.removeprefix("/").split()
    command = offered(world, channel, person, name, 1)
    data = Filling(world, channel).data(command, path, values)
    return _start(world, COMMAND, channel, person, _of_guild(command, data))


def complete(
    world: World, channel: Channel, person: Person, line: str, option: str, values: dict[str, Any]
) -> Interaction:
    name, *path = line.removeprefix("/").split()
    command = offered(world, channel, person, name, 1)
    data = Filling(world, channel, option).data(command, path, values)
    return _start(world, AUTOCOMPLETE, channel, person, _of_guild(command, data))


def menu(world: World, channel: Channel, person: Person, name: str, target: Message | Person) -> Interaction:
    command = offered(world, channel, person, name, 2 if isinstance(target, Person) else 3)
    return _start(world, COMMAND, channel, person, _of_guild(command, on_target(world, channel, command, target)))


def press(world: World, message: Message, person: Person, label: str | None, custom_id: str | None) -> Interaction:
    """Presses the button; refuses what Discord's client does: none such, disabled, a link, not theirs to see."""
    found = [
        one
        for one in message.buttons
        if (label is None or one.get("label") == label) and (custom_id is None or one.get("custom_id") == custom_id)
    ]
    if not found or (label is None and custom_id is None):
        raise LookupError(f"no button {label or custom_id!r}; the message has {message.labels}")
    button = found[0]
    if button.get("disabled") or "custom_id" not in button:
        raise LookupError(f"the button {button.get('label')!r} is disabled or a link")
    data = {"component_type": BUTTON, "custom_id": button["custom_id"], "id": button.get("id", 1)}
    return _on_component(world, message, person, data)


def choose(world: World, message: Message, name: str | None, values: list[Any], person: Person) -> Interaction:
    """Chooses from a menu, named by custom_id or placeholder (or the only one), by value or label; people in a user
    menu."""
    found = [one for one in message.menus if name in (None, one["custom_id"], one.get("placeholder"))]
    if len(found) != 1 and name is None:
        raise LookupError(f"the message has {len(found)} menus: name one")
    if not found or found[0].get("disabled"):
        raise LookupError(f"no menu {name!r} to choose from")
    menu = found[0]
    if not menu.get("min_values", 1) <= len(values) <= menu.get("max_values", 1):
        raise ValueError(f"the menu does not take {len(values)} values")
    data: dict[str, Any] = {"component_type": menu["type"], "custom_id": menu["custom_id"], "id": menu.get("id", 1)}
    if menu["type"] == 3:
        by_name = {one[key]: one["value"] for key in ("label", "value") for one in menu["options"]}
        if unknown := [value for value in values if value not in by_name]:
            raise LookupError(f"the menu offers {sorted(by_name)}, not {unknown}")
        data["values"] = [by_name[value] for value in values]
    else:
        filling = Filling(world, message.channel)
        for one in values:
            if isinstance(one, Person):
                filling.add_person(one)
        data |= {"values": [str(one.id) for one in values], "resolved": filling.resolved}
    return _on_component(world, message, person, data)


def submit(world: World, modal: Modal, person: Person, values: dict[str, Any]) -> Interaction:
    """Fills in the form and sends it; fields that are not given keep what stood in them."""
    opener = modal.interaction
    if person is not opener.person:
        raise LookupError(f"the form stands before {opener.person.name}")
    interaction = Interaction(world, MODAL, opener.channel, person, modal.filled(world, values))
    interaction.message = opener.message
    return interaction.dispatch()


def _on_component(world: World, message: Message, person: Person, data: dict[str, Any]) -> Interaction:
    if message.deleted:
        raise LookupError("the message is deleted")
    if message.ephemeral and message.interaction is not None and message.interaction.person is not person:
        raise LookupError(f"only {message.interaction.person.name} sees this message")
    interaction = Interaction(world, COMPONENT, message.channel, person, data)
    interaction.message = message
    return interaction.dispatch()


def _start(world: World, kind: int, channel: Channel, person: Person, data: dict[str, Any]) -> Interaction:
    if channel.kind != 0 and channel.guild is None and person not in channel.recipients:
        raise LookupError(f"{person.name} is not in this {'group' if channel.kind == GROUP else 'conversation'}")
    return Interaction(world, kind, channel, person, data).dispatch()


def _of_guild(command: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    return data | ({"guild_id": command["guild_id"]} if "guild_id" in command else {})
