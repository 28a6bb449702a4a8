"""The store in one SQLite file. Safe with several processes on the same file: nothing is remembered in between.

Two connections, each with a thread of its own (aiosqlite): reading never waits for a write (WAL mode).
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite

from rapbot.concepts.concept import ConceptLimits
from rapbot.concepts.migrations import migrate
from rapbot.concepts.sealing import PLAIN, Seal
from rapbot.concepts.sql import NEXT_REVISION, OWNER_OF, Row, Statements
from rapbot.concepts.sql_changes import carry_out, note_applied
from rapbot.concepts.sql_rows import CollectionRows, collection, current_revision, read_rows
from rapbot.concepts.sql_store import SqlStore
from rapbot.concepts.sqlite_errors import make_private_file, store_errors
from rapbot.concepts.sqlite_sealing import check_seal, claim
from rapbot.concepts.sqlite_wiping import Wiping
from rapbot.concepts.store import Change, Changed, Collection
from rapbot.errors import Gone
from rapbot.i18n import mark


class SqliteStatements:
    """`Statements` of one connection."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        return list(await self._connection.execute_fetchall(statement, parameters))

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        cursor = await self._connection.execute(statement, parameters)
        return max(0, cursor.rowcount)


class SqliteConceptStore(SqlStore):
    """A `ConceptStore`; made by `open`."""

    def __init__(
        self,
        path: Path,
        encoder: str,
        limits: ConceptLimits,
        reader: aiosqlite.Connection,
        writer: aiosqlite.Connection,
        seal: Seal = PLAIN,
    ) -> None:
        super().__init__(encoder, limits, seal)
        self._path = path
        self._reader = reader
        self._writer = writer
        self._reading = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._wiping = Wiping(writer, self._writing)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path,
        encoder: str,
        limits: ConceptLimits | None = None,
        *,
        busy_timeout: float = 5.0,
        seal: Seal = PLAIN,
    ) -> AsyncIterator[SqliteConceptStore]:
        """Opens (or makes) the database at `path`; `encoder` names the encoder whose keys are to be read.

        `busy_timeout` is how many seconds to wait for another process that is writing. Raises StoreCorrupt for a
        damaged file and StoreError for one that cannot be opened, that a newer program wrote or that another key
        encrypted; none is changed.
        """
        make_private_file(path)
        async with contextlib.AsyncExitStack() as connections:
            with store_errors(path):
                writer = await connections.enter_async_context(aiosqlite.connect(path, isolation_level=None))
                await _prepare(writer, busy_timeout)
                await check_seal(writer, seal, path)
                await migrate(writer, path)
                await claim(writer, seal, path)
                reader = await connections.enter_async_context(aiosqlite.connect(path, isolation_level=None))
                await _prepare(reader, busy_timeout)
                await reader.execute("PRAGMA query_only = ON")
            store = cls(path, encoder, limits or ConceptLimits(), reader, writer, seal)
            await store._wiping.begin()  # what an earlier process could not wipe any more
            try:
                yield store
            finally:
                await store._wiping.finish()

    async def read(self, owner: str, known_revision: int | None = None) -> Collection | None:
        """See `ConceptStore.read`."""
        async with self._reading:
            with store_errors(self._path):
                try:
                    # One transaction, so that card, pictures and keys are of the same moment.
                    await self._reader.execute("BEGIN")
                    db = SqliteStatements(self._reader)
                    owner_no, revision = await current_revision(db, owner)
                    if revision == known_revision:
                        return None
                    rows, encoders = CollectionRows(revision), self._encoders
                    if owner_no is not None:
                        rows = await read_rows(db, owner_no, revision, encoders)
                finally:
                    await self._reader.rollback()
        return await asyncio.to_thread(collection, owner, rows, encoders, self.seal)

    async def write(self, owner: str, change: Change) -> Changed:
        """See `ConceptStore.write`."""
        async with self._begun() as db:
            return await carry_out(db, owner, change, self._limits, self.seal, _own)

    async def photo(self, owner: str, avatar_id: int) -> bytes:
        """See `ConceptStore.photo`."""
        async with self._reading:
            with store_errors(self._path):
                rows = await self._reader.execute_fetchall(
                    "SELECT jpeg FROM photos JOIN avatars ON avatars.id = avatar_id"
                    f" WHERE owner_no = {OWNER_OF} AND avatar_id = ?2",
                    (owner, avatar_id),
                )
        for (jpeg,) in rows:
            return self.seal.open_blob(bytes(jpeg), "jpeg")
        raise Gone(mark("photo"))

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Rows of one reading statement, of the committed state."""
        async with self._reading:
            with store_errors(self._path):
                return list(await self._reader.execute_fetchall(statement, parameters))

    @asynccontextmanager
    async def transaction(self, *, alone: bool = False) -> AsyncIterator[Statements]:
        """A writing transaction: all of it or nothing. Here each is alone."""
        async with self._begun() as db:
            yield db
            await note_applied(db)

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator[Statements]:
        """A transaction, and the wiping that it leaves to do."""
        try:
            async with self._writing:
                with store_errors(self._path):
                    try:
                        await self._writer.execute("BEGIN IMMEDIATE")
                        yield SqliteStatements(self._writer)
                        owed = await self._wiping.owed()
                        await self._writer.commit()
                    except BaseException:  # also when the waiting task was cancelled
                        await self._writer.rollback()
                        raise
        except asyncio.CancelledError:  # it may have been committed all the same
            self._wiping.begin()
            raise
        if owed:
            await asyncio.shield(self._wiping.begin())


async def _prepare(db: aiosqlite.Connection, busy_timeout: float) -> None:
    await db.execute(f"PRAGMA busy_timeout = {int(busy_timeout * 1000)}")
    # Takes effect only in a new file. Keys up to 8 kB (a row of a table WITHOUT ROWID may fill a quarter of a page)
    # then lie side by side in their leaves; with smaller pages each spills into a page of its own: three times slower.
    await db.execute("PRAGMA page_size = 32768")
    await _use_wal(db, time.monotonic() + busy_timeout)
    # FULL: what was acknowledged ("I'll remember Lala") survives a power cut. Writes come at a person's pace.
    await db.execute("PRAGMA synchronous = FULL")
    await db.execute("PRAGMA foreign_keys = ON")
    await db.execute_fetchall("PRAGMA secure_delete = ON")


async def _use_wal(db: aiosqlite.Connection, deadline: float) -> None:
    """SQLite does not wait by itself when two programs switch a new file to WAL at once. `deadline` is monotonic."""
    while True:
        try:
            await db.execute_fetchall("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.01)


async def _own(db: Statements, owner: str) -> tuple[int, int]:
    """See `sql_changes.Own`."""
    ((revision,),) = await db.fetch(NEXT_REVISION)
    linked = await db.fetch(
        "UPDATE owners SET revision = ? WHERE no = (SELECT owner_no FROM identities WHERE id = ?) RETURNING no",
        (revision, owner),
    )
    for (owner_no,) in linked:
        return int(owner_no), int(revision)
    ((owner_no,),) = await db.fetch(
        "INSERT INTO owners (id, revision) VALUES (?, ?)"
        " ON CONFLICT (id) DO UPDATE SET revision = excluded.revision RETURNING no",
        (owner, revision),
    )
    return int(owner_no), int(revision)
