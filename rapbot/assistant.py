"""One method per thing a person can want. Adapters and the command line speak to this class only.

Memory commands touch the store and one ENCODE job for an avatar; whatever needs a model becomes a `Job`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import replace
from typing import Any

import numpy as np

from rapbot.accounts import Accounts
from rapbot.answering import Answering
from rapbot.answering import Ask as Ask
from rapbot.concepts.category import guess_category, is_person
from rapbot.concepts.concept import Concept, ConceptLimits, NewAvatar, Role, clean_name, clean_text, fold_name
from rapbot.concepts.index import IndexCache, OwnerIndex
from rapbot.concepts.mentions import find_mentions, forget_names, nearest_names
from rapbot.concepts.places import PlaceStore
from rapbot.concepts.store import (
    AddAvatar,
    Change,
    ConceptStore,
    Edit,
    EraseOwner,
    Forget,
    Remember,
    RemoveAvatar,
    Undo,
)
from rapbot.concepts.visibility import Visibility
from rapbot.concepts.visits import VisitStore
from rapbot.config import Settings
from rapbot.conversation import Conversations, Draft
from rapbot.errors import ConceptError, InferenceError, NameTaken, NameUnknown, TextError
from rapbot.groups import Groups
from rapbot.i18n import _, mark, ngettext
from rapbot.inbox import handling
from rapbot.inference.job import AvatarFace, EncodedAvatar, Task
from rapbot.inference.queue import JobQueue
from rapbot.messages import WHOLE, Action, Actor, Box, Chat, Photo, ProgressListener, Reply, Request, Sighting
from rapbot.people import People, asks_to_agree, the_one
from rapbot.phrases import card_sentence, undone_sentence
from rapbot.policy import Access
from rapbot.retention import Retention

_FIELDS = {"name": "new_name", "category": "category", "info": "info"}
"""Field of a card -> argument of `Assistant.edit`."""
_ERASED = 10_000
_AROUND_FACE = 0.4
"""What is kept around the face of a correction, as part of it on each side: an avatar shows the head."""
_FACE_FILLS = 0.04
"""Part of an avatar that a face takes at least where the person is what was taught."""


class Assistant:
    """The core of rapbot. All state lies in what it is given."""

    def __init__(
        self,
        store: ConceptStore,
        places: PlaceStore,
        indexes: IndexCache,
        queue: JobQueue,
        conversations: Conversations,
        settings: Settings,
        visits: VisitStore | None = None,
    ) -> None:
        visibility = Visibility(indexes, places, settings.people)
        self.groups = Groups(places, visibility, conversations)
        self.accounts = Accounts(places)
        self.retention = Retention(visits, self.erase, settings)
        self._visibility = visibility
        self._answering = Answering(visibility, store, queue, conversations, settings)
        self.people = People(store, places, self._find_faces, settings)
        self._store = store
        self._places = places
        self._indexes = indexes
        self._queue = queue
        self._conversations = conversations
        self._settings = settings
        self._limits = ConceptLimits.of(settings.limits)
        self._erased: OrderedDict[str, int] = OrderedDict()
        """How often people deleted everything in this run: what was begun before that is not kept."""

    @property
    def access(self) -> Access:
        """Whom the configuration lets in."""
        return Access(frozenset(self._settings.access.allow), frozenset(self._settings.access.block))

    @property
    def settings(self) -> Settings:
        return self._settings

    def hear(self, what: list[Any]) -> None:
        """What is to be forgotten, as another process of the same bot told it (`Conversations.tell`)."""
        self._conversations.hear(what)
        match what:
            case ["person", str(person)]:
                self._erased[person] = self._erased.get(person, 0) + 1
                self._indexes.drop(person)
                self._visibility.drop(person)
                forget_names()
            case ["concept", int(concept_id), _]:
                self._indexes.drop_with(concept_id)
                self._visibility.drop("")  # whatever was shared
                forget_names()

    # -- what was taught ------------------------------------------------------------------------------------

    async def concepts(self, actor: Actor) -> tuple[Concept, ...]:
        """Everything `actor` taught, in the order it was taught."""
        return (await self._indexes.get(actor.id)).collection.concepts

    async def concept(self, actor: Actor, name: str) -> Concept:
        """The concept of that name, ignoring case and small differences. Raises NameUnknown with the nearest names."""
        index = await self._indexes.get(actor.id)
        names = [(card.concept_id, card.name) for card in index.collection.cards]
        found = await asyncio.to_thread(find_mentions, f"<{name.strip().strip('<>')}>", names)
        exact = [mention for mention in found if mention.exact]
        concept = index.collection.concept(exact[0].concept_id) if exact else None
        if concept is None:
            raise NameUnknown(name.strip(), nearest_names(name, [text for _, text in names]))
        return concept

    async def picture(self, actor: Actor, avatar_id: int) -> bytes:
        """JPEG of one avatar of `actor`."""
        return await self._store.photo(actor.id, avatar_id)

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
        name, info = clean_name(name, limits), clean_text(info, limits.info, mark("information"))
        category = clean_text(category, limits.category, mark("category")).lower()
        category = category or guess_category(info)[: limits.category]
        index = await self._indexes.get(actor.id)
        self._refuse_known_name(index, name)
        context = self._conversations.context(chat.id, actor.id)
        data = photo.data if photo else context.photo
        if data is None:
            context.draft = Draft(name, info, category)
            text = _("Please send me a photo of {name}; I will remember it with what you wrote.")
            return Reply(text.format(name=name), awaits_photo=True)
        if is_person(category):  # the face must be in the avatar, wherever the eyes would cut
            box = box or WHOLE
        guess_person = not category and self.people.ready()
        avatar, encoded = await self._encode(actor, data, category, box, listener, faces=guess_person)
        if not category:
            category = _kind_seen(encoded)
        changed = await self._change(actor, Remember(name, category[: limits.category], info, avatar, encoded.traits))
        context.draft = None
        context.subjects = (changed.id,) if changed else ()
        text = _("I will know {name} ({category}) from now on. Send me a photo, or ask me about {name}.")
        if info:
            text = _("I will know {name} ({category}) from now on: {info}. Send me a photo, or ask me about {name}.")
        text = text.format(name=name, category=category, info=info.rstrip("."))
        actions: tuple[Action, ...] = (Action.EDIT, Action.UNDO)
        if self.people.recognised and is_person(category):
            text = f"{text}\n{asks_to_agree(name)}"
            actions = (Action.ALLOW_FACE, *actions)
        return Reply(text, avatar.jpeg, actions=actions, named=context.subjects)

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
        concept = await self.concept(actor, name)
        context = self._conversations.context(chat.id, actor.id)
        data = photo.data if photo else context.photo
        if data is None:
            return await self.await_photo(actor, chat, concept.name)
        if is_person(concept.category):
            box = box or WHOLE
        agreed = self.people.ready() and role is Role.AVATAR and await self.has_face(actor, concept)
        avatar, encoded = await self._encode(actor, data, concept.category, box, listener, faces=agreed)
        if agreed and (face := the_one(encoded.faces)) is not None:
            avatar = replace(avatar, face=np.frombuffer(face.key, np.float32))
        after = await self._change(actor, AddAvatar(concept.id, avatar, role))
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
        concept = await self.concept(actor, name)
        if new_name is None and category is None and info is None:
            raise TextError(
                _("Tell me what to change, for example: /edit {name} She loves cheese.").format(name=concept.name)
            )
        change = Edit(
            concept.id,
            clean_name(new_name, limits) if new_name is not None else None,
            clean_text(category, limits.category, mark("category")).lower() if category is not None else None,
            clean_text(info, limits.info, mark("information")) if info is not None else None,
        )
        after = await self._change(actor, change) or concept
        self._conversations.forget_turns(actor.id)
        return Reply(card_sentence(after), actions=(Action.UNDO,))

    async def await_photo(self, actor: Actor, chat: Chat, name: str) -> Reply:
        """The person's next photo in this chat becomes one more picture of this concept."""
        concept = await self.concept(actor, name)
        self._conversations.context(chat.id, actor.id).draft = Draft(concept.name, adds_to_existing=True)
        return Reply(_("Please send me another photo of {name}.").format(name=concept.name), awaits_photo=True)

    async def await_edit(self, actor: Actor, chat: Chat, name: str, field: str) -> Reply:
        """The person's next text in this chat is the new `field` ("name", "category" or "info") of this card."""
        concept = await self.concept(actor, name)
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
        concept = await self.concept(actor, name)
        if all(avatar.id != avatar_id for avatar in concept.avatars):
            raise ConceptError(_("That is not a photo of {name}.").format(name=concept.name))
        await self._change(actor, RemoveAvatar(avatar_id))
        return Reply(_("That photo of {name} is gone.").format(name=concept.name))

    async def forget(self, actor: Actor, name: str) -> Reply:
        """Delete a concept for good: card, photos and keys. There is no undo."""
        concept = await self.concept(actor, name)
        await self._change(actor, Forget(concept.id))
        self._conversations.forget_concept(concept.id)
        return Reply(_("I have forgotten {name}. Card, photos and keys are deleted.").format(name=concept.name))

    async def undo(self, actor: Actor) -> Reply:
        """Take back the last remember, edit, added photo or correction."""
        done = await self._store.write(actor.id, Undo())
        self._indexes.drop(actor.id)
        self._visibility.drop(actor.id)
        self._conversations.forget_turns(actor.id)
        if done.undone is not None and done.concept is None:
            self._conversations.forget_concept(done.undone.concept_id)
        return Reply(undone_sentence(done.undone, done.concept))

    async def erase(self, actor: Actor) -> Reply:
        """Delete everything that is kept about a person."""
        accounts = await self.accounts.all_of(actor.id)
        known = await self.concepts(actor)
        await self._store.write(actor.id, EraseOwner())
        if (update := handling()) is not None:
            await update.inbox.forget(accounts, update.arrived)
        for account in accounts:
            self._erased[account] = self._erased.pop(account, 0) + 1
            self._indexes.drop(account)
            self._visibility.drop(account)
            self._conversations.erase(account)
        while len(self._erased) > _ERASED:  # far more than can do so while one photo is looked at
            self._erased.popitem(last=False)
        forget_names()
        for concept in known:  # other people's conversations may have met them in a group
            self._conversations.forget_concept(concept.id)
        return Reply(_("Everything I kept about you is deleted."))

    async def about(self, actor: Actor) -> dict[str, list[dict[str, Any]]]:
        """Every row that is kept about a person, by table; what waits in the inbox, when a chat's message asks."""
        kept = await self._places.about(actor.id)
        update = handling()
        people = await self.accounts.all_of(actor.id)
        return {**kept, "inbox": await update.inbox.about(people) if update is not None else []}

    async def done_before(self, actor: Actor) -> Reply | None:
        """What the message at work changed before a crash, as it is now; None: nothing, so it is to be done."""
        update = handling()
        if update is None or not update.again:
            return None
        done = await self._store.applied(update.arrived.work_digest)
        if done is None:
            return None
        self._indexes.drop(actor.id)  # this message may have changed more than what was read
        said = _("Something interrupted me while I was doing that. It is done.")
        concept = (await self._indexes.get(actor.id)).collection.concept(done.concept_id or 0)
        if concept is None:
            return Reply(said)
        actions = (Action.EDIT, Action.UNDO)
        return Reply(f"{said}\n{card_sentence(concept)}", actions=actions, named=(concept.id,))

    # -- people ---------------------------------------------------------------------------------------------

    async def allow_face(self, actor: Actor, name: str, which: int | None = None) -> Reply:
        """This person agreed to be recognised by their face. Raises WhichFace when an avatar shows several."""
        reply = await self.people.allow(actor, await self.concept(actor, name), which)
        self._visibility.drop(actor.id)
        return reply

    async def stop_face(self, actor: Actor, name: str) -> Reply:
        """Forget the face, keep the card."""
        reply = await self.people.stop(actor, await self.concept(actor, name))
        self._visibility.drop(actor.id)
        return reply

    async def faces(self, actor: Actor) -> list[tuple[str, bytes]]:
        """(name, key) of every face that is recognised for this person."""
        collection = (await self._indexes.get(actor.id)).collection
        names = {card.concept_id: card.name for card in collection.cards}
        return [(names[face.concept_id], face.key) for face in collection.faces]

    # -- groups ---------------------------------------------------------------------------------------------

    async def share(self, actor: Actor, chat: Chat, name: str) -> Reply:
        """Everybody in this group may have this concept recognised from now on."""
        return await self.groups.share(actor, chat, await self.concept(actor, name))

    async def unshare(self, actor: Actor, chat: Chat, name: str = "") -> Reply:
        """Take one concept, or all of this person, out of the group."""
        return await self.groups.unshare(actor, chat, await self.concept(actor, name) if name else None)

    async def shared(self, actor: Actor) -> list[tuple[str, str, str]]:
        """(group, name, name that is shown there) of everything this person shares anywhere."""
        names = {concept.id: concept.name for concept in await self.concepts(actor)}
        return [
            (chat, names[share.concept_id], f"{share.person_name}'s {names[share.concept_id]}")
            for chat, share in await self._places.shared_by(actor.id)
            if share.concept_id in names
        ]

    # -- photos and questions -------------------------------------------------------------------------------

    async def respond(
        self, request: Request, listener: ProgressListener | None = None, ask: Ask | None = None
    ) -> Reply:
        """Answer a free message: photos, text, or both. Raises RapbotError with the sentence for the person."""
        context = self._conversations.context(request.chat.id, request.actor.id)
        draft, text = context.draft, request.text.strip()
        if draft is not None and draft.edits and text and not request.photos:
            context.draft = None
            return await self.edit(request.actor, draft.name, **{_FIELDS[draft.edits]: text})
        if draft is not None and not draft.edits and request.photos and not text:
            return await self._finish_draft(request, draft, listener)
        return await self._answering.respond(request, listener, ask or Ask())

    async def caption(self, request: Request, listener: ProgressListener | None = None) -> Reply:
        return await self._answering.photo_task(request, Task.CAPTION, listener)

    async def describe(self, request: Request, listener: ProgressListener | None = None) -> Reply:
        return await self._answering.photo_task(request, Task.DESCRIBE, listener)

    async def find(self, request: Request, listener: ProgressListener | None = None) -> Reply:
        """Who is here? With a name in the text: where is it?"""
        return await self._answering.photo_task(request, Task.FIND, listener)

    async def why(self, actor: Actor, answer_id: str) -> Reply:
        """Which regions were compared with which avatars, at what distance; the regions numbered on the photo."""
        return await self._answering.why(actor, answer_id)

    async def sightings(self, actor: Actor, answer_id: str) -> tuple[Sighting, ...]:
        """Who was seen in an earlier answer."""
        return await self._answering.sightings(actor, answer_id)

    def remembers(self, actor: Actor, answer_id: str) -> bool:
        """Whether *Why?* and *Wrong?* can speak about this answer without its photo being fetched again."""
        return self._conversations.answer(answer_id, actor.id) is not None

    async def showable(self, actor: Actor, photo: Photo) -> bytes | None:
        """JPEG of a photo that only its sender saw, without its metadata; None where it cannot be read."""
        return await self._answering.showable(actor, photo)

    async def look_again(self, actor: Actor, chat: Chat, photo: Photo, answer_id: str) -> None:
        """After a restart: make what *Why?* and *Wrong?* need anew from the photo."""
        await self._answering.look_again(actor, chat, photo, answer_id)

    async def wrong(
        self, actor: Actor, answer_id: str, region: int, right: str | None, *, was: str | None = None
    ) -> Reply:
        """Correct an answer: the region shows `right` (it becomes another avatar) and not `was` (a counter-example)."""
        record = self._answering.record(actor, answer_id)
        if not 0 <= region < len(record.scene.regions):
            raise ConceptError(_("That part of the photo is not known any more; please send the photo again."))
        box = record.scene.regions[region].box
        wrong = await self.concept(actor, was) if was else None
        correct = await self.concept(actor, right) if right else None
        if wrong is not None and correct is not None and wrong.id == correct.id:
            wrong = None
        people = [concept for concept in (wrong, correct) if concept and await self.has_face(actor, concept)]
        box = box.grown(_AROUND_FACE) if people else box
        avatar, encoded = await self._encode(actor, record.photo, "", box, None, faces=bool(people))
        if people and encoded.faces:
            avatar = replace(avatar, face=np.frombuffer(encoded.faces[0].key, np.float32))
        if correct is not None:
            await self._change(actor, AddAvatar(correct.id, avatar, not_of=wrong.id if wrong else None))
            said = _("That is {name}; I have kept this view.").format(name=correct.name)
        elif wrong is not None:
            await self._change(actor, AddAvatar(wrong.id, avatar, Role.COUNTEREXAMPLE))
            said = _("Noted: that is not {name}.").format(name=wrong.name)
        else:
            raise ConceptError(_("Tell me which name is wrong, or which is right."))
        return Reply(said, actions=(Action.UNDO,))

    # -- inside ---------------------------------------------------------------------------------------------

    async def _change(self, actor: Actor, change: Change) -> Concept | None:
        changed = await self._store.write(actor.id, change)
        self._visibility.drop(actor.id)
        if changed.concept is None:
            self._indexes.drop(actor.id)
            forget_names()
        return changed.concept

    def _refuse_known_name(self, index: OwnerIndex, name: str) -> None:
        """Say so before the photo is encoded; the store says it again in its transaction."""
        for card in index.collection.cards:
            if fold_name(card.name) == fold_name(name):
                raise NameTaken(card.name)

    async def _encode(
        self,
        actor: Actor,
        photo: bytes,
        category: str,
        box: Box | None,
        listener: ProgressListener | None,
        *,
        faces: bool = False,
    ) -> tuple[NewAvatar, EncodedAvatar]:
        job = self._answering.job(
            actor, Task.ENCODE, photo=photo, category=category, box=box, picture=False, faces=faces
        )
        erased = self._erased.get(actor.id)
        encoded = (await self._queue.submit(job, listener)).avatar
        if self._erased.get(actor.id) != erased:
            raise ConceptError(_("You deleted everything meanwhile, so I keep nothing of that."))
        if encoded is None:
            raise InferenceError(_("I could not look at that photo. Please try another one."))
        key = np.frombuffer(encoded.key, np.float32)
        others = tuple((encoder, np.frombuffer(other, np.float32)) for encoder, other in encoded.other_keys)
        return NewAvatar(encoded.jpeg, key, encoded.encoder, encoded.box, other_keys=others), encoded

    async def _find_faces(self, actor: Actor, jpeg: bytes) -> tuple[AvatarFace, ...]:
        _avatar, encoded = await self._encode(actor, jpeg, "", WHOLE, None, faces=True)
        return encoded.faces

    async def has_face(self, actor: Actor, concept: Concept) -> bool:
        """Whether this person is recognised by their face."""
        faces = (await self._indexes.get(actor.id)).collection.faces
        return any(face.concept_id == concept.id for face in faces)

    async def _finish_draft(self, request: Request, draft: Draft, listener: ProgressListener | None) -> Reply:
        photo = request.photos[0]
        if draft.adds_to_existing:
            return await self.add_photo(request.actor, request.chat, draft.name, photo, listener=listener)
        return await self.remember(
            request.actor, request.chat, draft.name, draft.info, category=draft.category, photo=photo, listener=listener
        )


def _kind_seen(encoded: EncodedAvatar) -> str:
    """What a thing is when nobody said it: a person where a face is most of what was taught."""
    if the_one(encoded.faces) is not None and encoded.faces[0].box.area > _FACE_FILLS:
        return "person"
    return encoded.tags[0].word if encoded.tags and encoded.tags[0].probability > 0.3 else "thing"
