"""Photos and questions: a request becomes a job, the worker's answer becomes a reply."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from dataclasses import dataclass, replace
from typing import Protocol

from rapbot.albums import Album, combined
from rapbot.concepts.visibility import Sight, Visibility
from rapbot.config import Settings
from rapbot.conversation import AnswerRecord, ChatContext, Conversations
from rapbot.errors import ConceptError, Gone, PhotoError, RapbotError, TextError
from rapbot.i18n import _
from rapbot.inference.job import Answer, AvatarPicture, Job, Scene, Task, Turn
from rapbot.inference.offhand import answer_offhand
from rapbot.inference.queue import JobQueue
from rapbot.meaning import meaning_of, named_in
from rapbot.messages import Action, Actor, Chat, ChatKind, Photo, ProgressListener, Reply, Request, Sighting
from rapbot.phrases import why_sentences, without_brackets
from rapbot.understanding import introduced, is_remark, points_to_photo, understand
from rapbot.watching import number

_EARLIER = 8
"""Concepts spoken of before the last answer that a pronoun may still mean."""
_NEEDS_PHOTO = frozenset({Task.CAPTION, Task.DESCRIBE, Task.RECOGNISE, Task.LOCATE, Task.FIND})


@dataclass(frozen=True, slots=True)
class Ask:
    """Extras of a question that a program may give, a person does not: evaluation uses them."""

    options: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    """Names of concepts the question is about even where its text does not say so."""
    picture: bool = True


class AvatarPictures(Protocol):
    """The store, as far as photos and questions need it."""

    async def photo(self, owner: str, avatar_id: int) -> bytes:
        """JPEG. Raises Gone."""
        ...


class Answering:
    def __init__(
        self,
        visibility: Visibility,
        pictures: AvatarPictures,
        queue: JobQueue,
        conversations: Conversations,
        settings: Settings,
    ) -> None:
        self._pictures = pictures
        self._visibility = visibility
        self._queue = queue
        self._conversations = conversations
        self._settings = settings

    async def respond(self, request: Request, listener: ProgressListener | None, ask: Ask) -> Reply:
        """Answer a free message: photo, text, or both. Raises RapbotError."""
        if len(request.photos) > 1:
            return await self._album(request, None, listener)
        return await self._respond(request, listener, ask)

    async def _respond(
        self, request: Request, listener: ProgressListener | None, ask: Ask, album: Album | None = None
    ) -> Reply:
        context = self._context(request)
        sight = await self._visibility.of(request.actor, request.chat)
        job = await self._job_for(request, context, sight, ask)
        return await self._answer(request, context, sight, job, listener, album)

    async def photo_task(self, request: Request, task: Task, listener: ProgressListener | None) -> Reply:
        """One task on the photo of the request, or on the last one of the chat."""
        if len(request.photos) > 1:
            return await self._album(request, task, listener)
        return await self._photo_task(request, task, listener)

    async def _photo_task(
        self, request: Request, task: Task, listener: ProgressListener | None, album: Album | None = None
    ) -> Reply:
        context = self._context(request)
        sight = await self._visibility.of(request.actor, request.chat)
        mentioned = await asyncio.to_thread(named_in, request.text, sight)
        if task is Task.FIND and mentioned:
            task = Task.LOCATE
        photo = request.photos[0].data if request.photos else context.photo
        job = self.job(
            request.actor,
            task,
            text=request.text,
            photo=photo,
            concepts=sight.visible,
            mentioned=mentioned,
            chat=_group(request),
        )
        return await self._answer(request, context, sight, job, listener, album)

    async def why(self, actor: Actor, answer_id: str) -> Reply:
        """Which regions were compared with which avatars, at what distance; the regions numbered on the photo."""
        record = self.record(actor, answer_id)
        sight = await self._visibility.of(actor, record.chat)
        names = {card.concept_id: card.name for card in sight.visible.cards}
        answer = await self._queue.submit(self.job(actor, Task.EXPLAIN, photo=record.photo, scene=record.scene))
        regions = tuple(dict.fromkeys(candidate.region for candidate in record.scene.candidates))
        sightings = _still_visible(record, sight)
        return Reply(why_sentences(record, names), answer.picture, sightings, answer_id=answer_id, regions=regions)

    async def sightings(self, actor: Actor, answer_id: str) -> tuple[Sighting, ...]:
        """Who was seen in that answer, as far as they may still be named; no model is asked."""
        record = self.record(actor, answer_id)
        return _still_visible(record, await self._visibility.of(actor, record.chat))

    async def showable(self, actor: Actor, photo: Photo) -> bytes | None:
        """The photo as JPEG without metadata, decoded where decoding may fail: in the worker."""
        try:
            job = self.job(actor, Task.EXPLAIN, photo=photo.data, scene=Scene(0, 0))
            return (await self._queue.submit(job)).picture
        except RapbotError:
            return None

    async def look_again(self, actor: Actor, chat: Chat, photo: Photo, answer_id: str) -> None:
        """Make what *Why?* and *Wrong?* need anew from the photo: answers are kept in memory only."""
        sight = await self._visibility.of(actor, chat)
        job = self.job(actor, Task.FIND, photo=photo.data, concepts=sight.visible, picture=False)
        answer = await self._submit(job, sight, None)
        if answer.scene is not None:
            self._conversations.keep_answer(answer_id, actor.id, chat, photo.data, answer.scene)

    def record(self, actor: Actor, answer_id: str) -> AnswerRecord:
        """Raises ConceptError when the answer is too old, or was given to somebody else."""
        record = self._conversations.answer(answer_id, actor.id)
        if record is None:
            raise ConceptError(_("That answer is too old: I don't keep photos. Please send the photo again."))
        return record

    def job(self, actor: Actor, task: Task, **fields: object) -> Job:
        """Raises PhotoError when the photo is too large."""
        photo = fields.get("photo")
        limit = self._settings.limits.photo_megabytes
        if isinstance(photo, bytes) and len(photo) > limit * 1_000_000:
            raise PhotoError(
                _("That photo has {size:.0f} MB; I take up to {limit:.0f} MB.").format(
                    size=len(photo) / 1e6, limit=limit
                )
            )
        job = Job(uuid.uuid4().hex, actor.id, task, deadline=self._settings.worker.deadline_s, request=number())
        return replace(job, **fields)  # type: ignore[arg-type]

    def _context(self, request: Request) -> ChatContext:
        return self._conversations.context(request.chat.id, request.actor.id)

    async def _album(self, request: Request, task: Task | None, listener: ProgressListener | None) -> Reply:
        """Every photo by itself (the worker takes them as one batch), then one answer for the whole."""
        singles = [replace(request, photos=(photo,)) for photo in request.photos]
        last = len(singles) - 1
        album = Album()
        answers = await asyncio.gather(
            *(
                self._respond(single, listener if n == last else None, Ask(), album)
                if task is None
                else self._photo_task(single, task, listener if n == last else None, album)
                for n, single in enumerate(singles)
            ),
            return_exceptions=True,
        )
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, RapbotError):
                raise answer
        told = [answer for answer in answers if isinstance(answer, Reply | RapbotError)]
        told = await asyncio.to_thread(album.with_guesses, told)
        for answer in told:
            if isinstance(answer, Reply) and answer.answer_id in album.guessed:
                self._note(request.actor, answer)
        return combined(told)

    def _note(self, actor: Actor, reply: Reply) -> None:
        """*Wrong?* can speak about those too who were named by their clothes."""
        record = self._conversations.answer(str(reply.answer_id), actor.id)
        if record is not None:
            scene = replace(record.scene, sightings=reply.sightings)
            self._conversations.keep_answer(str(reply.answer_id), actor.id, record.chat, record.photo, scene)

    async def _job_for(self, request: Request, context: ChatContext, sight: Sight, ask: Ask) -> Job:
        text = request.text.strip()
        limit = self._settings.limits.text_characters
        if len(text) > limit:
            raise TextError(_("That is {count} characters; I read up to {limit}.").format(count=len(text), limit=limit))
        if not text and not request.photos:
            raise TextError(_("Send me a photo, or ask me something."))
        seen = bool(request.photos)
        meant = await asyncio.to_thread(meaning_of, text, context, sight, seen=seen, about=ask.about)
        wish = understand(meant.text, meant.spans)
        photo = request.photos[0].data if request.photos else None
        if photo is None and (wish.task in _NEEDS_PHOTO or wish.about_picture):
            photo = context.photo
        task = wish.task
        if seen and task is Task.QUESTION and is_remark(meant.text, meant.spans):
            task = Task.CAPTION
        if photo is None and (task is Task.LOCATE or (task is Task.FIND and not points_to_photo(meant.text))):
            task = Task.QUESTION  # "where is Lala?", "who ruins the lawn there?": perhaps a card knows
        return self.job(
            request.actor,
            task,
            text=meant.text,
            photo=photo,
            concepts=sight.visible,
            mentioned=meant.mentioned,
            spoken_of=meant.spoken_of,
            history=context.turns,
            options=ask.options,
            picture=ask.picture,
            chat=_group(request),
        )

    async def _submit(self, job: Job, sight: Sight, listener: ProgressListener | None) -> Answer:
        """The worker's answer; a model that sees gets the avatars that it asks for after looking."""
        if self._queue.restarting and (told := await asyncio.to_thread(answer_offhand, job)) is not None:
            return told
        looked = await self._queue.submit(job, listener)
        if not looked.wanted:
            return looked
        avatars = []
        for avatar_id, concept_id in looked.wanted:
            with contextlib.suppress(Gone):  # forgotten a moment ago
                jpeg = await self._pictures.photo(sight.owners.get(concept_id, job.person), avatar_id)
                avatars.append(AvatarPicture(avatar_id, concept_id, jpeg))
        answer = await self._queue.submit(
            replace(job, scene=looked.scene, avatars=tuple(avatars)), listener, again=True
        )
        spent = {
            stage: looked.timings.get(stage, 0.0) + answer.timings.get(stage, 0.0)
            for stage in {**looked.timings, **answer.timings}
        }
        return replace(answer, timings=spent)

    async def _answer(
        self,
        request: Request,
        context: ChatContext,
        sight: Sight,
        job: Job,
        listener: ProgressListener | None,
        album: Album | None = None,
    ) -> Reply:
        if job.photo is None and job.task in _NEEDS_PHOTO:
            raise PhotoError(_("Which photo? Please send me one with that."))
        job = replace(job, outfits=album is not None and job.task in _NEEDS_PHOTO and bool(job.concepts.faces))
        answer = await self._submit(job, sight, _without_marks(listener, job))
        if request.photos and job.photo is not None:
            self._conversations.show(context, job.photo)
        answer_id = None
        actions: tuple[Action, ...] = ()
        scene = answer.scene
        if scene is not None and job.photo is not None:
            answer_id = job.id[:16]
            if album is not None:
                album.add(answer_id, job, scene)
                scene = replace(scene, outfits=())
            self._conversations.keep_answer(answer_id, request.actor.id, request.chat, job.photo, scene)
            actions = (Action.WRONG, Action.WHY) if scene.candidates else ()
        text = without_brackets(answer.text, job)
        if request.photos and job.task is Task.CAPTION and not job.mentioned and (who := introduced(job.text)):
            text += "\n" + _("If I should know that from now on, send: {command}").format(command=f"/remember {who}")
        sightings = scene.sightings if scene else ()
        seen = tuple(s.concept_id for s in sightings)
        subjects = tuple(dict.fromkeys((*job.mentioned, *answer.named, *seen))) or context.subjects
        context.earlier = tuple(dict.fromkeys((*context.subjects, *context.earlier)))[:_EARLIER]
        context.subjects = subjects
        if job.text:
            self._conversations.add_turn(context, Turn(job.text, text))
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


def _without_marks(listener: ProgressListener | None, job: Job) -> ProgressListener | None:
    """People see names without brackets, also while an answer is being written."""
    if listener is None:
        return None
    return lambda progress: listener(
        replace(progress, text=without_brackets(progress.text, job)) if progress.text else progress
    )


def _group(request: Request) -> str:
    return request.chat.id if request.chat.kind is ChatKind.GROUP else ""


def _still_visible(record: AnswerRecord, sight: Sight) -> tuple[Sighting, ...]:
    visible = {card.concept_id for card in sight.visible.cards}
    return tuple(one for one in record.scene.sightings if one.concept_id in visible)
