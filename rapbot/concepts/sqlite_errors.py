"""What SQLite says went wrong, in the sentence a person can act on."""

from __future__ import annotations

import contextlib
import os
import shlex
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from rapbot.config import INBOX_NAME
from rapbot.errors import DiskFull, StoreCorrupt, StoreError


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turns errors of sqlite3 into StoreError and its kinds. Source: https://sqlite.org/rescode.html."""
    try:
        yield
    except sqlite3.Error as error:
        raise explained(error, path) from error


def explained(error: sqlite3.Error, path: Path) -> StoreError:
    # The low byte is the kind; the rest tells which system call it was.
    code = getattr(error, "sqlite_errorcode", None)
    match code if code is None else code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return DiskFull()
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return damaged(path)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreError("Another program is writing to the database. Nothing was changed; please try again.")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return StoreError(f"The database {path} cannot be opened for writing. Check its folder and permissions.")
        case sqlite3.SQLITE_IOERR:
            return StoreError(
                f"The disk did not take or give the data of {path} (a quota, a file size limit or a failing disk). "
                "Nothing was changed."
            )
        case _:
            return StoreError(f"The database {path} cannot be used: {error}.")


def damaged(path: Path) -> StoreCorrupt:
    """What to do about it: the file itself is never touched."""
    return StoreCorrupt(f"The database {path} is damaged. I left it as it is. {_way_out(path)}")


def check_file(path: Path) -> None:
    """Reads every page of a database, if there is one, which SQLite itself does only as needed. Raises StoreCorrupt.

    Takes about a second for each gigabyte that is in memory, and as long as the disk takes to read it.
    """
    if not path.is_file():
        return
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True)) as database:
            wrong = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise explained(error, path) from error
    if wrong != "ok":
        raise damaged(path)


def backups_of(database: Path) -> Path:
    """The folder where its backups lie unless somebody wants them elsewhere."""
    return database.parent / "backups"


def _way_out(path: Path) -> str:
    if path.name == INBOX_NAME:
        aside = path.with_name(f"{path.name}.damaged")
        return (
            "It holds only messages that were not answered yet. To start without them, move it away: "
            f"mv {shlex.quote(str(path))} {shlex.quote(str(aside))}"
        )
    found = sorted(backups_of(path).glob("*.sqlite3"), key=lambda file: file.stat().st_mtime)
    if found:
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(found[-1].stat().st_mtime))
        return f"The last backup is of {made}; to put it in its place: rapbot restore {shlex.quote(str(found[-1]))}"
    return (
        "There is no backup beside it. Move it away to start empty; "
        "`sqlite3 FILE .recover` often saves most of a damaged file."
    )


def make_private_file(path: Path) -> None:
    """Only this account may read what people teach; SQLite gives WAL and shm the same rights as the file.

    Raises StoreError.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise StoreError(f"The database {path} cannot be made: {error.strerror}.") from error
    # Asked before aiosqlite: a connection that fails to open leaves its thread behind.
    if not path.is_file() or not os.access(path, os.R_OK | os.W_OK):
        raise StoreError(f"The database {path} cannot be opened: it is not a file that I may read and write.")
