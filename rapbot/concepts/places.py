"""The seam of what is kept beside concepts: what is shared with which group, how a group is set, linked accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class SharedConcept:
    """One concept that `person` (as in `Actor.id`) shares with a group, under the name they had there then."""

    concept_id: int
    person: str
    person_name: str


class PlaceStore(Protocol):
    """Each method raises StoreError when the database cannot be used. Chats and people are ids of messages.py."""

    async def shares(self, chat: str) -> tuple[SharedConcept, ...]:
        """Everything that is shared with this group, in order of concept ids."""
        ...

    async def shared_by(self, person: str) -> tuple[tuple[str, SharedConcept], ...]:
        """(chat, share) for every group, of this person and all linked accounts."""
        ...

    async def share(self, chat: str, shared: SharedConcept) -> None:
        """Idempotent. Raises Gone when the concept is not there (any more) or belongs to somebody else."""
        ...

    async def unshare(self, chat: str, person: str, concept_id: int | None = None) -> tuple[int, ...]:
        """Take one concept of this person, or all, out of the group; the ids that were shared until now."""
        ...

    async def close_chat(self, chat: str) -> None:
        """Nothing is kept about this group any more."""
        ...

    async def known_chats(self, platform: str) -> tuple[str, ...]:
        """Every group of this platform ("telegram") of which something is kept."""
        ...

    async def served_by(self, platform: str, bot: int | None = None) -> int | None:
        """The bot that the groups of this platform know; with `bot` it is that one from now on."""
        ...

    async def move_chat(self, old: str, new: str) -> None: ...

    async def photo_mode(self, chat: str) -> str | None: ...

    async def set_photo_mode(self, chat: str, mode: str) -> None: ...

    async def unwanted_faces(self, chat: str) -> tuple[bytes, ...]:
        """Face keys (float32[F]) of those who do not want to be recognised in this group."""
        ...

    async def refuse_face(self, chat: str, person: str, key: bytes, *, known: bool = True) -> None:
        """`person` does not want this face to be recognised here; a new refusal takes the place of an older one.

        `known`: the group is one of `known_chats` from now on, so that the refusal goes when the bot does.
        """
        ...

    async def withdraw_refusal(self, chat: str, person: str) -> bool:
        """False when there was none."""
        ...

    async def refused_faces(self, person: str) -> tuple[tuple[str, bytes], ...]:
        """(group, face key) of what this person refused; the group is a hash (hex), its id is kept nowhere."""
        ...

    async def about(self, person: str) -> dict[str, list[dict[str, Any]]]:
        """Everything that is kept about this person and all linked accounts: rows by table, as they are, readable."""
        ...

    async def identities(self, person: str) -> tuple[str, ...]:
        """All accounts that share one memory with this one, itself included."""
        ...

    async def offer_link(self, person: str, digest: bytes, expires_at: float) -> None:
        """Keep the digest of a code until `expires_at` (seconds since 1970); an older code of this person is void."""
        ...

    async def link(self, person: str, digest: bytes, now: float) -> str:
        """Give `person` the memory of whoever offered this code, and that memory what `person` taught.

        Returns the id of the one who offered it. Raises ConceptError when there is no such code (any more), for one's
        own code, or when both know something of the same name. The code is used up.
        """
        ...

    async def unlink(self, person: str) -> bool:
        """Everybody gets back what they taught themselves; False when nothing was linked."""
        ...
