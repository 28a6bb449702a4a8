"""The seam of when people were here last: written only where data expire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody's last one. Times are seconds since 1970, UTC."""

    people: tuple[str, ...]
    """All accounts of one memory, ids as in `Actor.id`."""
    seen_at: float
    language: str | None = None
    warned_at: float | None = None
    """When they were told that what they taught expires, or that was tried."""
    told: bool = False
    """It reached them."""


class VisitStore(Protocol):
    """Each method raises StoreError when the database cannot be used."""

    async def seen(self, person: str, language: str | None, now: float) -> Visit | None:
        """Note that this person is here; the visit before. Of somebody who taught nothing, nothing is noted (None)."""
        ...

    async def last(self, before: float, now: float) -> tuple[Visit, ...]:
        """The visits of all who were not here since `before`. Who has none yet is taken to be here `now`."""
        ...

    async def warned(self, person: str, now: float, *, told: bool) -> None: ...
