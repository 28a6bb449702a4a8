"""Find the statement of a card that answers a question, by words and by what kind of thing is asked for.

Small language models read badly but words are honest: what this module returns is always a sentence of the card.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rapbot.inference.asking import is_yes_no, without_lead
from rapbot.inference.job import Card
from rapbot.inference.kinds import alike
from rapbot.inference.kinds import wider as kind_of
from rapbot.inference.statements import kind_statement, statements
from rapbot.inference.topics import FREQUENCY, PLACE, TIME, Topic, topics_of
from rapbot.inference.vocabulary import words
from rapbot.inference.wording import mark, with_article

FAVOURITE = -1.0
"""Score of a statement that tells something like what was asked, but not that."""
_ABOUT_AS_WELL = 0.1


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


_STOP = words(
    "a an the is are was were am be been being do does did has have had can could will would shall should may might"
    " must"
    " of in on at to for from with by about as into and or but if so than then that this these those it its he him his"
    " she her hers they them their i me my mine you your yours we us our what which who whom whose when where why how"
    " much many there here not no yes any some please tell say know what's who's where's when's thing things something"
    " photo picture image anything someone anyone kind sort type called name named one it's get got give gave ever"
    " he's she's every only very too also just"
)
_NEGATION = re.compile(
    r"\b(?:(?<!or )not(?! only\b)|no(?! (?:doubt|wonder|matter)\b)|never|cannot|neither|nor|without|\w+n't"
    r"|(?:do|does|did|ca|wo|is|are|was|were|has|have|should|could|would|must)nt|hates?|dislikes?)\b",
    re.I,
)


_REMINDER = re.compile(r"(?:^|[:,.!] )(?:please )?(?:do not|don['’]?t|never) forget\b", re.IGNORECASE)
"""Denies nothing."""
_BUT = re.compile(
    r"\b(?:(?:any|every|no)(?: ?(?:thing|one|body|where))?(?: \w+)?|all(?: \w+)?|something|other|else)"
    r" (?:but|except|than)\b|\bexcept\b",
    re.IGNORECASE,
)
""" "Is she anything but greedy?", "eats everything but fish": the contrary of what the words beside it say."""
_REFUSAL = re.compile(
    r"\b(?:allerg\w+|avoid\w*|(?:stays?|keep) (?:away|off)|keep out of|steer clear|off limits|forbid\w*|intolerant"
    r"|poison\w*|refus\w+|broken|broke|missing|lost|stopped"
    r"|closed(?= (?:on|every|from|for|in|[a-z]+days?)\b)"
    r"|gave up)\b",
    re.IGNORECASE,
)
"""Words after which Yes to a question without any of them would be false, or dangerous."""
_NONETHELESS = re.compile(
    r"\b(?:never|does(?:n't| not)|can(?:not|'t)) (?:ever )?(?:stops?|fails?|tires?|misse?s|gets? (?:enough|tired|bored)"
    r"|waits?|(?:lives?|do|does|goes|go|be|is) without|resists?|help)\b",
    re.IGNORECASE,
)
"""Denies nothing of what follows: "never stops talking about her kids"."""
_SEXES = (words("male boy man he tom tomcat stallion gelding"), words("female girl woman she lady mare"))
_ALLERGIC = re.compile(r"\b(?:allerg\w+|intolerant)\b", re.IGNORECASE)
_MAY = re.compile(
    r"(?:(?:can|may|could|should)\b|(?:is|are)\b.*\ballowed\b|is it (?:ok|okay|all right|safe)\b)", re.IGNORECASE
)
_SAFE = re.compile(r"(?:is|are)\b.*\b(?:ok|okay|fine|safe|good)\s+(?:for|to)\b", re.IGNORECASE)
_FORBIDS = re.compile(
    r"^<>:\s*(?:please )?(?:never|no|don't|dont|do not)\b"
    r"|\b(?:must not|mustn't|cannot|can't|allerg\w+|toxic|poison\w*)\b",
    re.IGNORECASE,
)
"""Not "has never bitten a child", which makes nobody less safe."""


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


def read(question: str, card: Card) -> Reading:
    """The best statement of one card and whether it answers the question."""
    asked = _without_name(question, card)
    wanted, topics = stems(asked), topics_of(asked)
    own = {stem(word) for word in re.findall(r"[^\W_]+", f"{card.name.replace('_', ' ')} {card.category}".casefold())}
    if wanted - own - {"look", "like", "describ", "tell"}:
        topics = tuple(topic for topic in topics if topic.name != "look")
    kind = kind_statement(card)
    if kind and any(topic.name == "breed" for topic in topics) and wanted & own:
        kind = ""  # "what kind of dog is Lala?" knows that she is a dog
    told = [*statements(card), *filter(None, [kind])]
    scored = [
        (_score(asked, wanted, own, topics, statement), -number, statement) for number, statement in enumerate(told)
    ]
    if not scored:
        return Reading(card, Verdict.UNKNOWN, "", 0.0)
    score, _, statement = max(scored)
    if is_yes_no(question) and (other := _other_kind(question, wanted, card) or _other_sex(question, told)):
        return Reading(card, Verdict.NO, other, 1.0)
    if score < 1.0:
        return Reading(card, Verdict.UNKNOWN, statement, score)
    if not is_yes_no(question):
        return Reading(card, Verdict.TOLD, statement, score)
    return Reading(card, _yes_or_no(asked, wanted, topics, statement), statement, score)


def decided(question: str, card: Card, statement: str) -> Verdict:
    """YES or NO where `statement`, whoever chose it, decides a yes/no question word for word; else TOLD or UNKNOWN."""
    if not is_yes_no(question):
        return Verdict.TOLD
    asked = _without_name(question, card)
    return _yes_or_no(asked, stems(asked) - stems(card.category), topics_of(asked), statement)


def refusal(question: str, statement: str) -> Verdict | None:
    """NO or TOLD where `statement` denies or forbids something and `question` does not, None else: to "Can she have
    penicillin?" the sentence "She is allergic to penicillin." must never begin with Yes."""
    told = _NONETHELESS.sub(" ", _without_names(statement))
    if not (_denies(told) or _REFUSAL.search(told)) or _NEGATION.search(question) or _REFUSAL.search(question):
        return None
    asked = without_lead(question)
    return Verdict.NO if _MAY.match(asked) or (_SAFE.match(asked) and _FORBIDS.search(told)) else Verdict.TOLD


