"""Everything that is kept on disk, column by column, and what it is: the one place that `/privacy`, `/mydata` and the
encryption go by. A column that is not classified here fails a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rapbot.i18n import mark


class Kind(StrEnum):
    """What a column tells about people."""

    CARD = "card"
    """What somebody wrote about a thing, and how that was before the last change."""
    PHOTO = "photo"
    """The photos it was taught with, and where in them it was."""
    KEY = "key"
    """Numbers computed from the photos, to recognise it."""
    FACE = "face"
    """Numbers computed from the face of somebody who agreed."""
    SHARE = "share"
    """What is shared with which group, under which name."""
    REFUSAL = "refusal"
    """A face that groups may not name."""
    ACCOUNT = "account"
    """Who somebody is on their platform, and which accounts are one person's."""
    VISIT = "visit"
    """When somebody was here last, and their language: only where data expire."""
    GROUP = "group"
    """How a group is set: nobody's in particular."""
    WAITING = "waiting"
    """Messages that are not answered yet."""
    DONE = "done"
    """Digests of messages that were answered, and of their chats: they name nobody."""
    PROGRAM = "program"
    """The program's own bookkeeping: tells nothing about anybody."""


SAYS: dict[Kind, str] = {
    Kind.CARD: mark(
        "of everything you teach me: its name, its kind, what you wrote about it (also how that was before your last"
        " change), what a model noted to tell it from others, when that was and from which account"
    ),
    Kind.PHOTO: mark(
        "the photos you taught it with (scaled down, without place or camera data), and where in the photo it was"
    ),
    Kind.KEY: mark("numbers computed from these photos, to recognise it"),
    Kind.FACE: mark("of people who agreed: numbers computed from their face, and when they agreed"),
    Kind.SHARE: mark("what you share: with which group, and your display name there"),
    Kind.REFUSAL: mark(
        "if you said /dontrecognise me: numbers computed from your face, for that group alone, until you take it back"
        " or I am removed from the group"
    ),
    Kind.ACCOUNT: mark("the id of your account; which accounts you linked, and for ten minutes a code to link one"),
    Kind.VISIT: mark("when you wrote to me last, and your language"),
    Kind.GROUP: mark("of a group: its id, and which photos I caption there"),
    Kind.WAITING: mark(
        "your messages (not their photos) until they are answered, at most {hours:.0f} hours; a second later they are"
        " wiped"
    ),
    Kind.DONE: mark("of answered messages a digest that names nobody, so that none is answered twice"),
}
"""What `/privacy` says about each kind, in the order in which it says it."""


SAYS_OF_POSTGRES: dict[Kind, str] = {
    Kind.WAITING: mark("your messages (not their photos) until they are answered, at most {hours:.0f} hours"),
}
"""What it says instead where everything is in a PostgreSQL database, which wipes nothing by itself."""


@dataclass(frozen=True, slots=True)
class Column:
    """`sealed`: the kind of cell as the encryption knows it; empty: never encrypted."""

    kind: Kind
    sealed: str = ""


def _all(kind: Kind, *names: str, **sealed: str) -> dict[str, Column]:
    return {name: Column(kind) for name in names} | {name: Column(kind, what) for name, what in sealed.items()}


MEMORY: dict[str, dict[str, Column]] = {
    "owners": _all(Kind.ACCOUNT, "id") | _all(Kind.PROGRAM, "no", "revision"),
    "identities": _all(Kind.ACCOUNT, "id", "owner_no"),
    "link_codes": _all(Kind.ACCOUNT, "digest", "person", "expires_at"),
    "concepts": _all(
        *(Kind.CARD, "created_at", "updated_at", "taught_by"),
        name="name",
        folded="folded",
        category="category",
        info="info",
        traits="traits",
    )
    | _all(Kind.PROGRAM, "id", "owner_no"),
    "journal": _all(Kind.CARD, "kind", "updated_at", name="name", category="category", info="info")
    | _all(Kind.PROGRAM, "owner_no", "concept_id", "avatar_id", "also_avatar_id"),
    "avatars": _all(Kind.PHOTO, "role", "box_left", "box_top", "box_right", "box_bottom", "created_at")
    | _all(Kind.PROGRAM, "id", "owner_no", "concept_id", "encoder"),
    "photos": _all(Kind.PHOTO, jpeg="jpeg") | _all(Kind.PROGRAM, "avatar_id"),
    "keys": _all(Kind.KEY, key="key") | _all(Kind.PROGRAM, "owner_no", "avatar_id", "encoder_no"),
    "encoders": _all(Kind.PROGRAM, "no", "name"),
    "faces": _all(Kind.FACE, "agreed_at", key="face") | _all(Kind.PROGRAM, "avatar_id"),
    "shares": _all(Kind.SHARE, "chat", "person", person_name="person_name") | _all(Kind.PROGRAM, "concept_id"),
    "face_refusals": _all(Kind.REFUSAL, "chat", "person", "keyed", key="face"),
    "chats": _all(Kind.GROUP, "id", "photos"),
    "visits": _all(Kind.VISIT, "seen_at", "language", "warned_at", "told") | _all(Kind.PROGRAM, "owner_no"),
    "applied": _all(Kind.DONE, "work", "concept_id", "at"),
    "counters": _all(Kind.PROGRAM, "name", "value"),
    "migrations": _all(Kind.PROGRAM, "name", "applied_at"),
    "sealing": _all(Kind.PROGRAM, "key_id"),
}
"""The database (`Settings.database`), by table."""

INBOX: dict[str, dict[str, Column]] = {
    "inbox": _all(
        *(Kind.WAITING, "platform", "key", "question", "person", "work", "received_at", "expires_at", "attempts"),
        content="content",
        answer="answer",
    )
    | _all(Kind.PROGRAM, "no"),
    "answered": _all(Kind.DONE, "no", "digest"),
    "sealing": _all(Kind.PROGRAM, "key_id"),
}
"""The inbox (`Settings.inbox_file`), by table."""

SHARED_INBOX: dict[str, dict[str, Column]] = {
    "inbox": INBOX["inbox"] | _all(Kind.DONE, "lane") | _all(Kind.PROGRAM, "taken_by"),
    "answered": INBOX["answered"],
    "inbox_lanes": _all(Kind.DONE, "lane", "used_at")
    | _all(Kind.GROUP, "server")
    | _all(Kind.PROGRAM, "platform", "holder"),
    "inbox_processes": _all(Kind.PROGRAM, "no", "pid", "seen_at"),
}
"""The same in the PostgreSQL database, where several processes answer: `lane` is the digest of a chat."""
