"""Cards of what a person taught: pages with thumbnails, one card, the menus that change or delete it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from adapters.press import button, number_of
from adapters.shown import Button, Shown
from rapbot.assistant import Assistant
from rapbot.concepts.category import is_person
from rapbot.concepts.concept import Concept, Role
from rapbot.contact_sheet import contact_sheet
from rapbot.errors import ConceptError
from rapbot.i18n import _, ngettext
from rapbot.inference.drawing import draw_numbers
from rapbot.messages import Actor, Chat
from rapbot.people import WhichFace
from rapbot.phrases import card_sentence

_PAGE = 6
"""Concepts on one page of /concepts."""


def agree_button(actor: Actor, concept: Concept) -> Button:
    """Recognition of a face begins with this button and not before."""
    return button(_("{name} agrees").format(name=concept.name), "face", number_of(actor), concept.id)


class Cards:
    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant

    async def by_number(self, actor: Actor, number: str) -> Concept:
        """The person's concept of that id. Raises ConceptError when there is none (any more)."""
        found = next((c for c in await self._assistant.memory.concepts(actor) if str(c.id) == number), None)
        if found is None:
            raise ConceptError(_("I don't know that any more."))
        return found

    async def page(self, actor: Actor, number: int) -> Shown:
        known = await self._assistant.memory.concepts(actor)
        if not known:
            return Shown(
                _("I don't know anything of yours yet. Send me a photo with: /remember NAME what it is"), private=True
            )
        last = (len(known) - 1) // _PAGE
        number = max(0, min(number, last))
        here = known[number * _PAGE : (number + 1) * _PAGE]
        me = number_of(actor)
        title = ngettext("{count} thing of yours", "{count} things of yours", len(known)).format(count=len(known))
        if last:
            title += " · " + _("page {number} of {last}").format(number=number + 1, last=last + 1)
        text = "\n".join([title, *(card_sentence(concept) for concept in here)])
        names = [button(concept.name, "show", me, concept.id) for concept in here]
        turning = []
        if number:
            turning.append(button("◀", "page", me, number - 1))
        if number < last:
            turning.append(button("▶", "page", me, number + 1))
        rows = [tuple(names[n : n + 3]) for n in range(0, len(names), 3)]
        rows += [tuple(turning)] if turning else []
        sheet = await self._sheet(actor, here)
        return Shown(text, (sheet,) if sheet else (), tuple(rows), private=True, replaces=True)

    async def _sheet(self, actor: Actor, concepts: Sequence[Concept]) -> bytes | None:
        pictures = []
        for concept in concepts:
            first = next((avatar for avatar in concept.avatars if avatar.role is Role.AVATAR), None)
            if first is not None:
                pictures.append((concept.name, await self._assistant.memory.picture(actor, first.id)))
        return await asyncio.to_thread(contact_sheet, pictures) if pictures else None

    async def card(self, actor: Actor, concept: Concept) -> Shown:
        first = next((avatar for avatar in concept.avatars if avatar.role is Role.AVATAR), None)
        picture = (await self._assistant.memory.picture(actor, first.id),) if first else ()
        count = sum(avatar.role is Role.AVATAR for avatar in concept.avatars)
        photos = ngettext("{count} photo", "{count} photos", count).format(count=count)
        taught = _("taught on {date}").format(date=concept.created_at.date().isoformat())
        text = f"{card_sentence(concept)}\n{photos}, {taught}"
        if concept.updated_at.date() != concept.created_at.date():
            text += ", " + _("changed on {date}").format(date=concept.updated_at.date().isoformat())
        me = number_of(actor)
        row = (button(_("Edit"), "edit", me, concept.id), button(_("Forget"), "forget", me, concept.id, danger=True))
        face = await self._face_button(actor, concept)
        return Shown(text, picture, (row, (face,)) if face else (row,), private=True)

    async def _face_button(self, actor: Actor, concept: Concept) -> Button | None:
        if await self._assistant.memory.has_face(actor, concept):
            return button(_("Stop recognising the face"), "noface", number_of(actor), concept.id)
        if is_person(concept.category) and self._assistant.people.recognised:
            return agree_button(actor, concept)
        return None

    async def allow_face(self, actor: Actor, concept: Concept, which: int | None) -> Shown:
        """The person agreed; which face it is, is asked where the photo shows several."""
        try:
            reply = await self._assistant.allow_face(actor, concept.name, which)
        except WhichFace as several:
            me = number_of(actor)
            picture = await asyncio.to_thread(draw_numbers, several.jpeg, several.boxes)
            numbers = [button(str(n + 1), "face", me, concept.id, n) for n in range(min(len(several.boxes), 20))]
            rows = tuple(tuple(numbers[n : n + 5]) for n in range(0, len(numbers), 5))
            return Shown(several.sentence, (picture,), rows, private=True)
        stop = button(_("Stop recognising the face"), "noface", number_of(actor), concept.id)
        return Shown(reply.text, buttons=((stop,),), private=True)

    def ask_forget(self, actor: Actor, concept: Concept) -> Shown:
        me = number_of(actor)
        row = (
            button(_("Forget for good"), "forget!", me, concept.id, danger=True),
            button(_("Keep"), "keep", me),
        )
        text = _("Forget {name} with card, photos and keys? There is no undo.").format(name=concept.name)
        return Shown(f"{text}\n{card_sentence(concept)}", buttons=(row,), private=True)

    def ask_forget_me(self, actor: Actor) -> Shown:
        me = number_of(actor)
        row = (button(_("Delete everything"), "erase!", me, danger=True), button(_("Keep"), "keep", me))
        text = _(
            "Delete everything I keep about you, linked accounts included? There is no undo. /mydata saves it first."
        )
        return Shown(text, buttons=(row,), private=True)

    def edit_menu(self, actor: Actor, concept: Concept) -> Shown:
        me = number_of(actor)
        fields = (("name", _("Name")), ("info", _("Information")), ("category", _("Kind")), ("photo", _("Add a photo")))
        row = [button(label, "field", me, concept.id, field) for field, label in fields]
        text = f"{card_sentence(concept)}\n" + _("What shall I change?")
        return Shown(text, buttons=(tuple(row[:2]), tuple(row[2:])), private=True)

    async def await_words(self, actor: Actor, chat: Chat, concept: Concept, field: str) -> Shown:
        if field == "photo":
            reply = await self._assistant.teaching.await_photo(actor, chat, concept.name)
            return Shown(reply.text, private=True, awaits="photo")
        reply = await self._assistant.teaching.await_edit(actor, chat, concept.name, field)
        return Shown(reply.text, private=True, awaits="text")
