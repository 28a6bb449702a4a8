"""Find the statement of a card that answers a question, by words and by what kind of thing is asked for.

Small language models read badly but words are honest: what this module returns is always a sentence of the card.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rapbot.inference.job import Card
from rapbot.inference.kinds import alike
from rapbot.inference.kinds import wider as kind_of
from rapbot.inference.statements import kind_statement, statements
from rapbot.inference.vocabulary import words


class Verdict(StrEnum):
    YES = "yes"
    NO = "no"
    TOLD = "told"
    """The statement is the answer."""
    UNKNOWN = "unknown"
    """The card does not say."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one card says to a question. `score` grows with the words and topics they share."""

    card: Card
    verdict: Verdict
    statement: str
    score: float


_NUMBER = (
    r"(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty|fifty|sixty)"
)
_COLOURS = (
    "black white gr[ae]y brown green blue yellow orange purple pink red gold silver beige cream lilac mint turquoise"
    " golden violet ginger tabby reddish iridescent colou?r navy teal ivory copper bronze rose rainbow spotted striped"
)
_MATERIALS = (
    "made|clay|wood|metal|steel|glass|plastic|leather|cotton|wool|ceramic|porcelain|stone|paper|rubber|gold|silver|brass"
    "|bamboo|oak|pine|silk|linen|denim|canvas|iron|copper|felt|velvet|marble|knitted|aluminium|aluminum"
)
_FOODS = (
    "cheese|tuna|chicken|fish|meat|carrots?|apples?|bananas?|bread|salmon|rice|sausages?|pizza|pasta|chocolate|cake|tea"
    "|coffee|milk|honey|berries|nuts|seeds|lettuce|noodles|soup|hot dogs?|peanut butter|biscuits?|bones?|hay|cookies?"
)
TOPICS: tuple[tuple[str, str, str], ...] = (
    ("colour", r"colou?rs?\b|coloured|colored", rf"\b(?:{'|'.join(_COLOURS.split())})"),
    ("food", r"\b(?:eats?|foods?|feed|fed|diet|snacks?|treats?|meals?|dish)\b",
     rf"\b(?:eats?|foods?|snacks?|treats?|diet|feeds?|fed|meals?|dish)\b|\b(?:{_FOODS})\b"),
    ("drink", r"\b(?:drinks?|beverage|thirsty)\b", r"\b(?:drinks?|tea|coffee|milk|water|beer|wine|juice|cocoa|espresso)\b"),
    ("like", r"\b(?:likes?|loves?|enjoys?|favou?rites?|prefers?|fond|crazy|happy|hobb(?:y|ies)|passion)\b",
     r"\b(?:likes?|loves?|enjoys?|favou?rites?|prefers?|fond|crazy|happy|hobb(?:y|ies)|passion|adores?)\b"),
    ("dislike", r"\b(?:hates?|dislikes?|annoys?|can'?t stand|bores?|allergic|avoids?)\b",
     r"\b(?:hates?|dislikes?|can'?t stand|bored|allergic|not like|avoids?)\b"),
    ("fear", r"\b(?:afraid|scared?|scares?|fears?|frighten\w*|nervous)\b",
     r"\b(?:afraid|scared|scares?|fears?|frighten\w*|nervous|terrified|panics?)\b"),
    ("owner", r"\b(?:whose|owns?|owners?|belongs?|owned)\b", r"\b(?:belongs?|owns?|owners?|owned)\b|'s\b"),
    ("gift", r"\b(?:gifts?|presents?|gave|given|give|got)\b", r"\b(?:gifts?|presents?|gave|given|souvenir|inherited)\b"),
    ("bought", r"\b(?:buy|bought|purchased?|come from|came from|\bfrom\b|origin\w*)\b",
     r"\b(?:bought|purchased|from|comes?|came|found|adopted|souvenir|market)\b"),
    ("age", r"\b(?:how old|age|birthday|born)\b", rf"\b{_NUMBER}[ -](?:years?|months?|weeks?)|\bborn\b|\bbirthday\b|\bold\b"),
    ("size", r"\b(?:size|how (?:big|large|tall|long|small)|height|weigh\w*|how heavy)\b",
     r"\b(?:size|weigh\w*|tall|litres?|liters?|inch\w*|cm|kg|kilos?|centimet\w+|met(?:re|er)s?|small|large|big|tiny|huge)\b"),
    ("material", r"\b(?:made (?:of|from|out)|material)\b", rf"\b(?:{_MATERIALS})"),
    ("breed", r"\b(?:breed|race|what kind|what type|what sort|species)\b", r"> (?:is|are) (?:an?|the)\b"),
    ("work", r"\b(?:jobs?|work|profession|occupation|for a living)\b", r"> is an?\b|\bworks?\b|\bteaches\b|\bstudies\b"),
    ("live", r"\b(?:lives?|living|kept|keep|home|stored?)\b", r"\b(?:lives?|kept|keep|home|stands?|stored|stays?)\b"),
    ("sleep", r"\b(?:sleeps?|nap|naps|bed)\b", r"\b(?:sleeps?|naps?|bed|dreams?|snores?)\b"),
    ("look", r"\b(?:look like|looks like|describe|about|what is|what's|who is|who's|tell)\b", r"> (?:is|are) (?:an?|the|your)\b"),
)  # fmt: skip
_COMPILED = tuple((name, re.compile(ask, re.I), re.compile(tell, re.I)) for name, ask, tell in TOPICS)
_TIME = re.compile(
    r"\b(?:\d{1,2}[:.]\d\d|\d{4}|\d{1,2} ?(?:am|pm|o'clock)|morning|evening|night|noon|midnight|weekends?|every|daily|weekly"
    r"|summer|winter|spring|autumn|(?:mon|tues|wednes|thurs|fri|satur|sun)days?|january|february|march|april|may|june|july"
    r"|august|september|october|november|december|christmas|birthday|when|after|before|days?|once|twice)\b", re.I)  # fmt: skip
