"""Whose concepts may be seen in which chat: in private one's own; in a group also what members shared with it.

A shared concept is always called by its owner ("Anna's Lala"), in texts and on pictures, so that everybody sees whose
it is and two people's Lala are two.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rapbot.concepts.bounded import Bounded
from rapbot.concepts.concept import fold_name
from rapbot.concepts.index import IndexCache, OwnerIndex, Share, size_of, visible_concepts
from rapbot.concepts.places import PlaceStore, SharedConcept
from rapbot.concepts.visible import Card, VisibleConcepts
from rapbot.messages import Actor, Chat, ChatKind


@dataclass(frozen=True, slots=True)
class Sight:
    """What one person may name in one chat."""

    own: OwnerIndex
    visible: VisibleConcepts
    names: tuple[tuple[int, str], ...]
    """(concept id, name) as people may write it: a shared one is called with and without its owner."""
    short: dict[int, str]
    """Of shared concepts: the name without the owner."""
    owners: dict[int, str]
    """Of shared concepts: the person who taught them."""

    def namesakes(self, concept_id: int, written: str) -> tuple[int, ...]:
        """All that are meant when somebody writes `written`: without its owner a name may stand for several."""
        name = self.short.get(concept_id)
        if name is None or len(fold_name(written)) > len(fold_name(name)) + 2:  # 2: the possessive
            return (concept_id,)
        return tuple(other for other, short in self.short.items() if fold_name(short) == fold_name(name))


class Visibility:
    """Asks the store at every message, so what was unshared or forgotten is gone at once."""

    def __init__(
        self,
        indexes: IndexCache,
        places: PlaceStore,
        people: str = "shared",
        capacity: int = 64,
        most_bytes: int = 64_000_000,
    ) -> None:
        """`people`: `Settings.people`; `most_bytes`: of what is kept of groups."""
        self._people = people
        self._indexes = indexes
        self._places = places
        self._recent: Bounded[tuple[str, str], tuple[object, Sight]] = Bounded(capacity, most_bytes)

    async def of(self, actor: Actor, chat: Chat) -> Sight:
        """Raises StoreError."""
        own = await self._indexes.get(actor.id)
        group = chat.kind is ChatKind.GROUP
        shared = await self._places.shares(chat.id) if group else ()
        unwanted = await self._places.unwanted_faces(chat.id) if group and self._people != "off" else ()
        mine = {card.concept_id for card in own.visible.cards}
        shared = tuple(share for share in shared if share.concept_id not in mine)
        if not shared:
            visible = self._faces(own.visible, mine, unwanted)
            return Sight(own, visible, tuple((card.concept_id, card.name) for card in own.visible.cards), {}, {})
        others = {person: await self._indexes.get(person) for person in {share.person for share in shared}}
        # Everything the result is made of: the same again needs no new index.
        state = (
            own.collection.revision,
            shared,
            unwanted,
            tuple(sorted((person, index.collection.revision) for person, index in others.items())),
        )
        key = (actor.id, chat.id)
        known = self._recent.get(key)
        if known is not None and known[0] == state:
            return known[1]
        sight = await asyncio.to_thread(_combine, own, others, shared)
        sight = replace(sight, visible=self._faces(sight.visible, mine, unwanted))
        self._recent.put(key, (state, sight), size_of(sight.visible) + own.size)
        return sight

    def _faces(self, visible: VisibleConcepts, mine: set[int], unwanted: tuple[bytes, ...]) -> VisibleConcepts:
        """The faces that the operator lets be recognised: nobody's, one's own, or shared ones too."""
        faces = visible.faces if self._people != "off" else ()
        if self._people == "own":
            faces = tuple(face for face in faces if face.concept_id in mine)
        if faces == visible.faces and not unwanted:
            return visible
        return replace(visible, faces=faces, unwanted=unwanted)

    def drop(self, person: str) -> None:
        """Nothing of this person stays in memory: they changed or deleted something."""

        def shows(key: tuple[str, str], kept: tuple[object, Sight]) -> bool:
            return key[0] == person or any(card.owner_name is not None for card in kept[1].visible.cards)

        self._recent.drop_where(shows)


def _combine(own: OwnerIndex, others: dict[str, OwnerIndex], shared: Sequence[SharedConcept]) -> Sight:
    shares = [Share(own.collection)]
    for person, index in others.items():
        theirs = [share for share in shared if share.person == person]
        only = frozenset(share.concept_id for share in theirs)
        shares.append(Share(index.collection, theirs[0].person_name, only))
    visible = visible_concepts(shares)
    cards, short = _named(visible.cards)
    own_names = {fold_name(card.name) for card in own.visible.cards}
    names = [(card.concept_id, card.name) for card in cards]
    names += [(concept, name) for concept, name in short.items() if fold_name(name) not in own_names]
    owners = {share.concept_id: share.person for share in shared}
    return Sight(own, replace(visible, cards=cards), tuple(names), short, owners)


def _named(cards: Sequence[Card]) -> tuple[tuple[Card, ...], dict[int, str]]:
    """The cards with the names that are shown here, all different; and the short names of the shared ones."""
    taken = {fold_name(card.name) for card in cards if card.owner_name is None}
    named: list[Card] = []
    short: dict[int, str] = {}
    for card in cards:
        if card.owner_name is not None:
            short[card.concept_id] = card.name
            name, number = f"{card.owner_name}'s {card.name}", 2
            while fold_name(name) in taken:
                name, number = f"{card.owner_name}'s {card.name} {number}", number + 1
            taken.add(fold_name(name))
            card = card._replace(name=name)
        named.append(card)
    return tuple(named), short
