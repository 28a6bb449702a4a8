"""The routes that answer an interaction: the callback within 3 s, then the webhook of its token for 15 minutes."""

import time
from typing import Any

from tests.peers.discord import limits, wire, writing
from tests.peers.discord.interactions import AUTOCOMPLETE, COMMAND, COMPONENT, MODAL, Interaction, Modal
from tests.peers.discord.limits import Refused, invalid
from tests.peers.discord.records import Call, Message
from tests.peers.discord.rest import route
from tests.peers.discord.world import World

SAY, THINK, LATER, UPDATE, SUGGEST, FORM = 4, 5, 6, 7, 8, 9
# Which callback types Discord takes for which kind of interaction.
TAKEN = {
    COMMAND: (SAY, THINK, FORM),
    COMPONENT: (SAY, THINK, LATER, UPDATE, FORM),
    AUTOCOMPLETE: (SUGGEST,),
    MODAL: (SAY, THINK, LATER, UPDATE),
}


@route("POST", "/interactions/{number}/{token}/callback")
def callback(world: World, call: Call, number: str, token: str) -> Any:
    interaction: Interaction | None = world.interactions.get(token)
    if interaction is None or str(interaction.id) != number:
        raise Refused(404, 10062, "Unknown interaction")
    kind, after = call.json["type"], call.at - interaction.dispatched_at
    try:
        if interaction.callback is not None:
            raise Refused(400, 40060, "Interaction has already been acknowledged.")
        if interaction.expired or after > world.acknowledge_within:
            interaction.expired = True
            raise Refused(404, 10062, "Unknown interaction")
        allowed = TAKEN[interaction.kind]
        if kind not in allowed or (interaction.kind == MODAL and kind in (LATER, UPDATE) and not interaction.message):
            raise invalid("type", "BASE_TYPE_CHOICES", f"Value must be one of {allowed}.")
        _apply(world, interaction, kind, call.json.get("data") or {}, call)
    except Refused as refusal:
        interaction.refused.append(refusal.body["code"])
        raise
    interaction.callback, interaction.acknowledged_after = kind, after
    return _receipt(world, interaction, kind) if call.query.get("with_response") in ("1", "true") else None


def _apply(world: World, interaction: Interaction, kind: int, data: dict[str, Any], call: Call) -> None:
    if kind == SAY:
        interaction.original = writing.create(world, interaction.channel, data, call, interaction)
        interaction.wrote(interaction.original)
    elif kind == THINK:
        interaction.original = writing.loading(world, interaction, data.get("flags") or 0)
        interaction.written.append(interaction.original)
    elif kind == LATER:
        interaction.original = interaction.message
    elif kind == UPDATE and interaction.message is not None:
        interaction.original = writing.amend(world, interaction.message, data, call)
        interaction.wrote(interaction.original)
    elif kind == SUGGEST:
        limits.check_choices(data["choices"])
        interaction.choices = data["choices"]
    elif kind == FORM:
        limits.check_modal(data)
        interaction.modal = Modal(interaction, data)


def _receipt(world: World, interaction: Interaction, kind: int) -> dict[str, Any]:
    """InteractionCallbackResponse: what came into being."""
    answer: dict[str, Any] = {"interaction": {"id": str(interaction.id), "type": interaction.kind}}
    message = interaction.original
    if message is not None and kind in (SAY, THINK, LATER, UPDATE):
        answer["interaction"] |= {
            "response_message_id": str(message.id),
            "response_message_loading": message.loading,
            "response_message_ephemeral": message.ephemeral,
        }
        if kind != LATER:
            answer["resource"] = {"type": kind, "message": wire.message(message, world.bot)}
    return answer


def _webhook(world: World, app: str, token: str) -> Interaction:
    """The acknowledged interaction of the token; a token that is over answers 401 code 50027."""
    interaction: Interaction | None = world.interactions.get(token)
    if interaction is None or interaction.callback is None or app != str(world.bot.id):
        raise Refused(404, 10015, "Unknown Webhook")
    if time.monotonic() - interaction.dispatched_at > world.token_lifetime:
        raise Refused(401, 50027, "Invalid Webhook Token")
    return interaction


def _message(interaction: Interaction, number: str) -> Message:
    mine = [one for one in (interaction.original, *interaction.followups) if one is not None]
    found = interaction.original if number == "@original" else next((x for x in mine if str(x.id) == number), None)
    if found is None or found.deleted:
        raise Refused(404, 10008, "Unknown Message")
    return found


@route("POST", "/webhooks/{app}/{token}")
def follow_up(world: World, call: Call, app: str, token: str) -> Any:
    """The first followup after a deferral takes the place of 'is thinking...', its visibility included."""
    interaction = _webhook(world, app, token)
    original = interaction.original
    if original is not None and original.loading and not original.deleted:
        message = writing.amend(world, original, call.json, call)
    else:
        message = writing.create(world, interaction.channel, call.json, call, interaction, original)
    interaction.followups.append(message)
    interaction.wrote(message)
    return wire.message(message, world.bot)


@route("GET", "/webhooks/{app}/{token}/messages/{message}")
def get_answer(world: World, call: Call, app: str, token: str, message: str) -> Any:
    return wire.message(_message(_webhook(world, app, token), message), world.bot)


@route("PATCH", "/webhooks/{app}/{token}/messages/{message}")
def edit_answer(world: World, call: Call, app: str, token: str, message: str) -> Any:
    interaction = _webhook(world, app, token)
    record = writing.amend(world, _message(interaction, message), call.json, call)
    interaction.wrote(record)
    return wire.message(record, world.bot)


@route("DELETE", "/webhooks/{app}/{token}/messages/{message}")
def delete_answer(world: World, call: Call, app: str, token: str, message: str) -> Any:
    world.remove(_message(_webhook(world, app, token), message))
