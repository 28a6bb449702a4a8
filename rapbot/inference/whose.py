"""Questions that ask which of many it is, as a question about one: "Who hates storms?" is "Is X the one who hates
storms?" of each card. A model that was trained to answer that finds whom no word of the question names."""

from __future__ import annotations

import re
from collections.abc import Callable

from rapbot.inference.asking import LONGEST_ASIDE, without_lead
from rapbot.inference.kindred import is_kind
from rapbot.inference.verbs import BASE
from rapbot.inference.vocabulary import words

_ANY = r"(?:any|some|every)\s?(?:one|body)(?:\s+else)?"
_OF = r"(?:\s+of\s+(?:them|these|those|you|us|all|(?:the|my|our|your)\s+(?:two|three|four|[\w'-]+s)))?"
_WHO = re.compile(
    rf"(?:do\s+you\s+know\s+|tell\s+me\s+|is\s+there\s+|are\s+there\s+)?(?:(?:{_ANY}|any\s+\w+|some\s+\w+)\s+(?:who|that|which)"
    rf"|who(?:\s+else|\s+all)?(?P<is1>['’]s)?|which(?:\s+ones?|\s+(?!of\b)(?P<kind>[\w'-]+))?{_OF}"
    r"|(?P<lead>what)(?:\s+else|\s+(?P<thing>[\w'-]+)(?=\s+(?:is|are|was|were|do|does|did|has|have|had|can|could)\b))?(?P<is2>['’]s)?)"
    r"\s+(?=\w)",
    re.IGNORECASE,
)
_EXISTS = re.compile(
    rf"(?P<verb>is|are|was|were|do|does|did|has|have|had|can|could|will|would|should|must)\s+(?:there\s+)?"
    rf"(?:{_ANY}|any(?:thing|\s+one)?{_OF}|any\s+[\w'-]+|either(?:\s+of\s+\w+)?|one{_OF}|some(?:thing|{_OF}))\s+(?P<rest>\w.*)",
    re.IGNORECASE,
)
_ANYONE = re.compile(rf"(?:{_ANY}|anything){_OF}\s+(?P<rest>(?!who|that|which)\w.*)", re.IGNORECASE)
"""In short: "Anyone allergic to nuts?"."""
_BE = re.compile(r"(is|are|was|were|can|could|will|would|should|must|may|might)\s+(.*)", re.IGNORECASE)
_MINE = re.compile(
    r"(?P<verb>did|do|does|have|has|had|can|could|should|must|will|would)\s+"
    r"(?P<who>(?:i|we|they|he|she|(?:my|our|the)\s+[\w'-]+|(?-i:[A-Z])[\w-]+|gran\w*|mum|mom|dad)\s+(?:ever\s+|always\s+|usually\s+|once\s+)?[a-z]+)\b(?P<rest>.*)",
    re.IGNORECASE,
)
"""What somebody did with it: "What did I buy in Portugal?"."""
_NO_VERB = re.compile(r"\w+|about\b.*|(?:an?|the)\s.*|(?:kind|sort|type|sorts|kinds)\s+of\b.*", re.IGNORECASE)
_AUXILIARIES = words("is are was were do does did has have had can could will would should must may might")
_SINGULAR = {"are": "Is", "were": "Was", "do": "Does", "have": "Has"}
_MOST = re.compile(r"\b(?:the\s+(?:most|least|best|worst|\w+est)|older|younger|bigger|taller|heavier)\b", re.IGNORECASE)
"""No card tells that alone."""
_NOBODY = re.compile(r"\b(?:no\s?(?:one|body)|none)\b", re.IGNORECASE)


def exists(question: str) -> bool:
    """Whether it asks if there is any: "Does anyone like fish?"."""
    text = _bare(question[:LONGEST_ASIDE])
    return bool(_EXISTS.fullmatch(text) or _ANYONE.fullmatch(text))


def about_each(question: str, name: str, known: Callable[[str], bool] = is_kind) -> str | None:
    """The question about one concept, called `name`; None where it does not ask which of them it is: `known` says of a
    word whether it names a kind of them ("which mug", unlike "which room")."""
    if len(question) > LONGEST_ASIDE:
        return None
    text = _bare(question)
    if found := _EXISTS.fullmatch(text):
        verb = _SINGULAR.get(found["verb"].casefold(), found["verb"].capitalize())
        return f"{verb} {name} {found['rest']}?"
    if found := _ANYONE.fullmatch(text):
        verb = "Does" if found["rest"].split()[0].casefold() in BASE else "Is"
        return f"{verb} {name} {found['rest']}?"
    who = _WHO.match(text)
    if who is None or _NOBODY.search(who[0]) or _MOST.search(text):
        return None
    if who["lead"] and _NO_VERB.fullmatch(text[who.end() :]):
        return None  # "what breed?", "what about you?", "what kind of medicine?"
    noun = who["kind"] or who["thing"]
    if noun and noun.casefold() not in _AUXILIARIES and not known(noun):
        return None
    begun = who.start("kind") if noun and noun.casefold() in _AUXILIARIES else who.end()
    return _of_one(f"{'is ' if who['is1'] or who['is2'] else ''}{text[begun:]}", name, which=bool(who["kind"]))


def _of_one(rest: str, name: str, *, which: bool) -> str | None:
    """`rest`: what follows "who" or "which mug"."""
    if found := _BE.fullmatch(rest):
        if _about_somebody(found[2]):
            return None
        if not re.match(r"(?:i|we|you)\s", found[2], re.IGNORECASE):
            return f"{_SINGULAR.get(found[1].casefold(), found[1].capitalize())} {name} {found[2]}?"
    if mine := _MINE.fullmatch(rest):
        if re.match(r"(?:he|she|it|they)\b", mine["who"], re.IGNORECASE) and not which:
            return None  # "what does she love?" asks about her
        return f"{mine['verb'].capitalize()} {mine['who']} {name}{mine['rest']}?"
    return f"Is {name} the one who {rest}?"


def _about_somebody(rest: str) -> bool:
    """ "Who is he?", "What is your name?": not which of them."""
    return bool(
        re.fullmatch(
            r"(?:he|she|it|they|this|that|these|those|you|your\s.*|up|new|wrong|there|here)", rest, re.IGNORECASE
        )
    )


def _bare(question: str) -> str:
    return without_lead(question).strip(" ?.!")
