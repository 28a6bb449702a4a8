"""Copies of a database, made while it is in use and checked before they count; and putting one back in its place."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from rapbot.concepts.migrations import MIGRATIONS
from rapbot.concepts.sqlite_errors import backups_of, store_errors
from rapbot.errors import StoreCorrupt, StoreError

Progress = Callable[[int, int], None]
"""Told (pages copied, pages in all)."""

_COUNTED = ("owners", "concepts", "avatars", "photos", "keys")
_ABANDONED_S = 3600.0
"""A copy at work writes all the time."""
_PAGES = 2000
"""Copied between two tellings of the progress: 8 to 16 MB."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A checked copy. `rows`: how many of each table it holds."""

    path: Path
    rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class Restored:
    """What stands in the database's place now; `former` is where the one before lies, None if there was none."""

    backup: Backup
    former: Path | None
    forgotten: int
    """Concepts of the backup that did not come back, because they were forgotten after it was made."""


def back_up(database: Path, into: Path | None = None, told: Progress = lambda _done, _all: None) -> Backup:
    """A copy of one moment of `database`, which may be in use. `into`: a file, or a folder; else beside the database.

    Raises StoreError where there is nothing to copy or the copy cannot be written, StoreCorrupt where it is damaged.
    """
    if not database.is_file():
        raise StoreError(f"There is no database {database} yet: nothing to back up.")
    into = into or backups_of(database)
    if into.suffix != ".sqlite3":
        into = into / f"rapbot-{time.strftime('%Y-%m-%dT%H-%M-%S')}.sqlite3"
    if into.resolve() == database.resolve():
        raise StoreError("That is the database itself: give another file for the backup.")
    with _written_whole(into) as part:
        with store_errors(database), closing(_opened(database, "rw")) as source, closing(sqlite3.connect(part)) as copy:
            source.execute("BEGIN")  # counts and copy are of the same moment
            rows = _rows(source)
            source.backup(copy, pages=_PAGES, progress=lambda _status, left, count: told(count - left, count))
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
            copy.execute("VACUUM")  # without what was erased
        if (found := check(part).rows) != rows:
            raise StoreCorrupt(f"The copy of {database} does not hold what the database holds ({found}, not {rows}).")
    return Backup(into, rows)


def check(path: Path) -> Backup:
    """Raises StoreError where `path` is no database that this program can use, StoreCorrupt where it is damaged."""
    if not path.is_file():
        raise StoreError(f"There is no backup {path}.")
    try:
        with closing(_opened(path)) as database:
            wrong = [row[0] for row in database.execute("PRAGMA integrity_check")]
            astray = database.execute("PRAGMA foreign_key_check").fetchall()
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            if not {"migrations", *_COUNTED} <= tables:
                raise StoreError(f"{path} is not a database of rapbot.")
            done = {name for (name,) in database.execute("SELECT name FROM migrations")}
            rows = _rows(database)
    except sqlite3.DatabaseError as error:
        raise StoreCorrupt(f"{path} is damaged or no database: {error}.") from error
    if wrong != ["ok"] or astray:
        raise StoreCorrupt(f"{path} is damaged: {wrong[0] if wrong != ['ok'] else 'rows without what they belong to'}.")
    if newer := done - {step.__name__ for step in MIGRATIONS}:
        raise StoreError(f"{path} was written by a newer rapbot (it has the step {max(newer)}). Update rapbot first.")
    return Backup(path, rows)


def restore(backup: Path, database: Path, *, forgotten_too: bool = False) -> Restored:
    """Put a copy of `backup` where `database` is, which is kept beside it under another name.

    What was forgotten since the backup stays forgotten, as far as the present database can tell; `forgotten_too`
    brings everything back. Raises StoreError where the database is in use or the backup cannot be used; nothing is
    changed then.
    """
    check(backup)
    if backup.resolve() == database.resolve():
        raise StoreError("That is the database itself: nothing to restore.")
    healthy = database.is_file() and alone(database)
    with _written_whole(database) as part:
        shutil.copyfile(backup, part)
        gone = _forget_again(part, database) if healthy and not forgotten_too else 0
        copied = check(part)
        former = _set_aside(database)
    return Restored(Backup(database, copied.rows), former, gone)


def _opened(path: Path, mode: str = "ro") -> sqlite3.Connection:
    """Beside a database in WAL mode, one who may only read leaves the log's files behind."""
    return sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", uri=True, isolation_level=None)


def _rows(database: sqlite3.Connection) -> dict[str, int]:
    return {name: int(database.execute(f"SELECT count(*) FROM {name}").fetchone()[0]) for name in _COUNTED}


