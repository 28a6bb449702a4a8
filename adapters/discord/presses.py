"""Pressed buttons. What a button means stands in its `custom_id`, so buttons of an earlier run work as well."""

from __future__ import annotations

import re
from typing import Any

import discord

from adapters.discord.forms import Forms
from adapters.discord.origins import spoken_of
from adapters.discord.pictures import load
from adapters.discord.places import chat_of_interaction
from adapters.discord.reception import Reception, is_admin, with_hint
from adapters.discord.showing import PRESS
from adapters.press import Press
from adapters.shown import Shown
from rapbot.messages import Photo, ProgressListener

_NUMBER = re.compile(r"\((\d+)\)$")


class Presses:
    def __init__(self, reception: Reception, forms: Forms) -> None:
        self._reception = reception
        self._forms = forms

    async def pressed(self, interaction: discord.Interaction[Any], data: str) -> None:
        actor = self._reception.people.of_interaction(interaction)
        chat = chat_of_interaction(interaction)
        press = Press.read(data)
        if press.person == str(interaction.user.id) and _asks_for_words(press):
            await self._forms.edit_card(interaction, press.words[0])
            return

        async def photo() -> Photo | None:
            return await self._photo(interaction.message, data, actor.id)

        async def work(listener: ProgressListener) -> Shown | None:
            await self._reception.members.check(chat)
            admin = is_admin(interaction)
            shown = await self._reception.desk.press(actor, chat, data, photo, listener, admin=admin)
            return with_hint(shown, chat)

        await self._reception.interaction(interaction, work)

    async def _photo(self, message: discord.Message | None, data: str, person: str) -> Photo | None:
        """What the answer with the button speaks of: the picture of its question, else the one it shows itself."""
        found = await spoken_of(message, message.author.id) if message is not None else ()
        if not found:
            return None
        at = _number(message, data) - 1
        chosen = found[at] if 0 <= at < len(found) else found[0]
        reception = self._reception
        return (await load([chosen], reception.settings.limits, reception.downloads, person))[0]


def _asks_for_words(press: Press) -> bool:
    """Discord has forms for what other platforms ask in the next message."""
    return len(press.words) >= 1 and (press.kind == "edit" or (press.kind == "field" and press.words[1:] != ("photo",)))


def _number(message: discord.Message | None, data: str) -> int:
    """Of which photo of an album the button speaks: "Why? (2)"; 1 without a number."""
    for row in message.components if message is not None else []:
        for part in row.children if isinstance(row, discord.ActionRow) else []:
            if isinstance(part, discord.Button) and part.custom_id == PRESS + data:
                number = _NUMBER.search(part.label or "")
                return int(number[1]) if number else 1
    return 1