def insists(text: str) -> bool:
    """Whether its "never" or "not" denies nothing: "never stops talking"."""
    return bool(_NONETHELESS.search(text))


def excepts(text: str) -> bool:
    """Whether what is said of all is not said of some: "loves everyone but children"."""
    return bool(_BUT.search(text))


def _denies(told: str) -> bool:
    """Whether a statement, without its names, is a negation."""
    return bool(_NEGATION.search(_REMINDER.sub(" ", told)))


def read_all(question: str, cards: Sequence[Card]) -> list[Reading]:
    """Readings of several cards, the most telling first."""
    return sorted((read(question, card) for card in cards), key=lambda reading: -reading.score)


def most_telling(question: str, cards: Sequence[Card]) -> list[Reading]:
    """The card that tells it best, and at most two that tell it about as well; none where no card does."""
    told = [reading for reading in read_all(question, cards) if reading.verdict is not Verdict.UNKNOWN]
    return [reading for reading in told[:3] if reading.score >= told[0].score - _ABOUT_AS_WELL]


def _score(question: str, wanted: set[str], own: set[str], topics: Sequence[Topic], statement: str) -> float:
    """Shared words count one each (less for synonyms, and for the concept's own name and kind), shared topics more."""
    body = _without_names(statement)
    told = stems(body)
    near = {stem(word) for one in told for word in alike(one)}
    shared = [word for word in wanted if word in told or word in near]
    score = sum((1.0 if word in told else 0.6) * (0.4 if word in own else 1.0) for word in shared)
    names = {topic.name for topic in topics}
    if all(topic.tells.search(body) for topic in topics):
        score += 1.2 * len(topics)
    elif "like" in names and names & {"colour", "drink"}:
        return FAVOURITE  # a favourite colour is not the colour
    lowered = question.casefold()
    if re.search(r"\bhow often\b", lowered):
        score = score + 0.8 if FREQUENCY.search(body) else min(score, 0.9)
    elif re.search(r"\b(?:when|what time|which day|what day)\b", lowered):
        score = score + 0.8 if TIME.search(body) else min(score, 0.9)
    if re.search(r"\bwhere\b", lowered):
        score = score + 0.5 if PLACE.search(body) else min(score, 0.9)
    return score


