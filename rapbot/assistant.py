"""One method per thing a person can want. Adapters and the command line speak to this class only.

Memory commands touch the store and one ENCODE job for an avatar; whatever needs a model becomes a `Job`.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, replace

import numpy as np

from rapbot.concepts.category import guess_category
from rapbot.concepts.concept import Concept, ConceptLimits, NewAvatar, Role, clean_name, clean_text, fold_name
from rapbot.concepts.index import IndexCache, OwnerIndex
from rapbot.concepts.mentions import Mention, find_mentions, nearest_names
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
from rapbot.config import Settings
from rapbot.conversation import AnswerRecord, ChatContext, Conversations, Draft
from rapbot.errors import ConceptError, InferenceError, NameTaken, NameUnknown, PhotoError, TextError
from rapbot.inference.job import EncodedAvatar, Job, Task, Turn
from rapbot.inference.queue import JobQueue
from rapbot.messages import Action, Actor, Box, Chat, Photo, ProgressListener, Reply, Request
from rapbot.phrases import undone_sentence, why_sentences, without_brackets
from rapbot.understanding import has_pronoun, understand, unknown_subject

_NEEDS_PHOTO = frozenset({Task.CAPTION, Task.DESCRIBE, Task.RECOGNISE, Task.LOCATE, Task.FIND})


@dataclass(frozen=True, slots=True)
class Ask:
    """Extras of a question that a program may give, a person does not: evaluation uses them."""

    options: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    """Names of concepts the question is about even where its text does not say so."""
    picture: bool = True


class Assistant:
    """The core of rapbot. All state lies in what it is given."""

    def __init__(
        self,
        store: ConceptStore,
        indexes: IndexCache,
        queue: JobQueue,
        conversations: Conversations,
        settings: Settings,
    ) -> None:
        self._store = store
        self._indexes = indexes
        self._queue = queue
        self._conversations = conversations
        self._settings = settings
        self._limits = ConceptLimits.of(settings.limits)

    # -- what was taught ------------------------------------------------------------------------------------

    async def concepts(self, actor: Actor) -> tuple[Concept, ...]:
        """Everything `actor` taught, in the order it was taught."""
        return (await self._indexes.get(actor.id)).collection.concepts

    async def concept(self, actor: Actor, name: str) -> Concept:
        """The concept of that name, ignoring case and small differences. Raises NameUnknown with the nearest names."""
        index = await self._indexes.get(actor.id)
        names = [(concept.id, concept.name) for concept in index.collection.concepts]
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
        name, info = clean_name(name, limits), clean_text(info, limits.info, "information")
        category = clean_text(category, limits.category, "category").lower() or guess_category(info)[: limits.category]
        index = await self._indexes.get(actor.id)
        self._refuse_known_name(index, name)
        context = self._conversations.context(chat.id, actor.id)
        data = photo.data if photo else context.photo
        if data is None:
            context.draft = Draft(name, info, category)
            return Reply(f"Please send me a photo of {name}; I will remember it with what you wrote.")
        avatar, encoded = await self._encode(actor, data, category, box, listener)
        category = category or (encoded.tags[0].word if encoded.tags and encoded.tags[0].probability > 0.3 else "thing")
        changed = await self._change(actor, Remember(name, category[: limits.category], info, avatar))
        context.draft = None
        context.subjects = (changed.id,) if changed else ()
        about = f": {info.rstrip('.')}." if info else "."
        text = f"I will know {name} ({category}) from now on{about} Send me a photo, or ask me about {name}."
        return Reply(text, avatar.jpeg, actions=(Action.EDIT, Action.UNDO), named=context.subjects)

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
            context.draft = Draft(concept.name, adds_to_existing=True)
            return Reply(f"Please send me another photo of {concept.name}.")
        avatar, _ = await self._encode(actor, data, concept.category, box, listener)
        after = await self._change(actor, AddAvatar(concept.id, avatar, role))
        context.draft = None
        count = sum(a.role is Role.AVATAR for a in after.avatars) if after else 0
        return Reply(f"I know {concept.name} from {count} photos now.", avatar.jpeg, actions=(Action.UNDO,))

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
            raise TextError(f"Tell me what to change, for example: /edit {concept.name} She loves cheese.")
        change = Edit(
            concept.id,
            clean_name(new_name, limits) if new_name is not None else None,
            clean_text(category, limits.category, "category").lower() if category is not None else None,
            clean_text(info, limits.info, "information") if info is not None else None,
        )
        after = await self._change(actor, change) or concept
        self._conversations.forget_turns(actor.id)
        return Reply(f"{after.name} ({after.category}): {after.info or 'no information yet.'}", actions=(Action.UNDO,))

    async def remove_photo(self, actor: Actor, name: str, avatar_id: int) -> Reply:
        """Delete one picture of a concept for good."""
        concept = await self.concept(actor, name)
        if all(avatar.id != avatar_id for avatar in concept.avatars):
            raise ConceptError(f"That is not a photo of {concept.name}.")
        await self._change(actor, RemoveAvatar(avatar_id))
        return Reply(f"That photo of {concept.name} is gone.")

    async def forget(self, actor: Actor, name: str) -> Reply:
        """Delete a concept for good: card, photos and keys. There is no undo."""
        concept = await self.concept(actor, name)
        await self._change(actor, Forget(concept.id))
        self._conversations.forget_concept(actor.id, concept.id)
        return Reply(f"I have forgotten {concept.name}. Card, photos and keys are deleted.")

    async def undo(self, actor: Actor) -> Reply:
        """Take back the last remember, edit, added photo or correction."""
        done = await self._store.write(actor.id, Undo())
        self._indexes.drop(actor.id)
        self._conversations.forget_turns(actor.id)
        if done.undone is not None and done.concept is None:
            self._conversations.forget_concept(actor.id, done.undone.concept_id)
        return Reply(undone_sentence(done.undone, done.concept))

    async def erase(self, actor: Actor) -> Reply:
        """Delete everything that is kept about a person."""
        await self._store.write(actor.id, EraseOwner())
        self._indexes.drop(actor.id)
        self._conversations.erase(actor.id)
        return Reply("Everything I kept about you is deleted.")

    # -- photos and questions -------------------------------------------------------------------------------

    async def respond(
        self, request: Request, listener: ProgressListener | None = None, ask: Ask | None = None
    ) -> Reply:
        """Answer a free message: photo, text, or both. Raises RapbotError with the sentence for the person."""
        context = self._conversations.context(request.chat.id, request.actor.id)
        if request.photos and not request.text.strip() and context.draft is not None:
            return await self._finish_draft(request, context.draft, listener)
        wish_task = await self._job_for(request, context, ask or Ask())
        return await self._answer(request, context, wish_task, listener)

    async def caption(self, request: Request, listener: ProgressListener | None = None) -> Reply:
        return await self._photo_task(request, Task.CAPTION, listener)

    async def describe(self, request: Request, listener: ProgressListener | None = None) -> Reply:
        return await self._photo_task(request, Task.DESCRIBE, listener)

    async def find(self, request: Request, listener: ProgressListener | None = None) -> Reply:
        """Who is here? With a name in the text: where is it?"""
        return await self._photo_task(request, Task.FIND, listener)

    async def why(self, actor: Actor, answer_id: str) -> Reply:
        """Which regions were compared with which avatars, at what distance; the regions numbered on the photo."""
        record = self._record(actor, answer_id)
        names = {c.id: c.name for c in await self.concepts(actor)}
        job = self._job(actor, Task.EXPLAIN, photo=record.photo, scene=record.scene)
        answer = await self._queue.submit(job)
        regions = tuple(dict.fromkeys(candidate.region for candidate in record.scene.candidates))
        text = why_sentences(record, names)
        return Reply(text, answer.picture, record.scene.sightings, answer_id=answer_id, regions=regions)

    async def wrong(
        self, actor: Actor, answer_id: str, region: int, right: str | None, *, was: str | None = None
    ) -> Reply:
        """Correct an answer: the region shows `right` (it becomes another avatar) and not `was` (a counter-example)."""
        record = self._record(actor, answer_id)
        if not 0 <= region < len(record.scene.regions):
            raise ConceptError("That part of the photo is not known any more; please send the photo again.")
        box = record.scene.regions[region].box
        wrong = await self.concept(actor, was) if was else None
        correct = await self.concept(actor, right) if right else None
        if wrong is None and correct is None:
            raise ConceptError("Tell me which name is wrong, or which is right.")
        avatar, _ = await self._encode(actor, record.photo, "", box, None)
        if wrong is not None and (correct is None or correct.id != wrong.id):
            await self._change(actor, AddAvatar(wrong.id, avatar, Role.COUNTEREXAMPLE))
        if correct is not None:
            await self._change(actor, AddAvatar(correct.id, avatar))
        said = (
            f"That is {correct.name}; I have kept this view."
            if correct
            else f"Noted: that is not {wrong.name if wrong else ''}."
        )
        return Reply(said, actions=(Action.UNDO,))

    # -- inside ---------------------------------------------------------------------------------------------

    async def _change(self, actor: Actor, change: Change) -> Concept | None:
        changed = await self._store.write(actor.id, change)
        if changed.concept is None:
            self._indexes.drop(actor.id)
        return changed.concept

    def _refuse_known_name(self, index: OwnerIndex, name: str) -> None:
        """Say so before the photo is encoded; the store says it again in its transaction."""
        for concept in index.collection.concepts:
            if fold_name(concept.name) == fold_name(name):
                raise NameTaken(concept.name)

    async def _encode(
        self, actor: Actor, photo: bytes, category: str, box: Box | None, listener: ProgressListener | None
    ) -> tuple[NewAvatar, EncodedAvatar]:
        job = self._job(actor, Task.ENCODE, photo=photo, category=category, box=box, picture=False)
        encoded = (await self._queue.submit(job, listener)).avatar
        if encoded is None:
            raise InferenceError("I could not look at that photo. Please try another one.")
        key = np.frombuffer(encoded.key, np.float32)
        return NewAvatar(encoded.jpeg, key, encoded.encoder, encoded.box), encoded

    async def _finish_draft(self, request: Request, draft: Draft, listener: ProgressListener | None) -> Reply:
        photo = request.photos[0]
        if draft.adds_to_existing:
            return await self.add_photo(request.actor, request.chat, draft.name, photo, listener=listener)
        return await self.remember(
            request.actor, request.chat, draft.name, draft.info, category=draft.category, photo=photo, listener=listener
        )

    async def _photo_task(self, request: Request, task: Task, listener: ProgressListener | None) -> Reply:
        context = self._conversations.context(request.chat.id, request.actor.id)
        index = await self._indexes.get(request.actor.id)
        mentioned = tuple(dict.fromkeys(m.concept_id for m in await self._mentions(request.text, index) if m.certain))
        if task is Task.FIND and mentioned:
            task = Task.LOCATE
        photo = request.photos[0].data if request.photos else context.photo
        job = self._job(
            request.actor, task, text=request.text, photo=photo, concepts=index.visible, mentioned=mentioned
        )
        return await self._answer(request, context, job, listener)

    async def _job_for(self, request: Request, context: ChatContext, ask: Ask) -> Job:
        text = request.text.strip()
        if len(text) > self._settings.limits.text_characters:
            raise TextError(f"That is {len(text)} characters; I read up to {self._settings.limits.text_characters}.")
        if not text and not request.photos:
            raise TextError("Send me a photo, or ask me something.")
        index = await self._indexes.get(request.actor.id)
        mentions = [m for m in await self._mentions(text, index) if m.certain]
        mentioned = tuple(dict.fromkeys(m.concept_id for m in mentions))
        mentioned += tuple(c.id for c in index.collection.concepts if c.name in ask.about and c.id not in mentioned)
        wish = understand(text, tuple((m.start, m.end) for m in mentions))
        if not mentioned:
            self._refuse_unknown(text, index)
            if has_pronoun(text):
                known = {card.concept_id for card in index.visible.cards}
                mentioned = tuple(s for s in context.subjects[:1] if s in known)
        photo = request.photos[0].data if request.photos else None
        if photo is None and (wish.task in _NEEDS_PHOTO or wish.about_picture):
            photo = context.photo
        task = wish.task
        if task is Task.LOCATE and photo is None:
            task = Task.QUESTION  # "where is Lala?" without any photo: perhaps the card knows
        return self._job(
            request.actor,
            task,
            text=text,
            photo=photo,
            concepts=index.visible,
            mentioned=mentioned,
            history=context.turns,
            options=ask.options,
            picture=ask.picture,
        )

    async def _mentions(self, text: str, index: OwnerIndex) -> list[Mention]:
        """Which concepts the text names; in a thread, because a matcher of many new names takes over 20 ms to build."""
        names = [(card.concept_id, card.name) for card in index.visible.cards]
        return await asyncio.to_thread(find_mentions, text, names)

    def _refuse_unknown(self, text: str, index: OwnerIndex) -> None:
        name = unknown_subject(text)
        if name is not None:
            raise NameUnknown(name, nearest_names(name, [card.name for card in index.visible.cards]))

    async def _answer(
        self, request: Request, context: ChatContext, job: Job, listener: ProgressListener | None
    ) -> Reply:
        if job.photo is None and job.task in _NEEDS_PHOTO:
            raise PhotoError("Which photo? Please send me one with that.")
        answer = await self._queue.submit(job, listener)
        if request.photos and job.photo is not None:
            context.photo = job.photo
        answer_id = None
        actions: tuple[Action, ...] = ()
        if answer.scene is not None and job.photo is not None:
            answer_id = job.id
            self._conversations.keep_answer(answer_id, request.actor.id, job.photo, answer.scene)
            actions = (Action.WRONG, Action.WHY) if answer.scene.candidates else ()
        text = without_brackets(answer.text, job)
        seen = tuple(s.concept_id for s in answer.scene.sightings) if answer.scene else ()
        context.subjects = tuple(dict.fromkeys((*job.mentioned, *answer.named, *seen))) or context.subjects
        if job.text:
            self._conversations.add_turn(context, Turn(job.text, text))
        sightings = answer.scene.sightings if answer.scene else ()
        return Reply(
            text,
            answer.picture,
            sightings=sightings,
            actions=actions,
            answer_id=answer_id,
            named=answer.named,
            option_scores=answer.option_scores,
            timings=answer.timings,
        )

    def _record(self, actor: Actor, answer_id: str) -> AnswerRecord:
        record = self._conversations.answer(answer_id, actor.id)
        if record is None:
            raise ConceptError("That answer is too old: I don't keep photos. Please send the photo again.")
        return record

    def _job(self, actor: Actor, task: Task, **fields: object) -> Job:
        photo = fields.get("photo")
        limit = self._settings.limits.photo_megabytes
        if isinstance(photo, bytes) and len(photo) > limit * 1_000_000:
            raise PhotoError(f"That photo has {len(photo) / 1e6:.0f} MB; I take up to {limit:.0f} MB.")
        job = Job(uuid.uuid4().hex, actor.id, task, deadline=self._settings.worker.deadline_s)
        return replace(job, **fields)  # type: ignore[arg-type]