def alone(database: Path) -> bool:
    """Whether the database can be read; its log is written back into it. Raises StoreError while others use it."""
    try:
        with closing(sqlite3.connect(database, timeout=0.5, isolation_level=None)) as opened:
            # A connection in WAL mode holds a lock as long as it is open, so leaving that mode needs to be alone.
            opened.execute("PRAGMA journal_mode = DELETE")
            _rows(opened)
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StoreError("rapbot is running on this database: stop it first. Nothing was changed.") from error
        return False
    except sqlite3.DatabaseError:
        return False
    return True


def _forget_again(part: Path, database: Path) -> int:
    """Take out of `part` what `database`, its later self, does not hold any more; returns how many concepts."""
    with closing(sqlite3.connect(part, isolation_level=None)) as copy:
        copy.execute("PRAGMA foreign_keys = ON")
        copy.execute("PRAGMA secure_delete = ON")
        copy.execute("ATTACH ? AS now", (str(database),))
        if not _is_later_self(copy):
            return 0
        before = _rows(copy)["concepts"]
        copy.execute("BEGIN")
        copy.execute("DELETE FROM owners WHERE no NOT IN (SELECT no FROM now.owners)")
        for table in ("concepts", "avatars"):
            copy.execute(f"DELETE FROM {table} WHERE id NOT IN (SELECT id FROM now.{table})")
        _withdraw_again(copy)
        copy.execute("COMMIT")
        left = _rows(copy)["concepts"]
        copy.execute("DETACH now")
        copy.execute("VACUUM")
        return before - left


_WITHDRAWN = {"faces": "avatar_id", "shares": "chat, concept_id", "face_refusals": "chat, person"}
"""What people take back without forgetting a concept, by what identifies it: consent, shares, refusals."""


def _withdraw_again(copy: sqlite3.Connection) -> None:
    """Beside concepts: who agreed, shared or refused then may not want that any more. Refusals made since then hold."""
    tables = [{name for (name,) in copy.execute(f"SELECT name FROM {where}sqlite_schema")} for where in ("", "now.")]
    for table, what in _WITHDRAWN.items():
        if table in tables[0] & tables[1]:
            copy.execute(f"DELETE FROM {table} WHERE ({what}) NOT IN (SELECT {what} FROM now.{table})")
    if "visits" in tables[0]:  # whoever was here meanwhile must not be taken for absent
        copy.execute("DELETE FROM visits")
    if "sealing" not in tables[0] & tables[1]:
        return
    keys = [copy.execute(f"SELECT max(key_id) FROM {where}sealing").fetchone() for where in ("", "now.")]
    if keys[0] == keys[1] and _columns(copy, "main") == _columns(copy, "now"):
        copy.execute("INSERT OR IGNORE INTO face_refusals SELECT * FROM now.face_refusals")


def _columns(copy: sqlite3.Connection, schema: str) -> list[str]:
    return [name for (name,) in copy.execute("SELECT name FROM pragma_table_info('face_refusals', ?)", (schema,))]


def _is_later_self(copy: sqlite3.Connection) -> bool:
    """Whether the attached database grew out of this one: a database that was begun anew tells nothing about it."""
    latest = "SELECT max(value) FROM {}counters WHERE name = 'revision'"
    (then,), (now,) = (copy.execute(latest.format(where)).fetchone() for where in ("", "now."))
    others = copy.execute(
        "SELECT 1 FROM owners JOIN now.owners AS later ON later.no = owners.no WHERE later.id != owners.id"
    ).fetchone()
    # By the second in which it was made; there may be no concept left to know it by.
    made = "SELECT applied_at FROM {}migrations WHERE name = 'm001_initial'"
    born, reborn = (copy.execute(made.format(where)).fetchone() for where in ("", "now."))
    return now >= then and others is None and born == reborn


def _set_aside(database: Path) -> Path | None:
    """Rename the database with its log; nothing of it is lost."""
    if not database.is_file():
        return None
    former = database.with_name(f"{database.stem}.before-restore-{time.strftime('%Y-%m-%dT%H-%M-%S')}.sqlite3")
    for end in ("-wal", "-shm", ""):
        beside = database.with_name(database.name + end)
        if beside.is_file():
            beside.replace(former.with_name(former.name + end))
    return former


@contextmanager
def _written_whole(file: Path) -> Iterator[Path]:
    """A file to write, which only its owner may read; it takes the place of `file` once all is well."""
    part = file.with_name(file.name + ".part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.unlink(missing_ok=True)
        _remove_abandoned(file.parent)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield part
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        part.replace(file)
        _sync_folder(file.parent)
    except OSError as error:
        raise StoreError(f"I cannot write {file}: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _remove_abandoned(folder: Path) -> None:
    """What a killed program left: a copy of the memory under a name that nobody would look for."""
    for part in folder.glob("*.sqlite3.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > _ABANDONED_S:
                part.unlink()


def _sync_folder(folder: Path) -> None:
    """So that the new name survives a power cut; Windows has nothing of the kind."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
