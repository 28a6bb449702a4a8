"""Who may do what where: the one table that commands, messages and buttons of every platform are checked against.

What belongs to a person is a matter of the store, which is only ever asked for one owner's rows (visibility.py); this
table is about who gets an answer at all, and who decides about a group.

Other bots get none: the adapters read only people. The owner's commands (backups, import, configuration) are those of
the program at its machine; no chat has them, so nobody can become the owner by writing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rapbot.messages import Actor, Chat, ChatKind


class Role(StrEnum):
    """What somebody is in a chat, for rapbot."""

    ADMIN = "admin"
    """Administers the group, as the platform said at the time of use."""
    MEMBER = "member"
    """Anybody else who is let in."""
    GUEST = "guest"
    """Not on the list of those who are let in, where there is one."""
    BLOCKED = "blocked"


MESSAGE = "message"
"""A photo or a free text, in the place of a command."""
UNKNOWN = "unknown"
"""A command or button that does not exist: it gets the sentence that says so."""

_OWN = frozenset(
    "remember addphoto caption describe find ask concepts show edit forget face undo link unlink help start".split()
)
_RIGHTS = frozenset({"privacy", "mydata", "forgetme", "erase!", "keep"})
"""What everybody may do about their own data, whoever does not want to talk to them otherwise."""
_BUTTONS = frozenset("why wrong part right undo page show forget forget! edit field face noface".split())
_OF_GROUP = frozenset({"share", "unshare", "dontrecognise"})
_OF_ADMIN = frozenset({"settings", "mode"})
_HERE = frozenset({MESSAGE, UNKNOWN}) | _OWN | _RIGHTS | _BUTTONS

POLICY: dict[tuple[Role, ChatKind], frozenset[str]] = {
    (Role.ADMIN, ChatKind.GROUP): _HERE | _OF_GROUP | _OF_ADMIN,
    (Role.ADMIN, ChatKind.PRIVATE): _HERE,
    (Role.MEMBER, ChatKind.GROUP): _HERE | _OF_GROUP,
    (Role.MEMBER, ChatKind.PRIVATE): _HERE,
    (Role.GUEST, ChatKind.GROUP): frozenset(),
    (Role.GUEST, ChatKind.PRIVATE): _RIGHTS,
    (Role.BLOCKED, ChatKind.GROUP): frozenset(),
    (Role.BLOCKED, ChatKind.PRIVATE): _RIGHTS,
}


@dataclass(frozen=True, slots=True)
class Access:
    """Whom the configuration lets in. Ids as in `Actor.id` and `Chat.id` ("telegram:12345")."""

    allow: frozenset[str] = frozenset()
    """People and groups; none: everybody."""
    block: frozenset[str] = frozenset()

    def role(self, actor: Actor, chat: Chat, *, admin: bool = False) -> Role:
        """Blocking a group shuts everybody out there; who is blocked is so everywhere, also in an allowed group."""
        if self.block & {actor.id, chat.id}:
            return Role.BLOCKED
        if self.allow and not self.allow & {actor.id, chat.id}:
            return Role.GUEST
        return Role.ADMIN if admin else Role.MEMBER


def may(role: Role, kind: ChatKind, what: str) -> bool:
    """Whether `what` (a command without slash, a button's kind, MESSAGE) is for them there."""
    return what in POLICY[role, kind]
