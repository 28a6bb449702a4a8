"""Who is the oldest, who is younger: what follows from the ages on two or more cards."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence

from rapbot.inference.asking import LONGEST_ASIDE
from rapbot.inference.clauses import clauses
from rapbot.inference.job import Card
from rapbot.inference.kindred import is_human
from rapbot.inference.kinds import is_animal

_ASKS = re.compile(
    r"\b(?:who|which(?:\s+(?:one|of\s+\w+(?:\s+\w+){0,2}|\w+))?)(?:['’]s|\s+(?:is|are|was|were))\s+(?:the\s+)?"
    r"(?P<how>oldest|eldest|youngest|older|elder|younger|born\s+(?:first|last))\b",
    re.IGNORECASE,
)
_DENIES = re.compile(r"\bthan\s+(?:\d|me|i\b|you|all|any)", re.IGNORECASE)
_NUMBERS = dict(
    zip("one two three four five six seven eight nine ten eleven twelve".split(), range(1, 13), strict=True)
)
_COUNT = rf"(?P<count>\d+(?:\.\d+)?|{'|'.join(_NUMBERS)})"
_AGED = re.compile(
    rf"(?<!for )(?<!since )\b{_COUNT}[\s-]*(?P<unit>years?|yrs?|y/?o|months?|mths?|weeks?|wks?)\b"
    r"(?!\s+(?:ago|of\b(?!\s+age)|warranty|guarantee|left|later|before|after|younger|older))",
    re.IGNORECASE,
)
_BORN = re.compile(r"\b(?:born|hatched)\b[^.;\n]{0,24}?\b(?P<year>(?:19|20)\d\d)\b", re.IGNORECASE)
_START = r"^<[^>]*>(?::|\s+is|\s+are|:?\s+[\w ]{1,20},)?\s+"
_BARE = re.compile(rf"{_START}(?P<count>\d{{1,3}})(?=[.,;!]|$)|\bturned\s+(?P<turned>\d{{1,3}})\b", re.IGNORECASE)
_OWN = re.compile(rf"{_START}(?:(?:about|almost|nearly|only|now)\s+)?$|\bold\b", re.IGNORECASE)
"""Before an age of its own, unlike "<Milo> gets a pill every 2 weeks"."""
_OTHERS = re.compile(r"^<[^>]*>(?:['’]s|:\s+(?:his|her|their|its|my|your|our)\b)|\bevery\b", re.IGNORECASE)
_UNITS = {"y": 365.25, "m": 30.4, "w": 7.0}


def compared(question: str, cards: Sequence[Card]) -> str:
    """Who of these is the oldest (youngest, older ...) by what the cards tell; "" where it is no such question or fewer
    than two of them tell an age."""
    asked = _ASKS.search(question[:LONGEST_ASIDE])
    if asked is None or _DENIES.search(question):
        return ""
    known = list(filter(None, map(age_of, cards)))
    if len(known) < 2:
        return ""
    old = asked["how"].casefold().split()[-1] in {"oldest", "eldest", "older", "elder", "first"}
    ranked = sorted(known, key=lambda one: -one[0] if old else one[0])
    if ranked[0][0] == ranked[1][0]:
        return ""
    return " ".join(told for _, told in ranked) if len(ranked) == 2 else ranked[0][1]


def age_of(card: Card) -> tuple[float, str] | None:
    """(days, the clause that tells it) of somebody's age, as far as it is told in numbers."""
    if not (is_human(card.category) or is_animal(card.category)):
        return None
    for clause in clauses(card):
        if _OTHERS.search(clause):
            continue
        if born := _BORN.search(clause):
            return (datetime.datetime.now(tz=datetime.UTC).year - int(born["year"])) * _UNITS["y"], clause
        if (aged := _AGED.search(clause)) and (_OWN.search(clause[: aged.start()]) or "old" in clause):
            count = _NUMBERS.get(aged["count"].casefold()) or float(aged["count"])
            return count * _UNITS[aged["unit"][0].casefold()], clause
        if bare := _BARE.search(clause):
            return float(bare["count"] or bare["turned"]) * _UNITS["y"], clause
    return None
