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
_CAPITAL = (
    r"(?!(?:An?|The|My|Our|Your|H[ei]s?|She|Her|It|Its|They|Their|This|I|We|Is|Was|Has)\b)"
    r"[^\W\d_a-z][\w’'-]*(?<!['’]s)(?![\w'’])"
)
"""A word that may be a name: no sentence begins with it."""
_TITLE = r"(?:Mr|Mrs|Ms|Miss|Dr|Prof|Sir|Lady|Lord|St|Saint|Captain|Uncle|Aunt|Auntie|Old|Big|Little|The)\b\.?"
_TITLED = re.compile(rf"({_TITLE}[^\S\n]+{_CAPITAL})(?:[\s,:]+(.*))?$", re.DOTALL)
"""The first word is no name alone: "Aunt Mary likes tea", but "Uncle He fixes bicycles"."""
_INTRODUCED = re.compile(r"(?:this is|that['’]?s|that is|here is|here['’]s|meet)\s+(?=\w)", re.IGNORECASE)
_NO_KIND = r"(?:from|in|at|on|with|of|by|for|has|had|was|bought|made|who|which|that|and|or|loves|likes)"
_MINE = re.compile(
    rf"(?P<whose>(?i:my|our))\s+(?P<kind>(?:(?!{_NO_KIND}\b|(?:is|called|named)\b)[^\W\d_A-Z][\w'’-]*[^\S\n]+){{0,2}}"
    rf"(?!(?:{_NO_KIND}|is|called|named)\b)[^\W\d_A-Z][\w’-]*)(?P<before>,?[^\S\n]+)(?:(?:is\s+)?(?:called|named)\s+)?"
    rf"(?P<name>(?:{_TITLE}[^\S\n]+)?{_CAPITAL}(?:[^\S\n]+{_CAPITAL}(?=\s*(?:[,.:;\n]|$)))?)"
    r"(?P<mark>\s*[,.:;\n–-]|)\s*(?P<rest>.*)",
    re.DOTALL,
)
""" "My dog Lala, she loves cheese": what it is stands before the name."""
_THING = re.compile(
    r"(?i:my|our)\s+(?:(?:new|old|first|second|best|favou?rite|little|big|dear|own|beloved|cute|lovely)\s+)*"
    r"([^\W\d_][\w’-]*)\b\W*(.*)",
    re.DOTALL,
)


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
    `Aunt Mary likes tea.`, `my dog Lala, she loves cheese`, and a line of capitals above the rest."""
    name, info = _split(_INTRODUCED.sub("", rest.strip(), count=1) or rest)
    return name.rstrip(",!.") or name, info


def _split(rest: str) -> tuple[str, str]:
    quoted = re.match(r"[\"“„«]([^\"”»]+)[\"”»]\s*[:,\-–]?\s*(.*)|<([^<>]+)>\s*[:,\-–]?\s*(.*)", rest, re.S)
    if quoted:
        return (quoted[1] or quoted[3]).strip(), (quoted[2] if quoted[1] else quoted[4]).strip()
    if titled := _TITLED.match(rest):
        return titled[1], (titled[2] or "").strip()
    colon = re.match(r"([^:.!?\n]{1,40}?)\s*:\s+(.*)", rest, re.S)
    if colon:
        return colon[1].strip(), colon[2].strip()
    mine = _MINE.match(rest)
    if mine and ("," not in mine["before"] or mine["mark"] or not mine["rest"]):
        return mine["name"], _about_mine(mine)
    if thing := _THING.match(rest):  # "my mug" is called mug, "my Lala" Lala
        return thing[1], (thing[2] if thing[1][0].isupper() or not thing[2] else rest).strip()
    line, _, below = rest.partition("\n")
    if below and _is_name(line):
        return line.strip(), below.strip()
    name, *info = re.split(r"\s", rest, maxsplit=1)
    return name.strip(), "".join(info).strip()


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
