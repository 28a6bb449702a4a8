"""The inbox in a SQLite file of its own, beside the memory.

Of its own, because every message passes through it: it must not wait for a change of the memory, its bytes are wiped
after seconds by writing the small file anew, and no backup of the memory holds what somebody just wrote.

One thread does all the writing. What arrives while a transaction runs is written by the next one (group commit), so a
burst of messages costs few commits. The program's event loop never waits for the disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from rapbot.concepts.kept import INBOX
from rapbot.concepts.sealing import PLAIN, Seal, fits
from rapbot.concepts.sqlite_errors import explained, make_private_file
from rapbot.concepts.sqlite_sealing import SEALING
from rapbot.errors import StoreError
from rapbot.inbox import Arrived, Kept
from rapbot.logs import get_logger

_log = get_logger(__name__)

VERSION = 1
"""Of the tables, in `PRAGMA user_version`."""
_AGAIN_S = 1.0
"""After a failure, what is owed to the disk is tried again."""
REMEMBERED = 10_000
"""Digests of answered updates that are kept: Telegram hands out again, after a crash, at most the last 100."""

_SCHEMA = """
CREATE TABLE inbox (no INTEGER PRIMARY KEY AUTOINCREMENT, platform TEXT NOT NULL, key TEXT NOT NULL,
 question TEXT NOT NULL, person TEXT NOT NULL, content TEXT NOT NULL, work TEXT NOT NULL, answer TEXT NOT NULL,
 received_at REAL NOT NULL, expires_at REAL NOT NULL, attempts INTEGER NOT NULL, UNIQUE (platform, key)) STRICT;
CREATE INDEX inbox_questions ON inbox (platform, question);
CREATE TABLE answered (no INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE) STRICT;
PRAGMA user_version = 1;
"""

_OF_PERSON = "substr(platform, 1, instr(platform, ':') - 1) = ? AND person = ?"
"""Of somebody's id on any bot of their platform."""

Result = TypeVar("Result")
_Step = Callable[[sqlite3.Connection], Any]


