"""Interactions as a test sees them, and INTERACTION_CREATE as the bot receives it."""

import secrets
import time
from typing import Any

from tests.peers.discord import wire
from tests.peers.discord.records import (
    DM,
    EVERYONE,
    FILE_UPLOAD,
    SELECT_KINDS,
    TEXT_INPUT,
    Channel,
    Message,
    Person,
    walk,
)
from tests.peers.discord.world import World

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL = 2, 3, 4, 5


class Modal:
    """A form that the bot opened. `fields` are its inputs in order; a label or a custom_id names one."""

    def __init__(self, interaction: "Interaction", data: dict[str, Any]) -> None:
        self.interaction = interaction
        self.data = data
        self.title: str = data["title"]
        self.custom_id: str = data["custom_id"]

    @property
    def fields(self) -> dict[str, dict[str, Any]]:
        """label -> input component (with `value`, `max_length`, `required`, ... as the bot sent them)."""
        found: dict[str, dict[str, Any]] = {}
        for part in walk(self.data["components"]):
            if part["type"] == 18:
                found[part["label"]] = part["component"]
            elif part["type"] == 1:
                found |= {one.get("label") or one["custom_id"]: one for one in part["components"]}
        return found

    def filled(self, world: World, values: dict[str, Any]) -> dict[str, Any]:
        """The data of the submission: given values, else the prefilled ones; refuses what Discord's form refuses."""
        by_name = {key: part for label, part in self.fields.items() for key in (label, part["custom_id"])}
        unknown = values.keys() - by_name.keys()
        if unknown:
            raise LookupError(f"no field {sorted(unknown)} in the form; it has {sorted(self.fields)}")
        given = {id(by_name[key]): value for key, value in values.items()}
        resolved: dict[str, dict[str, Any]] = {}

        def answer(part: dict[str, Any]) -> dict[str, Any]:
            base = {key: part[key] for key in ("type", "custom_id", "id") if key in part}
            value = given.get(id(part))
            if part["type"] == TEXT_INPUT:
                text = part.get("value") or "" if value is None else str(value)
                least = part.get("min_length") or (1 if part.get("required", True) else 0)
                if (text or part.get("required", True)) and not least <= len(text) <= (part.get("max_length") or 4000):
                    raise ValueError(f"the form does not accept {len(text)} characters in {part['custom_id']}")
                return base | {"value": text}
            if part["type"] == FILE_UPLOAD:
                files = [
                    world.file(self.interaction.channel.id, name, data, ephemeral=True) for name, data in value or []
                ]
                resolved.setdefault("attachments", {}).update({str(one.id): wire.attachment(one) for one in files})
                return base | {"values": [str(one.id) for one in files]}
            if part["type"] in (21, 23):
                return base | {"value": value}
            if part["type"] in SELECT_KINDS and value is None:
                value = [one["value"] for one in part.get("options", []) if one.get("default")]
            return base | {"values": list(value or [])}

        rows: list[dict[str, Any]] = []
        for row in self.data["components"]:
            if row["type"] == 18:
                rows.append({"type": 18, "component": answer(row["component"])})
            elif row["type"] == 1:
                rows.append({"type": 1, "components": [answer(one) for one in row["components"]]})
        return {"custom_id": self.custom_id, "components": rows} | ({"resolved": resolved} if resolved else {})


