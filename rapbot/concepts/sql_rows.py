"""Rows of the tables, read and turned into concepts and keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from rapbot.concepts.concept import Avatar, Concept, Role
from rapbot.concepts.faiss_bytes import write_flat_index
from rapbot.concepts.sealing import PLAIN, Seal
from rapbot.concepts.sql import OWNER_OF, Readable, Row, Statements
from rapbot.concepts.store import Collection, KeyTable
from rapbot.concepts.visible import Card, FaceRow, IndexRow
from rapbot.messages import Box

_CONCEPT = "SELECT id, name, category, info, created_at, updated_at, traits FROM concepts"
_AVATAR = "SELECT id, concept_id, role, encoder, box_left, box_top, box_right, box_bottom, created_at FROM avatars"

_CONCEPT_WITH_AVATARS = (
    "SELECT concepts.id, name, category, info, concepts.created_at, updated_at, traits, avatars.id, concept_id, role,"
    " encoder, box_left, box_top, box_right, box_bottom, avatars.created_at FROM concepts"
    " LEFT JOIN avatars ON concept_id = concepts.id WHERE concepts.id = ? AND concepts.owner_no = ? ORDER BY avatars.id"
)
_CONCEPT_CELLS = 7

_KEYS = (
    "SELECT avatar_id, key FROM keys WHERE owner_no = ? AND encoder_no = (SELECT no FROM encoders WHERE name = ?)"
    " ORDER BY avatar_id"
)
_ROLES = {role.value: role for role in Role}


@dataclass(frozen=True, slots=True)
class CollectionRows:
    """What one read brings from the database thread, as it comes: turned into values elsewhere."""

    revision: int
    concepts: tuple[Row, ...] = ()
    avatars: tuple[Row, ...] = ()
    keys: tuple[tuple[Row, ...], ...] = ()
    """For each encoder that is asked for, one after the other."""
    faces: tuple[Row, ...] = ()


async def current_revision(db: Readable, owner: str) -> tuple[int | None, int]:
    """(number of the owner, or None for a stranger; revision)."""
    rows = await db.fetch(f"SELECT no, revision FROM owners WHERE no = {OWNER_OF}", (owner,))
    for owner_no, revision in rows:
        return owner_no, revision
    ((revision,),) = await db.fetch("SELECT value FROM counters WHERE name = 'erased'")
    return None, revision


async def read_rows(db: Statements, owner_no: int, revision: int, encoders: Sequence[str]) -> CollectionRows:
    """All rows of one person, in order of their ids; keys of these encoders. Call it inside a transaction."""
    concepts = await db.fetch(f"{_CONCEPT} WHERE owner_no = ? ORDER BY id", (owner_no,))
    avatars = await db.fetch(f"{_AVATAR} WHERE owner_no = ? ORDER BY id", (owner_no,))
    keys = [tuple(await db.fetch(_KEYS, (owner_no, encoder))) for encoder in encoders]
    faces = await db.fetch(
        "SELECT avatar_id, concept_id, key, role = 'counterexample' FROM faces JOIN avatars ON id = avatar_id"
        " WHERE owner_no = ? ORDER BY id",
        (owner_no,),
    )
    return CollectionRows(revision, tuple(concepts), tuple(avatars), tuple(keys), tuple(faces))


async def read_concept(
    db: Statements, owner: str, owner_no: int, concept_id: int, seal: Seal = PLAIN
) -> Concept | None:
    """One concept of this person, with its avatars: one statement, because each is a trip to the database."""
    rows = await db.fetch(_CONCEPT_WITH_AVATARS, (concept_id, owner_no))
    if not rows:
        return None
    avatars = (row[_CONCEPT_CELLS:] for row in rows if row[_CONCEPT_CELLS] is not None)
    return _concept(owner, _opened(rows[0][:_CONCEPT_CELLS], seal), tuple(map(_avatar, avatars)))


def collection(owner: str, rows: CollectionRows, encoders: Sequence[str], seal: Seal = PLAIN) -> Collection:
    """Pure work on rows: some milliseconds for a thousand concepts, so the store does it off the event loop."""
    if seal.key_id:
        rows = _all_opened(rows, seal)
    cards = tuple(Card._make((*row[:4], None, row[6])) for row in rows.concepts)
    # A stranger has no rows at all, and still a table of each encoder.
    found = rows.keys or ((),) * len(encoders)
    tables = [_key_table(keys, rows.avatars, encoder) for keys, encoder in zip(found, encoders, strict=True)]
    make = _maker(owner, rows.concepts, rows.avatars)
    return Collection(
        owner,
        rows.revision,
        cards,
        tuple(tables),
        make,
        tuple(FaceRow(avatar, concept, key, bool(no)) for avatar, concept, key, no in rows.faces),
    )


def _all_opened(rows: CollectionRows, seal: Seal) -> CollectionRows:
    return replace(
        rows,
        concepts=tuple(_opened(row, seal) for row in rows.concepts),
        keys=tuple(tuple((avatar, seal.open_blob(key, "key")) for avatar, key in table) for table in rows.keys),
        faces=tuple((avatar, concept, seal.open_blob(key, "face"), no) for avatar, concept, key, no in rows.faces),
    )


def _opened(row: Row, seal: Seal) -> Row:
    """A row of `_CONCEPT`."""
    number, name, category, info, created, updated, traits = row
    words = (seal.open_text(name, "name"), seal.open_text(category, "category"), seal.open_text(info, "info"))
    return (number, *words, created, updated, seal.open_text(traits, "traits"))


def _maker(owner: str, concepts: Iterable[Row], avatars: Iterable[Row]) -> Callable[[int], Concept]:
    """What makes a concept of its rows when somebody asks for it, by its id."""
    cards = {row[0]: row for row in concepts}
    pictures: dict[int, list[Row]] = {}
    for row in avatars:
        pictures.setdefault(row[1], []).append(row)
    return lambda number: _concept(owner, cards[number], map(_avatar, pictures.get(number, ())))


def _key_table(rows: Iterable[Row], avatars: Sequence[Row], encoder: str) -> KeyTable:
    known = {row[0]: row for row in avatars}
    kept: list[IndexRow] = []
    blobs: list[bytes] = []
    for avatar_id, blob in rows:
        # A key of another length cannot stand in the same table, whatever its label says.
        if blobs and len(blob) != len(blobs[0]):
            continue
        avatar = known[avatar_id]  # id, concept_id, role
        kept.append(IndexRow(avatar_id, avatar[1], avatar[2] == "counterexample"))
        blobs.append(blob)
    ids = [row.avatar_id for row in kept]
    stale = () if len(ids) == len(known) else tuple(sorted(known.keys() - set(ids)))
    return KeyTable(tuple(kept), write_flat_index(ids, blobs), encoder, stale)


def _concept(owner: str, row: Row, avatars: Iterable[Avatar]) -> Concept:
    number, name, category, info, created, updated, traits = row
    return Concept(number, owner, name, category, info, _moment(created), _moment(updated), tuple(avatars), traits)


def _avatar(row: Row) -> Avatar:
    number, concept_id, role, encoder, left, top, right, bottom, created = row
    return Avatar(number, concept_id, _ROLES[role], encoder, Box(left, top, right, bottom), _moment(created))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
