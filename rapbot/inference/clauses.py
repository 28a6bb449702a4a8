"""A card's info in the smallest sentences that stand alone: what a trained model chooses its answer from.

`statements` cuts only where any reader would, because rules read them; a model that judges each piece may have finer
ones: "a dog with a limp from Rome, two years old" is a dog, has a limp, is from Rome, is two years old.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from rapbot.inference.clause_openings import Opens
from rapbot.inference.job import Card
from rapbot.inference.sentences import ASIDE, abbreviated
from rapbot.inference.statements import kind_statement, statements
from rapbot.inference.subjects import CONDITION, KIN, TITLED
from rapbot.inference.vocabulary import words
from rapbot.inference.wording import sentence

_BREAK = re.compile(
    r"(?P<end>\s*;\s*(?:(?:and|but|or|so)\s+)?|\s+[/|]\s+|(?<=[\w)])[.!?]\s+(?:[/|]\s+)?|\s*:-?\)\s*)"
    r"|(?P<strong>\s*,(?!\d)\s*(?:(?:and|but|or|so)\s+)?|\s+[–—-]\s+)"
    r"|(?P<weak>\s+(?:and|but|&)\s+(?:(?:who|which|that)\s+)?)"
    r"|(?P<so>\s+so\s+(?=(?:no|please|don't|dont|never|keep)\b|[a-z]+\s+(?:the|him|her|it|them)\b))"
    r"|(?P<relative>\s+(?:who|which|that)\s+)"
    r"|(?P<attribute>\s+(?=(?:with|w/|from|in\s+size|made\s+(?:of|by|out)|painted\s+with|called|named|of\s+(?:your|our|his|her))\s"
    rf"|of\s+(?:{KIN.pattern}\s)?(?-i:[A-Z])\w))",
    re.IGNORECASE,
)
_RUN_ON = re.compile(
    r"(?<=\w)\s+(?=(?:he|she|it)(?:'?s\b|\s+(?:is|was|has|had|can|cant|does|doesnt|only|never|always|came|went|got|ate|bit"
    r"|fell|lost|ran|loved|liked|lived|[a-z]+s)\b)|(?:please|(?<!please )don'?t)\s)",
    re.IGNORECASE,
)
"""Where a sentence without any punctuation begins anew: "... from a shop he runs on his wheel he likes ..."."""
_JOINED = words(
    "that when whenever while if because as since until before after where what which who whom and but or so than like"
    " think thinks say says said know knows hope hopes sure unless though although how why once one the of to for with"
    " by"
)
"""After these a pronoun goes on with the sentence."""
_LONG = 14
"""Words of a sentence that is looked at for that."""
_NOMINAL = re.compile(
    r"(?:is|are|was|were)\s+(?:an?|the|your|our|some|one|his|her|their|\w+'s)\b"
    r"|(?:is|are)\s+(?!(?:at|in|on|by|to|from|under|near|best|about|with)\b|\w+ed\b|\w+ing\s)[\w' -]+$"
    r"|an?\s",
    re.IGNORECASE,
)
"""A predicate that says what somebody is; what follows a comma there says more of that."""
_UNFINISHED = re.compile(
    r"(?:^|\s)(?:is|are|was|were|(?!(?:bed|shed|sled|seed|weed|breed|sunbed)$)\w+ed|grown|sewn|known|woven|given|taken|done|built|cut|bought|brought|made|one|worn|eaten"
    r"|seen|found|held|kept|bursting|brimming|teeming"
    r"|for\s+\w+ing)$",
    re.IGNORECASE,
)
_WHOSE = re.compile(
    r"(?:^|\s)(?:present|gift|souvenir|thanks|photo|picture|portrait|piece|cup|glass|pair|friend|member|part|walk|drive|ride|minutes?"
    r"|steps|away|throw|far)$",
    re.IGNORECASE,
)
"""What is nothing without what follows: "covered with patches", "a present from grandma", "a short walk from here"."""
_RELATED = re.compile(
    r"(?:^|\s)(?:offspring|child|son|daughter|kid|parent|mother|father|partner|husband|wife|sister|brother|twin|cousin|boss"
    r"|neighbou?r|colleague|namesake|fan|owner|handiwork|work|project|idea|property|name|hands|care|memory)$",
    re.IGNORECASE,
)
"""The same, where "of" follows."""
_OF_THEM = re.compile(
    r"\b(?:of|by)\s+(?:an?|the|your|our|his|her|their|[A-Z]\w*)\s|\b(?:present|gift|loan|thanks)\s+from\s"
    r"|\bfrom\s+(?:an?|the|your)\s+(?:\w+\s+)?\w+(?:er|or|ist|man|lady)\s$|\b(?:who|which|that)\s+\w+\s$"
)
"""After these "from" tells more of them: "a present from a carpenter from Quito", "who descends from"."""
_SINCE = re.compile(r"from\s+(?:\d|(?:spring|summer|autumn|winter|(?-i:[A-Z])[a-z]+)\s+\d)")
_OF_A_THING = re.compile(
    r"\b(?:(?:of|like|for|to)\s+(?:an?|your|our|his|her|their|one)|called|named|by)\s", re.IGNORECASE
)
_SOMEBODY = re.compile(
    rf"\b(?:by|of|for|to|like|from|with|called|named)\s+(?:(?<!from )(?<!(?:ast|est|rth|uth) of )[A-Z]|.*{KIN.pattern}"
    r"|.*(?!\b(?:shelter|river|summer|winter|corner|tower|water|number|computer|paper|floor|door)\b)"
    r"\b\w+(?:er|or|ist|man|lady|kid|child)\b)"
)
"""After these, "with", "that" and "who" may tell of something or somebody else: "done by a guy who sings"."""
_CLAUSE = re.compile(r"\b(?:s?he|it|they|you)\s+[a-z]")
"""What follows belongs to its verb: "now he lives with us"."""
_RELATIVE = re.compile(r"\b(?:who|which|that)\s+$")
_MORE = re.compile(r"(?:with|w/|called|named)\s", re.IGNORECASE)


def clauses(card: Card) -> tuple[str, ...]:
    """Each once, in the order of the card, the concept's kind last; all about <Name>."""
    opens = Opens(card)
    found = [piece for statement in statements(card) for piece in _pieces(statement, opens)]
    return tuple(dict.fromkeys([*found, *filter(None, [kind_statement(card)])]))


