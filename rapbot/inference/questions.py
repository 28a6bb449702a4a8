"""Questions that cards answer: which cards a question is for, and what they say. The model judges, the cards speak."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from rapbot.inference.ages import compared
from rapbot.inference.asking import is_yes_no, without_lead
from rapbot.inference.choosing import likeliest_statement
from rapbot.inference.clause_choice import NAMELESS, read_by_model, read_each
from rapbot.inference.clauses import clauses
from rapbot.inference.drafts import Plan
from rapbot.inference.guard import answer_or_none, clean
from rapbot.inference.job import Card, Job, Scene
from rapbot.inference.kindred import Phrase, is_called, is_kind, kindred
from rapbot.inference.looking import answer_from_scene
from rapbot.inference.overview import asks_for_all, counted_or_listed, whole
from rapbot.inference.prompt import POCKET_LORA, build_prompt
from rapbot.inference.reading import FAVOURITE, Reading, Verdict, most_telling, read
from rapbot.inference.seams import Generator
from rapbot.inference.small_talk import is_personal, is_talk, reply_to
from rapbot.inference.topics import is_unmistakable
from rapbot.inference.vocabulary import words
from rapbot.inference.whose import about_each, exists
from rapbot.inference.wording import listed, mark, sentence

_WHOLE = 5
"""Cards that one answer tells whole."""
_FITTING = 6
"""Cards that one answer to "who likes fish?" quotes."""
_JUDGED = 100
"""Clauses that a model judges for one question: some three seconds on two cores. Of more cards those that share words
with it."""

_SURE = 1.5
"""Log-odds from which on a card is believed that nobody named."""
_NEAR = 3.5
"""The same, from which on a card is quoted that does not say Yes ("who sleeps outside?", "on the balcony")."""
_OF_THEM = re.compile(r"\bof\s+(?:them|these|those|the\s+(?:two|three|four))\b", re.IGNORECASE)
_WHO_IS = re.compile(r"(?i:who(?:['’]s| is)|tell me(?: more)? about)\s+([A-Z][\w'-]*(?:\s+[A-Z][\w'-]*)*)\s*\?*$")
_HE = re.compile(r"(?<![\w'’])(?:he|she|him|her)(?=\s+(?!s\b)\w|\W*$)", re.IGNORECASE)
_DOES_IT = re.compile(r"(?:who|which)\b", re.IGNORECASE)
_US = re.compile(
    r"(?:wh\w+\s+|how\s+(?:\w+\s+)?)?(?:am|do|did|was|have|had|can|could|should|will|would|are|were)\s+"
    r"(?:i\b|you\b(?!\s+(?:know|remember|tell|say|have|think)\b))(?!.*\b(?:buy|bought|get|got|find|found|keep|put|pay|paid|give|gave|lend|lent)\b)",
    re.IGNORECASE,
)
_HIM = re.compile(r"(?<![\w'’])(?:him|her|his|hers|it|its|he|she)(?![\w'’])", re.IGNORECASE)
_HIS = words("his her hers its")


class Whom(NamedTuple):
    """Which cards a question is for. `named`: in words; `phrase`: by kind; `cards`: these, or who is in the photo."""

    named: Sequence[Card]
    phrase: Phrase | None
    cards: Sequence[Card]


def whom(job: Job, scene: Scene | None, chosen: Sequence[Card]) -> Whom:
    """`chosen`: whom the question names or means, else who is in the photo or was spoken of."""
    named = [card for card in chosen if card.concept_id in job.mentioned]
    phrase = kindred(job.text, job.concepts.cards)
    if phrase and named and not _belongs(job.text, phrase, named):
        phrase = None
    return Whom(named, phrase, _of_kind(phrase, scene, job.concepts.cards) if phrase else named or list(chosen))


def answer_at_once(job: Job, scene: Scene | None, meant: Whom) -> str:
    """What needs no judgement: thanks, lists and counts, whole cards, who is older; "" for anything else."""
    everyone = job.concepts.cards
    if not _is_named(job.text, meant.named) and (said := reply_to(job.text)):  # "I love it" is not about the mug
        return said
    if scene is None and not meant.named and (said := counted_or_listed(job.text, everyone)):
        return said
    if asks_for_all(job.text, meant.cards, (meant.phrase.start, meant.phrase.end) if meant.phrase else None):
        return " ".join(whole(card) for card in meant.cards[:_WHOLE])
    return compared(job.text, meant.cards if len(meant.cards) > 1 else everyone)


def answer_question(generator: Generator, job: Job, scene: Scene | None, chosen: Sequence[Card]) -> Plan | str:
    """`chosen` as in `whom`."""
    everyone = job.concepts.cards
    found = whom(job, scene, chosen)
    named, phrase, meant = found
    if scene is not None and not reply_to(job.text) and (seen := answer_from_scene(job, scene, named)):
        return seen
    if said := answer_at_once(job, scene, found):
        return said
    if scene is None and not named and is_talk(job.text) and (said := _talk(generator, job)):
        return said
    questions = _Questions(generator, job)
    if not named and (phrase is None or _asks_for_one(job.text, phrase)):
        of_them = phrase is not None or scene is not None or _OF_THEM.search(job.text)
        if quoted := _told_of(job.text, everyone):
            return quoted
        if questions.asks_which:
            near = _HIM.search(job.text) is None
            fitting = questions.which(meant if meant and of_them else everyone, near=near)
            return fitting or _nothing(generator, job, scene, [])
    if meant and (said_of := questions.about(meant, named=bool(named))):
        return said_of
    others = [card for card in everyone if card not in meant]
    told = ""
    if named:
        told = questions.of_others(named, everyone)
        told = told or ("" if _is_named(job.text, named) else questions.which(others))  # "who wants it quiet?"
    elif scene is None:  # "who feeds the fish?", "when is the wedding?"
        if phrase and _DOES_IT.match(without_lead(job.text)):
            told = questions.which(others)
        told = told if phrase else "" if _is_about_us(job.text) else questions.anywhere(everyone)
    return told or _nothing(generator, job, scene, meant)


def told_by(reading: Reading) -> str:
    """What a card says, as a sentence."""
    if reading.verdict is Verdict.UNKNOWN:
        return sentence(silent([reading.card]))
    start = {Verdict.YES: "Yes, ", Verdict.NO: "No, "}.get(reading.verdict, "")
    return start + reading.statement


def silent(cards: Sequence[Card]) -> str:
    """That these cards do not tell what was asked."""
    names = listed([mark(card.name) for card in cards])
    return f"the card of {names} does not say" if len(cards) == 1 else f"the cards of {names} do not say"


class _Questions:
    """What cards say to the question of one job; "" where they say nothing."""

    def __init__(self, generator: Generator, job: Job) -> None:
        self._generator = generator
        self._job = job
        self._categories = {card.category for card in job.concepts.cards}
        self._judges = generator.layout == POCKET_LORA

    def about(self, asked: Sequence[Card], *, named: bool) -> Plan | str:
        """What each of these cards says; those that do not say so only if they were named beside one that does."""
        readings = [self._read(self._job.text, card) for card in self._fewer(self._job.text, asked)]
        told = [reading for reading in readings if reading.verdict is not Verdict.UNKNOWN]
        if len(told) == 1 and (len(readings) == 1 or not named):
            return self._phrased(told[0])
        return " ".join(told_by(reading) for reading in (readings if named else told)) if told else ""

    @property
    def asks_which(self) -> bool:
        """Whether a model can tell whom of several the question is about."""
        return self._judges and self._of_one(self._job.text, NAMELESS) is not None

    def _of_one(self, question: str, name: str) -> str | None:
        return about_each(question, name, self._is_kind)

    def _is_kind(self, word: str) -> bool:
        return is_kind(word) or any(is_called(word, category) for category in self._categories)

    def which(self, cards: Sequence[Card], *, near: bool = False) -> str:
        """Whom of these the question is about ("who likes fish?"), or, with `near`, who comes near it; "" where it is
        nobody, or it asks no such thing."""
        if not self.asks_which:
            return ""
        told = " ".join(reading.statement for reading in self._fitting(self._job.text, cards, near=near))
        return f"Yes, {told}" if told and exists(self._job.text) else told

    def of_others(self, named: Sequence[Card], everyone: Sequence[Card]) -> str:
        """What other cards tell of those who are named: "who rides Carlos?" stands on the card of the rider."""
        if not self._judges:
            return ""
        question = self._job.text
        names = [card.name.replace("_", " ") for card in named]
        if not any(name.casefold() in question.casefold() for name in names):
            question = _HIM.sub(
                lambda found: f"{names[0]}'s" if found[0].casefold() in _HIS else names[0], question, count=1
            )
        others = [card for card in everyone if card not in named and _holds(card.info, names)]
        if self._of_one(question, NAMELESS) is not None:
            return " ".join(reading.statement for reading in self._fitting(question, others))
        readings = [self._read(question, card) for card in others]
        said = [one for one in readings if one.verdict is not Verdict.UNKNOWN and _holds(one.statement, names)]
        return " ".join(map(told_by, said[:_FITTING]))

    def anywhere(self, cards: Sequence[Card]) -> str:
        """The card that tells it, whoever's it is: "when is the wedding?"."""
        if not self._judges:
            return " ".join(reading.statement for reading in most_telling(self._job.text, cards))
        question = self._job.text
        readings = [self._read(question, card) for card in self._fewer(question, cards)]
        told = sorted((one for one in readings if one.verdict is not Verdict.UNKNOWN), key=lambda one: -one.score)
        sure = [reading for reading in told if reading.score >= _SURE]
        return told_by(sure[0]) if sure else ""

    def _fitting(self, question: str, cards: Sequence[Card], *, near: bool = False) -> list[Reading]:
        """Whoever the question is true of, none who is far less certain than another; else, with `near`, who comes
        near it."""
        before = [card for card in self._job.concepts.cards if card.concept_id in self._job.spoken_of[:1]]
        if before:  # "which game did he give me?"
            question = _HE.sub(lambda _: before[0].name.replace("_", " "), question)
        asked = [(self._of_one(question, mark(card.name)) or question, card) for card in self._fewer(question, cards)]
        by_words = [(of_one, read(of_one, card)) for of_one, card in asked]
        readings = read_each(self._generator, self._of_one(question, NAMELESS) or question, by_words)
        fitting = [one for one in readings if one.verdict is Verdict.YES]
        if near and not fitting:
            fitting = [one for one in readings if one.verdict is not Verdict.UNKNOWN and one.score >= _NEAR]
        best = max((reading.score for reading in fitting), default=0.0)
        return sorted((one for one in fitting if one.score >= best / 2), key=lambda one: -one.score)[:_FITTING]

    def _read(self, question: str, card: Card) -> Reading:
        """What the card says, by its words, else by what the model would ask about it."""
        reading = read(question, card)
        if self._generator.layout == POCKET_LORA:
            return read_by_model(self._generator, question, card, reading)
        settled = is_yes_no(question) or is_unmistakable(question) or reading.score <= FAVOURITE
        if reading.verdict is Verdict.UNKNOWN and not settled:
            statement = likeliest_statement(self._generator, question, card)
            if statement is not None:
                return Reading(card, Verdict.TOLD, statement, 1.0)
        return reading

    def _fewer(self, question: str, cards: Sequence[Card]) -> list[Card]:
        """As many as may be judged, in their order."""
        if len(cards) == 1 or sum(card.info.count(" ") for card in cards) < 4 * _JUDGED:
            return list(cards)
        fit = sorted(cards, key=lambda card: -read(question, card).score)
        kept, clauses_left = set(), _JUDGED
        for card in fit:
            clauses_left -= len(clauses(card))
            if clauses_left < 0:
                break
            kept.add(card.concept_id)
        return [card for card in cards if card.concept_id in kept]

    def _phrased(self, reading: Reading) -> Plan | str:
        """One statement is the answer: the model may say it shorter."""
        question = self._job.text
        if reading.verdict is not Verdict.TOLD or is_yes_no(question):
            return told_by(reading)
        card, statement = reading.card, reading.statement
        return Plan(
            statement,
            build_prompt(self._generator.layout, self._job, None, [card]),
            lambda draft: answer_or_none(draft, card, statement, question) or statement,
        )


