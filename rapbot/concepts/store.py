"""The seam of the store: what a person taught, read as one `Collection`, changed by one `Change` at a time.

Every change is one transaction (card, photo and key together) and gives the owner a new revision. Whatever is
derived from a collection (index, matcher of names) is cached under that revision and can always be rebuilt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rapbot.concepts.concept import Concept, Key, NewAvatar, Role
from rapbot.concepts.faiss_bytes import read_flat_index
from rapbot.concepts.visible import Card, FaceRow, IndexRow


@dataclass(frozen=True, slots=True)
class KeyTable:
    """The keys of one person that `encoder` made, row by row, in order of avatar ids.

    `index` holds their keys as `VisibleConcepts.index` does, so that the job of somebody who sees only what is
    their own carries these very bytes: float32[N, D], L2-normalised. `stale` are avatars without such a key: they
    match nothing here until they are encoded again (`ReplaceKeys`).
    """

    rows: tuple[IndexRow, ...]
    index: bytes
    encoder: str
    stale: tuple[int, ...] = ()

    @property
    def keys(self) -> npt.NDArray[np.float32]:
        """float32[N, D], row by row; [0, 0] when there are none. Read from `index` at every use."""
        return read_flat_index(self.index)[0]


@dataclass(frozen=True, eq=False)
class Collection:
    """Everything one person taught, at one revision; `cards` and `concepts` in the order they were taught.

    `tables` holds the keys of each encoder that can be served, the current one first. There is more than one only
    while stored avatars are encoded again after a change of encoder (`rapbot.reencoding`).

    Opening a collection makes no `Concept`: a thousand of them with their avatars and dates take longer than all
    the rest. `make_concept` makes the one of an id in `cards`; whoever needs only words takes `cards`.
    """

    owner: str
    revision: int
    cards: tuple[Card, ...]
    tables: tuple[KeyTable, ...]
    make_concept: Callable[[int], Concept] = field(repr=False)
    faces: tuple[FaceRow, ...] = ()

    @property
    def keys(self) -> KeyTable:
        """The keys that serve this person when nobody else's are involved."""
        return fullest(self.tables)

    @cached_property
    def concepts(self) -> tuple[Concept, ...]:
        """All of them, made at the first use (about 6 ms for a thousand); any thread may ask."""
        return tuple(self.make_concept(card.concept_id) for card in self.cards)

    def concept(self, concept_id: int) -> Concept | None:
        """That one alone, or None when this person has none of that id."""
        known = any(card.concept_id == concept_id for card in self.cards)
        return self.make_concept(concept_id) if known else None


def fullest(tables: Sequence[KeyTable]) -> KeyTable:
    """The table that knows most avatars, the first of equals: the old keys serve until the new ones are complete."""
    return max(tables, key=lambda table: len(table.rows))


@dataclass(frozen=True, slots=True)
class Remember:
    """A new concept with its first avatar."""

    name: str
    category: str
    info: str
    avatar: NewAvatar
    traits: str = ""
    """As in `Concept`."""


@dataclass(frozen=True, slots=True)
class Edit:
    """New words for a concept; None leaves a field as it is."""

    concept_id: int
    name: str | None = None
    category: str | None = None
    info: str | None = None


@dataclass(frozen=True, slots=True)
class AddAvatar:
    """One more picture of a concept, or (role COUNTEREXAMPLE) a picture of what it is not."""

    concept_id: int
    avatar: NewAvatar
    role: Role = Role.AVATAR
    not_of: int | None = None
    """The same picture becomes a counterexample of this concept as well: one correction, one step of undo."""


@dataclass(frozen=True, slots=True)
class RemoveAvatar:
    """Final: the picture and its key are gone at once, and nothing brings them back."""

    avatar_id: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Final: card, pictures and keys of a concept are gone at once, and nothing brings them back."""

    concept_id: int


@dataclass(frozen=True, slots=True)
class Undo:
    """Take back the owner's last change, one step: Remember, Edit or AddAvatar."""


@dataclass(frozen=True, slots=True)
class EraseOwner:
    """Final: everything of this person, and that there was such a person."""


@dataclass(frozen=True, slots=True)
class ReplaceKeys:
    """New keys (avatar id, float32[D]) after a change of encoder; avatars removed meanwhile are skipped.

    Keys that other encoders made stay beside them until everybody's avatars are encoded again: the concepts of
    several people can only be compared with a photo in one space. A person who was erased meanwhile stays unknown.
    """

    encoder: str
    keys: tuple[tuple[int, Key], ...]


@dataclass(frozen=True, slots=True)
class SetFaces:
    """The person agreed that this concept is recognised by these faces (avatar id, float32[F]); none: no more."""

    concept_id: int
    faces: tuple[tuple[int, Key], ...] = ()


Change = Remember | Edit | AddAvatar | RemoveAvatar | Forget | Undo | EraseOwner | ReplaceKeys | SetFaces


class UndoneKind(StrEnum):
    """The changes that can be taken back."""

    REMEMBER = "remember"
    EDIT = "edit"
    ADD_AVATAR = "add avatar"
    ADD_COUNTEREXAMPLE = "add counterexample"


@dataclass(frozen=True, slots=True)
class Undone:
    """What `Undo` took back; `name` is what the concept was called until then."""

    kind: UndoneKind
    concept_id: int
    name: str


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change left: the concept as it is now, or None when there is no such concept any more."""

    revision: int
    concept: Concept | None = None
    undone: Undone | None = None
    avatar_ids: tuple[int, ...] = field(default=())
    """Avatars this change added (Remember, AddAvatar) or gave a new key (ReplaceKeys)."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a message has changed before the program was restarted."""

    concept_id: int | None = None
    """The concept it was about; it may be gone meanwhile."""


class ConceptStore(Protocol):
    """Where concepts are kept. Each method raises StoreError when the database cannot be used."""

    async def read(self, owner: str, known_revision: int | None = None) -> Collection | None:
        """Everything `owner` taught, as of one moment; None when nothing changed since `known_revision`.

        Revisions of one owner only grow, also over `EraseOwner`. A stranger has an empty collection.
        """
        ...

    async def write(self, owner: str, change: Change) -> Changed:
        """Do `change` entirely or not at all.

        Raises ConceptError (NameTaken, Gone, NothingToUndo, a limit) when a rule forbids it, DiskFull.
        """
        ...

    async def photo(self, owner: str, avatar_id: int) -> bytes:
        """JPEG of an avatar. Raises Gone when there is none, or when it is not `owner`'s."""
        ...

    async def applied(self, work: bytes) -> Applied | None:
        """What the update of this `Arrived.work_digest` changed; None: nothing yet."""
        ...
