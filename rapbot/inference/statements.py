"""A card's info as sentences that stand alone: "She loves cheese." becomes "<Lala> loves cheese."."""

from __future__ import annotations

import re

from rapbot.inference.fragments import DONE_TO_IT, MADE_OF, finite_at_start, fragment, is_passive
from rapbot.inference.job import Card
from rapbot.inference.sentences import ASIDE, addressed, sentences
from rapbot.inference.subjects import (
    CONDITION,
    KIN,
    OPENS,
    SAYS,
    TITLED,
    TOGETHER,
    is_yours,
    of_its_maker,
    own_pronouns,
    spelled,
)
from rapbot.inference.verbs import BASE, FINITE, OF_ONE, PARTICIPLES, PASTS, begins_clause, third_person
from rapbot.inference.vocabulary import words
from rapbot.inference.wording import is_plural, mark, possessive, sentence, with_article

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
_PRONOUN = re.compile(r"^(she|he|it|they|this|that)\b('s\b|'re\b|'ll\b|'d\b|'ve\b)?", re.IGNORECASE)
_SURNAME = re.compile(r"(?:\s+[^\W\d_a-zà-öø-ÿ][^\W\d_]+(?!\w)){0,2}(?:\s*\([^()]*\))?")
"""What may stand between a name and its verb: "Henrik Lindqvist is ...", "Mateo (my sister's boy) is ..."."""
_PLAIN = rf"(?!(?:{'|'.join([*sorted(OPENS), 'is', 'has', 'are'])})\b)[\w-]+"
"""A word between "my" and a name: "my best friend Tom"."""
_THIS_KIND = re.compile(rf"This\s+(?!(?:{'|'.join(sorted(FINITE))})\b)[\w-]+\s+(?=[a-z])", re.IGNORECASE)
_TITLES = words("Mr Mrs Ms Dr St Prof The")
_IN_BASE = re.compile(
    rf"^\s+(?!(?:cut|hit|hurt|shut|quit|let|saw|set|cost|read|shed|spread|split|put|beat|bet"
    r"|slow|calm|clean|clear|dry|empty|fit|mature|tame|warm|tidy|open)\b)"
    rf"({'|'.join(sorted({*BASE, 'have'}))})\b"
)
"""What somebody writes after "he" who is still learning English."""
_DID = re.compile(rf"\s+(?:[a-z]{{3,}}ed|{'|'.join(sorted(PASTS))})\b")
_POSSESSIVE = re.compile(r"^(her|his|its|their)\b", re.IGNORECASE)
_OF_SOMEBODY = re.compile(r"(?:she|he|it|they|her|his|its|their)\b", re.IGNORECASE)


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
    return bool(re.fullmatch(rf"{re.escape(card.name)}{_the_kind(card)}\W*", text, re.IGNORECASE))


def _the_kind(card: Card) -> str:
    """A pattern of " the dog" after a name; it may be missing."""
    return rf"(?:\s+the\s+{re.escape(card.category)})?" if card.category else ""


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
    if (these := _THIS_KIND.match(text)) and finite_at_start(text[these.end() :]):
        return f"{name} {text[these.end() :]}"
    if (found := _PRONOUN.match(text)) and (found.group(1) != "IT" or text.isupper()):
        rest, they = text[found.end() :], found.group(1).casefold() == "they"
        verb = spelled(found.group(2) or "", rest.lstrip(), pronoun=True)
        if not is_plural(card.category) and not verb:
            rest = _singular(rest) if they else _IN_BASE.sub(lambda base: _third(base[1]), rest)
        return f"{name} {verb}{rest}" if verb else name + rest
    if _POSSESSIVE.match(text):
        return _POSSESSIVE.sub(lambda _: possessive(card.name), text, count=1)
    return fragment(text, card)


