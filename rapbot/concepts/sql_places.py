"""Groups and linked accounts in the same database as the concepts: a share can never outlive its concept."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from typing import Any

from rapbot.concepts.concept import fold_name
from rapbot.concepts.places import SharedConcept
from rapbot.concepts.sealing import Seal
from rapbot.concepts.sql import DEFER_REFERENCES, LEAVE_TRACES, NEXT_REVISION, OWNER_OF, Database, Statements
from rapbot.concepts.sql_person import rows_about
from rapbot.errors import ConceptError, Gone
from rapbot.i18n import _, mark


class SqlPlaces:
    """A `PlaceStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def shares(self, chat: str) -> tuple[SharedConcept, ...]:
        rows = await self._database.fetch(
            "SELECT concept_id, person, person_name FROM shares WHERE chat = ? ORDER BY concept_id", (chat,)
        )
        return tuple(self._opened(row) for row in rows)

    async def shared_by(self, person: str) -> tuple[tuple[str, SharedConcept], ...]:
        rows = await self._database.fetch(
            "SELECT chat, concept_id, person, person_name FROM shares JOIN concepts ON id = concept_id"
            f" WHERE owner_no = {OWNER_OF} ORDER BY chat, concept_id",
            (person,),
        )
        return tuple((str(chat), self._opened(share)) for chat, *share in rows)

    async def share(self, chat: str, shared: SharedConcept) -> None:
        async with self._database.transaction() as db:
            own = await db.fetch(
                f"SELECT 1 FROM concepts WHERE owner_no = {OWNER_OF} AND id = ?2", (shared.person, shared.concept_id)
            )
            if not own:
                raise Gone(mark("concept"))
            await db.execute(
                "INSERT INTO shares VALUES (?, ?, ?, ?) ON CONFLICT (chat, concept_id)"
                " DO UPDATE SET person = excluded.person, person_name = excluded.person_name",
                (chat, shared.concept_id, shared.person, self._database.seal.text(shared.person_name, "person_name")),
            )

    def _opened(self, row: Sequence[Any]) -> SharedConcept:
        concept_id, person, name = row
        return SharedConcept(concept_id, person, self._database.seal.open_text(name, "person_name"))

    async def unshare(self, chat: str, person: str, concept_id: int | None = None) -> tuple[int, ...]:
        # A linked account may take back what the other account of the same person shared here.
        mine = (
            f"chat = ?2 AND (person = ?1 OR concept_id IN (SELECT id FROM concepts WHERE owner_no = {OWNER_OF}))"
            " AND concept_id = COALESCE(?3, concept_id)"
        )
        async with self._database.transaction() as db:
            rows = await db.fetch(f"DELETE FROM shares WHERE {mine} RETURNING concept_id", (person, chat, concept_id))
            if rows:
                await db.execute(LEAVE_TRACES)
        return tuple(int(row[0]) for row in rows)

    async def close_chat(self, chat: str) -> None:
        async with self._database.transaction() as db:
            await db.execute("DELETE FROM shares WHERE chat = ?", (chat,))
            await db.execute("DELETE FROM chats WHERE id = ?", (chat,))
            await db.execute("DELETE FROM face_refusals WHERE chat = ?", (_digest(chat),))
            await db.execute(LEAVE_TRACES)

    async def known_chats(self, platform: str) -> tuple[str, ...]:
        rows = await self._database.fetch("SELECT chat FROM shares UNION SELECT id FROM chats ORDER BY 1")
        return tuple(str(chat) for (chat,) in rows if chat.startswith(f"{platform}:"))

    async def served_by(self, platform: str, bot: int | None = None) -> int | None:
        name = f"bot of {platform}"
        if bot is not None:
            async with self._database.transaction() as db:
                await db.execute(
                    "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    (name, bot),
                )
        rows = await self._database.fetch("SELECT value FROM counters WHERE name = ?", (name,))
        return int(rows[0][0]) if rows else None

    async def move_chat(self, old: str, new: str) -> None:
        async with self._database.transaction() as db:
            # What the old group has takes the place of the same in the new one.
            for table, chat, names, both in (
                ("face_refusals", "chat", "person", (_digest(new), _digest(old))),
                ("shares", "chat", "concept_id", (new, old)),
                ("chats", "id", "1", (new, old)),
            ):
                moving = f"SELECT {names} FROM {table} WHERE {chat} = ?2"
                await db.execute(f"DELETE FROM {table} WHERE {chat} = ?1 AND {names} IN ({moving})", both)
                kept = ", keyed = COALESCE(keyed, chat)" if table == "face_refusals" else ""
                await db.execute(f"UPDATE {table} SET {chat} = ?1{kept} WHERE {chat} = ?2", both)

    async def photo_mode(self, chat: str) -> str | None:
        rows = await self._database.fetch("SELECT photos FROM chats WHERE id = ?", (chat,))
        return str(rows[0][0]) if rows else None

    async def set_photo_mode(self, chat: str, mode: str) -> None:
        async with self._database.transaction() as db:
            await db.execute(
                "INSERT INTO chats VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET photos = excluded.photos", (chat, mode)
            )

    async def unwanted_faces(self, chat: str) -> tuple[bytes, ...]:
        rows = await self._database.fetch("SELECT key FROM face_refusals WHERE chat = ?", (_digest(chat),))
        return tuple(self._database.seal.open_blob(bytes(row[0]), "face") for row in rows)

    async def refuse_face(self, chat: str, person: str, key: bytes, *, known: bool = True) -> None:
        group = _digest(chat)
        async with self._database.transaction() as db:
            await _forget_refusals(db, [person], group)
            if known:
                await db.execute("INSERT INTO chats VALUES (?, 'addressed') ON CONFLICT DO NOTHING", (chat,))
            await db.execute(
                "INSERT INTO face_refusals (chat, person, key) VALUES (?, ?, ?)"
                " ON CONFLICT (chat, person) DO UPDATE SET key = excluded.key, keyed = NULL",
                (group, _digest(person, group), self._database.seal.blob(key, "face")),
            )

    async def withdraw_refusal(self, chat: str, person: str) -> bool:
        async with self._database.transaction() as db:
            return await _forget_refusals(db, [person], _digest(chat))

    async def refused_faces(self, person: str) -> tuple[tuple[str, bytes], ...]:
        rows = await self._database.fetch("SELECT chat, COALESCE(keyed, chat), person, key FROM face_refusals")
        mine = [(chat, key) for chat, keyed, who, key in rows if who == _digest(person, keyed)]
        return tuple((chat.hex(), self._database.seal.open_blob(key, "face")) for chat, key in sorted(mine))

    async def about(self, person: str) -> dict[str, list[dict[str, Any]]]:
        rows = await self._database.fetch(f"SELECT {OWNER_OF}", (person,))
        kept = await rows_about(self._database.fetch, rows[0][0], self._database.seal)
        people = await self.identities(person)
        refused = [(chat, key) for one in people for chat, key in await self.refused_faces(one)]
        return {**kept, "face_refusals": [{"chat": chat, "key": key} for chat, key in refused]}

    async def identities(self, person: str) -> tuple[str, ...]:
        rows = await self._database.fetch(
            f"SELECT id FROM owners WHERE no = {OWNER_OF}"
            f" UNION SELECT id FROM identities WHERE owner_no = {OWNER_OF} UNION SELECT ?1 ORDER BY 1",
            (person,),
        )
        return tuple(str(row[0]) for row in rows)

    async def offer_link(self, person: str, digest: bytes, expires_at: float) -> None:
        async with self._database.transaction() as db:
            await db.execute("DELETE FROM link_codes WHERE person = ?", (person,))
            await db.execute("INSERT INTO link_codes VALUES (?, ?, ?)", (digest, person, expires_at))

    async def link(self, person: str, digest: bytes, now: float) -> str:
        async with self._database.transaction(alone=True) as db:
            await db.execute("DELETE FROM link_codes WHERE expires_at < ?", (now,))
            rows = await db.fetch("SELECT person FROM link_codes WHERE digest = ?", (digest,))
            if not rows:
                raise ConceptError(
                    _("I don't know that code. A code works once, for ten minutes: get a new one with /link.")
                )
            other = str(rows[0][0])
            # An account that was never used has no memory of its own yet.
            into, mine = await _memory(db, other), await _memory(db, person)
            if into == mine:
                raise ConceptError(_("Those two accounts share one memory already."))
            seal = self._database.seal
            ours, theirs = await _names(db, mine, seal), await _names(db, into, seal)
            for folded in ours.keys() & theirs.keys():
                raise ConceptError(
                    _("Both of your accounts know {name}. Rename or forget one of them first.").format(
                        name=ours[folded]
                    )
                )
            await _move(db, seal, mine, into)
            # Whoever was linked to this account comes along.
            await db.execute("UPDATE identities SET owner_no = ? WHERE owner_no = ?", (into, mine))
            for (account,) in await db.fetch("SELECT id FROM owners WHERE no = ?", (mine,)):
                await db.execute(
                    "INSERT INTO identities VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET owner_no = excluded.owner_no",
                    (account, into),
                )
            await db.execute("DELETE FROM link_codes WHERE digest = ?", (digest,))
        return other

    async def unlink(self, person: str) -> bool:
        async with self._database.transaction(alone=True) as db:
            shared = await _memory(db, person)
            linked = [str(row[0]) for row in await db.fetch("SELECT id FROM identities WHERE owner_no = ?", (shared,))]
            leaving = [person] if person in linked else linked
            for account in leaving:
                await db.execute("DELETE FROM identities WHERE id = ?", (account,))
                memory = await _memory(db, account)
                await _move(db, self._database.seal, shared, memory, account)
            if leaving:
                await db.execute(LEAVE_TRACES)
        return bool(leaving)


async def forget_refusals(db: Statements, people: Sequence[str]) -> None:
    """Delete what these people refused, in every group."""
    for (group,) in await db.fetch("SELECT DISTINCT chat FROM face_refusals"):
        await _forget_refusals(db, people, group)


async def _forget_refusals(db: Statements, people: Sequence[str], group: bytes) -> bool:
    """In this group (its digest), also what was refused before it got its present id. False: there was nothing."""
    keys = await db.fetch("SELECT DISTINCT COALESCE(keyed, chat) FROM face_refusals WHERE chat = ?", (group,))
    gone = 0
    for person, (key,) in itertools.product(people, keys):
        gone += await db.execute(
            "DELETE FROM face_refusals WHERE chat = ? AND person = ?", (group, _digest(person, key))
        )
    if gone:
        await db.execute(LEAVE_TRACES)
    return gone > 0


def _digest(name: str, group: bytes = b"") -> bytes:
    """A refusal names neither the group nor the person: who knows both finds it, nobody else learns anything."""
    return hashlib.blake2b(name.encode(), digest_size=20, key=group).digest()


async def _memory(db: Statements, person: str) -> int:
    """The number of the memory that this person uses, made when there is none."""
    await db.execute("INSERT INTO owners (id, revision) VALUES (?, 0) ON CONFLICT DO NOTHING", (person,))
    ((number,),) = await db.fetch(f"SELECT {OWNER_OF}", (person,))
    return int(number)


async def _names(db: Statements, owner_no: int, seal: Seal) -> dict[str, str]:
    """What somebody's concepts are called, by the form in which two names are the same."""
    rows = await db.fetch("SELECT name FROM concepts WHERE owner_no = ? ORDER BY id", (owner_no,))
    names = [seal.open_text(name, "name") for (name,) in rows]
    return {fold_name(name): name for name in names}


async def _move(db: Statements, seal: Seal, old: int, new: int, taught_by: str | None = None) -> None:
    """Concepts with their avatars and keys change their owner, all or those that one account taught.

    Both memories get a new revision.
    """
    await db.execute(DEFER_REFERENCES)
    # Taught before anybody was linked: by the account whose memory it was.
    await db.execute(
        "UPDATE concepts SET taught_by = (SELECT id FROM owners WHERE no = owner_no)"
        " WHERE owner_no IN (?, ?) AND taught_by IS NULL",
        (old, new),
    )
    for concept, name, teacher in await db.fetch("SELECT id, name, taught_by FROM concepts WHERE owner_no = ?", (old,)):
        if taught_by not in (None, teacher):
            continue
        await db.execute(
            "UPDATE keys SET owner_no = ?1 WHERE owner_no = ?2"
            " AND avatar_id IN (SELECT id FROM avatars WHERE concept_id = ?3)",
            (new, old, concept),
        )
        await db.execute("UPDATE avatars SET owner_no = ? WHERE concept_id = ?", (new, concept))
        folded = seal.digest(fold_name(seal.open_text(name, "name")), new)
        await db.execute("UPDATE concepts SET owner_no = ?, folded = ? WHERE id = ?", (new, folded, concept))
    # What the last change was is not clear any more for either.
    await db.execute("DELETE FROM journal WHERE owner_no IN (?, ?)", (old, new))
    ((revision,),) = await db.fetch(NEXT_REVISION)
    await db.execute("UPDATE owners SET revision = ? WHERE no IN (?, ?)", (revision, old, new))
