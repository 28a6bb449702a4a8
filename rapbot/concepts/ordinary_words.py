"""Whether a name that is also an ordinary word ("can", "May", "dog") is meant as the name, by what stands around it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files

from rapbot.concepts.pieces import Piece

_CONTRACTION = re.compile(r"['’](?:t|ll|re|ve|d|m)\b", re.IGNORECASE)  # can't, May'd
_NOT_LETTERS = re.compile(r"[\W\d_]*")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BEFORE_A_NOUN = _words(
    "a an the my your his her its our their this that these those some any every each no another which many two three"
)
_BE = _words("is are was were isn wasn")
_AFTER_A_SUBJECT = _words(
    "in on at here there this visible anywhere shown present near with and or inside outside behind beside under to"
    " next also alone hiding"
)
_VERBS_OF_A_NAME = _words("is was has had loves likes wants looks sits sleeps lives")
_ASKING_WHO = _words("where who wheres whos")
_COMMANDS = _words("about named called find locate spot forget rename meet does did contain contains")
_TIME_BEFORE = _words("in since until by last next during of from on early late")
_OF_THE_CALENDAR = _words("may april june august march summer autumn winter spring sunday")


@cache
def common_words() -> frozenset[str]:
    """The folded words of `common_words.txt`."""
    text = files(__package__).joinpath("common_words.txt").read_text("utf-8")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())


def is_common(folded: str) -> bool:
    """Whether `folded` is an everyday English word, or a regular form of one (walks, boxes, running, puppies)."""
    words = common_words()
    return folded in words or any(base in words for base in _bases(folded))


def _bases(word: str) -> Iterator[str]:
    for ending in ("s", "es", "ed", "ing", "er", "est", "ly"):
        stem = word.removesuffix(ending)
        if stem == word or len(stem) < 2:
            continue
        yield stem
        if ending not in ("s", "ly"):
            yield stem + "e"
            yield stem[:-1] if stem[-1] == stem[-2] else stem
        if stem.endswith("i"):
            yield stem[:-1] + "y"


def meant_as_name(text: str, pieces: Sequence[Piece], first: int, last: int) -> bool:
    """Whether `pieces[first:last]` of `text`, an ordinary word, is used as a name.

    Lower case as an ordinary word ("can you", "a candy bar") gives False, and so does a capital that only opens a
    sentence. Brackets, a capital in mid-sentence, possession and questions about somebody give True.
    """
    start, end = pieces[first].start, pieces[last - 1].end
    if text[start - 1 : start] == "<" and text[end : end + 1] == ">":
        return True
    if last - first == len(pieces):  # the whole message: the answer to "who?"
        return True
    if _CONTRACTION.match(text, end):
        return False
    before = [piece.text for piece in pieces[max(0, first - 3) : first]]
    after = [piece.text for piece in pieces[last : last + 2]]
    capital = text[start].isupper()
    opening = _opens_sentence(text, start)
    if capital and not opening and not _shouted(text):
        return not _a_date(before, pieces[first].text, after)
    if before and before[-1] in _BEFORE_A_NOUN and not opening:
        return False
    if re.match(r"['’]s\b", text[end:]):
        return True
    if capital and opening and after[:1] and after[0] in _VERBS_OF_A_NAME:
        return True
    return not opening and _asked_about(text[end:], before, after)


def _asked_about(rest: str, before: Sequence[str], after: Sequence[str]) -> bool:
    previous = before[-1] if before else ""
    if previous in _COMMANDS:
        return True
    if previous in _BE or (previous in ("s", "t") and before[-2:-1]):
        asked = before[-2] if len(before) > 1 else ""
        follows = after[0] if after else ""
        ends = not after or bool(re.match(r"\s*[?.!,]", rest))
        if asked in _ASKING_WHO:
            return ends or follows in _AFTER_A_SUBJECT or follows in ("now", "today")
        # "is dog in this?", "what is dog doing?", but not "what is can?" and not "this is candy".
        opens = len(before) == 1 or asked in ("what", "how", "why", "and", "or")
        return opens and (follows in _AFTER_A_SUBJECT or follows.endswith("ing") or (ends and len(before) == 1))
    return previous in _ASKING_WHO and not after


def _opens_sentence(text: str, start: int) -> bool:
    lead = text[:start].rstrip(" \t\"'“”‘’«»„*_([-–—>")
    return not lead or lead[-1] in ".!?:;\n…。！？¿¡"


def _shouted(text: str) -> bool:
    """Capitals tell nothing in a text without small letters."""
    return text.isupper() and len(_NOT_LETTERS.sub("", text)) > 1 and " " in text.strip()


def _a_date(before: Sequence[str], word: str, after: Sequence[str]) -> bool:
    if word not in _OF_THE_CALENDAR:
        return False
    numbers = [*before[-1:], *after[:1]]
    return any(number.isdigit() for number in numbers) or (before[-1:] != [] and before[-1] in _TIME_BEFORE)
