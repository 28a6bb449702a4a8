"""What every chat platform does with a message or a pressed button, without knowing any platform.

`Desk.message` turns a request into what is shown, `Desk.press` does what a button says. Buttons carry everything they
need in `Button.data`, so they still work after a restart.
"""

from __future__ import annotations

from dataclasses import replace

from rapidfuzz import fuzz, process

from adapters.cards import Cards
from adapters.corrections import Corrections
from adapters.corrections import PhotoLoader as PhotoLoader
from adapters.press import Press, button, number_of
from adapters.shown import Button, Shown
from rapbot.assistant import Assistant
from rapbot.command_words import parse
from rapbot.commands import COMMANDS, Where, handle, known_name, mode_sentence
from rapbot.concepts.concept import Concept
from rapbot.errors import ConceptError
from rapbot.groups import PhotoMode
from rapbot.i18n import _
from rapbot.messages import Action, Actor, Chat, ChatKind, ProgressListener, Reply, Request
from rapbot.policy import MESSAGE, UNKNOWN, Role, may

PRIVATE_COMMANDS = frozenset({"concepts", "show", "mydata", "forgetme", "link", "unlink", "undo", "edit", "face"})
"""Their answers are for the person alone: ephemeral on Discord, in the private chat on Telegram."""

_PRESSED = frozenset(
    "mode why wrong part right undo page show forget forget! edit field face noface erase! keep".split()
)
IN_PRIVATE = frozenset({Where.ANYWHERE, Where.CHAT})
IN_GROUPS = frozenset(Where)


