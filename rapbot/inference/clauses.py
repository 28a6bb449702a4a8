"""A card's info in the smallest sentences that stand alone: what a trained model chooses its answer from.

`statements` cuts only where any reader would, because rules read them; a model that judges each piece may have finer
ones: "a dog with a limp from Rome, two years old" is a dog, has a limp, is from Rome, is two years old.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rapbot.inference.job import Card
from rapbot.inference.statements import ABBREVIATION, ASIDE, has_own_subject, kind_statement, statements
from rapbot.inference.verbs import ADVERBS, BASE, FINITE, PARTICIPLES, STATES, begins_clause, third_person
from rapbot.inference.vocabulary import words
from rapbot.inference.wording import is_plural, mark, possessive, sentence

_BREAK = re.compile(
    r"(?P<end>\s*;\s*(?:(?:and|but|or|so)\s+)?|\s+[/|]\s+|(?<=\w)[.!?]\s+(?:[/|]\s+)?|\s*:-?\)\s*)"
    r"|(?P<strong>\s*,(?!\d)\s*(?:(?:and|but|or|so)\s+)?|\s+[–—-]\s+)"
    r"|(?P<weak>\s+(?:and|but)\s+(?:(?:who|which|that)\s+)?)"
    r"|(?P<so>\s+so\s+(?=(?:no|please|don't|dont|never|keep)\b))"
    r"|(?P<relative>\s+(?:who|which|that)\s+)"
    r"|(?P<attribute>\s+(?=(?:with|from|made\s+(?:of|by|out)|painted\s+with|called|named|of\s+(?:your|our|his|her))\s))",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[A-Z][\w ]{1,24}:\s")
_RUN_ON = re.compile(
    r"(?<=\w)\s+(?=(?:he|she|it)(?:'?s\b|\s+(?:is|was|has|had|can|does|[a-z]+s)\b)|(?:please|dont|don't)\s)",
    re.IGNORECASE,
)
"""Where a sentence without any punctuation begins anew: "... from a shop he runs on his wheel he likes ..."."""
_JOINED = words(
    "that when whenever while if because as since until before after where what which who whom and but or so than like"
    " think thinks say says said know knows hope hopes sure unless though although how why once the of to for with by"
)
"""After these a pronoun goes on with the sentence."""
_LONG = 14
"""Words of a sentence that is looked at for that."""
_HARD = words("end strong")
_ORDERED = words("end strong anew")
_OF_ONE = {"are": "is", "have": "has", "were": "was", "do": "does", "don't": "doesn't"}
"""What "they" do, said of one."""
_PHRASAL = re.compile(r"\s+(?:up|down|off|out|away|back|over|around|along|through|into|nuts|mad|crazy)\b")
_WITH = re.compile(
    r"(?:(?:the|your|our|his|her|its|their)\s+(?:(?!who|that|which)[\w'-]+\s+){1,2})?"
    r"(?:lives|calls|runs|works|looks|sits|plays|goes|cares|waits|swims|walks|comes)\s+(?:with|for|by|from)\b"
)
"""Verbs also before a preposition, unlike "walks and loads with ..."."""
_YOU = re.compile(r"(?:you|everybody|everyone|nobody|people)\s+\w", re.IGNORECASE)
_DETERMINED = re.compile(r"(?:the|your|our|his|her|its|their)\s", re.IGNORECASE)
_ITS = re.compile(r"(?:his|her|its|their)\s", re.IGNORECASE)
_ASKED_FOR = words("please don't dont never no")
_NOMINAL = re.compile(
    r"(?:is|are|was|were)\s+(?:an?|the|your|our|some|one|his|her|their|\w+'s)\b"
    r"|(?:is|are)\s+(?!(?:at|in|on|by|to|from|under|near|best|about)\b|\w+ed\b)[\w' -]+$"
    r"|an?\s",
    re.IGNORECASE,
)
"""A predicate that says what somebody is; what follows a comma there says more of that."""
_APPOSITION = re.compile(
    r"(?:an?|the|your|our|one|two|three|four|five|six|seven|eight|nine|ten|\d[\d.,]*|about|worth|aged|from|in|at|on|with)\s",
    re.IGNORECASE,
)
_VERB = re.compile(rf"(?:(?:\w+ly|{'|'.join(sorted(ADVERBS))})\s+)?([\w']+)")
_HAS = re.compile(r"with\s+", re.IGNORECASE)
_OF = re.compile(r"of\s+", re.IGNORECASE)
_UNFINISHED = re.compile(
    r"(?:^|\s)(?:present|gift|souvenir|photo|picture|portrait|piece|cup|glass|pair|friend|member|part|is|are|was|were|\w+ed)$",
    re.IGNORECASE,
)
"""What is nothing without what follows: "a present from grandma", "covered with patches"."""
_PAST = words(
    "cost came arrived joined met won bought became turned went left lost found wore fits becomes flowers practises"
    " practices seats holds costs measures celebrates answers reacts suffers has received earned opened entered ended"
    " changed picked walked bumped slipped passed qualified spent saw"
)
_ORDERS = BASE | {"do", "don't", "please", "be"}
_ED = re.compile(r"[a-z]+(?:ed|wn|ught)$")
_OBJECT = re.compile(r"\s+(?:an?|the|your|our|his|her|its|you|us|me|it|him|them)\b", re.IGNORECASE)


def clauses(card: Card) -> tuple[str, ...]:
    """Each once, in the order of the card, the concept's kind last; all about <Name>."""
    found = [piece for statement in statements(card) for piece in _pieces(statement, card)]
    return tuple(dict.fromkeys([*found, *filter(None, [kind_statement(card)])]))