def _of_kind(phrase: Phrase, scene: Scene | None, cards: Sequence[Card]) -> list[Card]:
    """Whom words like "my dog" mean: who is in the photo and of that kind, else all of the kind."""
    seen = {sighting.concept_id for sighting in scene.sightings} if scene else set()
    kin = [card for card in cards if card.concept_id in phrase.ids]
    return [card for card in kin if card.concept_id in seen] or kin


def _belongs(question: str, phrase: Phrase, named: Sequence[Card]) -> bool:
    """Whether somebody is named only as the owner: "where is Lin's mug?"."""
    told = question[phrase.start : phrase.end].replace("_", " ").casefold()
    return any(re.match(rf"{re.escape(card.name.replace('_', ' ').casefold())}['’]", told) for card in named)


def _is_named(question: str, cards: Sequence[Card]) -> bool:
    return _holds(question, [card.name.replace("_", " ") for card in cards])


def _told_of(question: str, cards: Sequence[Card]) -> str:
    """What cards tell of somebody without a card: "who is Noor?"."""
    asked = _WHO_IS.match(question.strip())
    if asked is None:
        return ""
    told = [one for card in cards if _holds(card.info, asked.groups()) for one in clauses(card)]
    return " ".join([one for one in told if _holds(one, asked.groups())][:_FITTING])


