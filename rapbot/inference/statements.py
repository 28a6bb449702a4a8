"""A card's info as sentences that stand alone: "She loves cheese." becomes "<Lala> loves cheese."."""

from __future__ import annotations

import re

from rapbot.inference.job import Card
from rapbot.inference.verbs import ADVERBS, BASE, FINITE, PARTICIPLES, STATES, begins_clause, third_person
from rapbot.inference.vocabulary import words
from rapbot.inference.wording import article, is_plural, mark, possessive, sentence, with_article

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(]?[A-Z0-9])|\s*[;\n•]\s*|(?<!\d)\s+[-–—]\s+")
_ANY_SENTENCE_END = re.compile(r"(?<=[^\W\d_]{2}[.!?])\s+|\s*[;\n•]\s*|(?<!\d)\s+[-–—]\s+")
"""Of who writes everything small."""
_BULLET = re.compile(r"^[/|•*–—-]+\s+")
_REMARK = re.compile(
    r"^(?:believe it or not|by the way|btw|actually|also|of course|to be honest|honestly|fun fact|note|p\.?s\.?)"
    r"\s*[,:]\s+(?=\S)",
    re.IGNORECASE,
)
"""What people say before they tell something."""
ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|No|e\.g|i\.e|approx|ca)\.$")
_SPLIT = re.compile(
    r",?\s+(?:and|but)\s+(?:(?:she|he|it|then)\s+)?(?=(?:(?:also|never|always|often|only|usually|now|sometimes|rarely)\s+)?([a-z']+)\b)"
    r"|,\s+(?:(?:she|he|it)\s+)?(?=(?:(?:also|never|always|often|only|usually|now|sometimes|rarely)\s+)?([a-z']+)\b)"
)
_CONTRACTED = re.compile(r"((?:\b(?:and|but)|,)\s+(?:she|he|it))'s\s+", re.IGNORECASE)
_REASON = re.compile(r",\s+(?:she|he|it)\b", re.IGNORECASE)
"""How people give one: "Walk her on a lead, she chases squirrels." stays together."""
_PRONOUN = re.compile(r"^(she|he|it|they|this|that)\b('s\b|'re\b)?", re.IGNORECASE)
ASIDE = re.compile(r"\([^()]*\)")
"""Stays whole."""
_SURNAME = re.compile(r"(?:\s+[^\W\d_a-zà-öø-ÿ][^\W\d_]+(?!\w)){0,2}(?:\s*\([^()]*\))?")
"""What may stand between a name and its verb: "Henrik Lindqvist is ...", "Mateo (my sister's boy) is ..."."""
_POSSESSIVE = re.compile(r"^(her|his|its|their)\b", re.IGNORECASE)
_STATE = re.compile(
    r"(?:afraid|scared|fond|allergic|aged|used)\b"
    r"|(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|\w+teen|\w+ty)\s+(?:years?|months?|weeks?)\b"
    r"|(?:very|quite|rather|really|extremely|always|usually|often|sometimes)\s+[a-z]+"
    r"|(?:black|white|gr[ae]y|brown|green|blue|yellow|orange|purple|pink|red|gold(?:en)?|silver|small|large|big|tiny)"
    r"(?:,| and| with|\s*$)",
    re.IGNORECASE,
)
_LABEL = re.compile(r"[A-Z][\w ]{1,24}:\s")
"""How a list begins: "Born: 14 May", "Vet: Dr Stone"."""
_BOUND = re.compile(r"(?:married|engaged|related|next|close) to\b", re.IGNORECASE)
_PREPOSITION = r"(?:by|in|at|from|for|on|with|and|out|of|to|when|as|under|near|since|until)"
_FORMERLY = re.compile(
    r"(?:former|retired|professional|amateur|aspiring|avid|proud|certified)\s+(?!in\b|from\b|at\b|since\b|of\b|to\b)[a-z]",
    re.I,
)
_INSIDE = re.compile(r"\b(?:who|that|which|when|while|where|because|if|whose|as|what)\b")
"""Begins a clause inside another."""
_OPENS = words("a an the your our his her its their and or of with in on at for from to by very no but then")
"""After these comes a thing, whatever else the word may be."""
_NO_POSSESSIVE = words("there's here's that's it's she's he's who's what's where's let's")
_TOLD_OF_IT = re.compile(r"\b[a-z]+(?:ed|old|ave|ot|ought|ook|ade|ound|eft|ost|ent|et|ut) (?:it|her|him|them|me|us)\b")
"""A past tense and whom it happened to: "my teacher sold it to me" is not what the concept is."""
_OF_A_NAME = re.compile(r"(?:[A-Z][A-Za-z]*[-\d]|[A-Z]+\d|[A-Z][a-z]+)")
"""What the second word of "Canon AE-1" or "Fender Stratocaster" looks like."""
_BEFORE_NAMES = (
    BASE
    | FINITE
    | PARTICIPLES
    | STATES
    | ADVERBS
    | words(
        "a an the this that these those my our your his her its their one two three four five six seven eight"
        " nine ten in on at from for with by of to and but or as since until every before after black white"
        " grey gray brown green blue yellow orange purple pink red gold golden silver beige small large big"
        " tiny little huge old new young vintage antique classic used second original real genuine former"
        " retired famous beautiful lovely pretty nice best good great first last only early late true cheap"
        " expensive rare limited signed soft light dark bright heavy long short tall round square wooden"
        " woollen cotton leather silk metal plastic steel glass paper ceramic knitted loyal happy sweet shy"
        " calm friendly"
    )
)
"""May stand with a capital before a name at the start of a sentence and is none itself."""
_NATIONS = words("German French Dutch Swiss Greek Welsh Czech Thai Maine African American Mexican Korean European")
_FIRST_PERSON = tuple(
    (re.compile(pattern), word)
    for pattern, word in (
        (r"\b(?:I am|I'm|[Ww]e are|[Ww]e're)\b", "you are"),
        (r"\bI was\b", "you were"),
        (r"\bam I\b", "are you"),
        (r"(?:^|(?<=[.!?] ))(?:I|We)\b", "You"),
        (r"(?<!-)\b(?:I|me|we|us|We)\b(?!-)", "you"),
        (r"\b(?:mine|ours)\b", "yours"),
        (r"\b(?:[Mm]y|[Oo]ur)\b", "your"),
        (r"\b(?:myself|ourselves)\b", "yourself"),
    )
)
_MINE = re.compile(r"\bmy\b", re.IGNORECASE)


