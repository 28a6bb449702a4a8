"""Long texts in as many messages as they need."""

from __future__ import annotations

from collections.abc import Callable


def split_text(text: str, limit: int, length: Callable[[str], int] = len) -> list[str]:
    """`text` in pieces of at most `limit` by `length`, cut at the end of a line, else a sentence, else a word."""
    pieces = []
    rest = text.strip()
    while length(rest) > limit:
        end = _fitting(rest, limit, length)
        cut = _best_cut(rest[:end])
        pieces.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return [*pieces, rest] if rest or not pieces else pieces


def utf16_length(text: str) -> int:
    """Telegram and Discord count UTF-16 code units: an emoji is two."""
    return len(text.encode("utf-16-le")) // 2


def _fitting(text: str, limit: int, length: Callable[[str], int]) -> int:
    end = min(len(text), limit)
    while length(text[:end]) > limit:
        end -= max(1, (length(text[:end]) - limit) // 2)
    return end


def _best_cut(head: str) -> int:
    for ends in ("\n", ". ! ? 。 ！ ？ …".split(), " "):
        at = max((head.rfind(end) + len(end) for end in ends if end in head), default=0)
        if at > len(head) // 3:
            return at
    return len(head)