class Desk:
    """One for each running platform."""

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant
        self._cards = Cards(assistant)
        self._corrections = Corrections(assistant, self._cards)

    async def message(
        self, request: Request, listener: ProgressListener | None = None, *, unasked: bool = False
    ) -> Shown | None:
        """Answer a command, a free text, photos. Raises RapbotError.

        `unasked`: a photo in a group that nobody asked about, in a group set to "recognised" or "every". The caller
        asks `photo_mode` first. None when there is nothing to say, as to somebody who is blocked.
        """
        name, rest = parse(request.text) or ("", "")
        role = self._assistant.access.role(request.actor, request.chat, admin=request.admin)
        if not may(role, request.chat.kind, _kind_of(name)):
            return None if unasked else _refusal(role, request, name)
        late = await self._assistant.retention.seen(request.actor, request.chat)
        shown = await self._answered(request, name, rest, listener, unasked)
        return self._with_notice(shown, request.actor, late) if shown is not None else None

    def _with_notice(self, shown: Shown, actor: Actor, late: str) -> Shown:
        if not late:
            return shown
        self._assistant.retention.told(actor)
        return replace(shown, text=f"{shown.text}\n\n{late}")

    async def _answered(
        self, request: Request, name: str, rest: str, listener: ProgressListener | None, unasked: bool
    ) -> Shown | None:
        if (done := await self._assistant.teaching.done_before(request.actor)) is not None:
            return self._shown(done, request.actor, private=name in PRIVATE_COMMANDS)
        if unasked:
            return await self._unasked(request, listener)
        if name:
            self._assistant.teaching.interrupt(request.actor, request.chat)
        group = request.chat.kind is ChatKind.GROUP
        match name:
            case "start":
                return await self.message(_with_text(request, (rest and f"/{rest}") or "/help"), listener)
            case "concepts":
                return await self._cards.page(request.actor, 0)
            case "show" if rest:
                return await self._cards.card(request.actor, await self.card(request.actor, rest))
            case "forget" if rest:
                return self._cards.ask_forget(request.actor, await self.card(request.actor, rest))
            case "edit" if rest:
                known, words = await known_name(self._assistant, request, rest)
                if not words:
                    return self._cards.edit_menu(request.actor, await self.card(request.actor, known))
            case "forgetme":
                return self._cards.ask_forget_me(request.actor)
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
        role = self._assistant.access.role(actor, chat, admin=admin)
        if not may(role, chat.kind, press.kind if press.kind in _PRESSED else UNKNOWN):
            if press.kind == "mode":
                raise ConceptError(_("Only an administrator of this group may change that."))
            raise ConceptError(_("I don't answer here."))
        late = await self._assistant.retention.seen(actor, chat)
        if (done := await self._assistant.teaching.done_before(actor)) is not None:
            return self._shown(done, actor, private=True)
        try:
            return self._with_notice(await self._press(press, actor, chat, photo, admin), actor, late)
        except ValueError as error:  # people can send what no button of ours carries
            raise ConceptError(_("I don't know that button any more.")) from error

    async def _press(self, press: Press, actor: Actor, chat: Chat, photo: PhotoLoader, admin: bool) -> Shown:
        if press.kind == "mode":
            return await self._set_mode(chat, press.words[0])
        if press.person != number_of(actor):
            raise ConceptError(_("That button is for the person who asked."))
        match press.kind, *press.words:
            case "why", answer_id:
                await self._corrections.recall(actor, chat, answer_id, photo)
                return self._shown(await self._assistant.why(actor, answer_id), actor)
            case "wrong", answer_id:
                await self._corrections.recall(actor, chat, answer_id, photo)
                return await self._corrections.which_part(actor, answer_id)
            case "part", answer_id, region:
                await self._corrections.recall(actor, chat, answer_id, photo)
                return await self._corrections.which_name(actor, answer_id, int(region))
            case "right", answer_id, region, number:
                await self._corrections.recall(actor, chat, answer_id, photo)
                return await self._corrections.correct(actor, answer_id, int(region), int(number))
            case "undo", *_rest:
                return self._shown(await self._assistant.teaching.undo(actor), actor)
            case "page", number:
                return await self._cards.page(actor, int(number))
            case "show", number:
                return await self._cards.card(actor, await self._cards.by_number(actor, number))
            case "forget", number:
                return self._cards.ask_forget(actor, await self._cards.by_number(actor, number))
            case "forget!", number:
                reply = await self._assistant.teaching.forget(actor, (await self._cards.by_number(actor, number)).name)
                return Shown(reply.text, replaces=True)
            case "edit", number:
                return self._cards.edit_menu(actor, await self._cards.by_number(actor, number))
            case "field", number, field:
                return await self._cards.await_words(actor, chat, await self._cards.by_number(actor, number), field)
            case "face", number, *which:
                person = await self._cards.by_number(actor, number)
                return await self._cards.allow_face(actor, person, int(which[0]) if which else None)
            case "noface", number:
                person = await self._cards.by_number(actor, number)
                return Shown((await self._assistant.stop_face(actor, person.name)).text, private=True)
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
        if self._blocked(actor):
            return []
        names = [concept.name for concept in await self._assistant.memory.concepts(actor)]
        start = typed.strip().casefold()
        if not start:
            return sorted(names, key=str.casefold)[:most]
        first = [name for name in names if name.casefold().startswith(start)]
        found = process.extract(start, names, scorer=fuzz.WRatio, processor=str.casefold, limit=most, score_cutoff=60)
        return list(dict.fromkeys([*sorted(first, key=str.casefold), *(name for name, _score, _at in found)]))[:most]

    async def card(self, actor: Actor, name: str) -> Concept:
        """The card to fill a form with. Raises NameUnknown."""
        if self._blocked(actor):
            raise ConceptError(_("I don't answer here."))
        return await self._assistant.memory.concept(actor, name)

    async def edit(self, actor: Actor, name: str, new_name: str, category: str, info: str) -> Shown:
        """All words of a card at once, from a form. Raises RapbotError."""
        if (done := await self._assistant.teaching.done_before(actor)) is not None:
            return self._shown(done, actor, private=True)
        before = await self.card(actor, name)
        reply = await self._assistant.teaching.edit(
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

    def _blocked(self, actor: Actor) -> bool:
        return actor.id in self._assistant.access.block

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
            reply.text, pictures, tuple(row for row in rows if row), reply.files, private=private, awaits=awaits
        )

    def _buttons(self, reply: Reply, actor: Actor) -> tuple[Button, ...]:
        me = number_of(actor)
        made: list[Button] = []
        for action in reply.actions:
            match action:
                case Action.WRONG if reply.answer_id:
                    made.append(button(_("Wrong?"), "wrong", me, reply.answer_id))
                case Action.WHY if reply.answer_id:
                    made.append(button(_("Why?"), "why", me, reply.answer_id))
                case Action.ALLOW_FACE if reply.named:
                    made.append(button(_("They agree"), "face", me, reply.named[0]))
                case Action.EDIT if reply.named:
                    made.append(button(_("Edit"), "edit", me, reply.named[0]))
                case Action.UNDO:
                    made.append(button(_("Undo"), "undo", me))
        return tuple(made)

    def _album_buttons(self, reply: Reply, actor: Actor) -> tuple[tuple[Button, ...], ...]:
        """*Wrong?* and *Why?* of the photos in which something was found, with the photo's number."""
        me = number_of(actor)
        rows = []
        for number, part in enumerate(reply.parts, 1):
            if part.answer_id is not None and part.sightings:
                wrong = button(_("Wrong? ({number})").format(number=number), "wrong", me, part.answer_id)
                why = button(_("Why? ({number})").format(number=number), "why", me, part.answer_id)
                rows.append((wrong, why))
        return tuple(rows[:5])

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

    async def _set_mode(self, chat: Chat, wanted: str) -> Shown:
        if wanted not in set(PhotoMode):
            raise ConceptError(_("I don't know that button any more."))
        await self._assistant.groups.set_mode(chat, PhotoMode(wanted))
        return await self._settings(chat)


def _kind_of(command: str) -> str:
    if not command:
        return MESSAGE
    return command if command in COMMANDS or command == "start" else UNKNOWN


def _refusal(role: Role, request: Request, command: str) -> Shown | None:
    """What is said to somebody who may not; nothing to a blocked person. Raises ConceptError with the reason."""
    if role is Role.BLOCKED:
        return None
    if role is Role.GUEST:
        text = _("I don't know you. Whoever runs me can let you in; your id is {id}.")
        return Shown(text.format(id=request.actor.id))
    if command == "settings" and request.chat.kind is ChatKind.GROUP:
        raise ConceptError(_("Only an administrator of this group may change that."))
    raise ConceptError(_("/{name} is for groups: send it in a group where I am a member.").format(name=command))


def _with_text(request: Request, text: str) -> Request:
    return Request(request.actor, request.chat, text, request.photos, request.reply_to, request.admin)
