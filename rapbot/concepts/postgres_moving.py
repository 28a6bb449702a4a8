"""Everything of a SQLite database moved into a PostgreSQL database: person by person, checked by counts and digests.

Each person is one transaction there, so it can be stopped at any moment and goes on where it was. Numbers of people,
concepts and avatars stay as they are (old buttons go on working), or, beside other people's, grow by one offset each.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from sqlite3 import connect
from typing import Any

import aiosqlite

from rapbot.concepts.backups import alone
from rapbot.concepts.concept import fold_name
from rapbot.concepts.kept import MEMORY
from rapbot.concepts.postgres_connection import PostgresDatabase
from rapbot.concepts.postgres_statements import PostgresStatements
from rapbot.concepts.sealing import Seal
from rapbot.concepts.sql import Readable, Row
from rapbot.concepts.sqlite import SqliteConceptStore, SqliteStatements
from rapbot.concepts.sqlite_errors import store_errors
from rapbot.config import INBOX_NAME
from rapbot.errors import StoreError

Progress = Callable[[int, int], None]
"""Told (people moved and checked, people in all)."""

_AVATARS = "IN (SELECT id FROM avatars WHERE owner_no = ?1)"
_OF_OWNER = {
    "owners": "no = ?1",
    "identities": "owner_no = ?1",
    "concepts": "owner_no = ?1",
    "avatars": "owner_no = ?1",
    "photos": f"avatar_id {_AVATARS}",
    "keys": "owner_no = ?1",
    "faces": f"avatar_id {_AVATARS}",
    "journal": "owner_no = ?1",
    "shares": "concept_id IN (SELECT id FROM concepts WHERE owner_no = ?1)",
    "visits": "owner_no = ?1",
}
"""Which rows go with a person, in an order in which they can be written."""
_BESIDE = ("link_codes", "chats", "face_refusals", "applied")
"""Tables of nobody in particular; what is there already stays."""
_AT_ONCE = 100
"""Photos held in memory."""
_NUMBERED = {"owners": "no", "concepts": "id", "avatars": "id"}
_REFERS = {
    ("owners", "no"): "owners",
    ("concepts", "id"): "concepts",
    ("avatars", "id"): "avatars",
    **{(table, "owner_no"): "owners" for table in _OF_OWNER},
    **{(table, "concept_id"): "concepts" for table in (*_OF_OWNER, "applied")},
    **{(table, name): "avatars" for table in _OF_OWNER for name in ("avatar_id", "also_avatar_id")},
}
"""Whose number a column holds."""


@dataclass(frozen=True, slots=True)
class Moved:
    """`rows`: how many of each table are there now, and were here; `present`: people who were there already."""

    people: int
    present: int
    rows: dict[str, int]
    waiting: int
    """Messages in the inbox beside the file, which are not moved."""


@dataclass(slots=True)
class Move:
    """A move under way: both sides, and how numbers change on the way."""

    source: SqliteStatements
    database: PostgresDatabase
    seal: Seal
    offsets: Mapping[str, int] = field(default_factory=dict)
    encoders: Mapping[int, int] = field(default_factory=dict)
    """Number there by number here."""
    begun_at: int = 0
    """Revision of the file when the move began: greater ones are of changes on the other side."""

    def there(self, table: str, names: Sequence[str], row: Row) -> tuple[Any, ...]:
        """A row of this side as it stands on the other."""
        cells = [self._cell(table, name, cell) for name, cell in zip(names, row, strict=True)]
        if table == "concepts" and self.offsets["owners"] and self.seal.key_id:
            words = self.seal.open_text(row[names.index("name")], "name")
            cells[names.index("folded")] = self.seal.digest(fold_name(words), cells[names.index("owner_no")])
        return tuple(cells)

    def _cell(self, table: str, name: str, cell: Any) -> Any:
        if cell is None:
            return None
        if name == "encoder_no":
            return self.encoders[cell]
        refers = _REFERS.get((table, name))
        return cell + self.offsets[refers] if refers else cell


async def move(
    source: Path,
    database: PostgresDatabase,
    seal: Seal,
    *,
    among_others: bool = False,
    told: Progress = lambda _done, _all: None,
) -> Moved:
    """Raises StoreError where the program is running on the file, the destination holds what other people taught
    (unless `among_others`), or what arrived is not what was sent; what was moved until then stays and counts."""
    async with _reading(source, seal) as reader:
        moving = Move(reader, database, seal)
        people = await reader.fetch("SELECT no, id, revision FROM owners ORDER BY no")
        await _agree_on_numbers(moving, people, among_others)
        await database.run(lambda db: _move_beside(moving, db))
        present = 0
        for done, (number, _id, revision) in enumerate(people):
            told(done, len(people))
            present += await database.run(lambda db: _move_person(moving, db, number, revision))  # noqa: B023 - awaited
        told(len(people), len(people))
        return Moved(len(people), present, await _counted(moving), _waiting(source.parent / INBOX_NAME))


@asynccontextmanager
async def _reading(source: Path, seal: Seal) -> AsyncIterator[SqliteStatements]:
    """The file, brought up to date, of one moment; nothing else uses it."""
    if not await asyncio.to_thread(source.is_file):
        raise StoreError(f"There is no database {source}.")
    if not alone(source):
        raise StoreError(f"{source} cannot be read: rapbot doctor says more.")
    async with SqliteConceptStore.open(source, "", seal=seal):
        pass
    with store_errors(source):
        async with aiosqlite.connect(source, isolation_level=None) as connection:
            await connection.execute("BEGIN IMMEDIATE")  # a program that is started meanwhile changes nothing
            yield SqliteStatements(connection)
            await connection.rollback()


async def _agree_on_numbers(moving: Move, people: Sequence[Row], among_others: bool) -> None:
    """By how much the numbers grow: as an unfinished move did it, else by what the other side has used already."""
    used = dict(map(tuple, await moving.source.fetch("SELECT name, seq FROM sqlite_sequence")))
    mine = {number: person for number, person, _revision in people}
    revision = int((await moving.source.fetch("SELECT value FROM counters WHERE name = 'revision'"))[0][0])

    async def agree(db: PostgresStatements) -> tuple[Mapping[str, int], int]:
        there = dict(map(tuple, await db.fetch("SELECT no, id FROM owners")))
        begun: dict[str, int] = dict(
            map(tuple, await db.fetch("SELECT name, value FROM counters WHERE name LIKE 'moved %'"))
        )
        offsets = {table: int(begun.get(f"moved {table}", 0)) for table in _NUMBERED}
        begun_at = int(begun.get("moved revision", revision))
        ours = {number for number in there if mine.get(number - offsets["owners"]) == there[number]}
        if not begun or any(0 < n - offsets["owners"] <= used.get("owners", 0) for n in there.keys() - ours):
            ours, offsets = set(), {table: await _highest(db, table) for table in _NUMBERED}
            begun_at = revision
        _refuse(set(there.values()), {there[number] for number in ours}, set(mine.values()), among_others)
        for name, value in {**offsets, "revision": begun_at}.items():
            await db.execute(
                "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (f"moved {name}", value),
            )
        for table, column in _NUMBERED.items():
            await _beyond(db, f"pg_get_serial_sequence('{table}', '{column}')", offsets[table] + used.get(table, 0))
        await _beyond(db, "'revisions'", revision)
        return offsets, begun_at

    moving.offsets, moving.begun_at = await moving.database.run(agree, alone=True)


def _refuse(there: set[str], ours: set[str], mine: set[str], among_others: bool) -> None:
    others = there - ours
    if both := others & mine:
        raise StoreError(
            f"{len(both)} of these people have a memory in the PostgreSQL database already. Nothing was changed."
            " Two memories of one person cannot be put together."
        )
    if others and not among_others:
        raise StoreError(
            f"The PostgreSQL database holds the memory of {len(others)} other people. Nothing was changed."
            " To add these people to them: --among-others"
        )


async def _highest(db: PostgresStatements, table: str) -> int:
    ((value, called),) = await db.fetch(f"SELECT last_value, is_called FROM {table}_{_NUMBERED[table]}_seq")
    return int(value) if called else 0


async def _beyond(db: PostgresStatements, sequence: str, value: int) -> None:
    """No number up to this one is given out any more, so that none ever names two things."""
    if value:
        await db.fetch(f"SELECT setval({sequence}, greatest(?, nextval({sequence}) - 1))", (value,))


async def _move_beside(moving: Move, db: PostgresStatements) -> None:
    numbers = {}
    for number, name in await moving.source.fetch("SELECT no, name FROM encoders"):
        await db.execute("INSERT INTO encoders (name) VALUES (?) ON CONFLICT DO NOTHING", (name,))
        numbers[number] = (await db.fetch("SELECT no FROM encoders WHERE name = ?", (name,)))[0][0]
    moving.encoders = numbers
    for name, value in await moving.source.fetch("SELECT name, value FROM counters"):
        if name == "erased":
            await db.execute("UPDATE counters SET value = ?1 WHERE name = 'erased' AND value < ?1", (value,))
        elif name.startswith("bot of "):
            await db.execute("INSERT INTO counters VALUES (?, ?) ON CONFLICT DO NOTHING", (name, value))
    for table in _BESIDE:
        names = tuple(MEMORY[table])
        rows = await moving.source.fetch(f"SELECT {', '.join(names)} FROM {table}")
        await _insert(db, table, names, [moving.there(table, names, row) for row in rows], "ON CONFLICT DO NOTHING")


async def _move_person(moving: Move, db: PostgresStatements, number: int, revision: int) -> bool:
    """Whether they were there already. Raises StoreError where what is there is not what was here."""
    there = number + moving.offsets["owners"]
    found = await db.fetch("SELECT revision FROM owners WHERE no = ?", (there,))
    present = bool(found) and found[0][0] == revision
    if not present:
        if found and found[0][0] > moving.begun_at:
            raise StoreError(
                f"Person {there} of the PostgreSQL database changed something there after they were moved. That stays."
                " The file is as it was."
            )
        if found:  # changed something here after they were moved
            await db.execute("DELETE FROM owners WHERE no = ?", (there,))
        for table in _OF_OWNER:
            names = tuple(MEMORY[table])
            async for rows in _rows(moving.source, table, number):
                await _insert(db, table, names, [moving.there(table, names, row) for row in rows])
    for table in _OF_OWNER:
        names = tuple(MEMORY[table])
        sent, arrived = _Digest(), _Digest()
        async for rows in _rows(moving.source, table, number):
            sent.add(moving.there(table, names, row) for row in rows)
        async for rows in _rows(db, table, there):
            arrived.add(rows)
        if sent != arrived:
            raise StoreError(
                f"What is in the PostgreSQL database of person {there} is not what is in the file (table {table}):"
                " somebody changed it there since, or it did not arrive. The file is as it was."
            )
    return present


async def _insert(
    db: PostgresStatements, table: str, names: Sequence[str], rows: Sequence[Row], otherwise: str = ""
) -> None:
    places = ", ".join(f"${place}" for place in range(1, len(names) + 1))
    statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places}) {otherwise}"
    if rows:
        await db.connection.executemany(statement, rows)


async def _rows(side: Readable, table: str, owner: int) -> AsyncIterator[list[Row]]:
    """The rows of a person, a limited number at a time."""
    names = ", ".join(MEMORY[table])
    if table != "photos":
        yield await side.fetch(f"SELECT {names} FROM {table} WHERE {_OF_OWNER[table]}", (owner,))
        return
    last, more = 0, True
    while more:
        rows = await side.fetch(
            f"SELECT {names} FROM photos WHERE {_OF_OWNER[table]} AND avatar_id > ?2 ORDER BY avatar_id LIMIT ?3",
            (owner, last, _AT_ONCE),
        )
        yield rows
        more = len(rows) == _AT_ONCE
        last = max((row[tuple(MEMORY[table]).index("avatar_id")] for row in rows), default=0)


class _Digest:
    """Of rows in any order."""

    def __init__(self) -> None:
        self._rows: list[bytes] = []

    def add(self, rows: Sequence[Row] | Iterator[Row]) -> None:
        self._rows += (hashlib.blake2b(repr(tuple(row)).encode(), digest_size=20).digest() for row in rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Digest) and sorted(self._rows) == sorted(other._rows)

    __hash__ = None  # type: ignore[assignment]


async def _counted(moving: Move) -> dict[str, int]:
    """How many rows of each table arrived. Raises StoreError where they are fewer than there were."""
    counts: dict[str, int] = {}
    for table in (*_OF_OWNER, *_BESIDE):
        ((sent,),) = await moving.source.fetch(f"SELECT count(*) FROM {table}")
        ((there,),) = await moving.database.fetch(f"SELECT count(*) FROM {table}")
        if there < sent:
            raise StoreError(f"Only {there} of {sent} rows of the table {table} arrived. The file is as it was.")
        counts[table] = int(sent)
    return counts


def _waiting(inbox: Path) -> int:
    if not inbox.is_file():
        return 0
    with store_errors(inbox), closing(connect(f"file:{inbox}?mode=rw", uri=True)) as db:
        if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'inbox'").fetchone():
            return 0
        return int(db.execute("SELECT count(*) FROM inbox").fetchone()[0])