def clause_around(statement: str, card: Card, chosen: Sequence[str]) -> tuple[str, str | None]:
    """The shortest part of one of the card's statements that has a verb and the first of `chosen` that is in it, and
    which that is: "is a quilt sewn from old uniforms" stays whole. The statement itself and None where none is."""
    parts = {part: tuple(_pieces(part, card)) for part in _pieces(statement, card, attributes=False)}
    for clause in chosen:
        for part, said in parts.items():
            if clause in said:
                return part, clause
    return statement, None


def _pieces(statement: str, card: Card, *, attributes: bool = True) -> Iterator[str]:
    name = mark(card.name)
    if not statement.startswith(name) or statement.startswith(f"{name}'s"):
        yield statement
        return
    body = statement[len(name) :].rstrip(".")
    start = f"{name}: " if body.startswith(":") else f"{name} "
    body = body.lstrip(": ")
    opens, begun = _Opens(card), 0
    nominal = bool(_NOMINAL.match(body))
    for found in _breaks(body):
        piece = body[begun : found.start]
        if found.start < begun or not piece.strip() or ABBREVIATION.search(f"{piece}."):
            continue
        opened = opens.clause(found.kind, body[found.end :])
        if opened is not None:
            nominal = False
        elif attributes and nominal and not (found.kind == "attribute" and _UNFINISHED.search(piece)):
            opened = opens.attribute(found.kind, body[found.end :])
        if opened is None and found.kind == "end":
            opened, nominal = (f"{name}: ", 0), False
        if opened is None:
            continue
        yield sentence(start + piece)
        start, skipped = opened
        begun = found.end + skipped
    if body[begun:].strip(" .,!?"):
        yield sentence(start + body[begun:])


def _phrasal(verb: str, tail: str) -> bool:
    """ "freaks out", "wolfs down": a verb, whatever the word is else."""
    return bool(re.fullmatch(r"[a-z]{2,}[^s\W]s", verb) and _PHRASAL.match(tail))


def _own_subject(rest: str) -> bool:
    segment = re.split(r"\s*[,;.]\s|\s+(?:and|but)\s+", rest, maxsplit=1)[0].rstrip(" .!")
    return (has_own_subject(segment) or bool(_DETERMINED.match(segment) and _WITH.match(segment))) and segment.split()[
        -1
    ].casefold() not in FINITE


class _Break(NamedTuple):
    """Where a clause may end; `kind` as in _BREAK, or "anew"."""

    start: int
    end: int
    kind: str


