"""What every chat platform does with a message or a pressed button, without knowing any platform.

`Desk.message` turns a request into what is shown, `Desk.press` does what a button says. Buttons carry everything they
need in `Button.data`, so they still work after a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from rapidfuzz import fuzz, process

from adapters.delivery import Button, Shown
from adapters.press import Press, button
from rapbot.assistant import Assistant
from rapbot.commands import Where, handle, known_name, mode_sentence, parse
from rapbot.concepts.concept import Concept, Role
from rapbot.contact_sheet import contact_sheet
from rapbot.errors import ConceptError
from rapbot.groups import PhotoMode
from rapbot.i18n import _, ngettext
from rapbot.messages import Action, Actor, Chat, ChatKind, Photo, ProgressListener, Reply, Request
from rapbot.phrases import card_sentence

PhotoLoader = Callable[[], Awaitable[Photo | None]]
"""Fetches the photo of the question again from the platform; None when the platform has it no more."""

PRIVATE_COMMANDS = frozenset({"concepts", "show", "mydata", "forgetme", "link", "unlink", "undo", "edit"})
"""Their answers are for the person alone: ephemeral on Discord, in the private chat on Telegram."""

IN_PRIVATE = frozenset({Where.ANYWHERE, Where.CHAT})
IN_GROUPS = frozenset(Where)

_PAGE = 6
"""Concepts on one page of /concepts."""
_NAMES = 8
"""Names to choose from in *Wrong?*."""
_WHOLE = 0
"""The scene of a photo starts with the whole picture."""


class Desk:
    """One for each running platform."""

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant

    async def message(
        self, request: Request, listener: ProgressListener | None = None, *, unasked: bool = False
    ) -> Shown | None:
        """Answer a command, a free text, photos. Raises RapbotError.

        `unasked`: a photo in a group that nobody asked about, in a group set to "recognised" or "every"; None when
        there is nothing to say. The caller asks `photo_mode` first.
        """
        if unasked:
            return await self._unasked(request, listener)
        name, rest = parse(request.text) or ("", "")
        if name:
            self._assistant.interrupt(request.actor, request.chat)
        group = request.chat.kind is ChatKind.GROUP
        match name:
            case "start":
                return await self.message(_with_text(request, (rest and f"/{rest}") or "/help"), listener)
            case "concepts":
                return await self._page(request.actor, 0)
            case "show" if rest:
                return await self._card(request.actor, await self.card(request.actor, rest))
            case "forget" if rest:
                return self._ask_forget(request.actor, await self.card(request.actor, rest))
            case "edit" if rest:
                known, words = await known_name(self._assistant, request, rest)
                if not words:
                    return self._edit_menu(request.actor, await self.card(request.actor, known))
            case "forgetme":
                return self._ask_forget_me(request.actor)
            case "settings" if group and request.admin and not rest:
                return await self._settings(request.chat)
        reply = await handle(self._assistant, request, listener, IN_GROUPS if group else IN_PRIVATE)
        return self._shown(reply, request.actor, private=name in PRIVATE_COMMANDS)

    async def press(
        self,
        actor: Actor,
        chat: Chat,
        data: str,
        photo: PhotoLoader,
        listener: ProgressListener | None = None,
        *,
        admin: bool = False,
    ) -> Shown:
        """Do what a button says; `Shown.replaces` tells whether the answer replaces the message with the button.

        `photo` is called only when the answer's photo is not in memory any more (after a restart). Raises RapbotError.
        """
        press = Press.read(data)
        if press.kind == "mode":
            return await self._set_mode(chat, press.words[0], admin)
        if press.person != _local(actor):
            raise ConceptError(_("That button is for the person who asked."))
        match press.kind, *press.words:
            case "why", answer_id:
                await self._recall(actor, chat, answer_id, photo)
                return self._shown(await self._assistant.why(actor, answer_id), actor)
            case "wrong", answer_id:
                await self._recall(actor, chat, answer_id, photo)
                return await self._which_part(actor, answer_id)
            case "part", answer_id, region:
                await self._recall(actor, chat, answer_id, photo)
                return await self._which_name(actor, answer_id, int(region))
            case "right", answer_id, region, number:
                await self._recall(actor, chat, answer_id, photo)
                return await self._correct(actor, answer_id, int(region), int(number))
            case "undo", *_rest:
                return self._shown(await self._assistant.undo(actor), actor)
            case "page", number:
                return await self._page(actor, int(number))
            case "show", number:
                return await self._card(actor, await self._concept(actor, number))
            case "forget", number:
                return self._ask_forget(actor, await self._concept(actor, number))
            case "forget!", number:
                reply = await self._assistant.forget(actor, (await self._concept(actor, number)).name)
                return Shown(reply.text, replaces=True)
            case "edit", number:
                return self._edit_menu(actor, await self._concept(actor, number))
            case "field", number, field:
                return await self._await_words(actor, chat, await self._concept(actor, number), field)
            case "erase!", *_rest:
                return Shown((await self._assistant.erase(actor)).text, replaces=True)
            case "keep", *_rest:
                return Shown(_("Nothing was deleted."), replaces=True)
        raise ConceptError(_("I don't know that button any more."))

    def needs_admin(self, text_or_data: str) -> bool:
        """Whether this command or button is for administrators of the group only: check before (`Request.admin`)."""
        parsed = parse(text_or_data)
        return parsed[0] == "settings" if parsed else text_or_data.startswith("mode:")

    async def names(self, actor: Actor, typed: str, most: int = 25) -> list[str]:
        """The person's own names that fit what was typed so far, best first: for autocompletion."""
        names = [concept.name for concept in await self._assistant.concepts(actor)]
        start = typed.strip().casefold()
        if not start:
            return sorted(names, key=str.casefold)[:most]
        first = [name for name in names if name.casefold().startswith(start)]
        found = process.extract(start, names, scorer=fuzz.WRatio, processor=str.casefold, limit=most, score_cutoff=60)
        return list(dict.fromkeys([*sorted(first, key=str.casefold), *(name for name, _score, _at in found)]))[:most]

    async def card(self, actor: Actor, name: str) -> Concept:
        """The card to fill a form with. Raises NameUnknown."""
        return await self._assistant.concept(actor, name)

    async def edit(self, actor: Actor, name: str, new_name: str, category: str, info: str) -> Shown:
        """All words of a card at once, from a form. Raises RapbotError."""
        before = await self.card(actor, name)
        reply = await self._assistant.edit(
            actor,
            name,
            new_name=new_name if new_name != before.name else None,
            category=category if category != before.category else None,
            info=info,
        )
        return self._shown(reply, actor, private=True)

    async def photo_mode(self, chat: Chat) -> PhotoMode:
        """Which photos of this group are captioned without anybody asking."""
        return await self._assistant.groups.mode(chat)

    # -- answers --------------------------------------------------------------------------------------------

    async def _unasked(self, request: Request, listener: ProgressListener | None) -> Shown | None:
        reply = await self._assistant.caption(_with_text(request, ""), listener)
        mode = await self.photo_mode(request.chat)
        if mode is PhotoMode.ADDRESSED or (mode is PhotoMode.RECOGNISED and not reply.sightings):
            return None
        return self._shown(reply, request.actor)

    def _shown(self, reply: Reply, actor: Actor, *, private: bool = False) -> Shown:
        pictures = tuple(part.picture for part in (reply.parts or (reply,)) if part.picture is not None)
        rows = self._album_buttons(reply, actor) if reply.parts else (self._buttons(reply, actor),)
        awaits = "photo" if reply.awaits_photo else ""
        return Shown(
            reply.text, pictures, tuple(row for row in rows if row), reply.file, private=private, awaits=awaits
        )

    def _buttons(self, reply: Reply, actor: Actor) -> tuple[Button, ...]:
        me = _local(actor)
        made: list[Button] = []
        for action in reply.actions:
            match action:
                case Action.WRONG if reply.answer_id:
                    made.append(button(_("Wrong?"), "wrong", me, reply.answer_id))
                case Action.WHY if reply.answer_id:
                    made.append(button(_("Why?"), "why", me, reply.answer_id))
                case Action.EDIT if reply.named:
                    made.append(button(_("Edit"), "edit", me, reply.named[0]))
                case Action.UNDO:
                    made.append(button(_("Undo"), "undo", me))
        return tuple(made)

    def _album_buttons(self, reply: Reply, actor: Actor) -> tuple[tuple[Button, ...], ...]:
        """*Wrong?* and *Why?* of the photos in which something was found, with the photo's number."""
        me = _local(actor)
        rows = []
        for number, part in enumerate(reply.parts, 1):
            if part.answer_id is not None and part.sightings:
                wrong = button(_("Wrong? ({number})").format(number=number), "wrong", me, part.answer_id)
                why = button(_("Why? ({number})").format(number=number), "why", me, part.answer_id)
                rows.append((wrong, why))
        return tuple(rows[:5])

    # -- what was taught ------------------------------------------------------------------------------------

    async def _page(self, actor: Actor, number: int) -> Shown:
        known = await self._assistant.concepts(actor)
        if not known:
            return Shown(
                _("I don't know anything of yours yet. Send me a photo with: /remember NAME what it is"), private=True
            )
        last = (len(known) - 1) // _PAGE
        number = max(0, min(number, last))
        here = known[number * _PAGE : (number + 1) * _PAGE]
        me = _local(actor)
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
        sheet = await self._sheet(actor, here)
        return Shown(text, (sheet,) if sheet else (), (*rows, tuple(turning)), private=True, replaces=True)

    async def _sheet(self, actor: Actor, concepts: Sequence[Concept]) -> bytes | None:
        pictures = []
        for concept in concepts:
            first = next((avatar for avatar in concept.avatars if avatar.role is Role.AVATAR), None)
            if first is not None:
                pictures.append((concept.name, await self._assistant.picture(actor, first.id)))
        return await asyncio.to_thread(contact_sheet, pictures) if pictures else None

    async def _card(self, actor: Actor, concept: Concept) -> Shown:
        first = next((avatar for avatar in concept.avatars if avatar.role is Role.AVATAR), None)
        picture = (await self._assistant.picture(actor, first.id),) if first else ()
        count = sum(avatar.role is Role.AVATAR for avatar in concept.avatars)
        photos = ngettext("{count} photo", "{count} photos", count).format(count=count)
        taught = _("taught on {date}").format(date=concept.created_at.date().isoformat())
        text = f"{card_sentence(concept)}\n{photos}, {taught}"
        if concept.updated_at.date() != concept.created_at.date():
            text += ", " + _("changed on {date}").format(date=concept.updated_at.date().isoformat())
        me = _local(actor)
        row = (button(_("Edit"), "edit", me, concept.id), button(_("Forget"), "forget", me, concept.id, danger=True))
        return Shown(text, picture, (row,), private=True)

    def _ask_forget(self, actor: Actor, concept: Concept) -> Shown:
        me = _local(actor)
        row = (
            button(_("Forget for good"), "forget!", me, concept.id, danger=True),
            button(_("Keep"), "keep", me),
        )
        text = _("Forget {name} with card, photos and keys? There is no undo.").format(name=concept.name)
        return Shown(f"{text}\n{card_sentence(concept)}", buttons=(row,), private=True)

    def _ask_forget_me(self, actor: Actor) -> Shown:
        me = _local(actor)
        row = (button(_("Delete everything"), "erase!", me, danger=True), button(_("Keep"), "keep", me))
        text = _(
            "Delete everything I keep about you, linked accounts included? There is no undo. /mydata saves it first."
        )
        return Shown(text, buttons=(row,), private=True)

    def _edit_menu(self, actor: Actor, concept: Concept) -> Shown:
        me = _local(actor)
        fields = (("name", _("Name")), ("info", _("Information")), ("category", _("Kind")), ("photo", _("Add a photo")))
        row = [button(label, "field", me, concept.id, field) for field, label in fields]
        text = f"{card_sentence(concept)}\n" + _("What shall I change?")
        return Shown(text, buttons=(tuple(row[:2]), tuple(row[2:])), private=True)

    async def _await_words(self, actor: Actor, chat: Chat, concept: Concept, field: str) -> Shown:
        if field == "photo":
            reply = await self._assistant.await_photo(actor, chat, concept.name)
            return Shown(reply.text, private=True, awaits="photo")
        reply = await self._assistant.await_edit(actor, chat, concept.name, field)
        return Shown(reply.text, private=True, awaits="text")

    async def _concept(self, actor: Actor, number: str) -> Concept:
        found = next((c for c in await self._assistant.concepts(actor) if str(c.id) == number), None)
        if found is None:
            raise ConceptError(_("I don't know that any more."))
        return found

    # -- Wrong? ---------------------------------------------------------------------------------------------

    async def _recall(self, actor: Actor, chat: Chat, answer_id: str, photo: PhotoLoader) -> None:
        if not self._assistant.remembers(actor, answer_id) and (again := await photo()) is not None:
            await self._assistant.look_again(actor, chat, again, answer_id)

    async def _which_part(self, actor: Actor, answer_id: str) -> Shown:
        reply = await self._assistant.why(actor, answer_id)
        called = {sighting.region: sighting.name for sighting in reply.sightings}
        me = _local(actor)
        # what was named comes first: that is most often what is wrong
        regions = sorted({*reply.regions, _WHOLE}, key=lambda region: (region not in called, region))
        made = []
        for region in regions[:10]:
            label = _("Whole picture") if region == _WHOLE else _("Part {number}").format(number=region)
            if region in called:
                label += " · " + _("I said {name}").format(name=called[region])
            made.append((button(label, "part", me, answer_id, region),))
        pictures = (reply.picture,) if reply.picture else ()
        return Shown(_("Which part of the photo is wrong?"), pictures, _two_in_a_row(made))

    async def _which_name(self, actor: Actor, answer_id: str, region: int) -> Shown:
        me = _local(actor)
        near = [s.concept_id for s in (await self._assistant.why(actor, answer_id)).sightings]
        known = sorted(await self._assistant.concepts(actor), key=lambda c: (c.id not in near, c.name.casefold()))
        made = [(button(c.name, "right", me, answer_id, region, c.id),) for c in known[:_NAMES]]
        made.append((button(_("None of them"), "right", me, answer_id, region, 0),))
        return Shown(_("Who or what is it really?"), buttons=_two_in_a_row(made), replaces=True)

    async def _correct(self, actor: Actor, answer_id: str, region: int, number: int) -> Shown:
        right = (await self._concept(actor, str(number))).name if number else None
        own = {concept.id: concept.name for concept in await self._assistant.concepts(actor)}
        said = [s for s in (await self._assistant.why(actor, answer_id)).sightings if s.region == region]
        was = next((own[s.concept_id] for s in said if s.concept_id in own), None)
        if right is None and was is None:
            if said:
                raise ConceptError(_("That is somebody else's; only they can correct it."))
            raise ConceptError(
                _("I did not name that part, so there is nothing to take back. Choose who it is instead.")
            )
        reply = await self._assistant.wrong(actor, answer_id, region, right, was=was)
        shown = self._shown(reply, actor)
        return Shown(shown.text, buttons=shown.buttons, replaces=True)

    # -- groups ---------------------------------------------------------------------------------------------

    async def _settings(self, chat: Chat) -> Shown:
        mode = await self.photo_mode(chat)
        labels = {
            PhotoMode.ADDRESSED: _("Only when asked"),
            PhotoMode.RECOGNISED: _("Photos I recognise something in"),
            PhotoMode.EVERY: _("Every photo"),
        }
        rows = tuple(
            (Button(f"✓ {label}" if choice is mode else label, f"mode:{choice}"),) for choice, label in labels.items()
        )
        return Shown(mode_sentence(mode), buttons=rows, replaces=True)

    async def _set_mode(self, chat: Chat, wanted: str, admin: bool) -> Shown:
        if not admin:
            raise ConceptError(_("Only an administrator of this group may change that."))
        if wanted not in set(PhotoMode):
            raise ConceptError(_("I don't know that button any more."))
        await self._assistant.groups.set_mode(chat, PhotoMode(wanted))
        return await self._settings(chat)


def _local(actor: Actor) -> str:
    """The person's number on their platform: short enough for a button."""
    return actor.id.partition(":")[2]


def _with_text(request: Request, text: str) -> Request:
    return Request(request.actor, request.chat, text, request.photos, request.reply_to, request.admin)


def _two_in_a_row(rows: Sequence[tuple[Button, ...]]) -> tuple[tuple[Button, ...], ...]:
    flat = [made for row in rows for made in row]
    return tuple(tuple(flat[n : n + 2]) for n in range(0, len(flat), 2))
