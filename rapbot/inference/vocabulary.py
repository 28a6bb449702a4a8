"""English word lists as text: written as sentences of words, read as sets."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of `text`; "_" stands for a space inside one."""
    return frozenset(word.replace("_", " ") for word in text.split())
