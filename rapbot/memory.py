"""What people taught, read and changed; with each change goes what was remembered of the state before."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from rapbot.concepts.concept import Concept
from rapbot.concepts.index import IndexCache, OwnerIndex
from rapbot.concepts.mentions import find_mentions, forget_names, nearest_names
from rapbot.concepts.store import Applied, Change, Changed, ConceptStore, EraseOwner, Undo
from rapbot.concepts.visibility import Visibility
from rapbot.conversation import Conversations
from rapbot.errors import NameUnknown
from rapbot.inbox import handling
from rapbot.messages import Actor

_ERASED = 10_000
"""People of whom is known that they deleted everything in this run."""


class Memory:
    """The one way to what people taught, so that nothing in RAM outlives what it was made of."""

    def __init__(
        self, store: ConceptStore, indexes: IndexCache, visibility: Visibility, conversations: Conversations
    ) -> None:
        self._store = store
        self._indexes = indexes
        self._visibility = visibility
        self._conversations = conversations
        self._erased: OrderedDict[str, int] = OrderedDict()
        """How often people deleted everything in this run: what was begun before that is not kept."""

    async def index(self, actor: Actor) -> OwnerIndex:
        """What `actor` taught, as it is now. Raises StoreError."""
        return await self._indexes.get(actor.id)

    async def concepts(self, actor: Actor) -> tuple[Concept, ...]:
        """Everything `actor` taught, in the order it was taught."""
        return (await self.index(actor)).collection.concepts

    async def concept(self, actor: Actor, name: str) -> Concept:
        """The concept of that name, ignoring case and small differences. Raises NameUnknown with the nearest names."""
        index = await self.index(actor)
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

    async def faces(self, actor: Actor) -> list[tuple[str, bytes]]:
        """(name, key) of every face that is recognised for this person."""
        collection = (await self.index(actor)).collection
        names = {card.concept_id: card.name for card in collection.cards}
        return [(names[face.concept_id], face.key) for face in collection.faces]

    async def has_face(self, actor: Actor, concept: Concept) -> bool:
        """Whether this person is recognised by their face."""
        faces = (await self.index(actor)).collection.faces
        return any(face.concept_id == concept.id for face in faces)

    async def change(self, actor: Actor, change: Change) -> Concept | None:
        """Write a change; the concept as it is now, None when it is gone. Raises what `ConceptStore.write` does."""
        changed = await self._store.write(actor.id, change)
        self._visibility.drop(actor.id)
        if changed.concept is None:
            self._indexes.drop(actor.id)
            forget_names()
        return changed.concept

    async def undo(self, actor: Actor) -> Changed:
        """Take back the last change that can be taken back."""
        done = await self._store.write(actor.id, Undo())
        self._indexes.drop(actor.id)
        self._visibility.drop(actor.id)
        self._conversations.forget_turns(actor.id)
        if done.undone is not None and done.concept is None:
            self._conversations.forget_concept(done.undone.concept_id)
        return done

    async def applied(self, actor: Actor, work_digest: bytes) -> Applied | None:
        """What this message changed before a crash; None: nothing."""
        done = await self._store.applied(work_digest)
        if done is not None:
            self._indexes.drop(actor.id)  # this message may have changed more than what was read
        return done

    async def erase(self, actor: Actor, accounts: tuple[str, ...]) -> None:
        """Delete everything that is kept about a person, whose `accounts` (ids as in `Actor.id`) share this memory."""
        known = await self.concepts(actor)
        try:
            await self._store.write(actor.id, EraseOwner())
            if (update := handling()) is not None:
                await update.inbox.forget(accounts, update.arrived)
        finally:  # also when this task is cancelled after the store has committed
            self._forget_person(accounts, known)

    def _forget_person(self, accounts: tuple[str, ...], known: Sequence[Concept]) -> None:
        """What is held in memory; a photo of theirs that is looked at right now is not kept (`erasures`)."""
        for account in accounts:
            self._count_erasure(account)
            self._indexes.drop(account)
            self._visibility.drop(account)
            self._conversations.erase(account)
        forget_names()
        for concept in known:  # other people's conversations may have met them in a group
            self._conversations.forget_concept(concept.id)

    def _count_erasure(self, account: str) -> None:
        self._erased[account] = self._erased.pop(account, 0) + 1
        while len(self._erased) > _ERASED:  # far more than can do so while one photo is looked at
            self._erased.popitem(last=False)

    def erasures(self, actor: Actor) -> int:
        """How often this person deleted everything: what was begun before the last time is not kept."""
        return self._erased.get(actor.id, 0)

    def hear(self, what: list[Any]) -> None:
        """What is to be forgotten, as another process of the same bot told it (`Conversations.tell`)."""
        self._conversations.hear(what)
        match what:
            case ["person", str(person)]:
                self._count_erasure(person)
                self._indexes.drop(person)
                self._visibility.drop(person)
                forget_names()
            case ["concept", int(concept_id), _]:
                self._indexes.drop_with(concept_id)
                self._visibility.drop("")  # whatever was shared
                forget_names()
