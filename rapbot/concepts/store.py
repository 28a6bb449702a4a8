"""The seam of the store: what a person taught, read as one `Collection`, changed by one `Change` at a time.

Every change is one transaction (card, photo and key together) and gives the owner a new revision. Whatever is
derived from a collection (index, matcher of names) is cached under that revision and can always be rebuilt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rapbot.concepts.concept import Concept, Key, NewAvatar, Role


@dataclass(frozen=True, slots=True)
class KeyTable:
    """The keys of one person, row by row, in order of avatar ids.

    `avatar_ids` int64[N], `concept_ids` int64[N], `counterexample` bool[N], `keys` float32[N, D], L2-normalised,
    all made by `encoder`. `stale` are avatars whose key another encoder made: they match nothing until they are
    encoded again (`ReplaceKeys`).
    """

    avatar_ids: npt.NDArray[np.int64]
    concept_ids: npt.NDArray[np.int64]
    counterexample: npt.NDArray[np.bool_]
    keys: npt.NDArray[np.float32]
    encoder: str
    stale: tuple[int, ...] = ()

    @classmethod
    def empty(cls, encoder: str, stale: tuple[int, ...] = ()) -> KeyTable:
        no_ids = np.empty(0, np.int64)
        return cls(no_ids, no_ids, np.empty(0, np.bool_), np.empty((0, 0), np.float32), encoder, stale)


@dataclass(frozen=True, slots=True)
class Collection:
    """Everything one person taught, at one revision; `concepts` in the order they were taught."""

    owner: str
    revision: int
    concepts: tuple[Concept, ...]
    keys: KeyTable

    def concept(self, concept_id: int) -> Concept | None:
        return next((concept for concept in self.concepts if concept.id == concept_id), None)


@dataclass(frozen=True, slots=True)
class Remember:
    """A new concept with its first avatar."""

    name: str
    category: str
    info: str
    avatar: NewAvatar


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
    """New keys (avatar id, float32[D]) after a change of encoder; avatars removed meanwhile are skipped."""

    encoder: str
    keys: tuple[tuple[int, Key], ...]


Change = Remember | Edit | AddAvatar | RemoveAvatar | Forget | Undo | EraseOwner | ReplaceKeys


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
