"""A card's info as sentences that stand alone: "She loves cheese." becomes "<Lala> loves cheese."."""

from __future__ import annotations

import re

from rapbot.inference.job import Card
from rapbot.inference.vocabulary import words
from rapbot.inference.wording import article, is_plural, mark, possessive, sentence, with_article

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(]?[A-Z0-9])|\s*[;\n]\s*")
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|No|e\.g|i\.e|approx|ca)\.$")
_VERBS = words(
    "is are was were has have had can cannot can't does doesn't did will won't loves likes hates eats drinks sleeps"
    " lives wears plays works belongs needs wants goes comes makes smells looks rings walks runs barks swims builds"
    " takes"
    " collects enjoys prefers dislikes fears speaks studies teaches knows keeps stands sits hangs holds weighs costs"
    " cost came got gets fits shines plays sings reads drives rides bites chases follows dreams snores jumps hides"
    " dances"
    " cooks bakes paints writes grows blooms opens closes chirps quacks squeaks flies knits owns uses measures says"
    " means"
    " reacts responds answers understands visits travels attends fetches catches steals digs guards watches listens"
    " suffers lost broke won moved started joined arrived hunts must imitates leaks chews pulls ran"
    " gave brought learned speaks turns tells sells repairs rescues loathes adores hops limps purrs meows howls begs"
)
_ADVERBS = words("always never only often usually sometimes also still really mostly just even not now")
_SPLIT = re.compile(
    r",?\s+(?:and|but)\s+(?=(?:(?:also|never|always|often|only|usually)\s+)?([a-z']+)\b)|,\s+(?=([a-z']+)\b)"
)
_PRONOUN = re.compile(r"^(she|he|it|they|this|that)\b('s\b|'re\b)?", re.IGNORECASE)
_POSSESSIVE = re.compile(r"^(her|his|its|their)\b", re.IGNORECASE)
_PARTICIPLES = words("born bought made adopted found named painted given built knitted handmade")
_STATE = re.compile(
    r"(?:afraid|scared|fond|allergic|aged|used)\b"
    r"|(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|\w+teen|\w+ty)\s+(?:years?|months?|weeks?)\b"
    r"|(?:black|white|gr[ae]y|brown|green|blue|yellow|orange|purple|pink|red|gold(?:en)?|silver|small|large|big|tiny|very)"
    r"(?:,| and| with|\s*$)",
    re.IGNORECASE,
)
_NATIONS = words("German French Dutch Swiss Greek Welsh Czech Thai Maine")
_MINE = re.compile(r"\bmy\b", re.IGNORECASE)


def statements(card: Card) -> tuple[str, ...]:
    """Everything the card says, one clause each, with the concept's name as subject where it was a pronoun."""
    told = [clause for text in _sentences(card.info) for clause in _clauses(_about(text, card))]
    return tuple(dict.fromkeys(told))


def kind_statement(card: Card) -> str:
    """ "<Lala> is a dog.", or nothing when the kind is unknown or is the name itself."""
    if not card.category or card.category.casefold() == card.name.casefold():
        return ""
    return f"{mark(card.name)} {'are' if is_plural(card.category) else 'is'} {with_article(card.category)}."


def _sentences(info: str) -> list[str]:
    parts: list[str] = []
    for part in _SENTENCE_END.split(" ".join(info.replace("<", "").replace(">", "").split())):
        if parts and _ABBREVIATION.search(parts[-1]):
            parts[-1] = f"{parts[-1]} {part}"
        elif part.strip(" .!?"):
            parts.append(part.strip())
    return parts


def _about(text: str, card: Card) -> str:
    """`text` with <Name> as its subject."""
    owner = "your" if card.owner_name is None else f"{card.owner_name}'s"
    text = _MINE.sub(owner, text)
    name = mark(card.name)
    if told := _subject(text, card):
        return told
    if found := _PRONOUN.match(text):
        rest = text[found.end() :]
        verb = {"'s": " is", "'re": " are"}.get((found.group(2) or "").casefold(), "")
        return (
            name
            + verb
            + (_singular(rest) if found.group(1).casefold() == "they" and not is_plural(card.category) else rest)
        )
    if _POSSESSIVE.match(text):
        return _POSSESSIVE.sub(lambda _: possessive(card.name), text, count=1)
    return _fragment(text, card)


