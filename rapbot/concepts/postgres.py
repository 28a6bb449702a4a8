"""The store in PostgreSQL, for any number of processes: nothing is remembered in between.

What a change does to the tables is written once for both databases (sql_changes.py and its neighbours). Here is what is
PostgreSQL's own: each person's changes wait for each other and for nobody else's, what concerns one person sees that
person's rows alone (row level security), and keys are vectors that the database itself can search.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from rapbot.concepts.concept import ConceptLimits, Key
from rapbot.concepts.postgres_connection import PostgresDatabase
from rapbot.concepts.postgres_sealing import agree
from rapbot.concepts.postgres_statements import PostgresStatements
from rapbot.concepts.sealing import PLAIN, Seal
from rapbot.concepts.sql import OWNER_OF, Row, Statements
from rapbot.concepts.sql_changes import carry_out, note_applied
from rapbot.concepts.sql_rows import CollectionRows, collection, current_revision, read_rows
from rapbot.concepts.sql_store import SqlStore
from rapbot.concepts.store import Change, Changed, Collection
from rapbot.errors import Gone, StoreError
from rapbot.i18n import mark
from rapbot.logs import get_logger

log = get_logger("rapbot.postgres")

_ALONE_WITH = "set_config('rapbot.owner', owners.no::text, true)"
"""From here to the end of the transaction no rows but this person's are seen or written."""
_LOOK_AT = f"SELECT no, revision, {_ALONE_WITH} FROM owners WHERE no = {OWNER_OF}"
# The lock first, then the number: so the revisions of one person grow in the order of their changes.
_TAKE = (
    f"WITH mine AS (SELECT no FROM owners WHERE no = {OWNER_OF} FOR UPDATE)"
    " UPDATE owners SET revision = nextval('revisions') FROM mine WHERE owners.no = mine.no"
    f" RETURNING owners.no, revision, pg_current_xact_id()::text, {_ALONE_WITH}"
)
_MAKE_KNOWN = (
    "INSERT INTO owners (id, revision) VALUES (?, nextval('revisions'))"
    " ON CONFLICT (id) DO UPDATE SET revision = nextval('revisions')"
    f" RETURNING no, revision, pg_current_xact_id()::text, {_ALONE_WITH}"
)


class PostgresConceptStore(SqlStore):
    """A `ConceptStore`; made by `open`."""

    def __init__(self, database: PostgresDatabase, encoder: str, limits: ConceptLimits, seal: Seal = PLAIN) -> None:
        self.database = database
        super().__init__(encoder, limits, seal)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        encoder: str,
        limits: ConceptLimits | None = None,
        *,
        password: str = "",
        connections: int = 8,
        patience: float = 10.0,
        seal: Seal = PLAIN,
    ) -> AsyncIterator[PostgresConceptStore]:
        """`url` as `StoreSettings.address` gives it; the rest as in `PostgresDatabase.open` and the SQLite store.

        Raises StoreError for a database that cannot be used, that a newer program wrote or another key encrypted.
        """
        async with PostgresDatabase.open(url, password, connections=connections, patience=patience) as database:
            await agree(database, seal)
            if await database.fetch(
                "SELECT 1 FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)"
            ):
                log.warning("postgres.isolation_off", reason="the role of store.url is a superuser's")
            yield cls(database, encoder, limits or ConceptLimits(), seal)

    async def read(self, owner: str, known_revision: int | None = None) -> Collection | None:
        """See `ConceptStore.read`."""
        if known_revision is not None:  # most often nothing changed: one trip to the server
            _number, revision = await current_revision(self.database, owner)
            if revision == known_revision:
                return None
        encoders = self._encoders
        async with self.database.snapshot() as db:
            for number, revision, _ in await db.fetch(_LOOK_AT, (owner,)):
                rows = await read_rows(db, number, revision, encoders)
                break
            else:
                _number, revision = await current_revision(db, owner)
                rows = CollectionRows(revision)
        if rows.revision == known_revision:
            return None
        return await asyncio.to_thread(collection, owner, rows, encoders, self.seal)

    async def write(self, owner: str, change: Change) -> Changed:
        """See `ConceptStore.write`. Done again where the server went away in the middle of it."""
        return await self.database.run(lambda db: carry_out(db, owner, change, self._limits, self.seal, _own))

    async def photo(self, owner: str, avatar_id: int) -> bytes:
        """See `ConceptStore.photo`."""
        async with self.database.snapshot() as db:
            if await db.fetch(_LOOK_AT, (owner,)):
                for (jpeg,) in await db.fetch("SELECT jpeg FROM photos WHERE avatar_id = ?", (avatar_id,)):
                    return self.seal.open_blob(jpeg, "jpeg")
        raise Gone(mark("photo"))

    async def nearest(self, owner: str, key: Key, count: int, encoder: str | None = None) -> list[tuple[int, float]]:
        """The `count` avatars of this person whose keys lie nearest to `key` (float32[D], of the current encoder
        unless another is named): (avatar id, Euclidean distance), nearest first. Exact, as the index in memory is.

        For a single question about somebody whose keys are not in memory: nothing but the answer travels. Raises
        StoreError where keys are encrypted: the database cannot compare what it cannot read.
        """
        if self.seal.key_id:
            raise StoreError("The keys are encrypted, so the database cannot search them: read the collection instead.")
        wanted = key.astype("<f4").tobytes()
        async with self.database.snapshot() as db:
            if not await db.fetch(_LOOK_AT, (owner,)):
                return []
            rows = await db.fetch(
                "SELECT avatar_id, key <-> ?1 AS distance FROM keys"
                " WHERE encoder_no = (SELECT no FROM encoders WHERE name = ?2) AND vector_dims(key) = vector_dims(?1)"
                " ORDER BY distance, avatar_id LIMIT ?3",
                (wanted, encoder or self._encoders[0], count),
            )
        return [(int(avatar_id), float(np.float32(distance))) for avatar_id, distance in rows]

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Rows of one reading statement, of the committed state."""
        return await self.database.fetch(statement, parameters)

    @asynccontextmanager
    async def transaction(self, *, alone: bool = False) -> AsyncIterator[Statements]:
        """See `sql.Database`."""
        async with self.database.transaction(alone=alone) as db:
            yield db
            await note_applied(db)


async def _own(db: PostgresStatements, owner: str) -> tuple[int, int]:
    """See `sql_changes.Own`."""
    found = await db.fetch(_TAKE, (owner,)) or await db.fetch(_MAKE_KNOWN, (owner,))
    ((number, revision, db.number, _),) = found
    return int(number), int(revision)
