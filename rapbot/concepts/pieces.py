"""Text cut into the pieces by which names are compared, each with its place in the text.

A piece is a word, a run of digits, or one character of a script that is written without spaces, or one emoji.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache

# Scripts whose words stand side by side: Thai, Lao, Burmese, Khmer, kana, Han, and Hangul (particles follow names).
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\uff66-\uff9f\U00020000-\U0003ffff"
)
_SYMBOL = r"[+$=]|[^\w\s!-/:-@\[-`{-\xbf\u2000-\u206f\u3000-\u303f\ufe00-\ufe0f\uff00-\uff65%s]"
"""Emoji and other symbols: whatever is no letter, space, mark or punctuation."""
_GLUE = "\u200d"
"""Zero-width joiner: makes one emoji of two."""
_LETTERS_BESIDE = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ħ": "h", "ŧ": "t", "æ": "ae", "œ": "oe", "þ": "th"})
"""Letters that people without that keyboard write instead; Unicode does not decompose them."""


@dataclass(frozen=True, slots=True)
class Piece:
    """`text` as compared (`fold_piece`); `start` and `end` in the original text.

    `glued` when a name may not begin here, because the piece belongs to the one before ("dog|2", parts of an emoji,
    "elephant_sphere").
    """

    text: str
    start: int
    end: int
    glued: bool = False


@lru_cache(maxsize=4096)
def fold_piece(text: str) -> str:
    """Case, width, ligatures and the dot of the Turkish i do not count."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded).replace("i\u0307", "i").replace("ı", "i")


@lru_cache(maxsize=4096)
def bare(folded: str) -> str:
    """`folded` without accents: Łatek is often typed latek, Zoë zoe."""
    if folded.isascii():
        return folded
    parts = unicodedata.normalize("NFD", folded.translate(_LETTERS_BESIDE))
    return unicodedata.normalize("NFC", "".join(part for part in parts if not "\u0300" <= part <= "\u036f"))


def cut(text: str) -> list[Piece]:
    """The pieces of `text`, in order; punctuation and space are left out."""
    composed, places = _composed(text)
    pieces: list[Piece] = []
    end_before = -1
    for found in _pattern().finditer(composed):
        start, end = found.span()
        gap = composed[end_before:start] if end_before >= 0 else " "
        is_word = found.lastgroup in ("word", "digits")
        glued = (
            gap == "_"
            or _GLUE in gap
            or (gap == "" and is_word and _wordlike(composed[start - 1]))
            or found.lastgroup == "modifier"
        )
        pieces.append(Piece(fold_piece(found[0]), places[start], places[end], glued))
        end_before = end
    return pieces


def _wordlike(character: str) -> bool:
    return character.isalnum() and not re.match(f"[{_UNSPACED}]", character)


def _composed(text: str) -> tuple[str, range | list[int]]:
    """(text in NFC, place in `text` of each of its characters, with one more for the end)."""
    if unicodedata.is_normalized("NFC", text):
        return text, range(len(text) + 1)
    parts: list[str] = []
    places: list[int] = []
    # A character with everything that may combine with it: marks, and the vowels and finals of Hangul.
    for cluster in re.finditer(f".[{_marks()}\u1160-\u11ff]*", text, re.DOTALL):
        part = unicodedata.normalize("NFC", cluster[0])
        parts.append(part)
        places += [cluster.start()] * len(part)
    return "".join(parts), [*places, len(text)]


@cache
def _marks() -> str:
    """All combining marks as ranges of a character class; Python's `\\w` leaves them out."""
    blocks = (range(0x0300, 0x3100), range(0xA600, 0xAC00), range(0xFE20, 0xFE30), range(0x11000, 0x12000))
    return _ranges([n for block in blocks for n in block if unicodedata.category(chr(n)) in ("Mn", "Mc")])


def _ranges(numbers: list[int]) -> str:
    text = ""
    for n in numbers:
        if text and ord(text[-1]) == n - 1:
            text = text[:-1] + chr(n) if text[-2:-1] == "-" else text + "-" + chr(n)
        else:
            text += chr(n)
    return text


@cache
def _pattern() -> re.Pattern[str]:
    marks = _marks()
    letter = rf"[^\W\d_{_UNSPACED}]"
    return re.compile(
        rf"(?P<word>{letter}(?:{letter}|[{marks}])*)"
        rf"|(?P<digits>\d+)"
        rf"|(?P<sign>[{_UNSPACED}][{marks}]*)"
        rf"|(?P<modifier>[\U0001f3fb-\U0001f3ff])"
        rf"|(?P<symbol>{_SYMBOL % marks})"
    )