def _breaks(body: str) -> list[_Break]:
    found = [_Break(*one.span(), one.lastgroup or "") for one in _BREAK.finditer(body)]
    if len(body.split()) > _LONG and not re.search(r"[,;.!?]\s", body):
        found += [
            _Break(*one.span(), "anew")
            for one in _RUN_ON.finditer(body)
            if body[: one.start()].split()[-1].casefold() not in _JOINED
        ]
    asides = [aside.span() for aside in ASIDE.finditer(body)]
    return sorted(one for one in found if not any(first < one.start < last for first, last in asides))


class _Opens:
    """How a sentence starts that begins within another, and how much of the text that start replaces."""

    def __init__(self, card: Card) -> None:
        self._plural = plural = is_plural(card.category)
        self._name, self._possessive = mark(card.name), possessive(card.name)
        self._be, self._was, self._have = ("are", "were", "have") if plural else ("is", "was", "has")
        kind = rf"|(?:the|this|your|our|my)\s+(?:{re.escape(card.category)})" if card.category else ""
        self._subject = re.compile(
            rf"(?:she|he|it|they|{re.escape(card.name)}|{re.escape(self._name)}{kind})(?:(?P<is>'s|'re)\b)?\s+",
            re.IGNORECASE,
        )

    def clause(self, kind: str, rest: str) -> tuple[str, int] | None:
        """A verb with or without its subject, or a label."""
        subject = self._subject.match(rest)
        after = rest[subject.end() :] if subject else rest
        if subject and subject["is"]:
            return f"{self._name} {self._be} ", subject.end()
        said = _VERB.match(after)
        if said is None or kind == "attribute":
            return None
        verb, tail = said[1].casefold(), after[said.end() :]
        if not subject and (kind == "so" or (kind in _ORDERED and verb in _ASKED_FOR)):
            return f"{self._name}: ", 0
        if subject and subject[0].casefold() == "they " and not self._plural and verb in _OF_ONE:
            return f"{self._name} {_OF_ONE[verb]}", subject.end() + said.end()
        if (
            begins_clause(verb, tail)
            or _phrasal(verb, tail)
            or (verb in FINITE and _WITH.match(after))
            or (subject and (verb in FINITE or verb in _PAST))
        ):
            return f"{self._name} ", subject.end() if subject else 0
        if verb in BASE and (
            subject or (self._plural and said[1].islower() and begins_clause(third_person(verb), tail))
        ):
            return f"{self._name} ", subject.end() if subject else 0
        return None if subject else self._without_subject(kind, rest, said[1], tail)

    def _without_subject(self, kind: str, rest: str, first: str, tail: str) -> tuple[str, int] | None:
        """A label, an order, a past or a state; or a subject of its own: "her husband drives a bus"."""
        verb = first.casefold()
        if kind in _HARD and (_LABEL.match(rest) or (verb in _ORDERS and first[0].isupper() and tail)):
            return f"{self._name}: ", 0
        if kind in _HARD and _YOU.match(rest):
            return f"{self._name}: ", 0
        if _own_subject(rest) and (kind in _HARD or _DETERMINED.match(rest)):
            return (f"{self._possessive} ", len(first) + 1) if _ITS.match(rest) else (f"{self._name}: ", 0)
        if verb in _PAST or (_ED.match(verb) and _OBJECT.match(tail)):
            return f"{self._name} ", 0
        if verb in STATES:
            return f"{self._name} {self._be} ", 0
        if verb in PARTICIPLES or (_ED.match(verb) and re.match(r"\s+(?:by|in|at|from|on|with|until)\b", tail)):
            return f"{self._name} {self._was} ", 0
        return None

    def attribute(self, kind: str, rest: str) -> tuple[str, int] | None:
        """More of what it is: "with a limp", "from Rome", ", two years old"."""
        if kind != "attribute" and not (kind in _HARD and _APPOSITION.match(rest)):
            return None
        if has := _HAS.match(rest):
            return f"{self._name} {self._have} ", has.end()
        if of := _OF.match(rest):
            return f"{self._name} belongs to ", of.end()
        return f"{self._name} {self._be} ", 0
