"""What a person may call: looks the command up among those that the bot registered and fills in its options."""

from typing import Any

from tests.peers.discord import wire
from tests.peers.discord.interactions import context
from tests.peers.discord.records import Channel, Message, Person
from tests.peers.discord.world import World

STRING, INTEGER, BOOLEAN, USER, NUMBER, ATTACHMENT = 3, 4, 5, 6, 10, 11


def offered(world: World, channel: Channel, person: Person, name: str, kind: int) -> dict[str, Any]:
    """The registered command, if Discord shows it to this person here. LookupError says why it is not shown."""
    guild = channel.guild
    known = [*world.guild_commands.get(guild.id if guild else 0, []), *world.commands]
    found = next((one for one in known if one["name"] == name and one.get("type", 1) == kind), None)
    if found is None:
        raise LookupError(f"{name!r} is not registered; the bot registered {sorted(one['name'] for one in known)}")
    contexts = found.get("contexts")
    if contexts is not None and context(channel) not in contexts:
        raise LookupError(f"{name!r} is offered in the contexts {contexts}, this channel is {context(channel)}")
    here = (guild is not None and guild.bot_is_member) or context(channel) == 1
    if not here and 1 not in (found.get("integration_types") or [0]):
        raise LookupError(f"{name!r} is not for users who installed the bot for themselves, and the bot is not here")
    needed = found.get("default_member_permissions")
    if needed is not None and guild is not None:
        mine = guild.permissions(person)
        if int(needed) & ~mine or (int(needed) == 0 and guild.owner is not person and not mine & 8):
            raise LookupError(f"{person.name} lacks the permissions for {name!r}")
    return found


class Filling:
    """One call of a slash command: the options as Discord sends them, with the files and people they refer to."""

    def __init__(self, world: World, channel: Channel, typed: str | None = None) -> None:
        self.world = world
        self.channel = channel
        self.focused = typed
        self.resolved: dict[str, dict[str, Any]] = {}

    def data(self, command: dict[str, Any], path: list[str], values: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = {"id": command["id"], "name": command["name"], "type": 1}
        level, options = answer, command.get("options", [])
        for name in path:
            part = next((one for one in options if one["name"] == name and one["type"] in (1, 2)), None)
            if part is None:
                raise LookupError(f"{command['name']!r} has no subcommand {name!r}")
            below = {"name": name, "type": part["type"]}
            level["options"] = [below]
            level, options = below, part.get("options", [])
        if any(one["type"] in (1, 2) for one in options):
            raise LookupError(f"{command['name']!r} needs one of the subcommands {[one['name'] for one in options]}")
        level["options"] = self._options(options, values)
        if self.resolved:
            answer["resolved"] = self.resolved
        return answer

    def _options(self, options: list[dict[str, Any]], values: dict[str, Any]) -> list[dict[str, Any]]:
        known = {one["name"]: one for one in options}
        unknown = values.keys() - known.keys()
        if unknown:
            raise LookupError(f"no option {sorted(unknown)}; the command has {sorted(known)}")
        missing = [one["name"] for one in options if one.get("required") and values.get(one["name"]) is None]
        if missing and self.focused is None:
            raise LookupError(f"the options {missing} are required")
        answer: list[dict[str, Any]] = []
        for name, value in values.items():
            if value is None:
                continue
            if name == self.focused:
                if not known[name].get("autocomplete"):
                    raise LookupError(f"the option {name!r} has no autocompletion")
                answer.append({"name": name, "type": known[name]["type"], "value": value, "focused": True})
            else:
                kind = known[name]["type"]
                answer.append({"name": name, "type": kind, "value": self._value(known[name], value)})
        return answer

    def _value(self, option: dict[str, Any], value: Any) -> Any:
        kind, name = option["type"], option["name"]
        if kind == ATTACHMENT:
            file = self.world.file(self.channel.id, *value, ephemeral=True)
            self.resolved.setdefault("attachments", {})[str(file.id)] = wire.attachment(file)
            return str(file.id)
        if isinstance(value, Person):
            if kind not in (USER, 9):
                raise TypeError(f"the option {name!r} takes no person")
            self.add_person(value)
            return str(value.id)
        expected: dict[int, tuple[type[Any], ...]] = {
            STRING: (str,),
            INTEGER: (int,),
            BOOLEAN: (bool,),
            NUMBER: (int, float),
        }
        if kind in expected and not isinstance(value, expected[kind]):
            raise TypeError(f"the option {name!r} (type {kind}) does not take {value!r}")
        choices = [one["value"] for one in option.get("choices", [])]
        if choices and value not in choices:
            raise ValueError(f"the option {name!r} offers {choices}, not {value!r}")
        if kind == STRING and not option.get("min_length", 0) <= len(value) <= option.get("max_length", 6000):
            raise ValueError(f"Discord's client does not send {len(value)} characters for {name!r}")
        if kind in (INTEGER, NUMBER):
            low, high = option.get("min_value", -(2**53)), option.get("max_value", 2**53)
            if not low <= value <= high:
                raise ValueError(f"Discord's client does not send {value} for {name!r}")
        return value

    def add_person(self, person: Person) -> None:
        self.resolved.setdefault("users", {})[str(person.id)] = wire.user(person)
        guild = self.channel.guild
        if guild is not None and person.id in guild.members:
            member = wire.member(guild, person, with_user=False, with_permissions=True)
            self.resolved.setdefault("members", {})[str(person.id)] = member


def on_target(world: World, channel: Channel, command: dict[str, Any], target: Message | Person) -> dict[str, Any]:
    """The data of a context menu: the message (whole, also without the content intent) or the person it was used on."""
    filling = Filling(world, channel)
    if isinstance(target, Person):
        filling.add_person(target)
        resolved = filling.resolved
    else:
        resolved = {"messages": {str(target.id): wire.message(target, world.bot)}}
    kind = command["type"]
    return {
        "id": command["id"],
        "name": command["name"],
        "type": kind,
        "target_id": str(target.id),
        "resolved": resolved,
    }
