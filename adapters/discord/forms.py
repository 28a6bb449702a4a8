"""Forms (modals) and the context menus of messages, one of which opens a form.

What is written into a form comes back with its `custom_id` alone, so a form still works when the bot was restarted
meanwhile; only *Remember this* holds on to a message, and says so when it is lost.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import discord
from discord import app_commands

from adapters.discord.pictures import attached, chosen, is_picture
from adapters.discord.reception import Reception, named
from adapters.recent import Recent
from adapters.shown import Shown
from rapbot.concepts.concept import Concept
from rapbot.errors import ConceptError, PhotoError, RapbotError
from rapbot.i18n import _, mark, speaking
from rapbot.messages import Actor, ProgressListener

EDIT = "rap-edit:"
TEACH = "rap-teach:"
_OPEN = 1000
"""Forms of *Remember this* that are remembered."""

_Interaction = discord.Interaction[Any]


class Forms:
    def __init__(self, reception: Reception) -> None:
        self._reception = reception
        self._taught: Recent[str, tuple[discord.Attachment, ...]] = Recent(_OPEN)

    # -- opened ---------------------------------------------------------------------------------------------

    async def edit(self, interaction: _Interaction, name: str) -> None:
        """/edit: the card to change."""
        await self._edit(
            interaction, self._reception.desk.card(self._reception.people.of_interaction(interaction), name)
        )

    async def edit_card(self, interaction: _Interaction, number: str) -> None:
        """The button *Edit* under a card."""
        await self._edit(interaction, self._card(self._reception.people.of_interaction(interaction), number))

    async def _card(self, actor: Actor, number: str) -> Concept:
        for concept in await self._reception.assistant.memory.concepts(actor):
            if str(concept.id) == number:
                return concept
        raise ConceptError(_("I don't know that any more."))

    async def _edit(self, interaction: _Interaction, finding: Coroutine[None, None, Concept]) -> None:
        if not await self._reception.welcome(interaction):
            finding.close()
            return
        with speaking(interaction.locale.value):
            try:
                card = await finding
            except RapbotError as error:
                await self._reception.refuse(interaction, error.sentence)
                return
            limits = self._reception.settings.limits
            form = _form(
                _("Edit {name}").format(name=card.name),
                EDIT + card.name,
                _field("name", _("Name"), card.name, limits.name_characters, required=True),
                _field("category", _("Category"), card.category, limits.category_characters),
                _field("info", _("Information"), card.info, limits.info_characters, long=True),
            )
            await interaction.response.send_modal(form)

    async def remember_this(self, interaction: _Interaction, message: discord.Message) -> None:
        """*Remember this*: asks for the name of what the message shows."""
        if not await self._reception.welcome(interaction):
            return
        actor = self._reception.people.of_interaction(interaction)
        limits = self._reception.settings.limits
        with speaking(actor.language):
            try:
                pictures = chosen(_pictures(message)[:1], limits)
            except RapbotError as error:
                await self._reception.refuse(interaction, error.sentence)
                return
            key = f"{TEACH}{interaction.id}"
            self._taught.put(key, pictures)
            form = _form(
                _("Remember this"),
                key,
                _field("name", _("Name"), "", limits.name_characters, required=True),
                _field("info", _("What it is, in one sentence"), "", limits.info_characters, long=True),
            )
            await interaction.response.send_modal(form)

    async def caption_this(self, interaction: _Interaction, message: discord.Message) -> None:
        await self._about(interaction, message, "/caption")

    async def who_is_here(self, interaction: _Interaction, message: discord.Message) -> None:
        await self._about(interaction, message, "/find")

    async def _about(self, interaction: _Interaction, message: discord.Message, line: str) -> None:
        with speaking(self._reception.people.of_interaction(interaction).language):
            try:
                pictures = _pictures(message)
            except PhotoError as error:
                if await self._reception.welcome(interaction):
                    await self._reception.refuse(interaction, error.sentence)
                return
        await self._reception.command(interaction, line, pictures)

    # -- sent off -------------------------------------------------------------------------------------------

    async def sent(self, interaction: _Interaction, form: str, words: dict[str, str]) -> None:
        """Somebody filled in the form `form`."""
        if form.startswith(EDIT):
            await self._edited(interaction, form.removeprefix(EDIT), words)
        elif (pictures := self._taught.get(form)) is not None:
            self._taught.pop(form)
            line = "/remember " + named(words.get("name", ""), words.get("info", ""))
            await self._reception.command(interaction, line, pictures)
        elif form.startswith(TEACH) and await self._reception.welcome(interaction):
            with speaking(interaction.locale.value):
                said = _("I was restarted while you wrote. Please choose “Remember this” again.")
            await self._reception.refuse(interaction, said)

    async def _edited(self, interaction: _Interaction, name: str, words: dict[str, str]) -> None:
        actor = self._reception.people.of_interaction(interaction)

        async def work(_listener: ProgressListener) -> Shown:
            new_name, category, info = (words.get(field, "") for field in ("name", "category", "info"))
            return await self._reception.desk.edit(actor, name, new_name, category, info)

        await self._reception.interaction(interaction, work, private=True)


def add_menus(tree: app_commands.CommandTree[Any], forms: Forms) -> None:
    """The entries of a message's context menu ("Apps")."""
    for label, does in (
        (mark("Caption this"), forms.caption_this),
        (mark("Who is here?"), forms.who_is_here),
        (mark("Remember this"), forms.remember_this),
    ):
        tree.add_command(app_commands.ContextMenu(name=app_commands.locale_str(label), callback=does))


def words_of(data: dict[str, Any]) -> dict[str, str]:
    """custom_id -> text of every field of a sent form."""
    found = {}
    rows = list(data.get("components", []))
    while rows:
        part = rows.pop()
        rows += part.get("components", [])
        rows += [part["component"]] if "component" in part else []
        if "value" in part:
            found[part["custom_id"]] = str(part["value"])
    return found


def _pictures(message: discord.Message) -> tuple[discord.Attachment, ...]:
    pictures = tuple(file for file in attached(message) if is_picture(file))
    if not pictures:
        raise PhotoError(_("I see no picture in that message."))
    return pictures


def _form(title: str, key: str, *fields: discord.ui.Label[discord.ui.Modal]) -> discord.ui.Modal:
    form = discord.ui.Modal(title=title[:45], custom_id=key[:100])
    for field in fields:
        form.add_item(field)
    form.stop()  # as with buttons: it comes back through `on_interaction`, also to another run of this program
    return form


def _field(
    key: str, label: str, value: str, longest: int, *, long: bool = False, required: bool = False
) -> discord.ui.Label[discord.ui.Modal]:
    text: discord.ui.TextInput[discord.ui.Modal] = discord.ui.TextInput(
        custom_id=key,
        default=value or None,
        max_length=max(longest, len(value)),
        style=discord.TextStyle.paragraph if long else discord.TextStyle.short,
        required=required,
    )
    return discord.ui.Label(text=label[:45], component=text)
