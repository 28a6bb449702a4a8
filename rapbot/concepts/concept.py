"""Concept and Avatar: what a person taught, and the rules it obeys. Source: DESIGN, "Concepts"."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from rapbot.config import LimitSettings
from rapbot.errors import ConceptError
from rapbot.i18n import _
from rapbot.messages import Box

Key = npt.NDArray[np.float32]
"""float32[D], L2-normalised feature of one avatar, made by one named encoder."""


@dataclass(frozen=True, slots=True)
class ConceptLimits:
    """Lengths in characters, counts per person; the configuration can change them."""

    name: int = 32
    category: int = 32
    info: int = 500
    avatars: int = 8
    concepts: int = 500
    counterexamples: int = 32
    """Per concept; the oldest make room for new ones."""

    @classmethod
    def of(cls, limits: LimitSettings) -> ConceptLimits:
        """The limits of the configuration."""
        return cls(
            limits.name_characters,
            limits.category_characters,
            limits.info_characters,
            limits.avatars_per_concept,
            limits.concepts_per_person,
        )


class Role(StrEnum):
    AVATAR = "avatar"
    COUNTEREXAMPLE = "counterexample"
    """A region the person marked as *not* this concept: it never matches again."""


@dataclass(frozen=True, slots=True)
class Avatar:
    """One stored picture of a concept (the JPEG stays in the store until somebody asks for it).

    `box` is where it was cut out of the photo it came from, in fractions of that photo; `encoder` made its newest key.
    """

    id: int
    concept_id: int
    role: Role
    encoder: str
    box: Box
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Concept:
    """One card: a name, a kind of thing, what the person said about it, and its avatars."""

    id: int
    owner: str
    name: str
    category: str
    info: str
    created_at: datetime
    updated_at: datetime
    avatars: tuple[Avatar, ...] = ()
    traits: str = ""
    """What tells it from others of its kind, as a model that sees wrote it down; people are not described."""


@dataclass(frozen=True, slots=True)
class NewAvatar:
    """A picture ready to be stored: JPEG without any EXIF, and the key that `encoder` made of it."""

    jpeg: bytes
    key: Key
    encoder: str
    box: Box
    face: Key | None = None
    """float32[F] of the face it shows; stored only for a concept whose recognition was agreed to."""
    other_keys: tuple[tuple[str, Key], ...] = ()
    """(encoder, key) of other encoders; stored only while a change of encoder is under way."""


_FORBIDDEN = frozenset('<>\\`|"')
_ADDRESS = re.compile(r"\w:/|\bwww\.|\w\.\w+/|\b(?:javascript|data|mailto|tel|tg):\S", re.I)
_SIGILS = frozenset("/@#:")
"""Chats make commands, mentions and links of them."""
_INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cs"})
_EMOJI_GLUE = "\u200d\ufe0f"


def clean_name(name: str, limits: ConceptLimits) -> str:
    """The name as it is stored: NFC, single spaces, no brackets around it.

    Raises ConceptError when it is empty, too long or holds control characters or < > \\ ` | ".
    """
    text = unicodedata.normalize("NFC", " ".join(name.split())).strip("<> ")
    if not any(unicodedata.category(c)[0] in "LNS" for c in text):
        raise ConceptError(_("A name needs at least one letter, digit or symbol."))
    if len(text) > limits.name:
        raise ConceptError(
            _("That name has {count} characters; the limit is {limit}.").format(count=len(text), limit=limits.name)
        )
    hidden = (c for c in text if unicodedata.category(c) in _INVISIBLE and c not in _EMOJI_GLUE)
    if not _FORBIDDEN.isdisjoint(text) or any(hidden):
        raise ConceptError(_('A name cannot hold the characters < > \\ ` | " or invisible ones.'))
    alike = unicodedata.normalize("NFKC", text)  # "＠" looks like "@"
    if alike.startswith(("/", "@", "#")):
        raise ConceptError(_("A name cannot start with / @ or #."))
    if _ADDRESS.search(text) or _ADDRESS.search(alike):
        raise ConceptError(_("A name cannot be an address on the internet."))
    return text


def shown_name(display_name: str, most: int = 24) -> str:
    """A person's display name as it may stand before a concept's: "Anna's Lala". People choose them; trust none."""
    text = unicodedata.normalize("NFC", " ".join(display_name.split()))
    unwanted = _FORBIDDEN | _SIGILS
    kept = "".join(
        c
        for c in text
        if unwanted.isdisjoint(c + unicodedata.normalize("NFKC", c)) and unicodedata.category(c) not in _INVISIBLE
    )
    return kept[:most].strip() or "Somebody"


def clean_text(text: str, limit: int, what: str) -> str:
    """`text` in NFC with single spaces and no control characters.

    Raises ConceptError over `limit` characters.
    """
    return _within(_plain(text), limit, what)


def clean_lines(text: str, limit: int, what: str) -> str:
    """The same line by line: people write one thing a line, without full stops. Empty lines go."""
    return _within("\n".join(filter(None, map(_plain, text.splitlines()))), limit, what)


def _plain(text: str) -> str:
    visible = "".join(c if unicodedata.category(c) not in {"Cc", "Cs", "Co"} else " " for c in text)
    return unicodedata.normalize("NFC", " ".join(visible.split()))


def _within(cleaned: str, limit: int, what: str) -> str:
    if len(cleaned) > limit:
        raise ConceptError(
            _("The {what} has {count} characters; the limit is {limit}.").format(
                what=_(what), count=len(cleaned), limit=limit
            )
        )
    return cleaned


def fold_name(name: str) -> str:
    """The form in which two names are the same: case, width, and what stands between words do not count.

    As in texts, where "backpack dog", "backpack-dog" and "backpack_dog" mean one thing.
    """
    return " ".join(re.sub(r"[_\-‐‑–]", " ", unicodedata.normalize("NFKC", name)).casefold().split())
