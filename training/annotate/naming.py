"""Names for things that nobody named: fitting, and each once."""

from __future__ import annotations

import random
import re
from collections.abc import Set

from rapbot.concepts.concept import fold_name
from training.pocket.grammar import TRAIN, names

_PETS = frozenset(
    "dog cat bird horse cow sheep rabbit hamster bear lion tiger elephant zebra giraffe fox squirrel monkey turtle "
    "lizard snake puppy kitten panda".split()
)
_PEOPLE = frozenset("person man woman boy girl child baby".split())


def name_for(category: str, dice: random.Random) -> str:
    """A name that suits a thing of that category, and says of no other one: never "blue_mug" for a banana."""
    words = set(category.lower().split())
    if words & _PEOPLE:
        return dice.choice(names("person", TRAIN))
    pets = names("pet", TRAIN)
    if words & _PETS:
        return dice.choice(pets)
    return dice.choice([name for name in (*pets, *names("thing", TRAIN)) if re.fullmatch(r"[A-Z][a-zé]+", name)])


def unused(name: str, taken: Set[str]) -> str:
    """`name`, or with a number where it is taken. `taken`: folded names (concepts.fold_name)."""
    bare = " ".join(name.replace("<", " ").replace(">", " ").split()) or "it"
    if fold_name(bare) not in taken:
        return bare
    number = 2
    while fold_name(f"{bare}_{number}") in taken:
        number += 1
    return f"{bare}_{number}"
