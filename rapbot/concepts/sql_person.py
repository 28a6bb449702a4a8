"""Everything that the database holds about one person, row by row as it is kept, but readable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from rapbot.concepts.kept import MEMORY, Kind
from rapbot.concepts.sealing import Seal

Row = dict[str, Any]
Fetch = Callable[[str, Sequence[Any]], Awaitable[list[Sequence[Any]]]]

NOBODYS = frozenset({Kind.GROUP, Kind.DONE, Kind.PROGRAM})
"""Kinds that are about no person in particular."""

_MINE = "owner_no = ?1"
_PEOPLE = "SELECT id FROM owners WHERE no = ?1 UNION SELECT id FROM identities WHERE owner_no = ?1"
_AVATARS = "avatar_id IN (SELECT id FROM avatars WHERE owner_no = ?1)"
WHOSE = {
    "owners": f"id IN ({_PEOPLE})",
    "identities": _MINE,
    "link_codes": f"person IN ({_PEOPLE})",
    "concepts": _MINE,
    "journal": _MINE,
    "avatars": _MINE,
    "photos": _AVATARS,
    "keys": _MINE,
    "faces": _AVATARS,
    "shares": f"person IN ({_PEOPLE}) OR concept_id IN (SELECT id FROM concepts WHERE owner_no = ?1)",
    "visits": f"owner_no IN (SELECT no FROM owners WHERE id IN ({_PEOPLE}))",
}
"""Which rows of a table are about the owner of a number. Refusals name nobody: who asks for theirs has to find them."""


async def rows_about(fetch: Fetch, owner_no: int | None, seal: Seal) -> dict[str, list[Row]]:
    """By table. Raises StoreError, StoreCorrupt."""
    return {
        table: [
            _readable(table, names, row, seal) for row in await fetch(f"{_select(table, names)} {where}", (owner_no,))
        ]
        for table, where in WHOSE.items()
        for names in (tuple(MEMORY[table]),)
    }


def _select(table: str, names: Sequence[str]) -> str:
    return f"SELECT {', '.join(names)} FROM {table} WHERE"


def _readable(table: str, names: Sequence[str], row: Sequence[Any], seal: Seal) -> Row:
    readable: Row = {}
    for name, cell in zip(names, row, strict=True):
        sealed = MEMORY[table][name].sealed
        if sealed in ("", "folded") or cell is None:
            readable[name] = cell
        else:
            readable[name] = seal.open_text(cell, sealed) if isinstance(cell, str) else seal.open_blob(cell, sealed)
    return readable