def _subject(text: str, card: Card) -> str:
    """The name at the start is marked ("Serena is ..." -> "<Serena> is ..."); elsewhere it stays as it is, "" if so."""
    called = "|".join(re.escape(name) for name in (card.name, *_parts_of(card.name)))
    start = re.match(
        rf"(?:(?:your|the|our)\s+(?:{re.escape(card.category)}\s+)?|(?P<kin>(?:your|\w+'s)(?:\s+{_PLAIN}){{1,2}})\s+)?"
        rf"<?(?:{called})>?{_the_kind(card)}(?!\w)",
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
    if aside := re.match(
        r"\s*,\s*(?=\S)(who\s+)?(?!wh|that\b|with\b|like\b|as\b)([^,]+?),\s+(?=[a-z])", after
    ):  # "Omar, my uncle, drives a taxi."
        if finite_at_start(after[aside.end() :]) and bool(aside[1]) == finite_at_start(aside[2]):
            told = f"{'' if aside[1] else f'{_be(aside[2], card)} '}{aside[2]} and {after[aside.end() :]}"
            return f"{mark(card.name)}{surname} {known}{told}"
    elif not surname and not kin and (beside := re.match(r"\s*[,:]\s*(?=\w)", rest)):  # "Rolo, a brown hamster."
        return "" if TOGETHER.search(text) else _about(rest[beside.end() :], card)
    if rest.startswith("'s") and (short := spelled("'s", rest[2:].lstrip())):
        rest = f" {short}{rest[2:]}"
    does = rest.startswith("'s") or _does_something(rest) or _does_something(after)
    if does and kin and not rest.startswith("'s"):
        return f"{mark(card.name)} {known}{rest.lstrip()}"
    return mark(card.name) + rest if does and not kin else ""


def _does_something(rest: str) -> bool:
    return finite_at_start(rest) or bool(_DID.match(rest))


def _parts_of(name: str) -> list[str]:
    """ "Omar" of "Uncle Omar"; not "mug" of "red_mug"."""
    parts = re.split(r"[\s_]+", name)
    return [part for part in parts if part[:1].isupper() and part.strip(".") not in _TITLES] if len(parts) > 1 else []


def _third(verb: str) -> str:
    return " has" if verb == "have" else f" {third_person(verb)}"


def _singular(rest: str) -> str:
    """ "They are/have/love ... and play" about one concept."""

    def one(verb: re.Match[str]) -> str:
        word = verb.group(2)
        return verb.group(1) + (OF_ONE.get(word) or (third_person(word) if third_person(word) in FINITE else word))

    return re.sub(r"(^\s*(?:\w+ly |always |never |often )?|\b(?:and|but) )([a-z']+)", one, rest)


def _clauses(text: str, card: Card) -> list[str]:
    """ "<Lala> loves cheese and is afraid of thunder." -> two statements. Only where a verb follows directly."""
    name = text[: text.find(">") + 1]
    if not name.startswith("<") or text.startswith(f"{name}'s"):
        return [sentence(text)]
    listed, own = text.startswith(f"{name}:"), own_pronouns(card)
    text = _CONTRACTED.sub(lambda found: " ".join([found[1], spelled("'s", found[2], pronoun=True), ""]), text)
    pieces: list[str] = []
    begun = 0
    asides = [aside.span() for aside in ASIDE.finditer(text)]
    for cut in _SPLIT.finditer(text):
        of = set(re.findall(r"s?he|it", cut.group().casefold()))
        within = any(first < cut.start() < last for first, last in asides)
        half = listed and CONDITION.match(text[len(name) + 2 : cut.start()])
        if within or half or SAYS.match(text, cut.end()) or of - own or TITLED.search(text, 0, cut.start()):
            continue
        verb = cut.group(1) or cut.group(2)
        at = cut.start(1) if cut.group(1) else cut.start(2)
        starts = begins_clause(verb, text[at + len(verb) :]) or (verb in PARTICIPLES and cut.group(2))
        # After "<Name>:" stands no verb of its own, so only a comma ends what stands there.
        loose = bool(cut.group(2)) and not _has_verb(text[: cut.start()]) and not _REASON.match(cut.group())
        whole = not listed or bool(pieces) or loose
        if starts and verb != "can" and whole and not (listed and is_yours(text[len(name) + 2 :], verb)):
            pieces.append(text[begun : cut.start()])
            begun = cut.end()
    pieces.append(text[begun:])
    return [sentence(piece if piece.startswith("<") else f"{name}{_joined(piece, card)}{piece}") for piece in pieces]


def _joined(piece: str, card: Card) -> str:
    """What stands between the name and a verb that was further on in the sentence."""
    if DONE_TO_IT.match(piece):
        return ": "
    return f" {_be(piece, card)} " if is_passive(piece) else " "


def _be(text: str, card: Card) -> str:
    """What stands before "a plumber" and "made of wool", or before "born in Rome"."""
    past = is_passive(text) and not MADE_OF.match(text)
    return ("were" if past else "are") if is_plural(card.category) else ("was" if past else "is")


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
