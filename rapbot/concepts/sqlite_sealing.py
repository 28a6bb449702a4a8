"""Which key the SQLite files are encrypted with, and writing them anew with another one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import aiosqlite

from rapbot.concepts.concept import fold_name
from rapbot.concepts.kept import INBOX, MEMORY, Column
from rapbot.concepts.sealing import Seal, fits
from rapbot.concepts.sqlite_errors import store_errors
from rapbot.errors import StoreError

SEALING = "CREATE TABLE IF NOT EXISTS sealing (key_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID"


async def check_seal(db: aiosqlite.Connection, seal: Seal, path: Path) -> None:
    """Before anything is written: whether this key is the right one, as far as the file can tell. Raises StoreError."""
    if await db.execute_fetchall("SELECT 1 FROM sqlite_schema WHERE name = 'sealing'"):
        rows = await db.execute_fetchall("SELECT key_id FROM sealing")
        for (stored,) in rows:
            fits(str(stored), seal, path)


async def claim(db: aiosqlite.Connection, seal: Seal, path: Path) -> None:
    """A database in which nothing lies yet takes the key that there is. Raises StoreError."""
    if not seal.key_id or await db.execute_fetchall("SELECT 1 FROM sealing"):
        return
    await db.execute("BEGIN IMMEDIATE")
    for table in ("owners", "chats", "face_refusals"):
        if await db.execute_fetchall(f"SELECT 1 FROM {table} LIMIT 1"):
            await db.rollback()
            fits("", seal, path)
    await db.execute("INSERT OR IGNORE INTO sealing VALUES (?)", (seal.key_id,))
    await db.commit()


def reseal(path: Path, former: Seal, seal: Seal, *, inbox: bool = False) -> bool:
    """Write every encrypted cell of a database, or of an inbox, with `seal` instead of `former`, in one transaction.

    False when there is nothing to do. Nothing may use the file. Raises StoreError; nothing is changed then.
    """
    if not path.is_file():
        return False
    with store_errors(path), closing(sqlite3.connect(path, timeout=0.5, isolation_level=None)) as db:
        if _key_of(db) == seal.key_id:
            return False
        fits(_key_of(db), former, path)
        _be_alone(db)
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        db.execute("PRAGMA secure_delete = ON").fetchall()
        db.execute("BEGIN IMMEDIATE")
        try:
            _rewrite(
                db, {name: kept for name, kept in (INBOX if inbox else MEMORY).items() if name in tables}, former, seal
            )
            db.execute(SEALING)
            db.execute("DELETE FROM sealing")
            if seal.key_id:
                db.execute("INSERT INTO sealing VALUES (?)", (seal.key_id,))
            if not inbox:  # should the next step not happen: the next start wipes what was there before
                db.execute("UPDATE counters SET value = 1 WHERE name = 'traces'")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("VACUUM")
    return True


def _key_of(db: sqlite3.Connection) -> str:
    if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sealing'").fetchone():
        return ""
    return "".join(key_id for (key_id,) in db.execute("SELECT key_id FROM sealing"))


def _be_alone(db: sqlite3.Connection) -> None:
    """A connection in WAL mode holds a lock as long as it is open, so leaving that mode needs to be alone."""
    try:
        db.execute("PRAGMA journal_mode = DELETE").fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreError("rapbot is running on these files: stop it first. Nothing was changed.") from error
        raise


def _rewrite(db: sqlite3.Connection, tables: Mapping[str, Mapping[str, Column]], former: Seal, seal: Seal) -> None:
    """Of two cells that depend on each other, the derived one first: a folded name is a digest of the name."""

    def renewed(what: str, cell: str | bytes | None) -> str | bytes | None:
        match cell:
            case None:
                return None
            case bytes():
                return seal.blob(former.open_blob(cell, what), what)
            case str():
                return seal.text(former.open_text(cell, what), what)

    def folded(name: str, owner_no: int) -> str:
        return seal.digest(fold_name(former.open_text(name, "name")), owner_no)

    failures: list[StoreError] = []
    db.create_function("renewed", 2, _told(renewed, failures))
    db.create_function("folded", 2, _told(folded, failures))
    try:
        if "concepts" in tables:
            db.execute("UPDATE concepts SET folded = folded(name, owner_no)")
        for table, columns in tables.items():
            there = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}  # an older program's has fewer
            cells = {name: columns[name].sealed for name in columns if name in there}
            cells = {name: what for name, what in cells.items() if what not in ("", "folded")}
            if cells:
                changes = ", ".join(f"{name} = renewed('{what}', {name})" for name, what in cells.items())
                db.execute(f"UPDATE {table} SET {changes}")
    except sqlite3.OperationalError:
        if failures:  # SQLite only says that a function failed
            raise failures[0] from None
        raise


def _told(function: Callable[..., Any], failures: list[StoreError]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except StoreError as error:
            failures.append(error)
            raise

    return call
