"""Names in angle brackets, letter by letter: while a model writes one, only tokens that spell a known name may follow.

A model that copies a name out of its prompt loses a capital now and then ("<cloud>" for "<Cloud>"), and then nobody
knows whom it means. Constrained decoding (e.g. Willard and Louf 2023) ends that, and costs nothing where the model is
right anyway: its own choice stays whenever it is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Encode = Callable[[str], Sequence[int]]
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
"""How vocabularies of SentencePiece write a byte."""


class NameTokens:
    """What a tokenizer's tokens mean around a name. `special`: tokens that are no text, such as the end of a turn."""

    def __init__(self, vocabulary: Mapping[str, int], special: Collection[int], encode: Encode) -> None:
        text = {
            number: token
            for token, number in vocabulary.items()
            if number not in special and not _BYTE.fullmatch(token)
        }
        self.opening = frozenset(
            number for number, token in text.items() if token.endswith("<") and token.count("<") == 1
        )
        self.marked = frozenset(number for number, token in text.items() if "<" in token)
        self.closing = sorted(number for number, token in text.items() if token.startswith(">") and "<" not in token)
        self._encode = encode

    def guide(self, names: Sequence[str], begun: str = "") -> NameGuide | None:
        """For one answer that may name nobody but `names`, after the words `begun`; None where the tokenizer cannot
        spell one of them so."""
        paths = [self._spelled(name) for name in names]
        if not self.closing or not all(paths):
            return None
        return NameGuide(self, paths, within=bool(names) and begun.endswith("<"))

    def _spelled(self, name: str) -> tuple[int, ...]:
        """The tokens of a name after its bracket; where a tokenizer joins the two, those of the name alone."""
        first, *rest = self._encode(f"<{name}")
        return tuple(rest if first in self.opening else self._encode(name))


class NameGuide:
    """The state of one answer: outside of brackets, or within a name of which `_written` stands there.

    Each name is spelled once: a model that would name somebody else must not repeat one that there is.
    """

    def __init__(self, tokens: NameTokens, paths: Sequence[tuple[int, ...]], *, within: bool = False) -> None:
        self._tokens = tokens
        self._paths = paths
        self._written: tuple[int, ...] | None = () if within else None

    def choose(self, token: int, logits: Tensor) -> int:
        """`token` (the likeliest) where it may follow, else the likeliest that may; `logits` float[vocabulary]."""
        if self._written is None:
            if token in self._tokens.marked and not (self._paths and token in self._tokens.opening):
                banned = self._tokens.marked - (self._tokens.opening if self._paths else frozenset())
                free = logits.clone()
                free[sorted(banned)] = float("-inf")
                token = int(free.argmax())
            if token in self._tokens.opening:
                self._written = ()
            return token
        allowed = self._next(self._written)
        if token not in allowed:
            token = allowed[int(logits[allowed].argmax())]
        if self._written in self._paths and token in self._tokens.closing:
            self._paths = [path for path in self._paths if path != self._written]
            self._written = None
        else:
            self._written = (*self._written, token)
        return token

    def _next(self, written: tuple[int, ...]) -> list[int]:
        count = len(written)
        spelling = {path[count] for path in self._paths if len(path) > count and path[:count] == written}
        return [*spelling, *(self._tokens.closing if written in self._paths else ())]


def choose_tokens(guides: Sequence[NameGuide | None], likeliest: Sequence[int], logits: Tensor) -> list[int]:
    """The next token of each row: the likeliest one that may follow; `logits` float[rows, vocabulary]."""
    return [
        token if guide is None else guide.choose(token, row)
        for guide, token, row in zip(guides, likeliest, logits, strict=True)
    ]
