"""Whom a text means without a name: "my dog", "the red mug", "which of my sisters"."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence, Set
from typing import NamedTuple

from rapbot.concepts.category import is_person as is_somebody
from rapbot.inference.asking import LONGEST_ASIDE
from rapbot.inference.job import Card
from rapbot.inference.kinds import is_animal, is_person, more_general, same, wider
from rapbot.inference.kinds import is_kind as is_listed
from rapbot.inference.verbs import FINITE
from rapbot.inference.vocabulary import words

_DETERMINED = re.compile(
    r"\b(?P<whose>(?:my|our|the|your|this|that|these|those|which|what|whose|any|all|both|each|every|many|no"
    r"|other|(?!(?:who|what|where|when|how|it|that|here|there|let|he|she)['’])[^\W\d_][\w-]*['’]s?)\s+)(?:(?:of\s+)?(?:my|our|the|your|these|those)\s+)?"
    r"(?=(?P<words>[^\W_][\w'’-]*(?:[ ,]+[^\W_][\w'’-]*){0,3}))",
    re.IGNORECASE,
)
_BARE = re.compile(r"(?P<whose>)\b(?=(?P<words>[^\W\d_]\w+(?:['’]s)?))")
_NO_ADJECTIVE = words(
    "is are was were am be been do does did has have had can could will would shall should may might must not of in on"
    " at to for from with by about as and or but if so than that this these those who which what where when why how he"
    " she it they you i we me him her them us my our your his its their a an the eat eats eating like likes love loves"
    " name names called there here get gets got go goes come comes know knows"
)
_ONE = {
    "children": "child", "people": "person", "mice": "mouse", "women": "woman", "men": "man", "geese": "goose",
    "knives": "knife", "wolves": "wolf", "feet": "foot", "wives": "wife", "leaves": "leaf", "shelves": "shelf",
}  # fmt: skip
_EVERYONE = words("person people")
_PETS = words("pet animal")
_THINGS = words("thing stuff item object belonging possession")
_FAMILY = words(
    "mother mum mom mama father dad papa sister brother grandma grandmother granny gran nana nan oma grandpa"
    " grandfather opa granddad grandad aunt auntie uncle cousin wife husband boyfriend girlfriend son daughter"
)
"""Kin that people speak of without "my"."""


_LONGEST_KIND = 4
"""Words, with its adjectives."""
_YOUNG = words("puppy pup kitten kitty baby")
"""Of several dogs the puppy is one; of one dog the dog itself is."""
_ARTICLES = words("a an my our the his her their")
_NO_KIND = words("one thing bit lot old young little big new own same other")
_TELLS_MORE = re.compile(
    r",|:|\s(?:who|which|that|with|from|in|on|of|for|and|is|was|are|has|had|loves|likes|hates|eats|lives|he|she|it|they)\s"
)


_KIN = re.compile(
    r"^(?:(?:grand|step|god)?(?:mother|father|son|daughter|child|parent)s?|friend|neighbou?r|boss|teacher|colleague|nephew"
    r"|niece|twin|partner|flatmate|roommate|classmate|teammate|coach|trainer|student|doctor|dentist|vet|nurse|baby)$"
)
_DOER = re.compile(
    r"\w{2}(?:[^f]er|or|ist|cian|man|woman|member|president|hand|assistant|student|apprentice|nephew|volunteer)$"
)
"""What is most likely somebody, of words that name no known thing."""


class Phrase(NamedTuple):
    """Where a text speaks of a kind, and which cards are of it."""

    start: int
    end: int
    ids: tuple[int, ...]


def kindred(text: str, cards: Sequence[Card]) -> Phrase | None:
    """The first words of `text` that name a kind of some card; of several cards, those that its other words fit too."""
    text = text[:LONGEST_ASIDE]
    spoken = [*_DETERMINED.finditer(text), *_family(text)]
    if not spoken:
        return None
    known = _Cards(cards)
    for owners in (False, True):  # "my sister's dog" is the dog, "my sister's birthday" the sister
        for called in (known.called, known.perhaps_called, known.calling_themselves):
            for found in spoken:
                if phrase := _phrase(found, called, owners=owners):
                    return phrase
    return None


def is_called(kind: str, category: str) -> bool:
    """Whether people call a thing of this category so: "dogs" of a corgi, "pets", "grandchildren"."""
    forms = _singulars(kind.casefold())
    if any(one in _PETS for one in forms):
        return is_animal(category)
    if any(one in _EVERYONE for one in forms):
        return is_human(category)
    known = _kinds(category.casefold())
    return any(
        one in known or any(one == wider(other) or (one not in _YOUNG and same(one, other)) for other in known)
        for one in forms
    )


def is_human(category: str) -> bool:
    """Whether it is somebody, by the kind that was noted."""
    last = (category.casefold().split("-")[-1].split() or [""])[-1]
    known = is_person(last) or last in _FAMILY or is_somebody(last) or _KIN.search(last)
    return bool(known or (_DOER.search(last) and not is_listed(last)))


def everything(kind: str) -> bool:
    """Whether a word names whatever there is: "things"."""
    return any(one in _THINGS for one in _singulars(kind.casefold()))


def is_kind(word: str) -> bool:
    """Whether a word names some kind of thing, known or not."""
    return any(one in _PETS | _EVERYONE | _FAMILY or is_listed(one) for one in _singulars(word.casefold()))


def kind_named(info: str) -> str:
    """The kind that a text without an article begins with: "Rose-gold sunglasses with pink lenses" -> "sunglasses"."""
    first = _TELLS_MORE.split(f"{re.split('[.;!?]', info.strip(), maxsplit=1)[0]} ", maxsplit=1)[0].casefold().split()
    known = len(first) <= _LONGEST_KIND and not FINITE.intersection(first) and bool(first) and is_listed(first[-1])
    return first[-1] if known else ""


def is_person_kind(word: str) -> bool:
    """Whether it names somebody: "men", "kids"."""
    return any(one in _EVERYONE | _FAMILY or is_human(one) for one in _singulars(word.casefold()))


class _Cards:
    """Cards by what they may be called. Of thousands many are of one category: that is looked at once."""

    def __init__(self, cards: Sequence[Card]) -> None:
        self._cards = cards
        self._categories = frozenset(card.category for card in cards)
        self._own_words: dict[str, list[Card]] | None = None
        self._called: dict[str, list[Card]] = {}

    def called(self, kind: str) -> list[Card]:
        if kind not in self._called:
            self._called[kind] = self._of({one for one in self._categories if is_called(kind, one)})
        return self._called[kind]

    def perhaps_called(self, kind: str) -> list[Card]:
        """By a word for a young one: "puppy" of a dog."""
        forms = _singulars(kind.casefold())
        known = {category: _kinds(category.casefold()) for category in self._categories}
        return self._of({one for one, kinds in known.items() for other in kinds for form in forms if same(form, other)})

    def calling_themselves(self, kind: str) -> list[Card]:
        """Those that say so: "My dog. A corgi."."""
        if self._own_words is None:
            self._own_words = {}
            for card in self._cards:
                for word in _own_words(card):
                    self._own_words.setdefault(word, []).append(card)
        return [card for one in _singulars(kind.casefold()) for card in self._own_words.get(one, ())]

    def _of(self, categories: Set[str]) -> list[Card]:
        return [card for card in self._cards if card.category in categories] if categories else []


def _phrase(found: re.Match[str], called: Callable[[str], list[Card]], *, owners: bool) -> Phrase | None:
    named = list(re.finditer(r"[^\W_][\w'’-]*", found["words"]))
    for at, one in enumerate(named):
        if one[0].casefold() in _NO_ADJECTIVE:
            break
        for last in named[at : at + 2][::-1]:  # "guinea pig" before "guinea"
            kind, end = found["words"][one.start() : last.end()], found.start("words") + last.end()
            owner = re.search(r"['’]s?$", kind)
            if owner and not owners:
                continue
            kind, end = (kind[: owner.start()], end - len(owner[0])) if owner else (kind, end)
            following = named[named.index(last) + 1 :][:1]
            if following and following[0].start() == last.end() + 1 and called(following[0][0]):
                continue  # "car keys" are keys
            if meant := called(" ".join(kind.split())):
                whose = re.findall(r"([^\W\d_][\w-]*)['’]s?\s", f"{found['whose']} {found['words'][: one.start()]}")
                fitting = _fitting(meant, [other[0] for other in named[:at]], whose)
                return Phrase(found.start(), end, tuple(card.concept_id for card in fitting)) if fitting else None
    return None


def _family(text: str) -> Iterator[re.Match[str]]:
    return (found for found in _BARE.finditer(text) if found["words"].casefold().removesuffix("'s") in _FAMILY)


def _kinds(category: str) -> frozenset[str]:
    """The category, its last word, and what is more general."""
    head = "".join(category.split()[-1:])
    known = {category, *_singulars(category), head, *_singulars(head)} - {""}
    return frozenset(known | {general for one in known for general in more_general(one)})


def _own_words(card: Card) -> frozenset[str]:
    """What it is by its first sentences, before they tell more: "A small dark clay teapot from Yixing"."""
    found = []
    for line in re.split(r"[.;!?\n]", card.info)[:2]:
        said = _TELLS_MORE.split(f"{line} ", maxsplit=1)[0].casefold().split()
        if len(said) > 1 and said[0] in _ARTICLES and said[-1] not in _NO_KIND:
            found.append(said[-1].strip(",:"))
    return frozenset(found)


def _fitting(cards: list[Card], told: Sequence[str], whose: Sequence[str]) -> list[Card]:
    """Those whose card has all these words ("red"), if there are any; none where nobody is so and so's."""
    owners = {word.casefold() for word in whose}
    wanted = {word.casefold().removesuffix("'s").removesuffix("’s") for word in told} - _NO_ADJECTIVE | owners
    spoken = {
        card.concept_id: set(re.findall(r"[^\W_]+", f"{card.name} {card.category} {card.info}".casefold()))
        for card in cards
    }
    fit = [card for card in cards if wanted <= spoken[card.concept_id]]
    return fit or [card for card in cards if owners <= spoken[card.concept_id]]


def _singulars(word: str) -> tuple[str, ...]:
    """The word, and what it may be the plural of."""
    *before, last = word.split() or [""]
    found = [last, *filter(None, [_ONE.get(last)])]
    if last.endswith("children"):
        found.append(last.removesuffix("ren"))
    if last.endswith("ies"):
        found.append(f"{last[:-3]}y")
    if last.endswith("es"):
        found.append(last[:-2])
    if last.endswith("s") and not last.endswith("ss"):
        found.append(last[:-1])
    return tuple(" ".join([*before, one]) for one in found if one)
