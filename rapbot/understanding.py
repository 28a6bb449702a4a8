"""What a free text wants: a caption, an answer, a yes or no, a place, or the names of what is here.

Simple patterns on purpose: whatever they miss is an ordinary question, which is answered all the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rapbot.inference.asking import asks
from rapbot.inference.job import Task

_PICTURE = r"(?:photo|picture|image|pic|snapshot|shot)"
_HERE = (
    rf"(?:(?:in|on)\s+(?:this|that|the|my|it)(?:\s+(?:last\s+)?{_PICTURE})?|here|there|visible|shown|depicted|around)"
)
_HERE_AT_ALL = (
    rf"(?:(?:in|on)\s+(?:this|that|it|(?:the|my)(?:\s+last)?\s+{_PICTURE})\b|here|there|visible|shown|depicted|around)"
)
_NAMES = r"§(?:\s*(?:and|or|,|&)\s*§)*"
_END = r"\s*[?.!]*$"
_CAPTION = re.compile(
    r"^(?:(?:please|can you|could you)\s+)*(?:give|write|make)?\s*(?:me\s+)?(?:an?\s+|the\s+)?caption\b"
    r"|\bcaption (?:of|for) (?:this|the)\b",
    re.I,
)
_DESCRIBE = re.compile(
    r"\bdescribe\b|\bin detail\b|\bdescription\b|^what(?:'s|’s| is) (?:happening|going on)\b"
    rf"|^what (?:do|can) you see\b|^tell me (?:more )?about (?:this|the) {_PICTURE}",
    re.I,
)
_FIND = re.compile(
    r"^(?:so\s+)?(?:and\s+)?who(?:'s|’s|se|s| is| are| do| can|m)?\b.*"
    rf"(?:{_HERE_AT_ALL}|this|that|these|those|see|recogni[sz]e)"
    r"|^(?:what|which)(?:'s|’s| is| are| things| concepts| of my).*(?:\bhere|do you (?:know|recogni[sz]e))"
    r"|^(?:do|can) you (?:recogni[sz]e|know|see) (?:any|some|who|what|him|her|this|that|it|them)"
    r"|^(?:who|what|anyone|anybody|anything)(?:'s|’s| is)? (?:here|there|in it|this|that)\b",
    re.I,
)
_LOCATE = re.compile(
    r"^(?:and\s+)?(?:so\s+)?where(?:'s|’s|\s+is|\s+are|\s+can\s+(?:i|you)\s+(?:see|find))"
    rf"\s+{_NAMES}\s*(?:{_HERE})?{_END}"
    rf"|^(?:please\s+)?(?:find|locate|point (?:to|at)|show me|mark|box|circle)\s+{_NAMES}\s*(?:{_HERE})?{_END}"
    r"|\bbounding box\b",
    re.I,
)
_RECOGNISE = re.compile(
    r"^(?:and\s+|so\s+|hey\s+)?(?:is|are|was|isn'?t|do you see|can you see|does|do|did|has)"
    rf"\s+{_NAMES}(?:\s+(?:also|too|anywhere|somewhere|really|appear|in|visible|shown|there))*"
    rf"\s*(?:{_HERE})?(?:\s+(?:too|as well|please|answer.*))?{_END}"
    rf"|^(?:is|are|was)\s+(?:this|that|it|these|here)\s+(?:really\s+)?(?:my\s+)?{_NAMES}{_END}"
    r"|^is\s+§\s+in this image\?",
    re.I,
)
_ABOUT_PICTURE = re.compile(
    rf"\b{_PICTURE}\b|\b(?:this|that|these|here|it)\b|\b(?:see|wear(?:s|ing)?|doing|holding|standing|sitting|lying|behind|beside"
    rf"|next to|left|right|background|foreground|colou?rs? (?:is|are|of))\b",
    re.I,
)
_LONGEST_INTRODUCTION = 500
"""Characters."""
_REMARK = re.compile(
    r"(?:look|hey|hi|hello|wow|oh|this|that|that['’]s|here|here['’]s|meet|say\s+(?:hi|hello)|it['’]s|my|our|the|an?|we|i|me|us|just"
    r"|today|yesterday|at|in|on|from|with|so|such|good|happy|lovely|beautiful|cute|best|another|new|first|last|finally|again"
    r"|check)\b(?!.*\bof\s+(?:the|this|that)\b)",
    re.IGNORECASE | re.DOTALL,
)
_CAPITAL = r"(?-i:[^\W\d_a-z])[\w'’-]*"
_NOBODY = r"(?!(?:me|us|you|him|her|them|everyone|everybody|all|the|an?|(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b)"
_INTRODUCES = re.compile(
    r"(?:(?:look|hey|hi|hello|so|and|now)[,!.\s]+)*(?:(?:this|that|here|it)(?:\s+is|['’]?s)\s+"
    rf"(?P<who>(?:my|our)\s+\w.*|{_NOBODY}{_CAPITAL}(?:\s+{_CAPITAL})?(?:(?:\s*[,.!:–-]|\s+(?:my|our|the)\s).*)?)$"
    rf"|(?:please\s+)?(?:meet|say\s+(?:hi|hello)\s+to|remember)\s+{_NOBODY}(?P<whom>\w.*)$)",
    re.IGNORECASE | re.DOTALL,
)
_POINTS = re.compile(
    rf"^(?:so\s+|and\s+)*(?:who|what|which|do|can|any\w+)(?:['’]s)?\b(?:\s+\w+){{0,2}}?\s+(?:this|that|these|those|here|there|it)\W*$"
    rf"|\b{_PICTURE}\b|\byou\s+(?:see|recogni[sz]e)\b",
    re.IGNORECASE,
)
_PRONOUN = re.compile(r"\b(?:he|she|they|him|her|them|his|hers|their|theirs|its|it)\b", re.I)
_UNKNOWN_SUBJECT = re.compile(
    rf"^(?i:is|are|where(?:'s|’s| is| are))\s+<?(?P<name>[^\W\d_][\w-]*(?:\s[A-Z][\w-]*)*)>?\s+(?:{_HERE})\s*\??$"
    r"|^(?i:where(?:'s|’s| is)|who(?:'s|’s| is)|tell me(?: more)? about)"
    r"\s+<?(?P<name2>[A-Z][\w-]*(?:\s[A-Z][\w-]*)*)>?\s*\?*$"
)
_ORDINARY_SUBJECTS = frozenset(
    "it he she they there this that these those everything anyone anybody someone somebody something anything "
    "the a an my your our who what".split()
)


_WHERE_THEY = re.compile(r"(?:and\s+|so\s+)?where(?:'s|’s|\s+is|\s+are)\s+(?:he|she|it|they)\W*$", re.I)
"""On the last photo, if they are on it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted. `about_picture`: the last photo of the chat is meant, if the message brings none."""

    task: Task
    about_picture: bool


def understand(text: str, spans: tuple[tuple[int, int], ...]) -> Wish:
    """Read a free text; `spans` are the (start, end) of the concept names in it."""
    masked = _mask(text, spans)
    for pattern, task in (
        (_RECOGNISE, Task.RECOGNISE),
        (_LOCATE, Task.LOCATE),
        (_CAPTION, Task.CAPTION),
        (_FIND, Task.FIND),
        (_DESCRIBE, Task.DESCRIBE),
    ):
        if pattern.search(masked):
            if task in (Task.RECOGNISE, Task.LOCATE) and not spans:
                continue
            if task in (Task.FIND, Task.DESCRIBE) and spans:  # "who is Lala?", "describe Lala": the card answers
                continue
            return Wish(task, about_picture=True)
    if not text.strip():
        return Wish(Task.CAPTION, about_picture=True)
    return Wish(Task.QUESTION, about_picture=bool(_ABOUT_PICTURE.search(masked) or _WHERE_THEY.match(text.strip())))


def is_remark(text: str, spans: tuple[tuple[int, int], ...]) -> bool:
    """Whether a text beside a photo asks for nothing: "look!", "my breakfast", "Lala at the beach"."""
    said = text.strip()
    named = any(start <= text.index(said[0]) + 1 for start, _ in spans) if said else False
    remark = named or _REMARK.match(said) is not None or introduced(said) != ""
    return bool(said) and not asks(said) and remark


def introduced(text: str) -> str:
    """What /remember may be given of "this is my dog Lala, she loves cheese"; "" where nobody is introduced."""
    found = _INTRODUCES.match(text.strip()) if len(text) <= _LONGEST_INTRODUCTION else None
    if found is None or asks(text) or (text.isupper() and len(text.split()) > 1):
        return ""
    return " ".join((found["who"] or found["whom"]).split()).rstrip(".!")


def points_to_photo(text: str) -> bool:
    """Whether "who is this?" is meant, not "who ruins the lawn there?"."""
    return _POINTS.search(text) is not None


def has_pronoun(text: str) -> bool:
    """Whether the text may mean the concept that was spoken of last ("what does she eat?")."""
    return bool(_PRONOUN.search(text))


def unknown_subject(text: str) -> str | None:
    """The name asked for in "is Rex in this photo?" or "where is Rex?", when it looks like a name."""
    found = _UNKNOWN_SUBJECT.search(text.strip())
    name = (found["name"] or found["name2"]) if found else None
    if name is None or name.casefold().split()[0] in _ORDINARY_SUBJECTS:
        return None
    return name if name[0].isupper() else None


def _mask(text: str, spans: tuple[tuple[int, int], ...]) -> str:
    """The text with every concept name (and what clings to it) replaced by §."""
    pieces, last = [], 0
    for start, end in sorted(spans):
        pieces += [text[last:start], "§"]
        last = end
    masked = "".join([*pieces, text[last:]])
    return re.sub(r"(?:my\s+|the\s+)?<?§>?", "§", " ".join(masked.split()))
