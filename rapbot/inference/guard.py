"""Raw model output becomes a safe text, or is refused: the model phrases, but it does not get to invent.

A caption names who was found and nobody else; its nouns come from cards and from what the eyes are sure of.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable, Mapping, Sequence

from rapbot.inference.job import Card
from rapbot.inference.kinds import alike, wider
from rapbot.inference.reading import stem
from rapbot.inference.vocabulary import words
from rapbot.inference.wording import article, mark, sentence

_URL = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,15}:/+\S*|\b(?:javascript|data|mailto|tel|sms|tg|file):\S+|\bwww\.\S+"
    r"|\b[\w.-]+\.(?:com|org|net|io|co)\b\S*|\b[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,24}/\S*",
    re.I,
)
_DOMAIN = re.compile(r"(?<=\w)\.(?=[^\W\d_]{2,})")
"""A dot as in "evil.ru", which chats turn into a link, or between two sentences without a space."""
_PATH = re.compile(r"(?<![\w<])(?:[A-Za-z]:\\|~?/)[\w.\\/-]+")
_MENTION = re.compile(r"@\w*")
_MARKUP = re.compile(r"[*`#~|\[\]{}\\]+|_{2,}|</[^<>]*>|<\w+(?:\s[^<>]*)?/>|<\w+\s[^<>]*=[^<>]*>")
_TAG = re.compile(
    r"<(?:[@#/]|a?:\w|t:-?\d|id:)[^<>]*>?"
    r"|<tg-[^<>]*>|<(?:blockquote|iframe|img|svg|script|style|span|div|pre|code)\b[\s/][^<>]*>",
    re.I,
)
"""Discord's mentions, times, emoji and commands, and tags that could pass for a name of several words."""
_ALIKE = str.maketrans(dict(zip("＠﹫．﹒․｡／＜＞﹤﹥＃﹟＊＿｀｜［］＼﹨", "@@..../<><>##*_`|[]\\\\", strict=True)))
"""Signs in the width of East Asian type, and others that look like those of addresses, mentions and markup."""
_WIDE = re.compile(r"[\uff21-\uff3a\uff41-\uff5a]")
"""Latin letters in the double width of East Asian type, in which an address can be written too."""
_NAMES = re.compile(r"(<[^<>]*>)")
_ECHO = re.compile(r"^\s*(?:caption|answer|facts|question|in the photo|assistant|user|earlier)\s*:\s*", re.I)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_SIDES = frozenset({"left", "right", "top", "bottom", "upper", "lower", "middle", "center", "centre"})
_GRAMMAR = words(
    "a an the is are was were be in on at of to and or with by near next beside behind under above over from front it"
    " its he she his her they their them this that there here photo picture image caption close-up closeup close-ups"
    " left right middle center centre top bottom upper lower corner side background foreground nearby together both one"
    " two three some has have into up down as for while also same room scene view shot seen visible shown shows can see"
    " you i"
)
"""Words that say nothing about what is in the picture."""
_NEGATION = frozenset({"not", "no", "never", "without", "only", "t"})
"""Words that turn a sentence round; "t" is what is left of "doesn't"."""


def clean(text: str, kept: Container[str] = "\u200d") -> str:
    """One line of plain words that a model wrote, without an echo of its prompt and without doubled sentences."""
    plain = _ECHO.sub("", plain_words(text, kept))
    sentences = [part for part in _SENTENCE_END.split(plain) if part.strip(" .!?")]
    return " ".join(dict.fromkeys(sentences)).strip(" \"'")


def plain_words(text: str, kept: Container[str] = "\u200d") -> str:
    """One line of plain words: no markup, mentions, addresses, paths or control characters.

    `kept`: unseen characters that stay (the one that joins emoji).
    """
    plain = "".join(" " if unicodedata.category(c) in {"Cc", "Cf", "Co", "Cs"} and c not in kept else c for c in text)
    plain = unicodedata.normalize("NFKC", plain) if _WIDE.search(plain) else plain.translate(_ALIKE)
    for pattern in (_TAG, _URL, _PATH, _MENTION, _MARKUP):
        plain = pattern.sub(" ", plain)
    plain = _whole_brackets(plain)
    plain = "".join(part if part.startswith("<") else _DOMAIN.sub(". ", part) for part in _NAMES.split(plain))
    return re.sub(r"\s+(?=[.,!?])", "", " ".join(plain.split()))


def _whole_brackets(text: str) -> str:
    """`text` with only those angle brackets that can stand around a name; one that is open at the end stays so."""
    *parts, last = _NAMES.split(text)
    plain = [part if part.startswith("<") and part.endswith(">") else re.sub("[<>]", " ", part) for part in parts]
    return "".join([*plain, re.sub(r">|<(?=[^<>]*[<>])", " ", last)])