def _holds(text: str, names: Sequence[str]) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text.replace("_", " "), re.IGNORECASE) for name in names)


def _is_about_us(question: str) -> bool:
    """Whether it asks about whoever types it, or the bot: "am I allergic to nuts?", "can you bake?"."""
    return _US.match(without_lead(question)) is not None


def _asks_for_one(question: str, phrase: Phrase | None) -> bool:
    """Whether it asks which of a kind, "which of my dogs bites?", not something about it, "what does my dog eat?"."""
    if phrase is None:
        return False
    told = question[phrase.start : phrase.end].casefold()
    before = f" {question[: phrase.start]} ".casefold()
    return told.startswith(("which", "any", "what ")) or " of " in told or " any " in before


def _talk(generator: Generator, job: Job) -> str:
    """The model's own sentence, where there is no single one for what was said; "" of a model that cannot talk."""
    if not (generator.adapted or generator.sees):
        return ""
    [written] = generator.generate([build_prompt(generator.layout, replace(job, history=()), None, [])])
    return sentence(clean(written))


def _nothing(generator: Generator, job: Job, scene: Scene | None, meant: Sequence[Card]) -> str:
    """That nothing tells it, or an ordinary sentence where nothing was asked of the cards."""
    if scene is not None and meant:
        return f"I can't tell that from the photo, and {silent(meant[:_WHOLE])}."
    if scene is not None:
        return "I can't tell that from this photo."
    if meant:
        return sentence(silent(meant[:_WHOLE]))
    if is_personal(job.text) and (said := _talk(generator, job)):
        return said
    none = "None of your cards says that."
    return none if job.concepts.cards else "I don't know that yet: you have not taught me anything."