class Interaction:
    """One thing a person did, and what came of it.

    `acknowledged_after`: seconds from the dispatch to the arrival of the callback. `messages`: all messages of the
    answer as they are now. `refused`: the codes of callbacks that Discord turned away (10062: too late).
    """

    def __init__(self, world: World, kind: int, channel: Channel, person: Person, data: dict[str, Any]) -> None:
        guild = channel.guild
        if guild is not None and person.id not in guild.members:
            raise LookupError(f"{person.name} is not a member of {guild.name}")
        self.world = world
        self.kind = kind
        self.channel = channel
        self.person = person
        self.data = data
        self.id = world.new_id()
        self.token = secrets.token_urlsafe(24)
        self.message: Message | None = None
        self.dispatched_at = 0.0
        self.acknowledged_after: float | None = None
        self.callback: int | None = None
        self.original: Message | None = None
        self.followups: list[Message] = []
        self.modal: Modal | None = None
        self.choices: list[dict[str, Any]] | None = None
        self.refused: list[int] = []
        self.expired = False
        self.written: list[Message] = []
        installed_here = guild is not None and guild.bot_is_member
        self.owners = {"0": str(guild.id)} if guild is not None and installed_here else {"1": str(person.id)}
        if channel.kind == DM:
            self.owners["0"] = "0"

    # --- what came of it ---

    @property
    def deferred(self) -> bool:
        """Answered with 'is thinking...' (type 5) or, for a component, with nothing yet (type 6)."""
        return self.callback in (5, 6)

    @property
    def ephemeral(self) -> bool:
        """Whether only the person sees the answer."""
        shown = self.original if self.callback in (4, 5) else next(iter(self.followups), None)
        return shown is not None and shown.ephemeral

    @property
    def messages(self) -> list[Message]:
        return [one for one in self.written if not one.deleted and not one.loading]

    @property
    def response(self) -> Message | None:
        """The original response once it says something: for a component the message that was updated."""
        return self.original if self.original in self.messages else None

    async def acknowledged(self, timeout: float = 10.0) -> "Interaction":  # noqa: ASYNC109 - a test's bound
        await self.world.wait_for(lambda: self.callback is not None, timeout, "an acknowledgement")
        return self

    async def answer(self, timeout: float = 10.0) -> Message:  # noqa: ASYNC109 - a test's bound
        """The first real message: the response, the edited original after a deferral, or a followup."""
        return (await self.world.wait_for(lambda: self.messages, timeout, "a message in answer"))[0]

    done = answer

    async def form(self, timeout: float = 10.0) -> Modal:  # noqa: ASYNC109 - a test's bound
        """The form that the bot opens in answer."""
        await self.world.wait_for(lambda: self.modal is not None, timeout, "a form")
        assert self.modal is not None
        return self.modal

    async def refusal(self, timeout: float = 10.0) -> int:  # noqa: ASYNC109 - a test's bound
        """The code of the first callback that was turned away."""
        return (await self.world.wait_for(lambda: self.refused, timeout, "a refused callback"))[0]

    def wrote(self, message: Message) -> None:
        if message not in self.written:
            self.written.append(message)
        self.world.changed()

    # --- what the bot receives ---

    def dispatch(self) -> "Interaction":
        self.world.interactions[self.token] = self
        self.dispatched_at = time.monotonic()
        guild = self.channel.guild if self.channel.guild and self.channel.guild.bot_is_member else None
        body = self.payload()
        self.world.dispatch("INTERACTION_CREATE", lambda intents: body, guild, 0)
        return self

    def payload(self) -> dict[str, Any]:
        guild, world = self.channel.guild, self.world
        channel = wire.channel(self.channel)
        channel.pop("recipients", None)  # Discord leaves them out here
        allowed = EVERYONE if guild is None else guild.permissions(self.person)
        body: dict[str, Any] = {
            "id": str(self.id),
            "application_id": str(world.bot.id),
            "type": self.kind,
            "token": self.token,
            "version": 1,
            "data": self.data,
            "channel_id": str(self.channel.id),
            "channel": channel | {"permissions": str(allowed)},
            "locale": self.person.locale,
            "app_permissions": str(guild.permissions(world.bot) if guild and guild.bot_is_member else EVERYONE),
            "entitlements": [],
            "authorizing_integration_owners": self.owners,
            "context": context(self.channel),
            "attachment_size_limit": world.upload_limit,
        }
        if guild is not None:
            body |= {"guild_id": str(guild.id), "guild_locale": guild.locale}
            body["guild"] = {"id": str(guild.id), "locale": guild.locale, "features": []}
            body["member"] = wire.member(guild, self.person, with_permissions=True)
        else:
            body["user"] = wire.user(self.person)
        if self.message is not None:
            body["message"] = wire.message(self.message, world.bot)
        return body


def context(channel: Channel) -> int:
    """0 in a server, 1 in the bot's direct messages, 2 in a private channel of others."""
    return 0 if channel.guild is not None else 1 if channel.kind == DM else 2