_WHERE = re.compile(r"\b(?:in|on|at|under|behind|near|by|from|inside|outside|next to|beside|between|to)\b", re.I)
_STOP = words(
    "a an the is are was were am be been being do does did has have had can could will would shall should may might of in"
    " on at to for from with by about as into and or but if so than then that this these those it its he him his she her"
    " hers they them their i me my mine you your yours we us our what which who whom whose when where why how much many"
    " there here not no yes any some please tell say know does's what's who's where's when's thing things something"
    " photo picture image anything someone anyone kind sort type called name named one it's get got give gave made ever"
    " he's she's every only very too also just"
)
_NEGATION = re.compile(r"\b(?:not|no|never|cannot|neither|nor|without|\w+n't|hates?|dislikes?)\b", re.I)
_YES_NO = re.compile(
    r"^(?:is|are|was|were|does|do|did|has|have|had|can|could|will|would|should|am|isn't|aren't|doesn't|don't|hasn't|can't)\b",
    re.IGNORECASE,
)


def is_yes_no(question: str) -> bool:
    return bool(_YES_NO.match(question.strip())) and " or " not in question


def stems(text: str) -> set[str]:
    """Content words of a text, without the endings that grammar adds."""
    said = re.findall(r"[^\W_]+(?:'[a-z]+)?(?::\d+)?", re.sub(r"<[^>]*>", " ", text.casefold()))
    return {stem(word) for word in said if word not in _STOP}


def stem(word: str) -> str:
    word = word.removesuffix("'s")
    for ending, least in (("ational", 4), ("ations", 4), ("ation", 4), ("ated", 4), ("ates", 4), ("ate", 4), ("ing", 4),
                          ("ied", 3), ("ies", 3), ("ed", 3), ("es", 4), ("s", 3), ("e", 4), ("y", 4)):  # fmt: skip
        if word.endswith(ending) and len(word) - len(ending) >= least and not word.endswith("ss"):
            return word[: -len(ending)]
    return word


def topics_of(question: str) -> set[str]:
    """What kinds of thing the question asks for."""
    found = {name for name, ask, _ in _COMPILED if ask.search(question)}
    if "work" in found:
        found.discard("live")  # "what does he do for a living?"
    return found


