"""Which encoders made the keys of a store, and which avatars the current one has not seen yet."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from rapbot.concepts.sql import LEAVE_TRACES, NEXT_REVISION, Database, Statements

_STALE = (
    "NOT EXISTS (SELECT 1 FROM keys WHERE keys.owner_no = avatars.owner_no AND keys.avatar_id = avatars.id"
    " AND keys.encoder_no = (SELECT no FROM encoders WHERE name = ?1))"
)


class Place(NamedTuple):
    """Where a walk over all avatars stands; walks go person by person."""

    owner_no: int = 0
    avatar_id: int = 0


@dataclass(frozen=True, slots=True)
class StaleAvatar:
    """An avatar without a key of the current encoder, as it is stored (JPEG)."""

    place: Place
    owner: str
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Pending:
    """How far a change of encoder is. `others` are the encoders whose keys are kept beside the current one's."""

    total: int
    done: int
    others: tuple[str, ...]

    @property
    def under_way(self) -> bool:
        return bool(self.others)


class Served(Database, Protocol):
    """What of a store is used here."""

    @property
    def encoders(self) -> tuple[str, ...]: ...

    def serve_also(self, *encoders: str) -> None: ...


class SqlEncodings:
    """The change of encoder of a store. Each method raises StoreError when the database cannot be used."""

    def __init__(self, database: Served) -> None:
        self._database = database

    @property
    def _current(self) -> str:
        return self._database.encoders[0]

    async def others(self) -> tuple[str, ...]:
        """Encoders other than the current one that have keys here, the one with most keys first."""
        names = [row[0] for row in await self._database.fetch("SELECT name FROM encoders ORDER BY no")]
        others = [str(name) for name in names if name != self._current]
        if len(others) > 1:
            rows = await self._database.fetch(
                "SELECT name, count(*) FROM keys JOIN encoders ON no = encoder_no GROUP BY no"
            )
            counts = dict(map(tuple, rows))
            others.sort(key=lambda name: -counts.get(name, 0))
        return tuple(others)

    async def pending(self) -> Pending:
        """Counts of avatars; looks at every one of them only while a change is under way."""
        others = await self.others()
        ((total,),) = await self._database.fetch("SELECT count(*) FROM avatars")
        stale = 0
        if others:
            ((stale,),) = await self._database.fetch(f"SELECT count(*) FROM avatars WHERE {_STALE}", (self._current,))
        return Pending(total, total - stale, others)

    async def stale(self, after: Place, count: int) -> tuple[StaleAvatar, ...]:
        """Up to `count` avatars behind `after` that the current encoder has not seen, person by person."""
        rows = await self._database.fetch(
            "SELECT avatars.owner_no, avatars.id, owners.id, jpeg FROM avatars JOIN owners ON owners.no = owner_no"
            f" JOIN photos ON photos.avatar_id = avatars.id WHERE (owner_no, avatars.id) > (?2, ?3) AND {_STALE}"
            " ORDER BY owner_no, avatars.id LIMIT ?4",
            (self._current, *after, count),
        )
        seal = self._database.seal
        return tuple(
            StaleAvatar(Place(no, avatar), owner, seal.open_blob(bytes(jpeg), "jpeg"))
            for no, avatar, owner, jpeg in rows
        )

    async def finish(self, unreadable: Collection[int] = ()) -> bool:
        """Delete the keys of all other encoders, for good. False, and nothing is deleted, when avatars beside the
        `unreadable` ones are still to be encoded."""
        async with self._database.transaction(alone=True) as db:
            rows = await db.fetch(f"SELECT id FROM avatars WHERE {_STALE}", (self._current,))
            if any(row[0] not in unreadable for row in rows):
                return False
            others = "SELECT no FROM encoders WHERE name <> ?"
            await db.execute(f"DELETE FROM keys WHERE encoder_no IN ({others})", (self._current,))
            await db.execute("DELETE FROM encoders WHERE name <> ?", (self._current,))
            await db.execute(LEAVE_TRACES)
            await _renew_everybody(db)
        self._database.serve_also()
        return True

    async def serve_current_only(self) -> None:
        """The keys of the other encoders cannot be used here; they stay in the file until all are replaced."""
        async with self._database.transaction() as db:
            await _renew_everybody(db)
            self._database.serve_also()


async def _renew_everybody(db: Statements) -> None:
    """A new revision for every person: whatever was read before is read again."""
    ((revision,),) = await db.fetch(NEXT_REVISION)
    await db.execute("UPDATE owners SET revision = ?", (revision,))
