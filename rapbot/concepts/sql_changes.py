"""What each change does to the tables; every function runs inside one open transaction."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from rapbot.concepts.concept import (
    Concept,
    ConceptLimits,
    Key,
    NewAvatar,
    Role,
    clean_lines,
    clean_name,
    clean_text,
    fold_name,
)
from rapbot.concepts.sealing import PLAIN, Seal
from rapbot.concepts.sql import LEAVE_TRACES, Statements
from rapbot.concepts.sql_places import forget_refusals
from rapbot.concepts.sql_rows import current_revision, read_concept
from rapbot.concepts.store import (
    AddAvatar,
    Change,
    Changed,
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
from rapbot.inbox import handling

_APPLIED_KEPT_S = 7 * 86400.0
"""Longer than a message may wait in the inbox."""

Db = TypeVar("Db", bound=Statements)
Own = Callable[[Db, str], Awaitable[tuple[int, int]]]
"""(number, new revision) of a person, who is made known where they were not; nobody else changes them meanwhile."""


@dataclass(slots=True)
class Transaction:
    """One change in the making. `now` is seconds since 1970, UTC."""

    db: Statements
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
        concept = await read_concept(self.db, self.owner, self.owner_no, concept_id, self.seal)
        if concept is None:
            raise Gone(mark("concept"))
        self.concept_id = concept.id
        return concept


async def carry_out(db: Db, owner: str, change: Change, limits: ConceptLimits, seal: Seal, own: Own[Db]) -> Changed:
    """`ConceptStore.write` in an open transaction, which the caller rolls back when this raises."""
    if isinstance(change, ReplaceKeys):
        # Nobody asked for this one, so a person who was erased meanwhile is not made known again.
        number, revision = await current_revision(db, owner)
        if number is None:
            return Changed(revision)
    number, revision = await own(db, owner)
    transaction = Transaction(db, owner, number, limits, time.time(), seal)
    await _apply(transaction, change)
    if isinstance(change, EraseOwner):
        await db.execute("UPDATE counters SET value = ?1 WHERE name = 'erased' AND value < ?1", (revision,))
    if transaction.leaves_traces:
        await db.execute(LEAVE_TRACES)
    about = transaction.concept_id
    concept = None if about is None else await read_concept(db, owner, number, about, seal)
    await note_applied(db, about)
    return Changed(revision, concept, transaction.undone, tuple(transaction.avatar_ids))


async def note_applied(db: Statements, concept_id: int | None = None) -> None:
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


async def _apply(transaction: Transaction, change: Change) -> None:
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
    accounts = [str(row[0]) for row in await tx.db.fetch(people, (tx.owner_no,))]
    await forget_refusals(tx.db, accounts)
    await tx.db.execute(f"DELETE FROM link_codes WHERE person IN ({people})", (tx.owner_no,))
    await tx.db.execute(f"DELETE FROM owners WHERE id IN ({people})", (tx.owner_no,))
    tx.leaves_traces = True


async def _remember(tx: Transaction, change: Remember) -> None:
    ((count,),) = await tx.db.fetch("SELECT count(*) FROM concepts WHERE owner_no = ?", (tx.owner_no,))
    if count >= tx.limits.concepts:
        raise ConceptError(
            _("I already know {count} things of yours, and that is the most I keep. Forget one first.").format(
                count=count
            )
        )
    name = await _free_name(tx, change.name)
    ((tx.concept_id,),) = await tx.db.fetch(
        "INSERT INTO concepts (owner_no, name, folded, category, info, created_at, updated_at, taught_by, traits)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (
            *(tx.owner_no, *_sealed(tx, name, *_words(tx, change.category, change.info))),
            *(tx.now, tx.now, tx.owner, tx.seal.text(change.traits, "traits")),
        ),
    )
    assert tx.concept_id is not None
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
    rows = await tx.db.fetch(
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
    rows = await tx.db.fetch(
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
        changed = await tx.db.execute(
            "UPDATE avatars SET encoder = ? WHERE id = ? AND owner_no = ?", (change.encoder, avatar_id, tx.owner_no)
        )
        if changed:
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
    ((agreed_at,),) = await tx.db.fetch(
        "SELECT max(agreed_at) FROM faces JOIN avatars ON id = avatar_id WHERE concept_id = ?", (concept.id,)
    )
    if agreed_at is not None:
        closed = tx.seal.blob(_key_bytes(face, unit=False), "face")
        await tx.db.execute("INSERT INTO faces VALUES (?, ?, ?)", (avatar_id, closed, agreed_at))


async def _free_name(tx: Transaction, wanted: str, but: int = 0) -> str:
    name = clean_name(wanted, tx.limits)
    taken = await tx.db.fetch(
        "SELECT name FROM concepts WHERE owner_no = ? AND folded = ? AND id <> ?",
        (tx.owner_no, tx.seal.digest(fold_name(name), tx.owner_no), but),
    )
    for (existing,) in taken:
        raise NameTaken(tx.seal.open_text(existing, "name"))
    return name


def _words(tx: Transaction, category: str, info: str) -> tuple[str, str]:
    limits = tx.limits
    return (
        clean_text(category, limits.category, mark("kind of thing")),
        clean_lines(info, limits.info, mark("description")),
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
    ((avatar_id,),) = await tx.db.fetch(
        "INSERT INTO avatars (owner_no, concept_id, role, encoder, box_left, box_top, box_right, box_bottom,"
        " created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (tx.owner_no, concept_id, role, avatar.encoder, box.left, box.top, box.right, box.bottom, tx.now),
    )
    await tx.db.execute("INSERT INTO photos VALUES (?, ?)", (avatar_id, tx.seal.blob(avatar.jpeg, "jpeg")))
    await _insert_key(tx, avatar_id, avatar.encoder, avatar.key)
    for encoder, key in avatar.other_keys:
        # Whose keys are not kept here any more is not listed: a change of encoder that ended stays ended.
        if await tx.db.fetch("SELECT 1 FROM encoders WHERE name = ?", (encoder,)):
            await _insert_key(tx, avatar_id, encoder, key)
    tx.avatar_ids.append(avatar_id)
    return int(avatar_id)


async def _insert_key(tx: Transaction, avatar_id: int, encoder: str, key: Key) -> None:
    insert = (
        "INSERT INTO keys (owner_no, avatar_id, encoder_no, key) SELECT ?, ?, no, ? FROM encoders WHERE name = ?"
        " ON CONFLICT (owner_no, avatar_id, encoder_no) DO UPDATE SET key = excluded.key"
    )
    cells = (tx.owner_no, avatar_id, tx.seal.blob(_key_bytes(key), "key"), encoder)
    if not await tx.db.execute(insert, cells):  # the first key of this encoder here
        await tx.db.execute("INSERT INTO encoders (name) VALUES (?) ON CONFLICT DO NOTHING", (encoder,))
        await tx.db.execute(insert, cells)


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
        "INSERT INTO journal (owner_no, kind, concept_id, avatar_id, name, category, info, updated_at, also_avatar_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (owner_no) DO UPDATE SET kind = excluded.kind,"
        " concept_id = excluded.concept_id, avatar_id = excluded.avatar_id, name = excluded.name,"
        " category = excluded.category, info = excluded.info, updated_at = excluded.updated_at,"
        " also_avatar_id = excluded.also_avatar_id",
        (tx.owner_no, kind, concept_id, avatar_id, *words, also),
    )


async def _close_journal(tx: Transaction) -> None:
    await tx.db.execute("DELETE FROM journal WHERE owner_no = ?", (tx.owner_no,))


def _key_bytes(key: Key, *, unit: bool = True) -> bytes:
    """float32[D], little-endian, of length 1 (`unit`) or as it is: face keys are compared by their Euclidean distance.

    ValueError for anything that is not a direction: a fault of the caller.
    """
    norm = float(np.linalg.norm(key))
    if key.ndim != 1 or not np.isfinite(norm) or norm == 0.0:
        raise ValueError(f"not a key: shape {key.shape}, length {norm}")
    return (key / norm if unit else key).astype("<f4").tobytes()