def statements(card: Card) -> tuple[str, ...]:
    """Everything the card says, one clause each, with the concept's name as subject where it was a pronoun."""
    told = [
        clause
        for text in _sentences(card.info)
        if not _only_named(text, card)
        for clause in _clauses(_about(text, card))
    ]
    return tuple(dict.fromkeys(told))


def _only_named(text: str, card: Card) -> bool:
    """ "Mochi - a grey cat" begins with nothing but the name, "Tuga the tortoise" with the kind as well."""
    kind = rf"(?:\s+the\s+{re.escape(card.category)})?" if card.category else ""
    return bool(re.fullmatch(rf"{re.escape(card.name)}{kind}\W*", text, re.IGNORECASE))


def kind_statement(card: Card) -> str:
    """ "<Lala> is a dog.", or nothing when the kind is unknown or is the name itself."""
    if not card.category or card.category.casefold() == card.name.casefold():
        return ""
    return f"{mark(card.name)} {'are' if is_plural(card.category) else 'is'} {with_article(card.category)}."


def _sentences(info: str) -> list[str]:
    parts: list[str] = []
    text = "\n".join(" ".join(line.split()) for line in info.replace("<", "").replace(">", "").splitlines())
    end = _SENTENCE_END if re.search(r"[.!?]\s+[A-Z]", text) else _ANY_SENTENCE_END
    for part in end.split(text):
        if parts and ABBREVIATION.search(parts[-1]):
            parts[-1] = f"{parts[-1]} {part}"
        elif (said := _BULLET.sub("", part.strip())).strip(" .!?"):
            parts.append(said)
    return parts


