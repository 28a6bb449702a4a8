"""What may be named for one message: the visible concepts, as plain picklable values a job can carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

# Card and IndexRow are tuples because a thousand of each are made whenever an index is opened: a third of the time.


class Card(NamedTuple):
    """A visible concept, as the prompt needs it."""

    concept_id: int
    name: str
    category: str
    info: str
    owner_name: str | None = None
    traits: str = ""
    """What tells it from others of its kind, as a model that sees wrote it down; shown to models only."""


class IndexRow(NamedTuple):
    """What an id of the FAISS index stands for."""

    avatar_id: int
    concept_id: int
    counterexample: bool = False


class FaceRow(NamedTuple):
    """One face of a person who agreed to be recognised; `key` is float32[F] as bytes."""

    avatar_id: int
    concept_id: int
    key: bytes
    counterexample: bool = False


@dataclass(frozen=True, slots=True)
class VisibleConcepts:
    """Everything a job may name: cards, and the avatars' keys as a serialized FAISS index.

    `index` is `faiss.serialize_index(...)` of an IndexIDMap2 over IndexFlatL2, float32[N, D], ids = avatar ids;
    empty bytes when there are no keys.
    """

    cards: tuple[Card, ...] = ()
    rows: tuple[IndexRow, ...] = ()
    index: bytes = b""
    faces: tuple[FaceRow, ...] = ()
    """Of people whose recognition was agreed to; without one, no photo is searched for faces."""
    unwanted: tuple[bytes, ...] = ()
    """Faces (float32[F]) that nobody's card may name in this group."""
    encoder: str = ""
    """Name of the encoder whose keys `index` holds, so the photo is looked at with it; empty: the profile's own."""
