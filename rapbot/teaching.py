"""Teaching: what somebody wants remembered, changed, corrected or forgotten, in photos and words."""

from __future__ import annotations

from rapbot.answering import Answering
from rapbot.avatars import Avatars, kind_seen, with_face
from rapbot.concepts.category import guess_category, is_person
from rapbot.concepts.concept import ConceptLimits, NewAvatar, Role, clean_lines, clean_name, clean_text, fold_name
from rapbot.concepts.index import OwnerIndex
from rapbot.concepts.store import AddAvatar, Edit, Forget, Remember, RemoveAvatar
from rapbot.config import Settings
from rapbot.conversation import Conversations, Draft
from rapbot.errors import ConceptError, NameTaken, TextError
from rapbot.i18n import _, mark, ngettext
from rapbot.inbox import handling
from rapbot.inference.kindred import kind_named
from rapbot.memory import Memory
from rapbot.messages import WHOLE, Action, Actor, Box, Chat, Photo, ProgressListener, Reply, Request
from rapbot.people import People, asks_to_agree, the_one
from rapbot.phrases import card_sentence, one_line, undone_sentence

_FIELDS = {"name": "new_name", "category": "category", "info": "info"}
"""Field of a card -> argument of `Teaching.edit`."""
_AROUND_FACE = 0.4
"""What is kept around the face of a correction, as part of it on each side: an avatar shows the head."""


