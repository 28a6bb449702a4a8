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
_LONGEST_NAME = 4
"""Words of a line above the text that are a name."""
_CAPITAL = r"(?!(?:An?|The|My|Our|Your|H[ei]s?|She|Her|It|Its|They|Their|This|I|We|Is|Was|Has)\b)[^\W\d_a-z][\w'’-]*"
"""A word that may be a name: no sentence begins with it."""
_TITLED = re.compile(
    r"((?:Mr|Mrs|Ms|Miss|Dr|Prof|Sir|Lady|Lord|St|Saint|Captain|Uncle|Aunt|Auntie|Old|Big|Little|The)\.?[^\S\n]+"
    rf"{_CAPITAL})(?:[\s,]+(.*))?$",
    re.DOTALL,
)
"""The first word is no name alone: "Aunt Mary likes tea", but "Uncle He fixes bicycles"."""
_MINE = re.compile(
    r"(?:(?i:this is|that['’]?s|that is|here is|here['’]s|meet)\s+)?(?P<whose>(?i:my|our))\s+"
    r"(?P<kind>(?:[^\W\d_A-Z][\w'’-]*\s+){1,3}?)(?:called\s+|named\s+)?"
    rf"(?P<name>{_CAPITAL}(?:[^\S\n]+{_CAPITAL}(?=\s*(?:[,.:;\n]|$)))?)(?P<mark>\s*[,.:;\n–-]|)\s*(?P<rest>.*)",
    re.DOTALL,
)
""" "My dog Lala, she loves cheese": what it is stands before the name."""
_THING = re.compile(r"(?i:my|our)\s+([^\W\d_][\w'’-]*)\b\W*(.*)", re.DOTALL)


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
    """A name and what follows: `Lala A dog.`, `"Rose of Lima" A cat.`, `<Rose of Lima> A cat.`, `Rose of Lima: A cat.`,
    `Aunt Mary likes tea.`, and a line of capitals above the rest."""
    quoted = re.match(r"[\"“„«]([^\"”»]+)[\"”»]\s*[:,\-–]?\s*(.*)|<([^<>]+)>\s*[:,\-–]?\s*(.*)", rest, re.S)
    if quoted:
        return (quoted[1] or quoted[3]).strip(), (quoted[2] if quoted[1] else quoted[4]).strip()
    colon = re.match(r"([^:.!?\n]{1,40}?)\s*:\s+(.*)", rest, re.S)
    if colon:
        return colon[1].strip(), colon[2].strip()
    if mine := _MINE.match(rest.strip()):
        return mine["name"], _about_mine(mine)
    if thing := _THING.match(rest.strip()):  # "my mug" is called mug, "my Lala" Lala
        return thing[1], (thing[2] if thing[1][0].isupper() or not thing[2] else rest).strip()
    line, _, below = rest.strip().partition("\n")
    if below and _is_name(line):
        return line.strip().rstrip(","), below.strip()
    if titled := _TITLED.match(rest.strip()):
        return titled[1], (titled[2] or "").strip()
    name, *info = re.split(r"\s", rest.strip(), maxsplit=1)
    return name.strip().rstrip(","), "".join(info).strip()


def _about_mine(mine: re.Match[str]) -> str:
    """What a card says of "my dog Lala, she loves cheese": "My dog. She loves cheese"."""
    kind, rest = f"{mine['whose'].capitalize()} {' '.join(mine['kind'].split())}", mine["rest"].strip()
    if rest and not mine["mark"] and not rest[0].isupper():
        return f"{kind} {rest}"  # "my sister Anna who sings"
    return f"{kind}. {rest[:1].upper()}{rest[1:]}".strip()


def _is_name(line: str) -> bool:
    """ "Old Gertie", above "1987 Raleigh"; not "Lala is" and not "A dog."."""
    words = line.split()
    capitals = all(word[0] == word[0].upper() for word in words)
    return len(words) <= _LONGEST_NAME and capitals and not re.search(r"[.!?]\s*$|^(?:An?|The|My|This)\b", line)
