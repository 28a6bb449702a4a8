"""What a person can want: one method for each, here or in the part that this class holds for it.

Adapters and the command line get this object only. `memory` and `teaching` touch the store and one ENCODE job for an
avatar; whatever needs a model becomes a `Job`.
"""

from __future__ import annotations

from typing import Any

from rapbot.accounts import Accounts
from rapbot.answering import Answering
from rapbot.answering import Ask as Ask
from rapbot.avatars import Avatars
from rapbot.concepts.index import IndexCache
from rapbot.concepts.places import PlaceStore
from rapbot.concepts.store import ConceptStore
from rapbot.concepts.visibility import Visibility
from rapbot.concepts.visits import VisitStore
from rapbot.config import Settings
from rapbot.conversation import Conversations
from rapbot.groups import Groups
from rapbot.i18n import _
from rapbot.inbox import handling
from rapbot.inference.job import Task
from rapbot.inference.queue import JobQueue
from rapbot.memory import Memory
from rapbot.messages import Actor, Chat, Photo, ProgressListener, Reply, Request, Sighting
from rapbot.people import People
from rapbot.policy import Access
from rapbot.retention import Retention
from rapbot.teaching import Teaching


class Assistant:
    """The core of rapbot, put together. All state lies in what it is given."""

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
        self._visibility = Visibility(indexes, places, settings.people)
        self._answering = Answering(self._visibility, store, queue, conversations, settings)
        self.memory = Memory(store, indexes, self._visibility, conversations)
        avatars = Avatars(self.memory, self._answering, queue)
        self.people = People(store, places, avatars.find_faces, settings)
        self.teaching = Teaching(self.memory, avatars, self.people, self._answering, conversations, settings)
        self.groups = Groups(places, self._visibility, conversations)
        self.accounts = Accounts(places)
        self.retention = Retention(visits, self.erase, settings)
        self._places = places
        self._conversations = conversations
        self._settings = settings

    @property
    def access(self) -> Access:
        """Whom the configuration lets in."""
        return Access(frozenset(self._settings.access.allow), frozenset(self._settings.access.block))

    @property
    def settings(self) -> Settings:
        return self._settings

    # -- everything about a person --------------------------------------------------------------------------

    async def erase(self, actor: Actor) -> Reply:
        """Delete everything that is kept about a person."""
        await self.memory.erase(actor, await self.accounts.all_of(actor.id))
        return Reply(_("Everything I kept about you is deleted."))

    async def about(self, actor: Actor) -> dict[str, list[dict[str, Any]]]:
        """Every row that is kept about a person, by table; what waits in the inbox, when a chat's message asks."""
        kept = await self._places.about(actor.id)
        update = handling()
        people = await self.accounts.all_of(actor.id)
        return {**kept, "inbox": await update.inbox.about(people) if update is not None else []}

    # -- people ---------------------------------------------------------------------------------------------

    async def allow_face(self, actor: Actor, name: str, which: int | None = None) -> Reply:
        """This person agreed to be recognised by their face. Raises WhichFace when an avatar shows several."""
        reply = await self.people.allow(actor, await self.memory.concept(actor, name), which)
        self._visibility.drop(actor.id)
        return reply

    async def stop_face(self, actor: Actor, name: str) -> Reply:
        """Forget the face, keep the card."""
        reply = await self.people.stop(actor, await self.memory.concept(actor, name))
        self._visibility.drop(actor.id)
        return reply

    # -- groups ---------------------------------------------------------------------------------------------

    async def share(self, actor: Actor, chat: Chat, name: str) -> Reply:
        """Everybody in this group may have this concept recognised from now on."""
        return await self.groups.share(actor, chat, await self.memory.concept(actor, name))

    async def unshare(self, actor: Actor, chat: Chat, name: str = "") -> Reply:
        """Take one concept, or all of this person, out of the group."""
        return await self.groups.unshare(actor, chat, await self.memory.concept(actor, name) if name else None)

    async def shared(self, actor: Actor) -> list[tuple[str, str, str]]:
        """(group, name, name that is shown there) of everything this person shares anywhere."""
        names = {concept.id: concept.name for concept in await self.memory.concepts(actor)}
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
        done = await self.teaching.continued(request, listener)
        if done is not None:
            return done
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