def _yes_or_no(question: str, wanted: set[str], topics: Sequence[Topic], statement: str) -> Verdict:
    """Yes or no only where every word of the question is in the statement; else the statement speaks for itself."""
    if not all(topic.tells.search(_without_names(statement)) for topic in topics):
        return Verdict.UNKNOWN
    cues = [cue for topic in topics for cue in topic.asks.findall(question.casefold())]
    cue_words = {stem(word) for cue in cues for word in cue.split()}
    told = stems(statement)
    if cue_words & told:  # "Does Rex sleep in the bed?": the topic is in both, so the bed says more than that
        cue_words &= told
    missing = {word for word in wanted - told - cue_words if not told & {stem(one) for one in alike(word)}}
    if missing or excepts(question) or excepts(statement):
        return Verdict.TOLD
    negative = _denies(_without_names(statement)) != bool(_NEGATION.search(question))
    if _ALLERGIC.search(question) and not _ALLERGIC.search(statement):  # "Is she allergic to beef?", "cannot eat beef"
        negative = not negative
    return Verdict.NO if negative else refusal(question, statement) or Verdict.YES


def _other_kind(question: str, wanted: set[str], card: Card) -> str:
    """What it is instead, for "is Lala a cat?" of a dog."""
    asked = re.search(r"\b(?:is|are)\b.*\ban? ([\w-]+)\W*$", question.casefold())
    told = stems(f"{card.category} {card.info}")
    if asked is None or not (kind := kind_of(asked.group(1))) or kind != kind_of(card.category):
        return ""
    if stem(asked.group(1)) in told or wanted & told:
        return ""
    return kind_statement(card) or f"{mark(card.name)} is {with_article(card.category)}."


def _other_sex(question: str, told: Sequence[str]) -> str:
    """The statement that says so, for "is Lala a boy?" of a girl."""
    asked = re.search(r"\b(?:is|are)\b.*\b(?:an?|really|still)?\s*(\w+)\W*$", question.casefold())
    of = next((sex for sex in _SEXES if asked and asked[1] in sex), None)
    if of is None:
        return ""
    other = _SEXES[1 - _SEXES.index(of)]
    said = [(statement, set(re.findall(r"[a-z]+", _without_names(statement).casefold()))) for statement in told]
    if any(spoken & of for _, spoken in said):
        return ""
    return next((statement for statement, spoken in said if spoken & other), "")


def _without_names(statement: str) -> str:
    """ "<Biscuit> is a dog." tells of no food."""
    return re.sub(r"<[^>]*>", "<>", statement).replace("_", " ")


def _without_name(question: str, card: Card) -> str:
    """Without the concept's name, which would match any statement."""
    pattern = r"[\s_]+".join(re.escape(part) for part in re.split(r"[\s_]+", card.name) if part)
    return re.sub(rf"<?(?<!\w){pattern}>?(?:'s)?(?!\w)", " ", question, flags=re.IGNORECASE) if pattern else question