def _about(text: str, card: Card) -> str:
    """`text` with <Name> as its subject."""
    text = _REMARK.sub("", addressed(text, card.owner_name))
    name = mark(card.name)
    if told := _subject(text, card):
        return told
    if (found := _PRONOUN.match(text)) and (found.group(1) != "IT" or text.isupper()):
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


def addressed(text: str, owner: str | None = None) -> str:
    """As said to who asks: the writer of a card is the one who asks about it, or, where it is shared, `owner`."""
    if owner is not None:
        return _MINE.sub(f"{owner}'s", text)
    for pattern, word in _FIRST_PERSON:
        text = pattern.sub(word, text)
    return text


def _subject(text: str, card: Card) -> str:
    """The name at the start is marked ("Serena is ..." -> "<Serena> is ..."); elsewhere it stays as it is, "" if so."""
    called = "|".join(re.escape(name) for name in (card.name, *_parts_of(card.name)))
    kind = rf"(?:\s+the\s+{re.escape(card.category)})?" if card.category else ""
    start = re.match(
        rf"(?:(?:your|the|our)\s+(?:{re.escape(card.category)}\s+)?)?<?(?:{called})>?{kind}(?!\w)", text, re.I
    )
    if start is None:
        return ""
    rest = text[start.end() :]
    if aside := re.match(r"\s*,\s*([^,]+?),\s+(?=[a-z])", rest):  # "Omar, my uncle, drives a taxi."
        if _finite_at_start(rest[aside.end() :]):
            return f"{mark(card.name)} is {aside.group(1)} and {rest[aside.end() :]}"
    elif beside := re.match(r"\s*[,:]\s*(?=\w)", rest):  # "Rolo, a brown hamster."
        return _about(rest[beside.end() :], card)
    more = _SURNAME.match(rest)
    after = rest[more.end() :] if more else rest
    told = rest.startswith("'s") or _does_something(rest) or _does_something(after)
    told = told or (after is not rest and bool(re.match(r"\s*,", after)))
    return mark(card.name) + rest if told else ""


def _does_something(rest: str) -> bool:
    return _finite_at_start(rest) or bool(re.match(r"\s+[a-z]+ed\b", rest))


def _parts_of(name: str) -> list[str]:
    """ "Omar" of "Uncle Omar"; not "mug" of "red_mug"."""
    parts = re.split(r"[\s_]+", name)
    return [part for part in parts if len(part) > 2 and part[0].isupper()] if len(parts) > 1 else []


def _fragment(text: str, card: Card) -> str:
    """A sentence without a subject, as people write on cards; or one with a subject of its own, after the name."""
    name, first = mark(card.name), text.split()[0].casefold().strip(",")
    be = "are" if is_plural(card.category) else "is"
    formerly = bool(_FORMERLY.match(text))
    if _LABEL.match(text):
        return f"{name}: {text}"
    if _BOUND.match(text):
        return f"{name} {be} {_lowered(text)}"
    if _finite_at_start(text) and not formerly:
        return f"{name} {_lowered(text)}"
    subject = re.match(rf"(?:the|this|your|our)\s+(?:[\w-]+\s+)?{re.escape(card.category)}\s+(?=[a-z])", text, re.I)
    if card.category and subject and _finite_at_start(text[subject.end() :]):
        return f"{name} {text[subject.end() :]}"
    if (first in PARTICIPLES or first in STATES) and not _describes(text, card):
        past = "were" if be == "are" else "was"
        return f"{name} {past if first in PARTICIPLES else be} {_lowered(text)}"
    if first in _NO_POSSESSIVE or has_own_subject(text):
        return f"{name}: {text}"
    kind = card.category.split()[-1].casefold() if card.category.strip() else ""
    lowered = _lowered(text)
    of_kind = f"{name} {be} {lowered if is_plural(card.category) else f'{article(lowered)} {lowered}'}"
    if kind and first not in _OPENS and lowered.casefold().rstrip(".!").endswith(kind):
        return of_kind
    described = first in {"a", "an", "the", "one", "your", "our"} or first.endswith("'s")
    if described or (_STATE.match(text) and text.split()[1:2] and text.split()[1].casefold() not in BASE):
        return f"{name} {be} {lowered}"
    if (kind and kind in text.casefold()) or formerly:
        return of_kind
    return f"{name}: {text}"