def _pieces(statement: str, opens: Opens) -> Iterator[str]:
    name = opens.name
    begins = re.match(rf"{re.escape(name)}(?:'s|:)?\s*", statement)
    if begins is None:
        yield statement
        return
    start, body = begins[0], statement[begins.end() :].rstrip(".")
    begun, possessive = 0, start.strip() == f"{name}'s"
    nominal = bool(_NOMINAL.match(body)) and not possessive
    for found in _breaks(body):
        piece = body[begun : found.start]
        if found.start < begun or not piece.strip() or _goes_on(body, found, piece, nominal=nominal):
            continue
        opened = opens.clause(found.kind, body[found.end :], start + piece)
        if opened is not None and _is_unsaid(opened, body[found.start : found.end], name, possessive=possessive):
            opened = None
        if opened is not None:
            nominal = False
        elif nominal:
            opened = opens.attribute(found.kind, body[found.end :], start + piece)
        if opened is None and found.kind == "end":
            opened, nominal = (f"{name}: ", 0), False
        if opened is None:
            continue
        yield sentence(start + piece)
        (start, skipped), possessive = opened, False
        begun = found.end + skipped
    if body[begun:].strip(" .,!?"):
        yield sentence(start + body[begun:])


def _is_unsaid(opened: tuple[str, int], between: str, name: str, *, possessive: bool) -> bool:
    """ "a mask that hangs here and that my son fears", "<Lala>'s mother is a nurse and lives in Rome"."""
    return (bool(_RELATIVE.search(between)) and opened[0] != f"{name} ") or (
        possessive and not opened[1] and opened[0] != f"{name}: "
    )


def _goes_on(body: str, found: _Break, piece: str, *, nominal: bool) -> bool:
    """Whether what seems to end there does not: a short word, or words about somebody else than the concept."""
    before, after = body[: found.start + 1], body[found.end :]
    if found.kind == "relative":
        other = _SOMEBODY if "who" in body[found.start : found.end].casefold() else _OF_A_THING
        return not nominal or bool(other.search(piece) or _UNFINISHED.search(piece))
    if found.kind == "attribute":
        unsaid = _OF_A_THING if _MORE.match(after) else _WHOSE
        if after.startswith("from ") and not _SINCE.match(after) and _OF_THEM.search(f"{piece} "):
            return True
        related = after.startswith("of ") and _RELATED.search(piece)
        return bool(related or _UNFINISHED.search(piece) or unsaid.search(piece) or _CLAUSE.search(piece))
    return abbreviated(before, after) or bool(CONDITION.match(piece) or TITLED.search(body, 0, found.start))


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
