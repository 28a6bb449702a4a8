"""A sentence without a subject, as people write on cards, after the concept's name: "Loves cheese", "Two years old"."""

from __future__ import annotations

import re

from rapbot.inference.job import Card
from rapbot.inference.subjects import NO_POSSESSIVE, OPENS, has_own_subject, spelled
from rapbot.inference.verbs import ADVERBS, BASE, FINITE, PARTICIPLES, STATES, THINGS_TOO
from rapbot.inference.vocabulary import words
from rapbot.inference.wording import article, is_plural, mark

_STATE = re.compile(
    r"(?:afraid|scared|fond|allergic|aged|used)\b"
    r"|(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|\w+teen|\w+ty)\s+(?:years?|months?|weeks?)\b"
    r"|(?:very|quite|rather|really|extremely|always|usually|often|sometimes)\s+[a-z]+"
    r"|(?:black|white|gr[ae]y|brown|green|blue|yellow|orange|purple|pink|red|gold(?:en)?|silver|small|large|big|tiny)"
    r"(?:,| and| with|\s*$)",
    re.IGNORECASE,
)
_UNDONE = re.compile(r"\b(?:of|to|for|with|by|in|at|on):")
_LABEL = re.compile(r"(?!(?:Is|Are|Was|Has|Have|An?|The|One|Two)\b)[A-Z][\w' ]{1,24}:\s")
"""How a list begins: "Born: 14 May", "Vet: Dr Stone"."""
_BOUND = re.compile(r"(?:married|engaged|related|next|close) to\b|married with\b", re.IGNORECASE)
_PREPOSITION = r"(?:by|in|at|from|for|on|with|and|out|of|to|when|as|under|near|since|until)"
DONE_TO_IT = re.compile(
    r"[a-z]+(?:ed|ought|ot|ound|ade|ave|ook|ent|old|on|ilt|ore|ew)\s+(?:(?:it|him|them)\b|her(?=[.,!]|$|\s+(?:when|in|from|at|as|on|for|back|and"
    r"|to|last|with|yourself)\b))",
    re.IGNORECASE,
)
"""By who writes: "Bought it in Leeds"; but "got her ears from Lassie"."""
_DONE_BY = re.compile(r"[a-z]{2,}(?:ed|wn|ght|en)\s+by\b", re.IGNORECASE)
_DONE_SOMEWHERE = re.compile(rf"[a-z]{{2,}}ed\s+(?:away|up|down|off|back|{_PREPOSITION})\b", re.IGNORECASE)
_DONE_WITH = re.compile(r"[a-z]{3,}ed\s+with\b", re.IGNORECASE)
MADE_OF = re.compile(r"made\s+(?:of|out|from)\b", re.IGNORECASE)
_ACTIVE = re.compile(
    r"(?:bought|made|found|built|adopted|inherited|rescued|designed|knitted|carved)\s+(?:an?|the|his|her|its|your|you|two|it|him|them)"
    r"\s+(?!(?:\w+\s+)?(?:days?|weeks?|months?|years?|decades?|century|centuries|summer|winter|spring|autumn|time)\b)",
    re.IGNORECASE,
)
"""Participles that are none: "bought a boat", unlike "bought a year ago"."""
_FORMERLY = re.compile(
    r"(?:former|retired|professional|amateur|aspiring|avid|proud|certified)\s+(?!(?:in|from|at|since|of|to|last|this|early|after|when)\b)[a-z]",
    re.I,
)
_OF_A_NAME = re.compile(r"(?:[A-Z][A-Za-z]*[-\d]|[A-Z]+\d|[A-Z][a-z]+)")
"""What the second word of "Canon AE-1" or "Fender Stratocaster" looks like."""
_BEFORE_NAMES = (
    BASE
    | FINITE
    | PARTICIPLES
    | STATES
    | ADVERBS
    | words(
        "a an the this that these those my our your his her its their one two three four five six seven eight"
        " nine ten in on at from for with by of to and but or as since until every before after black white"
        " grey gray brown green blue yellow orange purple pink red gold golden silver beige small large big"
        " tiny little huge old new young vintage antique classic used second original real genuine former"
        " retired famous beautiful lovely pretty nice best good great first last only early late true cheap"
        " expensive rare limited signed soft light dark bright heavy long short tall round square wooden"
        " woollen cotton leather silk metal plastic steel glass paper ceramic knitted loyal happy sweet shy"
        " calm friendly"
    )
)
"""May stand with a capital before a name at the start of a sentence and is none itself."""
_DONE_TO = words("a an the his her its their your my our you me him it them every any two three four five six")
_NATIONS = words("German French Dutch Swiss Greek Welsh Czech Thai Maine African American Mexican Korean European")