def _subject(text: str, card: Card) -> str:
    """The name at the start is marked ("Serena is ..." -> "<Serena> is ..."); elsewhere it stays as it is, "" if so."""
    start = re.match(
        rf"(?:(?:your|the|our)\s+(?:{re.escape(card.category)}\s+)?)?<?{re.escape(card.name)}>?(?!\w)", text, re.I
    )
    if start is None:
        return ""
    rest = text[start.end() :]
    return mark(card.name) + rest if _finite_at_start(rest) or rest.startswith("'s") else ""


def _fragment(text: str, card: Card) -> str:
    """A sentence without a subject, as people write on cards."""
    name, first = mark(card.name), text.split()[0].casefold().strip(",")
    be = "are" if is_plural(card.category) else "is"
    if _finite_at_start(text):
        return f"{name} {_lowered(text)}"
    subject = re.match(rf"(?:the|this|your|our)\s+(?:[\w-]+\s+)?{re.escape(card.category)}\s+(?=[a-z])", text, re.I)
    if card.category and subject and _finite_at_start(text[subject.end() :]):
        return f"{name} {text[subject.end() :]}"
    if first in _PARTICIPLES:
        return f"{name} {'were' if be == 'are' else 'was'} {_lowered(text)}"
    if first in {"a", "an", "the", "one", "your", "our"} or first.endswith("'s") or _STATE.match(text):
        return f"{name} {be} {_lowered(text)}"
    kind = card.category.split()[-1].casefold() if card.category.strip() else ""
    if kind and kind in text.casefold():
        described = _lowered(text)
        return f"{name} {be} {described if is_plural(card.category) else f'{article(described)} {described}'}"
    return f"{name}: {text}"


def _lowered(text: str) -> str:
    """Without the capital of a sentence start; names keep theirs."""
    first = text.split()[0]
    name = (
        first.endswith(("'s", "ese", "ish", "ian")) or first in _NATIONS or not (first[1:].islower() or len(first) == 1)
    )
    return text if name else text[0].lower() + text[1:]


def _finite_at_start(text: str) -> bool:
    start = [word.strip(",.!?").casefold() for word in text.split()[:3]]
    while start and start[0] in _ADVERBS:
        start.pop(0)
    return bool(start) and start[0] in _VERBS


def _singular(rest: str) -> str:
    """ "They are/have/love ... and play" about one concept."""

    def one(verb: re.Match[str]) -> str:
        word = verb.group(2)
        changed = {"are": "is", "have": "has", "were": "was", "do": "does", "don't": "doesn't"}.get(word)
        return verb.group(1) + (changed or (f"{word}s" if f"{word}s" in _VERBS else word))

    return re.sub(r"(^\s*(?:\w+ly |always |never |often )?|\b(?:and|but) )([a-z']+)", one, rest)


def _clauses(text: str) -> list[str]:
    """ "<Lala> loves cheese and is afraid of thunder." -> two statements. Only where a verb follows directly."""
    name = text[: text.find(">") + 1]
    if not name.startswith("<") or text.startswith((f"{name}'s", f"{name}:")):
        return [sentence(text)]
    pieces, begun = [], 0
    for cut in _SPLIT.finditer(text):
        verb = cut.group(1) or cut.group(2)
        starts = verb in _VERBS or (verb in _PARTICIPLES and cut.group(2))
        if starts and verb != "can" and _has_verb(text[begun : cut.start()]):
            pieces.append(text[begun : cut.start()])
            begun = cut.end()
    pieces.append(text[begun:])
    be = "were " if re.match(r"<[^>]+> are\b", text) else "was "
    return [
        sentence(piece if piece.startswith("<") else f"{name} {be if piece.split()[0] in _PARTICIPLES else ''}{piece}")
        for piece in pieces
    ]


def _has_verb(text: str) -> bool:
    return any(word.strip(",.") in _VERBS for word in text.split())


def pronoun(card: Card) -> str:
    """ "She", "He" or "It", as the card itself says; "" when it says neither and the concept is a person."""
    said = set(re.findall(r"[a-z]+", card.info.casefold()))
    if said & {"she", "her", "hers"}:
        return "She" if not said & {"he", "his", "him"} else ""
    if said & {"he", "his", "him"}:
        return "He"
    return (
        ""
        if card.category.casefold() in {"person", "man", "woman", "child", "boy", "girl", ""}
        or is_plural(card.category)
        else "It"
    )
