"""What the stores of both databases have in common: their parts, and which encoders' keys they read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from rapbot.concepts.concept import ConceptLimits
from rapbot.concepts.sealing import Seal
from rapbot.concepts.sql import Row, Statements
from rapbot.concepts.sql_encodings import SqlEncodings
from rapbot.concepts.sql_places import SqlPlaces
from rapbot.concepts.sql_visits import SqlVisits
from rapbot.concepts.store import Applied


class SqlStore(ABC):
    """Fills `sql.Database`, and of `ConceptStore` what both databases say alike."""

    def __init__(self, encoder: str, limits: ConceptLimits, seal: Seal) -> None:
        self._encoders: tuple[str, ...] = (encoder,)
        self._limits = limits
        self.seal = seal

    @abstractmethod
    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Rows of one reading statement, of the committed state."""

    @abstractmethod
    def transaction(self, *, alone: bool = False) -> AbstractAsyncContextManager[Statements]:
        """See `sql.Database`."""

    async def applied(self, work: bytes) -> Applied | None:
        """See `ConceptStore.applied`."""
        rows = await self.fetch("SELECT concept_id FROM applied WHERE work = ?", (work,))
        return Applied(rows[0][0]) if rows else None

    @property
    def places(self) -> SqlPlaces:
        """Groups and linked accounts, in the same database."""
        return SqlPlaces(self)

    @property
    def visits(self) -> SqlVisits:
        """When people were here last, in the same database."""
        return SqlVisits(self)

    @property
    def encodings(self) -> SqlEncodings:
        """Which encoders made the keys here, and what is still to be encoded again."""
        return SqlEncodings(self)

    @property
    def encoders(self) -> tuple[str, ...]:
        """The encoders whose keys are read, the current one first."""
        return self._encoders

    def serve_also(self, *encoders: str) -> None:
        """From the next read on, read the keys of these encoders too; of none: of the current one alone."""
        self._encoders = tuple(dict.fromkeys((self._encoders[0], *encoders)))
