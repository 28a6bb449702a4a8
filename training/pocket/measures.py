"""What counts as right: an exact answer, an honest "the card does not say", the names of a caption."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_SILENT = re.compile(
    r"(?:\b(?:not|no(?:thing)?|cannot)|n't) (?:\w+ ){0,3}?(?:say|says|said|know|known|mention|mentioned|state|stated|"
    r"specified|provided|given|clear|tell|information|available)\b|\bunknown\b|\bno information\b",
    re.IGNORECASE,
)
_IGNORED = frozenset("a an the my your of at in on".split())


def is_silent(text: str) -> bool:
    """Whether an answer says, in any words, that the card does not tell."""
    return bool(_SILENT.search(text))


def is_exact(text: str, key: str, rivals: Sequence[str], about: str, names: Sequence[str]) -> bool:
    """The words of `key` in their order and nothing wrong: no rival value, no other concept, not "does not say".

    Case, punctuation, articles, small prepositions and "my" for "your" do not count. Where `key` is Yes or No, the
    answer begins with it.
    """
    if key in {"Yes", "No"}:
        return text.strip().casefold().startswith(key.casefold())
    said = _words(re.sub(r"<[^<>]*>", " ", text))
    if is_silent(text) or not _within(_words(key), said):
        return False
    if any(_within(_words(rival), said) for rival in rivals if _words(rival)):
        return False
    marked = set(re.findall(r"<([^<>]*)>", text))
    others = [name for name in names if name != about and not name.islower()]  # "school" may be the ordinary word
    return not marked - {about} and not any(_within(_words(name), said) for name in others)


@dataclass(frozen=True, slots=True)
class Names:
    """Strict counts over captions: a name counts in angle brackets, exactly as it is written."""

    right: int = 0
    said: int = 0
    there: int = 0
    invented: int = 0

    def add(self, text: str, there: Sequence[str], absent: Sequence[str]) -> Names:
        said = set(re.findall(r"<([^<>]*)>", text))
        plain = re.sub(r"<[^<>]*>", " ", text)
        false = said - set(there) | {
            name for name in absent if not name.islower() and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", plain)
        }
        right = len(said & set(there))
        return Names(
            self.right + right, self.said + len(said), self.there + len(set(there)), self.invented + bool(false)
        )

    @property
    def f1(self) -> float:
        return 2 * self.right / (self.said + self.there) if self.said + self.there else 1.0


def holds(text: str, key: str) -> bool:
    """Whether the words of `key` stand in `text`, in their order; names in brackets do not count."""
    return _within(_words(key), said_words(text))


def said_words(text: str) -> list[str]:
    """The words of a sentence without marked names and what does not count."""
    return _words(re.sub(r"<[^<>]*>", " ", text))


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"[^\W_]+", text.casefold()) if word not in _IGNORED]


def _within(part: Sequence[str], whole: Sequence[str]) -> bool:
    """Whether `part` stands in `whole` without a gap; an empty part does not."""
    count = len(part)
    return bool(part) and any(list(whole[at : at + count]) == list(part) for at in range(len(whole) - count + 1))
