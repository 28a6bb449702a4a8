"""What a typed command says: its word, its name, and which command was meant by a word that is none."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rapidfuzz import fuzz, process

_MEANT = {
    other: name
    for name, others in {
        "remember": "add learn teach new save train",
        "concepts": "list all names cards",
        "forget": "delete remove del rm",
        "edit": "change update rename",
        "find": "where who search locate",
        "show": "card info get",
    }.items()
    for other in others.split()
}
"""What other bots call it."""


def parse(text: str) -> tuple[str, str] | None:
    """(command, rest) of "/command@bot rest", whether there is such a command or not; None for free text."""
    text = text.strip()
    if not text.startswith("/"):
        return None
    word, _space, rest = text[1:].partition(" ")
    word, line, more = word.partition("\n")
    return word.partition("@")[0].casefold(), f"{more} {rest}".strip() if line else rest.strip()


def meant(word: str, names: Sequence[str]) -> str:
    """The command of `names` that a word which is none of them stands for; "" where none is near."""
    if (other := _MEANT.get(word, "")) in names:
        return other
    found = process.extractOne(word, names, scorer=fuzz.ratio, score_cutoff=60)
    return found[0] if found else ""


def split_name(rest: str) -> tuple[str, str]:
    """A name and what follows: `Lala A dog.`, `"Mr. Pickles" A cat.`, `<Mr. Pickles> A cat.`, `Mr. Pickles: A cat.`"""
    quoted = re.match(r"[\"“„«]([^\"”»]+)[\"”»]\s*[:,\-–]?\s*(.*)|<([^<>]+)>\s*[:,\-–]?\s*(.*)", rest, re.S)
    if quoted:
        return (quoted[1] or quoted[3]).strip(), (quoted[2] if quoted[1] else quoted[4]).strip()
    colon = re.match(r"([^:.!?\n]{1,40}?)\s*:\s+(.*)", rest, re.S)
    if colon:
        return colon[1].strip(), colon[2].strip()
    name, *info = re.split(r"\s", rest.strip(), maxsplit=1)
    return name.strip().rstrip(","), "".join(info).strip()