def fragment(text: str, card: Card) -> str:
    """`text` after <Name>, with what it lacks: "<Lala> is two years old"; or, where it is about something else or lacks
    too much, after "<Name>:"."""
    name, first = mark(card.name), text.split()[0].casefold().strip(",")
    be, was = ("are", "were") if is_plural(card.category) else ("is", "was")
    formerly = bool(_FORMERLY.match(text))
    if _is_label(text, card) or (DONE_TO_IT.match(text) and not formerly):
        return f"{name}: {text}"
    if _BOUND.match(text):
        return f"{name} {be} {_lowered(text)}"
    if said := _said_of_kind(text, card):
        return f"{name} {said}"
    done = not _describes(text, card)
    if not formerly and done and _DONE_BY.match(text):
        return f"{name} {was} {_lowered(text)}"
    if not formerly and finite_at_start(text):
        return f"{name} {_lowered(text)}"
    if done and not formerly and first not in PARTICIPLES and _DONE_WITH.match(text):
        return f"{name} {be} {_lowered(text)}"
    if done and (first in STATES or is_passive(text)):
        return f"{name} {was if first in PARTICIPLES and not MADE_OF.match(text) else be} {_lowered(text)}"
    short = first.endswith("'s") and spelled("'s", text[len(first) :].lstrip())
    if short or first in NO_POSSESSIVE or has_own_subject(text):
        return f"{name}: {text}"
    return _predicate(text, card, formerly=formerly)


def _is_label(text: str, card: Card) -> bool:
    """ "Vet's number: 12", "Scared of: men"; not "Mum's engagement ring: white gold", "Knows two tricks: sit, roll"."""
    label = _LABEL.match(text)
    if label is None or ("'" in label[0] and _describes(label[0], card)):
        return False
    begun = " " not in label[0].strip() or bool(_UNDONE.search(label[0]))
    return begun or not (finite_at_start(text) or _STATE.match(text))


def _said_of_kind(text: str, card: Card) -> str:
    """What is said of "the dog" or "my old dog"; "" where nothing is."""
    if not card.category:
        return ""
    kind = rf"(?:the|this|your|our)\s+(?:[\w-]+\s+)?{re.escape(card.category)}"
    subject = re.match(rf"{kind}\s+(?=[a-z])", text, re.I)
    if subject and finite_at_start(text[subject.end() :]):
        return text[subject.end() :]
    short = re.match(rf"{kind}'s\s+", text, re.I)
    verb = spelled("'s", text[short.end() :]) if short else ""
    return f"{verb} {text[short.end() :]}" if short and verb else ""


def _predicate(text: str, card: Card, *, formerly: bool) -> str:
    """What the concept is: "a dog", "the dog next door", "grey and white"."""
    name, first = mark(card.name), text.split()[0].casefold().strip(",")
    be, kind = "are" if is_plural(card.category) else "is", (card.category.casefold().split() or [""])[-1]
    lowered, whose = _lowered(text), first.endswith("'s")
    of_kind = f"{name} {be} {lowered if is_plural(card.category) or whose else f'{article(lowered)} {lowered}'}"
    if kind and first not in OPENS and lowered.casefold().rstrip(".!").endswith(kind):
        return of_kind
    described = first in {"a", "an", "the", "one", "your", "our"} or whose
    if described or (_STATE.match(text) and text.split()[1:2] and text.split()[1].casefold() not in BASE):
        return f"{name} {be} {lowered}"
    done = _DONE_SOMEWHERE.match(text)  # "Tucked away in the car" is no car
    if (kind and kind in text.casefold() and first not in OPENS and not done) or formerly:
        return of_kind
    return f"{name}: {text}"


def is_passive(text: str) -> bool:
    """ "Made in Spain", "bought a year ago"; not "bought a boat"."""
    return text.split()[0].casefold() in PARTICIPLES and not _ACTIVE.match(text)


def _describes(text: str, card: Card) -> bool:
    """ "Handmade blue mug": a participle of a thing that follows, not "Handmade by grandma"."""
    if not card.category.strip():
        return False
    kind = re.escape(card.category.split()[-1])
    return bool(re.match(rf"\S+ (?!{_PREPOSITION}\b)(?:[\w'-]+ ){{0,3}}{kind}\b", text, re.IGNORECASE))


def _lowered(text: str) -> str:
    """Without the capital of a sentence start; names keep theirs."""
    first, *following = text.split(maxsplit=2)[:2]
    name = (
        first.endswith(("'s", "ese", "ish", "ian"))
        or first in _NATIONS
        or not (first[1:].islower() or len(first) == 1)
        or (bool(following) and bool(_OF_A_NAME.match(following[0])) and first.casefold() not in _BEFORE_NAMES)
    )
    return text if name else text[0].lower() + text[1:]


def finite_at_start(text: str) -> bool:
    start = [word.strip(",.!?").casefold() for word in text.split()[:3]]
    while start and start[0] in ADVERBS:
        start.pop(0)
    does = start[:1] and start[0] in THINGS_TOO and start[1:2] and start[1] in _DONE_TO
    return bool(start) and (start[0] in FINITE or bool(does))