def _describes(text: str, card: Card) -> bool:
    """ "Handmade blue mug": a participle of a thing that follows, not "Handmade by grandma"."""
    if not card.category.strip():
        return False
    kind = re.escape(card.category.split()[-1])
    return bool(re.match(rf"\S+ (?!{_PREPOSITION}\b)(?:[\w'-]+ ){{0,3}}{kind}\b", text, re.IGNORECASE))


def has_own_subject(text: str) -> bool:
    """ "The rear brake squeaks", "My first teacher sold it to me": what stands first does something itself."""
    if _TOLD_OF_IT.search(text):
        return True
    for found in re.finditer(r"[a-z']+", text):
        verb, before = found.group(), text[: found.start()].split()
        if verb in FINITE and len(before) > 1 and before[-1].casefold() not in _OPENS:
            if _INSIDE.search(text, 0, found.start()) or before[-1].endswith(","):
                return False
            rest = text[found.end() :]
            return not rest.strip(" .!") or begins_clause(verb, rest)
    return False


def _lowered(text: str) -> str:
    """Without the capital of a sentence start; names keep theirs."""
    first, *following = text.split(maxsplit=2)[:2]
    name = (
        first.endswith(("'s", "ese", "ish", "ian"))
        or first in _NATIONS
        or not (first[1:].islower() or len(first) == 1)
        or (bool(following) and bool(_OF_A_NAME.match(following[0])) and first.casefold() not in _BEFORE_NAMES)
    )
    return text if name else text[0].lower() + text[1:]


def _finite_at_start(text: str) -> bool:
    start = [word.strip(",.!?").casefold() for word in text.split()[:3]]
    while start and start[0] in ADVERBS:
        start.pop(0)
    return bool(start) and start[0] in FINITE


def _singular(rest: str) -> str:
    """ "They are/have/love ... and play" about one concept."""

    def one(verb: re.Match[str]) -> str:
        word = verb.group(2)
        changed = {"are": "is", "have": "has", "were": "was", "do": "does", "don't": "doesn't"}.get(word)
        return verb.group(1) + (changed or (third_person(word) if third_person(word) in FINITE else word))

    return re.sub(r"(^\s*(?:\w+ly |always |never |often )?|\b(?:and|but) )([a-z']+)", one, rest)


def _clauses(text: str) -> list[str]:
    """ "<Lala> loves cheese and is afraid of thunder." -> two statements. Only where a verb follows directly."""
    name = text[: text.find(">") + 1]
    if not name.startswith("<") or text.startswith(f"{name}'s"):
        return [sentence(text)]
    listed = text.startswith(f"{name}:")
    text = _CONTRACTED.sub(r"\1 is ", text)
    pieces: list[str] = []
    begun = 0
    asides = [aside.span() for aside in ASIDE.finditer(text)]
    for cut in _SPLIT.finditer(text):
        if any(first < cut.start() < last for first, last in asides):
            continue
        verb = cut.group(1) or cut.group(2)
        at = cut.start(1) if cut.group(1) else cut.start(2)
        starts = begins_clause(verb, text[at + len(verb) :]) or (verb in PARTICIPLES and cut.group(2))
        # After "<Name>:" stands no verb of its own, so only a comma ends what stands there.
        loose = bool(cut.group(2)) and not _has_verb(text[: cut.start()]) and not _REASON.match(cut.group())
        whole = not listed or bool(pieces) or loose
        if starts and verb != "can" and whole:
            pieces.append(text[begun : cut.start()])
            begun = cut.end()
    pieces.append(text[begun:])
    be = "were " if re.match(r"<[^>]+> are\b", text) else "was "
    return [
        sentence(piece if piece.startswith("<") else f"{name} {be if piece.split()[0] in PARTICIPLES else ''}{piece}")
        for piece in pieces
    ]


def _has_verb(text: str) -> bool:
    return any(word.strip(",.") in FINITE for word in text.split())


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
