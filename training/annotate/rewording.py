"""Captions by people, with names put in: "A small dog sleeps on a couch." becomes "<bo> sleeps on a couch."

Only where that is sure: the word names the thing, and no other thing on the photo could be meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rapbot.inference.wording import mark
from training.annotate.notes import Seen

_PEOPLE = (
    "person man woman boy girl guy lady child kid toddler baby player skier surfer skateboarder snowboarder batter "
    "pitcher catcher rider chef cook gentleman worker"
).split()
_OTHER_WORDS = {
    "person": _PEOPLE,
    "dog": ["dog", "puppy"],
    "cat": ["cat", "kitten", "kitty"],
    "couch": ["couch", "sofa"],
    "tv": ["tv", "television"],
    "airplane": ["airplane", "plane", "jet"],
    "bicycle": ["bicycle", "bike"],
    "motorcycle": ["motorcycle", "motorbike"],
    "cell phone": ["cell phone", "phone", "cellphone"],
    "potted plant": ["potted plant", "plant"],
    "dining table": ["dining table", "table"],
    "teddy bear": ["teddy bear", "stuffed bear", "teddy"],
}
_DESCRIBING = (
    "small little big large tiny huge tall short long old young older younger elderly adult cute beautiful pretty nice "
    "adorable fluffy furry shaggy black white grey gray brown red blue green yellow orange pink purple tan golden dark "
    "light blond blonde striped spotted wooden plastic metal colorful stuffed wet dirty clean modern antique double "
    "single male female asian bearded happy sleeping smiling and"
).split()
_ARTICLE = r"(?:a|an|the|one|his|her|their|this)"


def with_names(caption: str, things: Sequence[Seen], others: Sequence[Seen]) -> str | None:
    """The caption as one sentence that names all of `things`; None where that is not sure for each of them."""
    said = " ".join(caption.split()).rstrip(" .")
    said = said.lower() if said.isupper() else said
    kinds = [thing.category for thing in (*things, *others)]
    for thing in things:
        words = _OTHER_WORDS.get(thing.category, [thing.category])
        if not thing.category or kinds.count(thing.category) != 1:
            return None
        nouns = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
        # Not "a dog house" or "a man's hat": what follows must not make another thing of it.
        whole = rf"\b{_ARTICLE}\s+(?:(?:{'|'.join(_DESCRIBING)}),?\s+)*(?:{nouns})\b(?!['’-])(?!\s+(?:{_NOUNS})\b)"
        found = list(re.finditer(whole, said, re.IGNORECASE))
        spoken = re.findall(rf"\b(?:{nouns})(?:s|es)?\b", said, re.IGNORECASE)
        if len(found) != 1 or len(spoken) != 1:
            return None
        said = said[: found[0].start()] + mark(thing.name) + said[found[0].end() :]
    return said[:1].upper() + said[1:] + "." if said else None


_NOUNS = (
    "house|bed|food|bowl|park|toy|collar|leash|show|stand|seat|board|top|cloth|bag|box|case|pot|tree|farm|race|"
    "track|station|stop|road|lane|door|window|frame|picture|statue|figure|figurine|print|costume|head"
)
