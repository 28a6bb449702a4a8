"""The metrics of the paper, counted and divided: the one home for `rapbot eval` and for `rapbot-train ablations`.

Source: RAP (CVPR 2025), section 4 and its scorer; the strict variants count every wrong name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

_MARKED = re.compile(r"<([^<>]+)>")
_YES_OR_NO = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)
_LETTER = re.compile(r"\W*([A-Z])(?:\W|$)")


@dataclass(slots=True)
class NameCounts:
    """Names in captions: of what is there (`wanted`), how many were named (`right`), among all that were named."""

    wanted: int = 0
    right: int = 0
    named: int = 0
    published_named: int = 0
    """The published scorer forgives wrong names beside a right one."""

    def add(self, named: set[str], there: set[str]) -> None:
        right = len(named & there)
        self.wanted += len(there)
        self.right += right
        self.named += len(named)
        self.published_named += right or len(named)

    def strict(self) -> dict[str, float | None]:
        """Recall, precision and F1 of all names."""
        return _scores(self.right, self.wanted, self.named)

    def published(self) -> dict[str, float | None]:
        """The same as the published scorer counts."""
        return _scores(self.right, self.wanted, self.published_named)


@dataclass(slots=True)
class Recognitions:
    """ "Is it in this photo?", for photos that show it and photos that do not."""

    positive: list[bool] = field(default_factory=list)
    negative: list[bool] = field(default_factory=list)

    def add(self, there: bool, said: bool | None) -> None:
        """`said`: yes, no, or neither, which is wrong."""
        (self.positive if there else self.negative).append(said is there)

    def in_numbers(self) -> dict[str, float | None]:
        positive, negative = share(self.positive), share(self.negative)
        both = positive is not None and negative is not None
        weighted = round((positive + negative) / 2, 4) if both else None  # type: ignore[operator]
        return {"positive": positive, "negative": negative, "weighted": weighted}


def names_in(text: str, known: Collection[str]) -> set[str]:
    """The names that a model's own words hold: all that it marks, and known ones without the mark.

    A name of small letters alone may be the ordinary word ("dog"): it counts only with its mark.
    """
    plain = _MARKED.sub(" ", text)
    telling = (name for name in known if not (name.isalpha() and name.islower()))
    bare = {name for name in telling if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", plain, re.IGNORECASE)}
    spelt = {name.casefold(): name for name in known}
    marked = (name.strip() for name in _MARKED.findall(text))
    return {spelt.get(name.casefold(), name) for name in marked} | bare


def yes_or_no(reply: str) -> bool | None:
    """What an answer begins with; None: neither."""
    found = _YES_OR_NO.match(reply)
    return None if found is None else found[1].casefold() == "yes"


def with_letters(question: str, options: Sequence[str]) -> str:
    """A multiple choice in words, as models know it."""
    lines = [f"{chr(65 + number)}. {option}" for number, option in enumerate(options)]
    return "\n".join([question, *lines, "Answer with the option's letter."])


def choice_in(reply: str, options: Sequence[str]) -> int | None:
    """The option that a reply in words chooses, by its letter or its own words; None: none or several.

    An empty reply chooses nothing, so it is wrong.
    """
    text = " ".join(reply.split())
    letter = _LETTER.match(text)
    if letter and ord(letter[1]) - 65 < len(options) and text.casefold() not in map(str.casefold, options):
        return ord(letter[1]) - 65
    said = f" {_words(text)} "
    found = [number for number, option in enumerate(options) if _words(option) and f" {_words(option)} " in said]
    # "not red" holds "red" as well: the longest one is meant, if it is one.
    longest = [number for number in found if len(options[number]) == max(len(options[other]) for other in found)]
    return longest[0] if len(longest) == 1 else None


def likeliest(scores: Sequence[float]) -> int | None:
    """The option of the highest score; None where there is no score, or two are equally high: that is no choice."""
    finite = [score for score in scores if not math.isnan(score)]
    best = max(finite, default=-math.inf)
    return scores.index(best) if finite and best > -math.inf and scores.count(best) == 1 else None


def ratio(part: float, whole: float) -> float | None:
    """Rounded; None where there is nothing to divide by."""
    return round(part / whole, 4) if whole else None


def share(values: Sequence[bool]) -> float | None:
    """Of those that are true."""
    return ratio(sum(values), len(values))


def _scores(right: int, wanted: int, named: int) -> dict[str, float | None]:
    return {"recall": ratio(right, wanted), "precision": ratio(right, named), "f1": ratio(2 * right, wanted + named)}


def _words(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))