def caption_or_none(
    draft: str, required: Sequence[Card], others: Iterable[Card], supported: Iterable[str], places: Mapping[str, str]
) -> str | None:
    """The model's caption if it names all of `required` once each, none of `others` and only `supported` things.

    `places` tells where each name is ("on the left"); a caption that says another side is refused.
    """
    text = only_whole_sentences(mark_names(clean(draft), required))
    if not text or len(text) > 240:
        return None
    marked = re.findall(r"<([^<>]*)>", text)
    if sorted(marked) != sorted(card.name for card in required):
        return None
    plain = re.sub(r"<[^<>]*>", " ", text)
    said = plain.casefold()
    if any(
        _first_part(card.name) in said and name_pattern(card.name).search(plain) for card in others
    ) or not _sides_agree(text, places):
        return None
    allowed = {stem(word) for one in supported for word in _words(one)} | {stem(word) for word in _GRAMMAR}
    return sentence(text) if all(stem(word) in allowed for word in _words(plain)) else None


def _sides_agree(text: str, places: Mapping[str, str]) -> bool:
    """Whether the words between one name and the next put it only where it is."""
    start, *named = re.split(r"<([^<>]*)>", text)
    if _SIDES & set(_words(start)):
        return False
    said = zip(named[::2], named[1::2], strict=True)
    return all(_SIDES & set(_words(after)) <= set(_words(places.get(name, ""))) for name, after in said)


def answer_or_none(draft: str, card: Card, statement: str, question: str) -> str | None:
    """The model's answer if it is about `card` by name and says nothing that `statement` and `question` do not."""
    text = only_whole_sentences(mark_names(clean(draft), [card]))
    if not text or re.findall(r"<([^<>]*)>", text) != [card.name]:
        return None
    plain = re.sub(r"<[^<>]*>", " ", text)
    told = {stem(word) for word in _words(re.sub(r"<[^<>]*>", " ", statement))}
    allowed = told | {stem(word) for word in _words(question)} | {stem(word) for word in _GRAMMAR}
    said = {stem(word) for word in _words(plain)}
    new = told - {stem(word) for word in _words(question)} - {stem(word) for word in _GRAMMAR}
    negated = _NEGATION & set(_words(plain)) == _NEGATION & set(_words(statement))
    return sentence(text) if said <= allowed and 2 * len(said & new) > len(new) and negated else None


def only_whole_sentences(text: str) -> str:
    """Without the unfinished rest that a length limit leaves."""
    if text.endswith((".", "!", "?")):
        return text
    end = max(text.rfind(mark) for mark in ".!?")
    return text[: end + 1] if end > 20 else text


def mark_names(text: str, cards: Iterable[Card]) -> str:
    """Each name of `cards` as <Name>, other angle brackets removed.

    A name that is an ordinary word ("dog") counts only where it already has its brackets.
    """
    held: dict[str, str] = {}
    for number, card in enumerate(sorted(cards, key=lambda card: -len(card.name))):
        token = chr(0xE000 + number)
        held[token] = mark(card.name)
        bracketed = re.compile(rf"<\s*{_name_regex(card.name)}\s*>", re.I)
        text = bracketed.sub(token, text)
        if not ordinary(card.name):
            text = name_pattern(card.name).sub(token, text)
    if "<" in text or ">" in text:  # what stood in brackets that are no name's was not looked at
        text = clean(text.replace("<", "").replace(">", ""), kept=held)
    for token, name in held.items():
        text = text.replace(token, name)
    return text


def ordinary(name: str) -> bool:
    """Whether a name could be meant as a plain word: "dog", "can"."""
    return name.isalpha() and name.islower()


def name_pattern(name: str) -> re.Pattern[str]:
    """The name as a whole word in any case, underscores or spaces between its parts."""
    return re.compile(rf"(?<![\w<]){_name_regex(name)}(?![\w>]|'[a-rt-z])", re.IGNORECASE)


def _first_part(name: str) -> str:
    """What stands in every text that says `name`, case aside."""
    return next((part for part in re.split(r"[\s_]+", name.casefold()) if part), "")


def _name_regex(name: str) -> str:
    return r"[\s_]+".join(re.escape(part) for part in re.split(r"[\s_]+", name) if part)


def without_false_names(text: str, absent: Iterable[Card]) -> str:
    """`text` with every plain word that is the name of an absent concept replaced by a wider word.

    A photo of some dog must not seem to show the concept called "dog".
    """
    parts = re.split(r"(<[^<>]*>)", text)
    said = text.casefold()
    # Most names are not said at all: only for the others a pattern is made (of 500 new ones that takes 80 ms).
    possible = [card for card in absent if _first_part(card.name) in said]
    for card in sorted(possible, key=lambda card: -len(card.name)):
        pattern = name_pattern(card.name)
        for at in range(0, len(parts), 2):
            if pattern.search(parts[at]):
                parts[at] = _articles(pattern.sub(wider(card.name) or wider(card.category) or "thing", parts[at]))
    return "".join(parts)


def _articles(text: str) -> str:
    """ "a animal" -> "an animal" after a word was replaced."""
    return re.sub(
        r"\b([Aa])n? (?=(\w+))", lambda m: (article(m[2]) if m[1] == "a" else article(m[2]).title()) + " ", text
    )


def supported_words(cards: Iterable[Card], things: Iterable[str]) -> set[str]:
    """Everything a caption may speak of."""
    supported = set(things)
    for card in cards:
        supported |= {card.category, *alike(card.category)}
    return supported


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:-[^\W_]+)*", text.casefold())
