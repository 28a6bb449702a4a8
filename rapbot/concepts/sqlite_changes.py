"""What each change does to the SQLite tables; every function runs inside one open transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import aiosqlite
import numpy as np

from rapbot.concepts.concept import (
    Concept,
    ConceptLimits,
    Key,
    NewAvatar,
    Role,
    clean_name,
    clean_text,
    fold_name,
)
from rapbot.concepts.sealing import PLAIN, Seal
from rapbot.concepts.sqlite_places import forget_refusals
from rapbot.concepts.sqlite_rows import read_concept
from rapbot.concepts.store import (
    AddAvatar,
    Change,
    Edit,
    EraseOwner,
    Forget,
    Remember,
    RemoveAvatar,
    ReplaceKeys,
    SetFaces,
    Undo,
    Undone,
    UndoneKind,
)
from rapbot.errors import ConceptError, Gone, NameTaken, NothingToUndo
from rapbot.i18n import _, mark


@dataclass(slots=True)
class Transaction:
    """One change in the making. `now` is seconds since 1970, UTC."""

    db: aiosqlite.Connection
    owner: str
    owner_no: int
    limits: ConceptLimits
    now: float
    seal: Seal = PLAIN
    concept_id: int | None = None
    avatar_ids: list[int] = field(default_factory=list)
    undone: Undone | None = None
    leaves_traces: bool = False
    """Something was deleted for good: deleted rows must not survive in the bytes of the file."""

    async def own_concept(self, concept_id: int) -> Concept:
        owned = await self.db.execute_fetchall(
            "SELECT 1 FROM concepts WHERE id = ? AND owner_no = ?", (concept_id, self.owner_no)
        )
        concept = await read_concept(self.db, self.owner, concept_id, self.seal) if owned else None
        if concept is None:
            raise Gone(mark("concept"))
        self.concept_id = concept.id
        return concept


async def apply(transaction: Transaction, change: Change) -> None:
    """Raises ConceptError when a rule forbids the change; the caller rolls back."""
    match change:
        case Remember():
            await _remember(transaction, change)
        case Edit():
            await _edit(transaction, change)
        case AddAvatar():
            await _add_avatar(transaction, change)
        case RemoveAvatar():
            await _remove_avatar(transaction, change)
        case Forget():
            await _forget(transaction, change)
        case Undo():
            await _undo(transaction)
        case EraseOwner():
            await _erase_owner(transaction)
        case ReplaceKeys():
            await _replace_keys(transaction, change)
        case SetFaces():
            await _set_faces(transaction, change)


async def _erase_owner(tx: Transaction) -> None:
    """Concepts, shares and links follow by their foreign keys; linked accounts are the same person."""
    people = "SELECT id FROM identities WHERE owner_no = ?1 UNION SELECT id FROM owners WHERE no = ?1"
    accounts = [str(row[0]) for row in await tx.db.execute_fetchall(people, (tx.owner_no,))]
    await forget_refusals(tx.db, accounts)
    await tx.db.execute(f"DELETE FROM link_codes WHERE person IN ({people})", (tx.owner_no,))
    await tx.db.execute(f"DELETE FROM owners WHERE id IN ({people})", (tx.owner_no,))
    tx.leaves_traces = True


async def _remember(tx: Transaction, change: Remember) -> None:
    ((count,),) = await tx.db.execute_fetchall("SELECT count(*) FROM concepts WHERE owner_no = ?", (tx.owner_no,))
    if count >= tx.limits.concepts:
        raise ConceptError(
            _("I already know {count} things of yours, and that is the most I keep. Forget one first.").format(
                count=count
            )
        )
    name = await _free_name(tx, change.name)
    cursor = await tx.db.execute(
        "INSERT INTO concepts (owner_no, name, folded, category, info, created_at, updated_at, taught_by, traits)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(tx.owner_no, *_sealed(tx, name, *_words(tx, change.category, change.info))),
            *(tx.now, tx.now, tx.owner, tx.seal.text(change.traits, "traits")),
        ),
    )
    tx.concept_id = _new_id(cursor)
    await _insert_avatar(tx, tx.concept_id, change.avatar, Role.AVATAR)
    await _note(tx, UndoneKind.REMEMBER, tx.concept_id)


async def _edit(tx: Transaction, change: Edit) -> None:
    before = await tx.own_concept(change.concept_id)
    if change.name is None and change.category is None and change.info is None:
        raise ConceptError(_("Say what to change: the name, the kind of thing or the description."))
    name = before.name if change.name is None else await _free_name(tx, change.name, but=before.id)
    category, info = _words(
        tx,
        before.category if change.category is None else change.category,
        before.info if change.info is None else change.info,
    )
    await _set_words(tx, before.id, name, category, info, tx.now)
    await _note(tx, UndoneKind.EDIT, before.id, before=before)


async def _add_avatar(tx: Transaction, change: AddAvatar) -> None:
    also = None
    if change.not_of is not None:
        wrong = await tx.own_concept(change.not_of)
        also = await _insert_counterexample(tx, wrong, change.avatar)
    concept = await tx.own_concept(change.concept_id)
    if change.role is Role.COUNTEREXAMPLE:
        avatar_id = await _insert_counterexample(tx, concept, change.avatar)
    else:
        count = sum(avatar.role is Role.AVATAR for avatar in concept.avatars)
        if count >= tx.limits.avatars:
            raise ConceptError(
                _("I already keep {count} photos of {name}, the most I can. Remove one first.").format(
                    count=count, name=concept.name
                )
            )
        avatar_id = await _insert_avatar(tx, concept.id, change.avatar, change.role)
        await _add_face(tx, concept, avatar_id, change.avatar.face)
    await tx.db.execute("UPDATE concepts SET updated_at = ? WHERE id = ?", (tx.now, concept.id))
    kind = UndoneKind.ADD_AVATAR if change.role is Role.AVATAR else UndoneKind.ADD_COUNTEREXAMPLE
    await _note(tx, kind, concept.id, avatar_id, concept, also)


async def _insert_counterexample(tx: Transaction, concept: Concept, avatar: NewAvatar) -> int:
    """People press "Wrong" often and want no bookkeeping: the oldest make room."""
    same = [known for known in concept.avatars if known.role is Role.COUNTEREXAMPLE]
    for oldest in same[: max(0, len(same) - tx.limits.counterexamples + 1)]:
        await tx.db.execute("DELETE FROM avatars WHERE id = ?", (oldest.id,))
        tx.leaves_traces = True
    avatar_id = await _insert_avatar(tx, concept.id, avatar, Role.COUNTEREXAMPLE)
    await _add_face(tx, concept, avatar_id, avatar.face)
    return avatar_id


async def _remove_avatar(tx: Transaction, change: RemoveAvatar) -> None:
    rows = await tx.db.execute_fetchall(
        "SELECT concept_id FROM avatars WHERE id = ? AND owner_no = ?", (change.avatar_id, tx.owner_no)
    )
    for (concept_id,) in rows:
        concept = await tx.own_concept(concept_id)
        others = [avatar for avatar in concept.avatars if avatar.id != change.avatar_id]
        if not any(avatar.role is Role.AVATAR for avatar in others):
            raise ConceptError(
                _("This is the only photo of {name}. Add another first, or forget {name}.").format(name=concept.name)
            )
        await tx.db.execute("DELETE FROM avatars WHERE id = ?", (change.avatar_id,))
        await tx.db.execute("UPDATE concepts SET updated_at = ? WHERE id = ?", (tx.now, concept_id))
        await _close_journal(tx)
        tx.leaves_traces = True
        return
    raise Gone(mark("photo"))


async def _forget(tx: Transaction, change: Forget) -> None:
    concept = await tx.own_concept(change.concept_id)
    # Avatars, photos, keys and the journal follow by their foreign keys.
    await tx.db.execute("DELETE FROM concepts WHERE id = ?", (concept.id,))
    await _close_journal(tx)
    tx.leaves_traces = True


async def _undo(tx: Transaction) -> None:
    rows = await tx.db.execute_fetchall(
        "SELECT kind, concept_id, avatar_id, also_avatar_id, name, category, info, updated_at FROM journal"
        " WHERE owner_no = ?",
        (tx.owner_no,),
    )
    for kind_name, concept_id, avatar_id, also, name, category, info, updated_at in rows:
        kind = UndoneKind(kind_name)
        concept = await tx.own_concept(concept_id)
        tx.undone = Undone(kind, concept_id, concept.name)
        if kind is UndoneKind.REMEMBER:
            await tx.db.execute("DELETE FROM concepts WHERE id = ?", (concept_id,))
        else:
            await tx.db.execute("DELETE FROM avatars WHERE id IN (?, ?)", (avatar_id, also))
            before = tx.seal.open_text(name, "name"), tx.seal.open_text(category, "category")
            await _set_words(tx, concept_id, *before, tx.seal.open_text(info, "info"), updated_at)
        await _close_journal(tx)
        tx.leaves_traces = kind is not UndoneKind.EDIT
        return
    raise NothingToUndo


async def _replace_keys(tx: Transaction, change: ReplaceKeys) -> None:
    for avatar_id, key in change.keys:
        cursor = await tx.db.execute(
            "UPDATE avatars SET encoder = ? WHERE id = ? AND owner_no = ?", (change.encoder, avatar_id, tx.owner_no)
        )
        if cursor.rowcount == 1:
            await _insert_key(tx, avatar_id, change.encoder, key)
            tx.avatar_ids.append(avatar_id)


async def _set_faces(tx: Transaction, change: SetFaces) -> None:
    concept = await tx.own_concept(change.concept_id)
    await tx.db.execute(
        "DELETE FROM faces WHERE avatar_id IN (SELECT id FROM avatars WHERE concept_id = ?)", (concept.id,)
    )
    tx.leaves_traces = True
    for avatar_id, key in change.faces:
        if any(avatar.id == avatar_id for avatar in concept.avatars):
            face = tx.seal.blob(_key_bytes(key, unit=False), "face")
            await tx.db.execute("INSERT INTO faces VALUES (?, ?, ?)", (avatar_id, face, tx.now))


async def _add_face(tx: Transaction, concept: Concept, avatar_id: int, face: Key | None) -> None:
    """A new picture of somebody who agreed already."""
    if face is None:
        return
    await tx.db.execute(
        "INSERT INTO faces SELECT ?, ?, max(agreed_at) FROM faces JOIN avatars ON id = avatar_id"
        " WHERE concept_id = ? HAVING count(*) > 0",
        (avatar_id, tx.seal.blob(_key_bytes(face, unit=False), "face"), concept.id),
    )


async def _free_name(tx: Transaction, wanted: str, but: int | None = None) -> str:
    name = clean_name(wanted, tx.limits)
    taken = await tx.db.execute_fetchall(
        "SELECT name FROM concepts WHERE owner_no = ? AND folded = ? AND id IS NOT ?",
        (tx.owner_no, tx.seal.digest(fold_name(name), tx.owner_no), but),
    )
    for (existing,) in taken:
        raise NameTaken(tx.seal.open_text(existing, "name"))
    return name


def _words(tx: Transaction, category: str, info: str) -> tuple[str, str]:
    limits = tx.limits
    return (
        clean_text(category, limits.category, mark("kind of thing")),
        clean_text(info, limits.info, mark("description")),
    )


def _sealed(tx: Transaction, name: str, category: str, info: str) -> tuple[str, str, str, str]:
    """(name, folded, category, info) as they are stored."""
    seal = tx.seal
    folded = seal.digest(fold_name(name), tx.owner_no)
    return seal.text(name, "name"), folded, seal.text(category, "category"), seal.text(info, "info")


async def _set_words(tx: Transaction, concept_id: int, name: str, category: str, info: str, updated: float) -> None:
    await tx.db.execute(
        "UPDATE concepts SET name = ?, folded = ?, category = ?, info = ?, updated_at = ? WHERE id = ?",
        (*_sealed(tx, name, category, info), updated, concept_id),
    )


async def _insert_avatar(tx: Transaction, concept_id: int, avatar: NewAvatar, role: Role) -> int:
    box = avatar.box
    cursor = await tx.db.execute(
        "INSERT INTO avatars (owner_no, concept_id, role, encoder, box_left, box_top, box_right, box_bottom,"
        " created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (tx.owner_no, concept_id, role, avatar.encoder, box.left, box.top, box.right, box.bottom, tx.now),
    )
    avatar_id = _new_id(cursor)
    await tx.db.execute("INSERT INTO photos VALUES (?, ?)", (avatar_id, tx.seal.blob(avatar.jpeg, "jpeg")))
    await _insert_key(tx, avatar_id, avatar.encoder, avatar.key)
    for encoder, key in avatar.other_keys:
        # Whose keys are not kept here any more is not listed: a change of encoder that ended stays ended.
        if await tx.db.execute_fetchall("SELECT 1 FROM encoders WHERE name = ?", (encoder,)):
            await _insert_key(tx, avatar_id, encoder, key)
    tx.avatar_ids.append(avatar_id)
    return avatar_id


async def _insert_key(tx: Transaction, avatar_id: int, encoder: str, key: Key) -> None:
    await tx.db.execute("INSERT OR IGNORE INTO encoders (name) VALUES (?)", (encoder,))
    await tx.db.execute(
        "INSERT OR REPLACE INTO keys SELECT ?, ?, no, ? FROM encoders WHERE name = ?",
        (tx.owner_no, avatar_id, tx.seal.blob(_key_bytes(key), "key"), encoder),
    )


async def _note(
    tx: Transaction,
    kind: UndoneKind,
    concept_id: int,
    avatar_id: int | None = None,
    before: Concept | None = None,
    also: int | None = None,
) -> None:
    """Writes the journal: what `Undo` needs to take this change back."""
    words: tuple[Any, ...] = (None,) * 4
    if before:
        name, _folded, category, info = _sealed(tx, before.name, before.category, before.info)
        words = (name, category, info, before.updated_at.timestamp())
    await tx.db.execute(
        "INSERT OR REPLACE INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (tx.owner_no, kind, concept_id, avatar_id, *words, also),
    )


async def _close_journal(tx: Transaction) -> None:
    await tx.db.execute("DELETE FROM journal WHERE owner_no = ?", (tx.owner_no,))


def _new_id(cursor: aiosqlite.Cursor) -> int:
    if cursor.lastrowid is None:
        raise AssertionError("an INSERT has a rowid")
    return cursor.lastrowid


def _key_bytes(key: Key, *, unit: bool = True) -> bytes:
    """float32[D], little-endian, of length 1 (`unit`) or as it is: face keys are compared by their Euclidean distance.

    ValueError for anything that is not a direction: a fault of the caller.
    """
    norm = float(np.linalg.norm(key))
    if key.ndim != 1 or not np.isfinite(norm) or norm == 0.0:
        raise ValueError(f"not a key: shape {key.shape}, length {norm}")
    return (key / norm if unit else key).astype("<f4").tobytes()
