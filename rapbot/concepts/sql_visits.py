"""When people were here last, in the same database as what they taught: the one goes with the other."""

from __future__ import annotations

from rapbot.concepts.sql import LEAVE_TRACES, OWNER_OF, Database
from rapbot.concepts.visits import Visit

_PEOPLE = "SELECT id FROM owners WHERE no = ?1 UNION SELECT id FROM identities WHERE owner_no = ?1 ORDER BY id"
_VISIT = "SELECT owner_no, seen_at, language, warned_at, told FROM visits"
_OWN_MEMORY = "no NOT IN (SELECT no FROM owners JOIN identities USING (id))"
"""Whoever is linked to another account uses that one's memory; their own stands empty."""


class SqlVisits:
    """A `VisitStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def seen(self, person: str, language: str | None, now: float) -> Visit | None:
        before = None
        async with self._database.transaction() as db:
            rows = await db.fetch(f"{_VISIT} WHERE owner_no = {OWNER_OF}", (person,))
            for _no, seen_at, spoken, warned_at, told in rows:
                before = Visit((person,), seen_at, spoken, warned_at, bool(told))
            await db.execute(
                f"INSERT INTO visits (owner_no, seen_at, language) SELECT no, ?2, ?3 FROM owners WHERE no = {OWNER_OF}"
                " ON CONFLICT (owner_no) DO UPDATE SET seen_at = excluded.seen_at, language = excluded.language,"
                " warned_at = NULL, told = 0",
                (person, now, language),
            )
        return before

    async def last(self, before: float, now: float) -> tuple[Visit, ...]:
        async with self._database.transaction() as db:
            await db.execute(
                "INSERT INTO visits (owner_no, seen_at) SELECT no, ? FROM owners"
                f" WHERE no NOT IN (SELECT owner_no FROM visits) AND {_OWN_MEMORY}",
                (now,),
            )
        rows = await self._database.fetch(
            f"{_VISIT} JOIN owners ON no = owner_no WHERE seen_at < ? AND {_OWN_MEMORY} ORDER BY owner_no", (before,)
        )
        visits = []
        for owner_no, seen_at, language, warned_at, told in rows:
            people = tuple(str(row[0]) for row in await self._database.fetch(_PEOPLE, (owner_no,)))
            visits.append(Visit(people, seen_at, language, warned_at, bool(told)))
        return tuple(visits)

    async def warned(self, person: str, now: float, *, told: bool) -> None:
        async with self._database.transaction() as db:
            await db.execute(
                f"UPDATE visits SET warned_at = ?2, told = ?3 WHERE owner_no = {OWNER_OF}", (person, now, int(told))
            )

    async def clear(self) -> None:
        """Nothing expires here (any more): nothing is kept about who was here when."""
        if await self._database.fetch("SELECT 1 FROM visits LIMIT 1"):
            async with self._database.transaction() as db:
                await db.execute("DELETE FROM visits")
                await db.execute(LEAVE_TRACES)