def read(question: str, card: Card) -> Reading:
    """The best statement of one card and whether it answers the question."""
    asked = _without_name(question, card)
    wanted, topics = stems(asked), topics_of(asked)
    if wanted - {"look", "like", "describ", "tell"}:
        topics -= {"look"}
    own = {stem(word) for word in re.findall(r"[^\W_]+", f"{card.name} {card.category}".casefold())}
    told = [*statements(card), *filter(None, [kind_statement(card)])]
    scored = [
        (_score(asked, wanted, own, topics, statement), -number, statement) for number, statement in enumerate(told)
    ]
    if not scored:
        return Reading(card, Verdict.UNKNOWN, "", 0.0)
    score, _, statement = max(scored)
    if is_yes_no(question) and (other := _other_kind(question, wanted, card)):
        return Reading(card, Verdict.NO, other, 1.0)
    if score < 1.0:
        return Reading(card, Verdict.UNKNOWN, statement, score)
    if not is_yes_no(question):
        return Reading(card, Verdict.TOLD, statement, score)
    return Reading(card, _yes_or_no(asked, wanted, topics, statement), statement, score)


def read_all(question: str, cards: Sequence[Card]) -> list[Reading]:
    """Readings of several cards, the most telling first."""
    return sorted((read(question, card) for card in cards), key=lambda reading: -reading.score)


def _score(question: str, wanted: set[str], own: set[str], topics: set[str], statement: str) -> float:
    """Shared words count one each (less for synonyms, and for the concept's own name and kind), shared topics more."""
    body = statement.replace("_", " ")
    told = stems(body)
    near = {stem(word) for one in told for word in alike(one)}
    shared = [word for word in wanted if word in told or word in near]
    score = sum((1.0 if word in told else 0.6) * (0.4 if word in own else 1.0) for word in shared)
    cues = [(name, tell) for name, _, tell in _COMPILED if name in topics]
    met = [name for name, tell in cues if tell.search(body)]
    if len(met) == len(cues):
        score += 1.2 * len(met)
    elif {"like", "colour"} <= topics or {"like", "drink"} <= topics:
        return 0.0  # a favourite colour is not the colour
    lowered = question.casefold()
    if re.search(r"\b(?:when|what time|how often|which day|what day)\b", lowered):
        score = score + 0.8 if _TIME.search(body) else min(score, 0.9)
    if re.search(r"\bwhere\b", lowered):
        score = score + 0.5 if _WHERE.search(body) else min(score, 0.9)
    return score


def _yes_or_no(question: str, wanted: set[str], topics: set[str], statement: str) -> Verdict:
    """Yes or no only where every word of the question is in the statement; otherwise the statement speaks for itself."""
    cue_words = {
        stem(word) for name, ask, _ in _COMPILED if name in topics for word in ask.findall(question.casefold())
    }
    told = stems(statement)
    missing = {word for word in wanted - told - cue_words if not told & {stem(one) for one in alike(word)}}
    if missing:
        return Verdict.TOLD
    negative = bool(_NEGATION.search(statement)) != bool(_NEGATION.search(question))
    return Verdict.NO if negative else Verdict.YES


def _other_kind(question: str, wanted: set[str], card: Card) -> str:
    """What it is instead, for "is Lala a cat?" of a dog."""
    asked = re.search(r"\b(?:is|are)\b.*\ban? ([\w-]+)\W*$", question.casefold())
    told = stems(f"{card.category} {card.info}")
    if asked is None or not (kind := kind_of(asked.group(1))) or kind != kind_of(card.category):
        return ""
    return "" if stem(asked.group(1)) in told or wanted & told else (kind_statement(card) or "")


def _without_name(question: str, card: Card) -> str:
    """Without the concept's name, which would match any statement."""
    pattern = r"[\s_]+".join(re.escape(part) for part in re.split(r"[\s_]+", card.name) if part)
    return re.sub(rf"<?(?<!\w){pattern}>?(?:'s)?(?!\w)", " ", question, flags=re.IGNORECASE) if pattern else question
