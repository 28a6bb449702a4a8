"""A card's info as sentences that stand alone: "She loves cheese." becomes "<Lala> loves cheese."."""

from __future__ import annotations

import re

from rapbot.inference.job import Card
from rapbot.inference.sentences import ASIDE, addressed, sentences
from rapbot.inference.subjects import (
    KIN,
    NO_POSSESSIVE,
    OPENS,
    SAYS,
    TITLED,
    contracted,
    has_own_subject,
    of_its_maker,
    own_pronouns,
)
from rapbot.inference.verbs import ADVERBS, BASE, FINITE, PARTICIPLES, STATES, begins_clause, third_person
from rapbot.inference.vocabulary import words
from rapbot.inference.wording import article, is_plural, mark, possessive, sentence, with_article

_REMARK = re.compile(
    r"^(?:and|but)\s+(?=\S)"
    r"|^(?:believe it or not|by the way|btw|actually|also|of course|to be honest|honestly|fun fact|note|p\.?s\.?)"
    r"\s*[,:]\s+(?=\S)",
    re.IGNORECASE,
)
"""What people say before they tell something."""
_SPLIT = re.compile(
    r",?\s+(?:and|but|&)\s+(?:(?:she|he|it|then)\s+)?(?=(?:(?:also|never|always|often|only|usually|now|sometimes|rarely)\s+)?([a-z']+)\b)"
    r"|,\s+(?:(?:she|he|it)\s+)?(?=(?:(?:also|never|always|often|only|usually|now|sometimes|rarely)\s+)?([a-z']+)\b)"
)
_CONTRACTED = re.compile(r"((?:\b(?:and|but|&)|,)\s+(?:she|he|it))'s\s+(?=(.*))", re.IGNORECASE | re.DOTALL)
_REASON = re.compile(r",\s+(?:she|he|it)\b", re.IGNORECASE)
"""How people give one: "Walk her on a lead, she chases squirrels." stays together."""
_PRONOUN = re.compile(r"^(she|he|it|they|this|that)\b('s\b|'re\b)?", re.IGNORECASE)
_SURNAME = re.compile(r"(?:\s+[^\W\d_a-zà-öø-ÿ][^\W\d_]+(?!\w)){0,2}(?:\s*\([^()]*\))?")
"""What may stand between a name and its verb: "Henrik Lindqvist is ...", "Mateo (my sister's boy) is ..."."""
_PLAIN = rf"(?!(?:{'|'.join([*sorted(OPENS), 'is', 'has', 'are'])})\b)[\w-]+"
"""A word between "my" and a name: "my best friend Tom"."""
_THIS_KIND = re.compile(rf"This\s+(?!(?:{'|'.join(sorted(FINITE))})\b)[\w-]+\s+(?=[a-z])", re.IGNORECASE)
_POSSESSIVE = re.compile(r"^(her|his|its|their)\b", re.IGNORECASE)
_OF_SOMEBODY = re.compile(r"(?:she|he|it|they|her|his|its|their)\b", re.IGNORECASE)
_STATE = re.compile(
    r"(?:afraid|scared|fond|allergic|aged|used)\b"
    r"|(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|\w+teen|\w+ty)\s+(?:years?|months?|weeks?)\b"
    r"|(?:very|quite|rather|really|extremely|always|usually|often|sometimes)\s+[a-z]+"
    r"|(?:black|white|gr[ae]y|brown|green|blue|yellow|orange|purple|pink|red|gold(?:en)?|silver|small|large|big|tiny)"
    r"(?:,| and| with|\s*$)",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[A-Z][\w ]{1,24}:\s")
"""How a list begins: "Born: 14 May", "Vet: Dr Stone"."""
_BOUND = re.compile(r"(?:married|engaged|related|next|close) to\b", re.IGNORECASE)
_PREPOSITION = r"(?:by|in|at|from|for|on|with|and|out|of|to|when|as|under|near|since|until)"
_DONE_TO_IT = re.compile(r"[A-Za-z]+(?:ed|ought|ot|ound|ade|ave|ook|ent|old|on)\s+(?:it|him|her|them)\b", re.IGNORECASE)
"""By who writes: "Bought it in Leeds"."""
_ACTIVE = re.compile(
    r"(?:bought|made|found|built|adopted|inherited|rescued|designed|knitted|carved)\s+(?:an?|the|his|her|its|your|two|it|him|them)"
    r"\s+(?!(?:\w+\s+)?(?:days?|weeks?|months?|years?|decades?|century|centuries|summer|winter|spring|autumn|time)\b)",
    re.IGNORECASE,
)
"""Participles that are none: "bought a boat", unlike "bought a year ago"."""
_FORMERLY = re.compile(
    r"(?:former|retired|professional|amateur|aspiring|avid|proud|certified)\s+(?!in\b|from\b|at\b|since\b|of\b|to\b)[a-z]",
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
_NATIONS = words("German French Dutch Swiss Greek Welsh Czech Thai Maine African American Mexican Korean European")


def statements(card: Card) -> tuple[str, ...]:
    """Everything the card says, one clause each, with the concept's name as subject where it was a pronoun."""
    told = [
        clause
        for text in sentences(card.info)
        if not _only_named(text, card)
        for clause in _clauses(_about(text, card), card)
    ]
    return tuple(dict.fromkeys(told))


def _only_named(text: str, card: Card) -> bool:
    """ "Mochi - a grey cat" begins with nothing but the name, "Tuga the tortoise" with the kind as well."""
    kind = rf"(?:\s+the\s+{re.escape(card.category)})?" if card.category else ""
    return bool(re.fullmatch(rf"{re.escape(card.name)}{kind}\W*", text, re.IGNORECASE))


def kind_statement(card: Card) -> str:
    """ "<Lala> is a dog.", or nothing when the kind is unknown or is the name itself."""
    if not card.category or card.category.casefold() == card.name.casefold():
        return ""
    return f"{mark(card.name)} {'are' if is_plural(card.category) else 'is'} {with_article(card.category)}."


def _about(text: str, card: Card) -> str:
    """`text` with <Name> as its subject."""
    text = _REMARK.sub("", addressed(text, card.owner_name))
    name = mark(card.name)
    if told := _subject(text, card):
        return told
    first = re.match(r"\w*", text)
    if first and _OF_SOMEBODY.match(text) and (first[0].casefold() not in own_pronouns(card) or of_its_maker(text)):
        return f"{name}: {text}"
    if (these := _THIS_KIND.match(text)) and _finite_at_start(text[these.end() :]):
        return f"{name} {text[these.end() :]}"
    if (found := _PRONOUN.match(text)) and (found.group(1) != "IT" or text.isupper()):
        rest = text[found.end() :]
        short = (found.group(2) or "").casefold()
        verb = " are" if short == "'re" else f" {contracted(rest.lstrip(), pronoun=True)}" if short else ""
        return (
            name
            + verb
            + (_singular(rest) if found.group(1).casefold() == "they" and not is_plural(card.category) else rest)
        )
    if _POSSESSIVE.match(text):
        return _POSSESSIVE.sub(lambda _: possessive(card.name), text, count=1)
    return _fragment(text, card)


def _subject(text: str, card: Card) -> str:
    """The name at the start is marked ("Serena is ..." -> "<Serena> is ..."); elsewhere it stays as it is, "" if so."""
    called = "|".join(re.escape(name) for name in (card.name, *_parts_of(card.name)))
    kind = rf"(?:\s+the\s+{re.escape(card.category)})?" if card.category else ""
    start = re.match(
        rf"(?:(?:your|the|our)\s+(?:{re.escape(card.category)}\s+)?|(?P<kin>(?:your|\w+'s)(?:\s+{_PLAIN}){{1,2}})\s+)?"
        rf"<?(?:{called})>?{kind}(?!\w)",
        text,
        re.I,
    )
    if start is None:
        return ""
    rest = text[start.end() :]
    more = _SURNAME.match(rest)
    surname, after = (rest[: more.end()], rest[more.end() :]) if more else ("", rest)
    be, kin = "are" if is_plural(card.category) else "is", start["kin"]
    if kin and not (start[0][len(kin) + 1].isupper() and KIN.fullmatch(kin.split()[-1])):
        return ""
    known = f"{be} {kin} and " if kin else ""  # "My brother Tom drives a taxi."
    if aside := re.match(r"\s*,\s*(who\s+)?([^,]+?),\s+(?=[a-z])", after):  # "Omar, my uncle, drives a taxi."
        if _finite_at_start(after[aside.end() :]) and bool(aside[1]) == _finite_at_start(aside[2]):
            told = f"{'' if aside[1] else f'{be} '}{aside[2]} and {after[aside.end() :]}"
            return f"{mark(card.name)}{surname} {known}{told}"
    elif not surname and not kin and (beside := re.match(r"\s*[,:]\s*(?=\w)", rest)):  # "Rolo, a brown hamster."
        return _about(rest[beside.end() :], card)
    if rest.startswith("'s") and (short := contracted(rest[2:].lstrip())):
        rest = f" {short}{rest[2:]}"
    does = rest.startswith("'s") or _does_something(rest) or _does_something(after)
    if does and kin and not rest.startswith("'s"):
        return f"{mark(card.name)} {known}{rest.lstrip()}"
    return mark(card.name) + rest if does and not kin else ""


def _does_something(rest: str) -> bool:
    return _finite_at_start(rest) or bool(re.match(r"\s+[a-z]+ed\b", rest))


def _parts_of(name: str) -> list[str]:
    """ "Omar" of "Uncle Omar"; not "mug" of "red_mug"."""
    parts = re.split(r"[\s_]+", name)
    return [part for part in parts if len(part) > 2 and part[0].isupper()] if len(parts) > 1 else []


def _fragment(text: str, card: Card) -> str:
    """A sentence without a subject, as people write on cards; or one with a subject of its own, after the name."""
    name, first = mark(card.name), text.split()[0].casefold().strip(",")
    be = "are" if is_plural(card.category) else "is"
    formerly = bool(_FORMERLY.match(text))
    if _LABEL.match(text):
        return f"{name}: {text}"
    if _BOUND.match(text):
        return f"{name} {be} {_lowered(text)}"
    if _finite_at_start(text) and not formerly:
        return f"{name} {_lowered(text)}"
    subject = re.match(rf"(?:the|this|your|our)\s+(?:[\w-]+\s+)?{re.escape(card.category)}\s+(?=[a-z])", text, re.I)
    if card.category and subject and _finite_at_start(text[subject.end() :]):
        return f"{name} {text[subject.end() :]}"
    short = re.match(rf"(?:the|this|your|our)\s+{re.escape(card.category)}'s\s+", text, re.I)
    if card.category and short and (is_or_has := contracted(text[short.end() :])):
        return f"{name} {is_or_has} {text[short.end() :]}"
    if _DONE_TO_IT.match(text) and not formerly:
        return f"{name}: {text}"
    if (first in STATES or is_passive(text)) and not _describes(text, card):
        past = "were" if be == "are" else "was"
        return f"{name} {past if first in PARTICIPLES else be} {_lowered(text)}"
    if first in NO_POSSESSIVE or has_own_subject(text):
        return f"{name}: {text}"
    kind = card.category.split()[-1].casefold() if card.category.strip() else ""
    lowered = _lowered(text)
    of_kind = f"{name} {be} {lowered if is_plural(card.category) else f'{article(lowered)} {lowered}'}"
    if kind and first not in OPENS and lowered.casefold().rstrip(".!").endswith(kind):
        return of_kind
    described = first in {"a", "an", "the", "one", "your", "our"} or first.endswith("'s")
    if described or (_STATE.match(text) and text.split()[1:2] and text.split()[1].casefold() not in BASE):
        return f"{name} {be} {lowered}"
    if (kind and kind in text.casefold() and first not in OPENS) or formerly:
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


def _finite_at_start(text: str) -> bool:
    start = [word.strip(",.!?").casefold() for word in text.split()[:3]]
    while start and start[0] in ADVERBS:
        start.pop(0)
    return bool(start) and start[0] in FINITE


def _singular(rest: str) -> str:
    """ "They are/have/love ... and play" about one concept."""

    def one(verb: re.Match[str]) -> str:
        word = verb.group(2)
        changed = {"are": "is", "have": "has", "were": "was", "do": "does", "don't": "doesn't"}.get(word)
        return verb.group(1) + (changed or (third_person(word) if third_person(word) in FINITE else word))

    return re.sub(r"(^\s*(?:\w+ly |always |never |often )?|\b(?:and|but) )([a-z']+)", one, rest)


def _clauses(text: str, card: Card) -> list[str]:
    """ "<Lala> loves cheese and is afraid of thunder." -> two statements. Only where a verb follows directly."""
    name = text[: text.find(">") + 1]
    if not name.startswith("<") or text.startswith(f"{name}'s"):
        return [sentence(text)]
    listed, own = text.startswith(f"{name}:"), own_pronouns(card)
    text = _CONTRACTED.sub(lambda found: f"{found[1]} {contracted(found[2], pronoun=True)} ", text)
    pieces: list[str] = []
    begun = 0
    asides = [aside.span() for aside in ASIDE.finditer(text)]
    for cut in _SPLIT.finditer(text):
        of = set(re.findall(r"s?he|it", cut.group().casefold()))
        within = any(first < cut.start() < last for first, last in asides) or SAYS.match(text, cut.end())
        if within or of - own or TITLED.search(text, 0, cut.start()):
            continue
        verb = cut.group(1) or cut.group(2)
        at = cut.start(1) if cut.group(1) else cut.start(2)
        starts = begins_clause(verb, text[at + len(verb) :]) or (verb in PARTICIPLES and cut.group(2))
        # After "<Name>:" stands no verb of its own, so only a comma ends what stands there.
        loose = bool(cut.group(2)) and not _has_verb(text[: cut.start()]) and not _REASON.match(cut.group())
        whole = not listed or bool(pieces) or loose
        if starts and verb != "can" and whole:
            pieces.append(text[begun : cut.start()])
            begun = cut.end()
    pieces.append(text[begun:])
    be = "were " if is_plural(card.category) else "was "
    return [
        sentence(piece if piece.startswith("<") else f"{name} {be if is_passive(piece) else ''}{piece}")
        for piece in pieces
    ]


def _has_verb(text: str) -> bool:
    return any(word.strip(",.") in FINITE for word in text.split())


def pronoun(card: Card) -> str:
    """ "She", "He" or "It", as the card itself says; "" when it says neither and the concept is a person."""
    said = set(re.findall(r"[a-z]+", card.info.casefold()))
    if said & {"she", "her", "hers"}:
        return "She" if not said & {"he", "his", "him"} else ""
    if said & {"he", "his", "him"}:
        return "He"
    return (
        ""
        if card.category.casefold() in {"person", "man", "woman", "child", "boy", "girl", ""}
        or is_plural(card.category)
        else "It"
    )
