"""The gallery: what the person taught, as tiles and as a card to read, change and delete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.web.tabs import Tab
from rapbot.assistant import Assistant
from rapbot.concepts.category import is_person
from rapbot.concepts.concept import Concept
from rapbot.errors import Gone
from rapbot.messages import Actor, Photo


@dataclass(frozen=True, slots=True)
class View:
    """What the gallery shows now. `refill`: whether the form of the card must be filled anew; `recognised`: whether
    the open card's person is recognised by their face, None where it is no person or nobody is recognised here."""

    concepts: tuple[Concept, ...]
    card: Concept | None
    refill: bool
    recognised: bool | None = None


class Gallery:
    """Every method but `view` changes something, raises RapbotError and returns the sentence to show."""

    def __init__(self, assistant: Assistant, actor: Actor) -> None:
        self._assistant = assistant
        self._actor = actor

    async def view(self, tab: Tab) -> View:
        concepts = await self._assistant.memory.concepts(self._actor)
        card = next((concept for concept in concepts if concept.id == tab.concept_id), None)
        if card is None:
            tab.concept_id = tab.shown = None
            return View(concepts, None, False)
        state = (card.id, card.updated_at)
        refill, tab.shown = state != tab.shown, state
        return View(concepts, card, refill, await self._recognised(card))

    async def save(self, tab: Tab, name: str, category: str, info: str) -> str:
        concept = await self._open(tab)
        renamed = name if name.strip() != concept.name else None
        await self._assistant.teaching.edit(self._actor, concept.name, new_name=renamed, category=category, info=info)
        return "Saved. The next answer knows it."

    async def add_photos(self, tab: Tab, photos: Sequence[Photo]) -> str:
        concept = await self._open(tab)
        said = ""
        for photo in photos:
            said = (await self._assistant.teaching.add_photo(self._actor, tab.chat, concept.name, photo)).text
        return said

    async def drop_photo(self, tab: Tab, avatar_id: int) -> str:
        concept = await self._open(tab)
        return (await self._assistant.teaching.remove_photo(self._actor, concept.name, avatar_id)).text

    async def forget(self, tab: Tab, concept_id: int) -> str:
        tab.concept_id = concept_id
        concept = await self._open(tab)
        return (await self._assistant.teaching.forget(self._actor, concept.name)).text

    async def stop_face(self, tab: Tab, concept_id: int) -> str:
        tab.concept_id = concept_id
        concept = await self._open(tab)
        return (await self._assistant.stop_face(self._actor, concept.name)).text

    async def _recognised(self, card: Concept) -> bool | None:
        if await self._assistant.memory.has_face(self._actor, card):
            return True
        return False if self._assistant.people.recognised and is_person(card.category) else None

    async def teach(self, tab: Tab, photo: Photo | None, name: str, info: str) -> str:
        """The form below the tiles. Without a photo the assistant waits for one in the chat."""
        reply = await self._assistant.teaching.remember(self._actor, tab.chat, name, info, photo=photo)
        return reply.text

    async def _open(self, tab: Tab) -> Concept:
        for concept in await self._assistant.memory.concepts(self._actor):
            if concept.id == tab.concept_id:
                return concept
        raise Gone("card")
