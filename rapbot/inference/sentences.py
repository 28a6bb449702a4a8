"""A card's info as sentences, said to who asks: where one ends, which full stops end none, and who "my" is."""

from __future__ import annotations

import re

from rapbot.inference.verbs import AMBIGUOUS, FINITE

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(]?[A-Z0-9])|\s*[;\n•]\s*|(?<!\d)\s+[-–—]\s+")
_ANY_SENTENCE_END = re.compile(r"(?:(?<=[^\W\d_]{2}[.!?])|(?<=[)!?][.!?]))\s+|\s*[;\n•]\s*|(?<!\d)\s+[-–—]\s+")
"""Of who writes everything small."""
_WRAPPED = re.compile(
    r"(?P<goes_on>,|\b(?:a|an|the|my|our|his|her|its|their|and|or|but|of|to|at|by|for|from|with|in|on|under|behind|is|are|was"
    rf"|very))\n(?![-–—•*])|(?P<long>[^\n]{{55}}[^\n.!?;:])\n(?!(?:{'|'.join(sorted(FINITE - AMBIGUOUS))})\b)(?=[a-z])"
    r"|\n(?=(?:and|or|but)\b)"
)
"""A line break within a sentence, of text that was wrapped; else a line is a sentence."""
_LINE_EACH = re.compile(r"^[^\n]{1,44}(?<!,)\n(?!(?:and|or|but)\b)[a-z]", re.MULTILINE)
"""Of who writes one thing a line, all of it small: a long line goes on nowhere there."""
_BULLET = re.compile(r"^[/|•*–—-]+\s+")
_LISTED = re.compile(r"\b(?:of|to|with|for|by|is|are):\s[^.\n:]*", re.IGNORECASE)
"""What its semicolons part belongs to one verb: "scared of: hats; balloons"."""
_TITLE = re.compile(
    r"\b(?:[MD]rs?|Ms|St|Sgt|Prof|Capt|e\.g|i\.e|approx|ca|incl|excl|max)\.$"
    r"|(?:^|[\"'“(]|\b(?!(?:size|type|class|plan|vitamin)\b)[^\W\d.]+\.? )[\"'“(]?[A-Z]\.$"
)
"""Before a name or a number: "Dr. Moore", "signed E. Marsh"."""
_INITIAL = re.compile(r"\b[A-Z]\.$")
_SUBJECT = re.compile(r"(?:It|He|She|They|We|This|That|These|My|Our|His|Her|Its|Their|The|There)\b")
"""Begins a sentence even after "in high F."."""
_NUMBER = re.compile(r"\b[Nn][or]\.$")
_NUMBERED = re.compile(r"[A-Z]{2,}\b|[A-Za-z#-]*\d")
"""What "no. 9" counts, unlike "Good with kids: no. He bites"."""
_SHORT = re.compile(
    r"\b(?:[ap]\.m|[Tt]el|etc|vs|Rd|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|Mon|Tues?|Wed|Thurs?|Fri)\.$"
)
"""May end a sentence, and does where a capital follows."""
ASIDE = re.compile(r"\([^()]*\)|(?<![^\s(])\"\S[^\"]*\"|“[^”]*”|(?<![^\s(])'\S[^']*'(?!\w)")
"""Stays whole."""
_MEASURED = ((re.compile(r"<\s*(?=\d)"), "under "), (re.compile(r"(?<![-=])>\s*(?=\d)"), "over "))
"""Signs that would be lost with the brackets of names."""
_FIRST_PERSON = tuple(
    (re.compile(pattern), word)
    for pattern, word in (
        (r"(?<![\w.-])(?:[Ii] am|[Ii]'?m|[Ww]e are|[Ww]e're)\b", "you are"),
        (r"\bI was\b", "you were"),
        (r"\bam I\b", "are you"),
        (r"(?:^|(?<=[.!?] ))(?:I|We)\b", "You"),
        (r"(?<![\w.-])i\b(?![\w.-])", "you"),
        (r"(?<!-)\b(?:I|me|we|us|We)\b(?!-)", "you"),
        (r"\b(?:mine|ours)\b", "yours"),
        (r"\b(?:[Mm]y|[Oo]ur)\b", "your"),
        (r"\b(?:myself|ourselves)\b", "yourself"),
    )
)
_MINE = re.compile(r"\bmy\b", re.IGNORECASE)


def sentences(info: str) -> list[str]:
    parts: list[str] = []
    for sign, word in _MEASURED:
        info = sign.sub(word, info)
    text = "\n".join(" ".join(line.split()) for line in info.replace("<", "").replace(">", "").splitlines())
    apart = bool(_LINE_EACH.search(text))
    text = _WRAPPED.sub(
        lambda found: found[0] if found["long"] and apart else f"{found['goes_on'] or found['long'] or ''} ", text
    )
    text = _LISTED.sub(lambda found: found[0].replace(";", ","), text)
    end = _SENTENCE_END if re.search(r"[.!?]\s+[A-Z]", text) else _ANY_SENTENCE_END
    for part in end.split(text):
        if parts and abbreviated(parts[-1], part):
            parts[-1] = f"{parts[-1]} {part}"
        elif (said := _BULLET.sub("", part.strip())).strip(" .!?"):
            parts.append(said)
    return parts


def abbreviated(before: str, after: str) -> bool:
    """Whether the full stop that ends `before` belongs to its last word and the sentence goes on with `after`."""
    if _NUMBER.search(before):
        return bool(_NUMBERED.match(after))
    if _INITIAL.search(before) and _SUBJECT.match(after):
        return False
    return bool(_TITLE.search(before)) or bool(_SHORT.search(before) and not after[:1].isupper())


def addressed(text: str, owner: str | None = None) -> str:
    """As said to who asks: the writer of a card is the one who asks about it, or, where it is shared, `owner`."""
    if owner is not None:
        return _MINE.sub(f"{owner}'s", text)
    for pattern, word in _FIRST_PERSON:
        text = pattern.sub(word, text)
    return text
