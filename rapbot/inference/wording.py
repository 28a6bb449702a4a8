"""Sentences that are put together, not generated: places, lists, articles, and the answers whose form is fixed.

Names are marked <Name> as everywhere in `Answer.text`.
"""

from __future__ import annotations

from collections.abc import Sequence

from rapbot.inference.job import Card
from rapbot.inference.vocabulary import words
from rapbot.messages import Box, Sighting

_PLURALS = words(
    "sunglasses glasses pants tights pajamas berries tools toys ruins bookshelves shorts jeans scissors binoculars"
    " headphones trousers gloves shoes boots sneakers socks slippers sandals keys earrings clothes flowers"
    " skates skis trainers leggings overalls mittens earphones earbuds heels"
)
_MASSES = words(
    "bread corn coffee food makeup hay pasta soup dough honeycomb coral cloth rope armor water grass snow sand wood"
    " paper fruit jewelry pottery furniture rice cheese meat"
)
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_VOWEL_SOUNDS = ("hour", "honest", "heir")
_CONSONANT_SOUNDS = ("uni", "use", "usu", "eu", "one", "once", "ukulele", "ute", "uti")


def mark(name: str) -> str:
    return f"<{name}>"


def possessive(name: str) -> str:
    return f"<{name}>'s"


def is_plural(word: str) -> bool:
    """Whether a thing called `word` takes "are": sunglasses, pants."""
    last = word.split()[-1].casefold() if word.split() else ""
    return last in _PLURALS


def with_article(phrase: str) -> str:
    """ "couch" -> "a couch", "apple" -> "an apple", "sunglasses" stays, "bread" -> "some bread"."""
    parts = phrase.split()
    if not parts or parts[0].casefold() in {"a", "an", "the", "some"} or is_plural(phrase):
        return phrase
    if parts[-1].casefold() in _MASSES:
        return f"some {phrase}"
    return f"{article(parts[0])} {phrase}"


def article(word: str) -> str:
    """ "a" or "an", by sound."""
    start = word.casefold()
    if start.startswith(_CONSONANT_SOUNDS):
        return "a"
    return "an" if start.startswith(("a", "e", "i", "o", "u", *_VOWEL_SOUNDS)) else "a"


def listed(items: Sequence[str], joiner: str = "and") -> str:
    """ "a", "a and b", "a, b and c"."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {joiner} {items[-1]}"


def place(box: Box) -> str:
    """Where a box is: "on the left", "in the lower right", "in the middle"."""
    across, down = _thirds(box)
    if across == "middle" and down == "middle":
        return "in the middle"
    if down == "middle":
        return f"on the {across}"
    if across == "middle":
        return "at the top" if down == "upper" else "at the bottom"
    return f"in the {down} {across}"


def side(box: Box) -> str:
    """ "on the left", "on the right" or "": as much as a window around a part of a thing tells for sure."""
    across = (box.left + box.right) / 2
    return "on the left" if across < 0.35 else "on the right" if across > 0.65 else ""


def place_word(box: Box) -> str:
    """The same, short, for brackets: "left", "lower right", "middle"."""
    return place(box).split(" the ", 1)[1]


def _thirds(box: Box) -> tuple[str, str]:
    across, down = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    column = "left" if across < 0.4 else "right" if across > 0.6 else "middle"
    row = "upper" if down < 0.36 else "lower" if down > 0.66 else "middle"
    return column, row


def fills(box: Box) -> bool:
    """Whether a box is most of the picture, so that saying where it is would be silly."""
    return box.area > 0.5


def recognised(card: Card, sighting: Sighting | None) -> str:
    """The answer to "is it in this photo?"."""
    if sighting is None:
        return f"No, I don't see {mark(card.name)} in this photo."
    where = "" if fills(sighting.box) else f", {place(sighting.box)}"
    return f"Yes, {mark(card.name)} {_be(card)} in this photo{where}."


def located(card: Card, sighting: Sighting | None) -> str:
    """The answer to "where is it?"."""
    if sighting is None:
        return f"I don't see {mark(card.name)} in this photo."
    where = "fills most of the photo" if fills(sighting.box) else f"{_be(card)} {place(sighting.box)} of the photo"
    return f"{mark(card.name)} {where}."


def strangers(count: int) -> str:
    """Faces that belong to nobody known: "a person I don't know", "three people I don't know"."""
    if count == 1:
        return "a person I don't know"
    return f"{_NUMBERS[count] if count < len(_NUMBERS) else count} people I don't know"


def found(sightings: Sequence[Sighting], unknown: int = 0) -> str:
    """The answer to "who is in this photo?": everybody, from left to right; `unknown`: how many faces beside them."""
    if not sightings and unknown:
        return f"I see {strangers(unknown)}."
    if not sightings:
        return "I don't see anyone or anything that you taught me in this photo."
    across = sorted(sightings, key=lambda sighting: sighting.box.left + sighting.box.right)
    if len(across) == 1 and not unknown:
        only = across[0]
        return f"I see {mark(only.name)}{'' if fills(only.box) else ' ' + place(only.box)}."
    named = [f"{mark(one.name)} ({place_word(one.box)})" for one in across]
    return f"I see {listed([*named, *([strangers(unknown)] if unknown else [])])}."


def _be(card: Card) -> str:
    return "are" if is_plural(card.category) else "is"


def sentence(text: str) -> str:
    """With a capital at the start and a full stop at the end."""
    text = text.strip()
    if not text:
        return ""
    text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