class Teaching:
    """Each method is something that a person can want, and gives what they are told."""

    def __init__(
        self,
        memory: Memory,
        avatars: Avatars,
        people: People,
        answering: Answering,
        conversations: Conversations,
        settings: Settings,
    ) -> None:
        self._memory = memory
        self._avatars = avatars
        self._people = people
        self._answering = answering
        self._conversations = conversations
        self._limits = ConceptLimits.of(settings.limits)

    async def remember(
        self,
        actor: Actor,
        chat: Chat,
        name: str,
        info: str = "",
        *,
        category: str = "",
        photo: Photo | None = None,
        box: Box | None = None,
        listener: ProgressListener | None = None,
    ) -> Reply:
        """Teach a concept from one photo and one sentence.

        Without a photo: the last one of the chat; if there is none either, the next one is waited for.
        """
        limits = self._limits
        name, info = clean_name(name, limits), clean_lines(info, limits.info, mark("information"))
        category = clean_text(category, limits.category, mark("category")).lower()
        category = category or (guess_category(info) or kind_named(info))[: limits.category]
        index = await self._memory.index(actor)
        _refuse_known_name(index, name)
        context = self._conversations.context(chat.id, actor.id)
        data = photo.data if photo else context.photo
        if data is None:
            context.draft = Draft(name, info, category)
            text = _("Please send me a photo of {name}; I will remember it with what you wrote.")
            return Reply(text.format(name=name), awaits_photo=True)
        if is_person(category):  # the face must be in the avatar, wherever the eyes would cut
            box = box or WHOLE
        guess_person = not category and self._people.ready()
        avatar, encoded = await self._avatars.make(actor, data, category, box, listener, faces=guess_person)
        if not category:
            category = kind_seen(encoded)
        changed = await self._memory.change(
            actor, Remember(name, category[: limits.category], info, avatar, encoded.traits)
        )
        context.draft = None
        context.subjects = (changed.id,) if changed else ()
        return self._taught(name, category, info, avatar, context.subjects)

    def _taught(self, name: str, category: str, info: str, avatar: NewAvatar, subjects: tuple[int, ...]) -> Reply:
        text = _("I will know {name} ({category}) from now on. Send me a photo, or ask me about {name}.")
        if info:
            text = _("I will know {name} ({category}) from now on: {info}. Send me a photo, or ask me about {name}.")
        text = text.format(name=name, category=category, info=one_line(info).rstrip("."))
        actions: tuple[Action, ...] = (Action.EDIT, Action.UNDO)
        if self._people.recognised and is_person(category):
            text = f"{text}\n{asks_to_agree(name)}"
            actions = (Action.ALLOW_FACE, *actions)
        return Reply(text, avatar.jpeg, actions=actions, named=subjects)

    async def add_photo(
        self,
        actor: Actor,
        chat: Chat,
        name: str,
        photo: Photo | None = None,
        *,
        box: Box | None = None,
        role: Role = Role.AVATAR,
        listener: ProgressListener | None = None,
    ) -> Reply:
        """One more picture of a known concept (or, as COUNTEREXAMPLE, of what it is not)."""
        concept = await self._memory.concept(actor, name)
        context = self._conversations.context(chat.id, actor.id)
        data = photo.data if photo else context.photo
        if data is None:
            return await self.await_photo(actor, chat, concept.name)
        if is_person(concept.category):
            box = box or WHOLE
        agreed = self._people.ready() and role is Role.AVATAR and await self._memory.has_face(actor, concept)
        avatar, encoded = await self._avatars.make(actor, data, concept.category, box, listener, faces=agreed)
        if agreed and (face := the_one(encoded.faces)) is not None:
            avatar = with_face(avatar, face)
        after = await self._memory.change(actor, AddAvatar(concept.id, avatar, role))
        context.draft = None
        count = sum(a.role is Role.AVATAR for a in after.avatars) if after else 0
        text = ngettext("I know {name} from {count} photo now.", "I know {name} from {count} photos now.", count)
        return Reply(text.format(name=concept.name, count=count), avatar.jpeg, actions=(Action.UNDO,))

    async def edit(
        self,
        actor: Actor,
        name: str,
        *,
        new_name: str | None = None,
        category: str | None = None,
        info: str | None = None,
    ) -> Reply:
        """Change the words of a card; the very next answer uses them."""
        limits = self._limits
        concept = await self._memory.concept(actor, name)
        if new_name is None and category is None and info is None:
            raise TextError(
                _("Tell me what to change, for example: /edit {name} She loves cheese.").format(name=concept.name)
            )
        change = Edit(
            concept.id,
            clean_name(new_name, limits) if new_name is not None else None,
            clean_text(category, limits.category, mark("category")).lower() if category is not None else None,
            clean_lines(info, limits.info, mark("information")) if info is not None else None,
        )
        after = await self._memory.change(actor, change) or concept
        self._conversations.forget_turns(actor.id)
        return Reply(card_sentence(after), actions=(Action.UNDO,))

    async def await_photo(self, actor: Actor, chat: Chat, name: str) -> Reply:
        """The person's next photo in this chat becomes one more picture of this concept."""
        concept = await self._memory.concept(actor, name)
        self._conversations.context(chat.id, actor.id).draft = Draft(concept.name, adds_to_existing=True)
        return Reply(_("Please send me another photo of {name}.").format(name=concept.name), awaits_photo=True)

    async def await_edit(self, actor: Actor, chat: Chat, name: str, field: str) -> Reply:
        """The person's next text in this chat is the new `field` ("name", "category" or "info") of this card."""
        concept = await self._memory.concept(actor, name)
        self._conversations.context(chat.id, actor.id).draft = Draft(concept.name, edits=field)
        asked = {
            "name": _("What shall {name} be called from now on?"),
            "category": _("What kind of thing is {name}?"),
            "info": _("What shall I know about {name}?"),
        }
        return Reply(asked[field].format(name=concept.name))

    def interrupt(self, actor: Actor, chat: Chat) -> None:
        """The person wrote a command instead of the words that a card waited for."""
        context = self._conversations.context(chat.id, actor.id)
        if context.draft is not None and context.draft.edits:
            context.draft = None

    async def remove_photo(self, actor: Actor, name: str, avatar_id: int) -> Reply:
        """Delete one picture of a concept for good."""
        concept = await self._memory.concept(actor, name)
        if all(avatar.id != avatar_id for avatar in concept.avatars):
            raise ConceptError(_("That is not a photo of {name}.").format(name=concept.name))
        await self._memory.change(actor, RemoveAvatar(avatar_id))
        return Reply(_("That photo of {name} is gone.").format(name=concept.name))

    async def forget(self, actor: Actor, name: str) -> Reply:
        """Delete a concept for good: card, photos and keys. There is no undo."""
        concept = await self._memory.concept(actor, name)
        await self._memory.change(actor, Forget(concept.id))
        self._conversations.forget_concept(concept.id)
        return Reply(_("I have forgotten {name}. Card, photos and keys are deleted.").format(name=concept.name))

    async def undo(self, actor: Actor) -> Reply:
        """Take back the last remember, edit, added photo or correction."""
        done = await self._memory.undo(actor)
        return Reply(undone_sentence(done.undone, done.concept))

    async def wrong(
        self, actor: Actor, answer_id: str, region: int, right: str | None, *, was: str | None = None
    ) -> Reply:
        """Correct an answer: the region shows `right` (it becomes another avatar) and not `was` (a counter-example)."""
        record = self._answering.record(actor, answer_id)
        if not 0 <= region < len(record.scene.regions):
            raise ConceptError(_("That part of the photo is not known any more; please send the photo again."))
        box = record.scene.regions[region].box
        wrong = await self._memory.concept(actor, was) if was else None
        correct = await self._memory.concept(actor, right) if right else None
        if wrong is not None and correct is not None and wrong.id == correct.id:
            wrong = None
        people = [concept for concept in (wrong, correct) if concept and await self._memory.has_face(actor, concept)]
        box = box.grown(_AROUND_FACE) if people else box
        avatar, encoded = await self._avatars.make(actor, record.photo, "", box, None, faces=bool(people))
        if people and encoded.faces:
            avatar = with_face(avatar, encoded.faces[0])
        if correct is not None:
            await self._memory.change(actor, AddAvatar(correct.id, avatar, not_of=wrong.id if wrong else None))
            said = _("That is {name}; I have kept this view.").format(name=correct.name)
        elif wrong is not None:
            await self._memory.change(actor, AddAvatar(wrong.id, avatar, Role.COUNTEREXAMPLE))
            said = _("Noted: that is not {name}.").format(name=wrong.name)
        else:
            raise ConceptError(_("Tell me which name is wrong, or which is right."))
        return Reply(said, actions=(Action.UNDO,))

    async def done_before(self, actor: Actor) -> Reply | None:
        """What the message at work changed before a crash, as it is now; None: nothing, so it is to be done."""
        update = handling()
        if update is None or not update.again:
            return None
        done = await self._memory.applied(actor, update.arrived.work_digest)
        if done is None:
            return None
        said = _("Something interrupted me while I was doing that. It is done.")
        concept = (await self._memory.index(actor)).collection.concept(done.concept_id or 0)
        if concept is None:
            return Reply(said)
        actions = (Action.EDIT, Action.UNDO)
        return Reply(f"{said}\n{card_sentence(concept)}", actions=actions, named=(concept.id,))

    async def continued(self, request: Request, listener: ProgressListener | None) -> Reply | None:
        """Do what this message completes, which was begun before; None: it is about something else."""
        context = self._conversations.context(request.chat.id, request.actor.id)
        draft, text = context.draft, request.text.strip()
        if draft is not None and draft.edits and text and not request.photos:
            context.draft = None
            return await self.edit(request.actor, draft.name, **{_FIELDS[draft.edits]: text})
        if draft is not None and not draft.edits and request.photos and not text:
            return await self._finish_draft(request, draft, listener)
        return None

    async def _finish_draft(self, request: Request, draft: Draft, listener: ProgressListener | None) -> Reply:
        photo = request.photos[0]
        if draft.adds_to_existing:
            return await self.add_photo(request.actor, request.chat, draft.name, photo, listener=listener)
        return await self.remember(
            request.actor, request.chat, draft.name, draft.info, category=draft.category, photo=photo, listener=listener
        )


def _refuse_known_name(index: OwnerIndex, name: str) -> None:
    """Say so before the photo is encoded; the store says it again in its transaction."""
    for card in index.collection.cards:
        if fold_name(card.name) == fold_name(name):
            raise NameTaken(card.name)
