"""The store in one SQLite file. Safe with several processes on the same file: nothing is remembered in between.

Two connections, each with a thread of its own (aiosqlite): reading never waits for a write (WAL mode).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
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
from rapbot.concepts.sqlite_changes import Transaction, apply
from rapbot.concepts.sqlite_encodings import SqliteEncodings
from rapbot.concepts.sqlite_errors import make_private_file, store_errors
from rapbot.concepts.sqlite_places import OWNER_OF, SqlitePlaces
from rapbot.concepts.sqlite_rows import CollectionRows, Row, collection, current_revision, read_concept, read_rows
from rapbot.concepts.sqlite_sealing import check_seal, claim
from rapbot.concepts.sqlite_visits import SqliteVisits
from rapbot.concepts.store import Applied, Change, Changed, Collection, EraseOwner, ReplaceKeys
from rapbot.errors import Gone
from rapbot.i18n import mark
from rapbot.inbox import handling

_log = logging.getLogger(__name__)

_APPLIED_KEPT_S = 7 * 86400.0
"""Longer than a message may wait in the inbox."""


class SqliteConceptStore:
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
        self._path = path
        self._encoders: tuple[str, ...] = (encoder,)
        self._limits = limits
        self.seal = seal
        self._reader = reader
        self._writer = writer
        self._reading = asyncio.Lock()
        self._writing = asyncio.Lock()

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
            async with store._writing:
                await store._wipe_traces()
            yield store

    async def read(self, owner: str, known_revision: int | None = None) -> Collection | None:
        """See `ConceptStore.read`."""
        async with self._reading:
            with store_errors(self._path):
                try:
                    # One transaction, so that card, pictures and keys are of the same moment.
                    await self._reader.execute("BEGIN")
                    owner_no, revision = await current_revision(self._reader, owner)
                    if revision == known_revision:
                        return None
                    rows, encoders = CollectionRows(revision), self._encoders
                    if owner_no is not None:
                        rows = await read_rows(self._reader, owner_no, revision, encoders)
                finally:
                    await self._reader.rollback()
        return await asyncio.to_thread(collection, owner, rows, encoders, self.seal)

    async def write(self, owner: str, change: Change) -> Changed:
        """See `ConceptStore.write`."""
        async with self._writing:
            with store_errors(self._path):
                changed = await self._write(owner, change)
            await self._wipe_traces()
            return changed

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

    async def applied(self, work: bytes) -> Applied | None:
        """See `ConceptStore.applied`."""
        rows = await self.fetch("SELECT concept_id FROM applied WHERE work = ?", (work,))
        return Applied(rows[0][0]) if rows else None

    @property
    def places(self) -> SqlitePlaces:
        """Groups and linked accounts, in the same file."""
        return SqlitePlaces(self)

    @property
    def visits(self) -> SqliteVisits:
        """When people were here last, in the same file."""
        return SqliteVisits(self)

    @property
    def encodings(self) -> SqliteEncodings:
        """Which encoders made the keys here, and what is still to be encoded again."""
        return SqliteEncodings(self)

    @property
    def encoders(self) -> tuple[str, ...]:
        """The encoders whose keys are read, the current one first."""
        return self._encoders

    def serve_also(self, *encoders: str) -> None:
        """From the next read on, read the keys of these encoders too; of none: of the current one alone."""
        self._encoders = tuple(dict.fromkeys((self._encoders[0], *encoders)))

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Rows of one reading statement, of the committed state."""
        async with self._reading:
            with store_errors(self._path):
                return list(await self._reader.execute_fetchall(statement, parameters))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """A writing transaction: all of it or nothing."""
        async with self._writing:
            with store_errors(self._path):
                try:
                    await self._writer.execute("BEGIN IMMEDIATE")
                    yield self._writer
                    await _note_applied(self._writer)
                    await self._writer.commit()
                except BaseException:
                    await self._writer.rollback()
                    raise
            await self._wipe_traces()

    async def _write(self, owner: str, change: Change) -> Changed:
        db = self._writer
        try:
            await db.execute("BEGIN IMMEDIATE")
            if isinstance(change, ReplaceKeys):
                # Nobody asked for this one, so a person who was erased meanwhile is not made known again.
                owner_no, revision = await current_revision(db, owner)
                if owner_no is None:
                    await db.rollback()
                    return Changed(revision)
            revision = await _next_revision(db)
            number = await _owner_no(db, owner, revision)
            transaction = Transaction(db, owner, number, self._limits, time.time(), self.seal)
            await apply(transaction, change)
            if isinstance(change, EraseOwner):
                await db.execute("UPDATE counters SET value = ? WHERE name = 'erased'", (revision,))
            if transaction.leaves_traces:
                await db.execute("UPDATE counters SET value = 1 WHERE name = 'traces'")
            about = transaction.concept_id
            concept = None if about is None else await read_concept(db, owner, about, self.seal)
            await _note_applied(db, about)
            await db.commit()
        except BaseException:  # also when the waiting task was cancelled
            await db.rollback()
            raise
        return Changed(revision, concept, transaction.undone, tuple(transaction.avatar_ids))

    async def _wipe_traces(self) -> None:
        """Make sure that what was deleted is in no byte of the file or its WAL.

        `secure_delete` zeroes deleted rows, but not the copies of rows that SQLite leaves in the unused part of a
        page when it moves them to another page (measured: about one row in a thousand). VACUUM writes every page
        anew: about 0.4 s per 100 MB. The work stays noted in the file, so a crash or a full disk only puts it off.
        """
        db = self._writer
        try:
            ((owed,),) = await db.execute_fetchall("SELECT value FROM counters WHERE name = 'traces'")
            if not owed:
                return
            await db.execute("VACUUM")
            ((busy, _, _),) = await db.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
            if not busy:
                await db.execute("UPDATE counters SET value = 0 WHERE name = 'traces'")
        except sqlite3.Error as error:
            # What the person asked for is done and committed; the next write or start tries this again.
            _log.warning("Deleted rows are not wiped from the file yet: %s", error)


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


async def _note_applied(db: aiosqlite.Connection, concept_id: int | None = None) -> None:
    """In the transaction that changes something: after a crash the same message must not change it once more."""
    update = handling()
    if update is None:
        return
    now = time.time()
    await db.execute("DELETE FROM applied WHERE at < ?", (now - _APPLIED_KEPT_S,))
    await db.execute(
        "INSERT INTO applied VALUES (?, ?, ?) ON CONFLICT (work) DO UPDATE SET concept_id = excluded.concept_id",
        (update.arrived.work_digest, concept_id, now),
    )


async def _next_revision(db: aiosqlite.Connection) -> int:
    rows = await db.execute_fetchall(
        "UPDATE counters SET value = value + 1 WHERE name = 'revision' RETURNING value",
    )
    ((revision,),) = rows
    return int(revision)


async def _owner_no(db: aiosqlite.Connection, owner: str, revision: int) -> int:
    linked = await db.execute_fetchall(
        "UPDATE owners SET revision = ? WHERE no = (SELECT owner_no FROM identities WHERE id = ?) RETURNING no",
        (revision, owner),
    )
    for (owner_no,) in linked:
        return int(owner_no)
    rows = await db.execute_fetchall(
        "INSERT INTO owners (id, revision) VALUES (?, ?)"
        " ON CONFLICT (id) DO UPDATE SET revision = excluded.revision RETURNING no",
        (owner, revision),
    )
    ((owner_no,),) = rows
    return int(owner_no)
