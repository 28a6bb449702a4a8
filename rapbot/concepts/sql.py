"""The seam below the store: statements as both databases understand them, SQLite and PostgreSQL.

Each is written once, in what the two have in common: `?` and `?2` for parameters, RETURNING, ON CONFLICT. The few that
they cannot have in common stand here as SQLite says them; PostgreSQL has its own words for them (IN_POSTGRES).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from rapbot.concepts.sealing import Seal

Row = Sequence[Any]
"""One row as the database returns it: a tuple whose types the tables guarantee."""

OWNER_OF = "COALESCE((SELECT owner_no FROM identities WHERE id = ?1), (SELECT no FROM owners WHERE id = ?1))"
"""The number of the memory that a person (parameter 1) uses: their own, or the one they are linked to."""

NEXT_REVISION = "UPDATE counters SET value = value + 1 WHERE name = 'revision' RETURNING value"

LEAVE_TRACES = "UPDATE counters SET value = value + 1 WHERE name = 'traces'"
"""What this transaction deletes must not survive in the bytes of the file (`sqlite_wiping`)."""

DEFER_REFERENCES = "PRAGMA defer_foreign_keys = ON"
"""Until the end of the transaction, because rows of several tables change one after the other."""


class Readable(Protocol):
    """Whatever rows can be read from."""

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]: ...


class Statements(Protocol):
    """An open transaction. Errors of the driver come through; whoever opened it turns them into StoreError."""

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """The rows of a statement, also of one that changes something and is RETURNING them."""
        ...

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """How many rows it changed."""
        ...


class Database(Protocol):
    """What of a store its parts use."""

    @property
    def seal(self) -> Seal: ...

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Rows of one reading statement, of the committed state."""
        ...

    def transaction(self, *, alone: bool = False) -> AbstractAsyncContextManager[Statements]:
        """All of it or nothing; `alone`: while nothing else is changed. One message is not to be done twice by it."""
        ...
