"""The index of one person: exact search over all keys, made from the store and cached by its revision.

A person has tens to hundreds of concepts, so a flat index is right: about 0.1 ms for a thousand keys.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from rapbot.concepts.bounded import Bounded
from rapbot.concepts.faiss_bytes import write_flat_index
from rapbot.concepts.store import Collection, ConceptStore, KeyTable
from rapbot.concepts.visible import Card, FaceRow, IndexRow, VisibleConcepts


class ConceptIndex:
    """Exact nearest keys by Euclidean distance (RAP, section 3.1): a FAISS IndexIDMap2 over IndexFlatL2."""

    def __init__(self, faiss_index: Any) -> None:
        self._index = faiss_index

    @classmethod
    def build(cls, avatar_ids: npt.NDArray[np.int64], keys: npt.NDArray[np.float32]) -> ConceptIndex:
        """`avatar_ids` int64[N]; `keys` float32[N, D], L2-normalised."""
        import faiss

        index = faiss.IndexIDMap2(faiss.IndexFlatL2(keys.shape[1]))
        index.add_with_ids(np.ascontiguousarray(keys), avatar_ids)
        return cls(index)

    @classmethod
    def from_bytes(cls, data: bytes) -> ConceptIndex:
        """`data` as in `VisibleConcepts.index`, not empty."""
        import faiss

        return cls(faiss.deserialize_index(np.frombuffer(data, np.uint8)))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(
        self, queries: npt.NDArray[np.float32], count: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """The `count` nearest avatars of `queries` float32[Q, D]: distances float32[Q, K] in [0, 2], ids int64[Q, K].

        K is `count`, or fewer when the index holds fewer keys; nearest first.
        """
        squared, ids = self._index.search(np.ascontiguousarray(queries, np.float32), min(count, len(self)))
        # FAISS returns squared distances; rounding can push those of equal keys just below zero.
        return np.sqrt(np.maximum(squared, 0.0)), ids


@dataclass(frozen=True, slots=True)
class Share:
    """A part of somebody's collection that may be seen here; `only` None means all of it."""

    collection: Collection
    owner_name: str | None = None
    only: frozenset[int] | None = None


def visible_concepts(shares: Sequence[Share]) -> VisibleConcepts:
    """Everything in `shares` as a job carries it.

    All keys are of one encoder: the one that knows most of these avatars, the current one among equals. Raises
    ValueError when keys of one encoder have different lengths.
    """
    if len(shares) == 1 and shares[0].only is None and shares[0].owner_name is None:  # most often; nothing is copied
        mine, table = shares[0].collection, shares[0].collection.keys
        return VisibleConcepts(mine.cards, table.rows, table.index, mine.faces, encoder=table.encoder)
    encoder, tables = _common_tables(shares)
    cards: list[Card] = []
    rows: list[IndexRow] = []
    keys: list[bytes] = []
    faces: list[FaceRow] = []
    for share, table in zip(shares, tables, strict=True):
        collection, owner_name, only = share.collection, share.owner_name, share.only
        cards += (
            card._replace(owner_name=owner_name) for card in collection.cards if only is None or card.concept_id in only
        )
        shown = [only is None or row.concept_id in only for row in table.rows]
        rows += compress(table.rows, shown)
        keys += (key.tobytes() for key in compress(table.keys, shown))
        faces += (face for face in collection.faces if only is None or face.concept_id in only)
    index = write_flat_index([row.avatar_id for row in rows], keys)
    return VisibleConcepts(tuple(cards), tuple(rows), index, tuple(faces), encoder=encoder)


def _common_tables(shares: Sequence[Share]) -> tuple[str, list[KeyTable]]:
    """(encoder, its table of each share): distances tell nothing between keys of two encoders."""
    if not shares:
        return "", []
    counts: Counter[str] = Counter()
    for share in shares:
        for table in share.collection.tables:
            counts[table.encoder] += sum(share.only is None or row.concept_id in share.only for row in table.rows)
    best = max(counts, key=lambda name: counts[name])  # the first of equals
    empty = KeyTable((), b"", best)
    return best, [next((t for t in share.collection.tables if t.encoder == best), empty) for share in shares]


@dataclass(frozen=True, slots=True)
class OwnerIndex:
    """What one person taught, and the same ready for a job."""

    collection: Collection
    visible: VisibleConcepts

    @property
    def size(self) -> int:
        """Bytes in memory, roughly."""
        tables = sum(len(table.index) + _ROW * len(table.rows) for table in self.collection.tables)
        return tables + size_of(self.visible) - len(self.visible.index)  # its index is one of the tables'


def size_of(visible: VisibleConcepts) -> int:
    """Bytes in memory, roughly."""
    words = sum(len(card.info) + _CARD for card in visible.cards)
    return len(visible.index) + _ROW * len(visible.rows) + words + sum(len(face.key) + _ROW for face in visible.faces)


_ROW, _CARD = 150, 1000
"""Bytes of a row of a table, and of a card with what its concept is made of."""


class IndexCache:
    """The indexes of the people who were here last; every `get` asks the store whether they are still right.

    However many people there are and whatever they taught, they take at most `most_bytes` (or what one person takes).
    """

    def __init__(self, store: ConceptStore, capacity: int = 64, most_bytes: int = 64_000_000) -> None:
        self._store = store
        self._recent: Bounded[str, OwnerIndex] = Bounded(capacity, most_bytes)

    async def get(self, owner: str) -> OwnerIndex:
        """Raises StoreError. One small query when nothing changed; `benchmarks/store_speed.py` measures it."""
        known = self._recent.get(owner)
        collection = await self._store.read(owner, known.collection.revision if known else None)
        if known and collection is None:
            return known
        assert collection is not None  # the store was asked for everything
        fresh = OwnerIndex(collection, await asyncio.to_thread(visible_concepts, [Share(collection)]))
        self._keep(owner, fresh)
        return fresh

    def drop(self, owner: str) -> None:
        """Forget what is cached of `owner` at once; the next `get` reads the store."""
        self._recent.drop(owner)

    def drop_with(self, concept_id: int) -> None:
        """The same of whoever has this concept, or had it."""
        self._recent.drop_where(
            lambda _owner, known: any(card.concept_id == concept_id for card in known.collection.cards)
        )

    def _keep(self, owner: str, fresh: OwnerIndex) -> None:
        other = self._recent.get(owner)
        # Two requests may have read at the same time: the later state stays.
        if other is None or other.collection.revision <= fresh.collection.revision:
            self._recent.put(owner, fresh, fresh.size)