class SqliteInbox:
    """An `Inbox` of one process; made by `open`."""

    sharing = None

    def __init__(
        self, path: Path, db: sqlite3.Connection, thread: ThreadPoolExecutor, wipe_after: float, seal: Seal
    ) -> None:
        self._path = path
        self._db = db
        self._thread = thread
        self._wipe_after = wipe_after
        self._seal = seal
        self._steps: list[tuple[_Step, asyncio.Future[Any]]] = []
        self._wanted = asyncio.Event()
        self._owed: list[Arrived] = []
        """Answered, but the disk did not take that yet."""
        self._open: set[tuple[str, str]] = set()
        """What this run knows to be unanswered."""
        self._soiled = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, *, wipe_after: float = 1.0, seal: Seal = PLAIN) -> AsyncIterator[SqliteInbox]:
        """`wipe_after`: seconds from an answer to the moment when no byte of its question is in the files.

        Raises StoreCorrupt for a damaged file, StoreError for one that cannot be opened, is of a newer program or was
        encrypted with another key while something waits in it.
        """
        make_private_file(path)
        thread = ThreadPoolExecutor(1, thread_name_prefix="inbox")
        loop = asyncio.get_running_loop()
        try:
            db = await loop.run_in_executor(thread, _connect, path, seal)
        except sqlite3.Error as error:
            thread.shutdown()
            raise explained(error, path) from error
        except BaseException:
            thread.shutdown()
            raise
        inbox = cls(path, db, thread, wipe_after, seal)
        tasks = [asyncio.create_task(inbox._write(), name="inbox"), asyncio.create_task(inbox._wipe_when_soiled())]
        inbox._soiled.set()  # what an earlier run could not wipe any more
        try:
            yield inbox
        finally:
            with suppress(StoreError):
                await inbox._do(lambda db: None)  # what is on its way, arrives
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            with suppress(StoreError):
                await inbox.wipe()
            await loop.run_in_executor(thread, db.close)
            thread.shutdown()

    async def accept(self, arrived: Sequence[Arrived]) -> list[bool]:
        now = time.time()
        new: list[bool] = await self._do(lambda db: [_insert(db, one, now, self._seal) for one in arrived])
        self._open.update((one.platform, one.key) for one, is_new in zip(arrived, new, strict=True) if is_new)
        return new

    async def note(self, arrived: Arrived, answer: str) -> None:
        def write(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE inbox SET answer = ? WHERE platform = ? AND question = ?",
                (self._seal.text(answer, "answer"), arrived.platform, arrived.question),
            )

        try:
            await self._do(write)
        except StoreError as error:
            _log.warning("answer not noted", error=type(error).__name__)

    async def done(self, arrived: Arrived) -> None:
        name = (arrived.platform, arrived.key)
        if name not in self._open:
            return
        self._open.discard(name)
        self._owed.append(arrived)
        with suppress(StoreError):
            await self._do(lambda db: None)  # every transaction begins with what is owed

    async def about(self, people: Sequence[str]) -> list[dict[str, Any]]:
        names = tuple(INBOX["inbox"])

        def read(db: sqlite3.Connection) -> list[dict[str, Any]]:
            chosen = f"SELECT {', '.join(names)} FROM inbox WHERE {_OF_PERSON} ORDER BY no"
            rows = [row for person in people for row in db.execute(chosen, person.split(":", 1))]
            return [dict(zip(names, row, strict=True)) for row in rows]

        rows: list[dict[str, Any]] = await self._do(read)
        for row in rows:
            row |= {name: self._seal.open_text(row[name], name) for name in ("content", "answer")}
        return rows

    async def forget(self, people: Sequence[str], but: Arrived) -> None:
        loop = asyncio.get_running_loop()

        def erase(db: sqlite3.Connection) -> None:
            # From here, whether or not anybody still waits: this thread wipes after it has committed.
            loop.call_soon_threadsafe(self._soiled.set)
            for person in people:
                query = f"SELECT platform, key FROM inbox WHERE {_OF_PERSON}"
                for platform, key in db.execute(query, person.split(":", 1)).fetchall():
                    if (platform, key) != (but.platform, but.key):
                        _forget(db, replace(but, platform=platform, key=key, work=""))

        await self._do(erase)

    async def waiting(self, platform: str) -> list[Kept]:
        def read(db: sqlite3.Connection) -> list[Kept]:
            rows = db.execute(
                "SELECT key, question, person, content, expires_at, work, answer, attempts FROM inbox"
                " WHERE platform = ? ORDER BY no",
                (platform,),
            ).fetchall()
            db.execute("UPDATE inbox SET attempts = attempts + 1 WHERE platform = ?", (platform,))
            names = ("key", "question", "person", "update", "expires_at", "work", "answer", "attempts")
            return [_opened(Kept(platform=platform, **dict(zip(names, row, strict=True))), self._seal) for row in rows]

        kept: list[Kept] = await self._do(read)
        self._open.update((one.platform, one.key) for one in kept)
        return kept

    async def count(self) -> int:
        return await self._do(lambda db: int(db.execute("SELECT count(*) FROM inbox").fetchone()[0]))

    async def wipe(self) -> None:
        """Write the file anew without the bytes of what was deleted, and empty its log. Raises StoreError."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, _wipe, self._db)
        except sqlite3.Error as error:
            raise explained(error, self._path) from error

    # -- inside ---------------------------------------------------------------------------------------------

    async def _do(self, step: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run in the next transaction; returns once that is on the disk."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._steps.append((step, future))
        self._wanted.set()
        return await future

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            steps, self._steps = self._steps, []
            owed, self._owed = self._owed, []
            try:
                results = await loop.run_in_executor(
                    self._thread, _transact, self._db, owed, [step for step, _ in steps]
                )
            except sqlite3.Error as error:
                self._owed = [*owed, *self._owed]
                _log.error("inbox not written", error=type(error).__name__)
                if self._owed:  # with the next update, or by itself: a crash before that would answer once more
                    loop.call_later(_AGAIN_S, self._wanted.set)
                failure = explained(error, self._path)
                for _step, future in steps:
                    if not future.done():
                        future.set_exception(failure)
                continue
            if owed:
                self._soiled.set()
            for (_step, future), result in zip(steps, results, strict=True):
                if not future.done():
                    future.set_result(result)

    async def _wipe_when_soiled(self) -> None:
        while True:
            await self._soiled.wait()
            await asyncio.sleep(self._wipe_after)
            self._soiled.clear()
            try:
                await self.wipe()
            except StoreError as error:  # a full disk: the next answer tries again
                _log.warning("inbox not wiped", error=type(error).__name__)


def _connect(path: Path, seal: Seal) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA busy_timeout = 5000")
        db.execute("PRAGMA temp_store = MEMORY").fetchall()  # else VACUUM writes a copy into a folder of its own
        db.execute("PRAGMA journal_mode = WAL").fetchall()
        # FULL: a platform that was told "taken" does not say it again, so a power cut must not take it back.
        # With NORMAL a commit is not synced in WAL mode: it would survive a crash of the program only.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = ON").fetchall()
        [(version,)] = db.execute("PRAGMA user_version").fetchall()
        if version > VERSION:
            raise StoreError(f"The inbox {path} was written by a newer rapbot. Update rapbot, or move the file away.")
        if version == 0:
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        _take_key(db, seal, path)
    except BaseException:
        db.close()
        raise
    return db


def _take_key(db: sqlite3.Connection, seal: Seal, path: Path) -> None:
    """An inbox in which nothing waits takes any key. Raises StoreError."""
    db.execute(SEALING)
    stored = "".join(key_id for (key_id,) in db.execute("SELECT key_id FROM sealing"))
    if stored == seal.key_id:
        return
    if db.execute("SELECT 1 FROM inbox").fetchone():
        fits(stored, seal, path)
    db.execute("BEGIN IMMEDIATE")
    db.execute("DELETE FROM sealing")
    if seal.key_id:
        db.execute("INSERT INTO sealing VALUES (?)", (seal.key_id,))
    db.execute("COMMIT")


def _transact(db: sqlite3.Connection, owed: Sequence[Arrived], steps: Sequence[_Step]) -> list[Any]:
    try:
        db.execute("BEGIN IMMEDIATE")
        for arrived in owed:
            _forget(db, arrived)
        if owed:
            db.execute("DELETE FROM answered WHERE no <= (SELECT max(no) FROM answered) - ?", (REMEMBERED,))
        results = [step(db) for step in steps]
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return results


def _forget(db: sqlite3.Connection, arrived: Arrived) -> None:
    which, name = ("question = ?2 AND work = ?3", arrived.question) if arrived.work else ("key = ?2", arrived.key)
    gone = db.execute(
        f"DELETE FROM inbox WHERE platform = ?1 AND {which} AND ?3 IS NOT NULL RETURNING key",
        (arrived.platform, name, arrived.work),
    ).fetchall()
    digests = [(replace(arrived, key=key).digest,) for (key,) in gone]
    db.executemany("INSERT OR IGNORE INTO answered (digest) VALUES (?)", digests)


def _insert(db: sqlite3.Connection, one: Arrived, now: float, seal: Seal) -> bool:
    if db.execute("SELECT 1 FROM answered WHERE digest = ?", (one.digest,)).fetchone():
        return False
    cursor = db.execute(
        "INSERT OR IGNORE INTO inbox (platform, key, question, person, content, work, answer, received_at, expires_at,"
        " attempts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
        (
            *(one.platform, one.key, one.question, one.person, seal.text(one.update, "content"), one.work),
            *(seal.text(one.answer, "answer"), now, one.expires_at),
        ),
    )
    return cursor.rowcount == 1


def _opened(kept: Kept, seal: Seal) -> Kept:
    update, answer = seal.open_text(kept.update, "content"), seal.open_text(kept.answer, "answer")
    return replace(kept, update=update, answer=answer)


def _wipe(db: sqlite3.Connection) -> None:
    """`secure_delete` leaves copies of rows where SQLite moved them to another page, and the log keeps old pages."""
    db.execute("VACUUM")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
