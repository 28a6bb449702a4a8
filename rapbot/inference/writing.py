"""From what was found to what is said: the last step of the pipeline.

Answers whose form is fixed are composed (wording.py, looking.py). Captions and answers to questions are drafted by the
model in one batch, checked (guard.py), and composed from the facts where the draft does not hold. A model that no LoRA
taught is not asked for drafts: it invents, and its good drafts say what composing says. It still chooses (choosing.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace

from rapbot.inference.captions import UNSEEN, compose_caption, compose_description
from rapbot.inference.choosing import likeliest_statement, option_scores
from rapbot.inference.guard import (
    answer_or_none,
    caption_or_none,
    clean,
    mark_names,
    supported_words,
    without_false_names,
)
from rapbot.inference.job import Card, Job, Scene, Task
from rapbot.inference.looking import answer_from_scene, look_for
from rapbot.inference.prompt import RAP, build_prompt, select_cards
from rapbot.inference.reading import FAVOURITE, Reading, Verdict, is_yes_no, read, read_all
from rapbot.inference.seams import Generator, Prompt
from rapbot.inference.surroundings import other_things
from rapbot.inference.wording import listed, mark, place, sentence

_TAG = re.compile(r"</?[A-Za-z][^<>]*>|[<>]")


@dataclass(frozen=True, slots=True)
class Written:
    """The text of an answer with names as <Name>, the concepts it names, and the scores of a multiple choice."""

    text: str
    named: tuple[int, ...] = ()
    option_scores: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class _Plan:
    """A text that is right already, and how the model may say it better: its draft goes through `finish`."""

    composed: str
    prompt: Prompt
    finish: Callable[[str], str]


def write_answers(
    generator: Generator, work: Sequence[tuple[Job, Scene | None]], *, layout: str, concepts_in_prompt: int
) -> list[Written]:
    """One text per job, in order; drafts of all jobs are generated together.

    `layout` is "pocket" for a text-only model and "rap" for one that sees; `concepts_in_prompt` is K of the paper.
    """
    work = [(_defused(job), scene) for job, scene in work]
    writer = _Writer(generator, layout, concepts_in_prompt)
    planned = [writer.plan(job, scene) for job, scene in work]
    plans = {number: plan for number, plan in enumerate(planned) if isinstance(plan, _Plan)}
    drafts = generator.generate([plan.prompt for plan in plans.values()]) if plans and writer.drafts else []
    texts = dict(zip(plans, drafts, strict=False))
    written = []
    for number, ((job, _), plan) in enumerate(zip(work, planned, strict=True)):
        if isinstance(plan, _Plan):
            plan = _named(plan.finish(texts[number]) if number in texts else plan.composed, job)
        written.append(plan)
    return written


def _defused(job: Job) -> Job:
    """The job with cards of plain words: a card is quoted to others, so it must not link, tag or mention."""
    cards = tuple(card._replace(info=clean(_TAG.sub(" ", card.info))) for card in job.concepts.cards)
    return replace(job, concepts=replace(job.concepts, cards=cards))


def _named(text: str, job: Job) -> Written:
    by_name = {card.name: card.concept_id for card in job.concepts.cards}
    marked = dict.fromkeys(re.findall(r"<([^<>]*)>", text))
    named = (by_name[name] for one in marked for name in _each(one, by_name) if name in by_name)
    return Written(text, tuple(dict.fromkeys(named)))


def _each(name: str, known: Container[str]) -> list[str]:
    """ "A or B", where faces cannot be told apart, names two."""
    return [name] if name in known else name.split(" or ")


@dataclass(frozen=True, slots=True)
class _Writer:
    generator: Generator
    layout: str
    k: int

    @property
    def drafts(self) -> bool:
        """Whether the model writes, or only chooses."""
        return self.layout == RAP or bool(getattr(self.generator, "adapted", True))

    def plan(self, job: Job, scene: Scene | None) -> Written | _Plan:
        """The finished answer where no model is needed, else what to ask it."""
        if job.options:
            return self._choice(job, scene)
        if job.task in (Task.FIND, Task.RECOGNISE, Task.LOCATE):
            return _named(look_for(job, scene), job)
        planned = self._answer(job, scene) if job.task is Task.QUESTION else self._caption(job, scene)
        return _named(planned, job) if isinstance(planned, str) else planned

    def _caption(self, job: Job, scene: Scene | None) -> _Plan:
        cards = {card.concept_id: card for card in job.concepts.cards}
        sightings = scene.sightings if scene else ()
        present = [cards[one.concept_id] for one in sightings if one.concept_id in cards]
        said = {name for one in sightings for name in (one.name, *one.name.split(" or "))}
        absent = [card for card in cards.values() if card not in present and card.name not in said]
        composed = compose_caption(scene, cards, {card.name.casefold() for card in absent})
        supported = supported_words(present, [thing.word for thing in other_things(scene, present)] if scene else [])
        places = {sighting.name: place(sighting.box) for sighting in sightings}

        def whole(caption: str) -> str:
            if job.task is Task.DESCRIBE:
                caption = compose_description(scene, cards, caption)
            return caption if caption == UNSEEN else without_false_names(caption, absent)

        def finish(draft: str) -> str:
            if self.layout == RAP:
                return whole(_seen_by_model(draft, present, absent) or composed)
            return whole(caption_or_none(draft, present, absent, supported, places) or composed)

        prompt = build_prompt(self.layout, job, scene, select_cards(job, scene, self.k))
        return _Plan(whole(composed), prompt, finish)

    def _answer(self, job: Job, scene: Scene | None) -> _Plan | str:
        cards = {card.concept_id: card for card in job.concepts.cards}
        chosen = select_cards(job, scene, self.k)
        if self.layout == RAP:
            prompt = build_prompt(self.layout, job, scene, chosen)
            return _Plan("", prompt, lambda draft: mark_names(clean(draft), chosen) or "I have no answer to that.")
        named = [card for card in chosen if card.concept_id in job.mentioned]
        if scene is not None and (seen := answer_from_scene(job, scene, named)):
            return seen
        asked = named or list(chosen)
        if not asked:
            return _among_all(job, scene, list(cards.values()))
        readings = [self._read(job.text, card) for card in asked]
        told = [reading for reading in readings if reading.verdict is not Verdict.UNKNOWN]
        if len(told) == 1 and (len(readings) == 1 or not named):
            return self._phrased(job, told[0])
        if not told and scene is not None:
            return f"I can't tell that from the photo, and {_silent(asked)}."
        return " ".join(_told(reading) for reading in (readings if named else told or readings[:1]))

    def _read(self, question: str, card: Card) -> Reading:
        """What the card says, by its words, else by what the model would ask about it."""
        reading = read(question, card)
        if reading.verdict is Verdict.UNKNOWN and not is_yes_no(question) and reading.score > FAVOURITE:
            statement = likeliest_statement(self.generator, question, card)
            if statement is not None:
                return Reading(card, Verdict.TOLD, statement, 1.0)
        return reading

    def _phrased(self, job: Job, reading: Reading) -> _Plan | str:
        """One statement is the answer: the model may say it shorter."""
        if reading.verdict is not Verdict.TOLD or is_yes_no(job.text):
            return _told(reading)
        card, statement = reading.card, reading.statement
        return _Plan(
            statement,
            build_prompt(self.layout, job, None, [card]),
            lambda draft: answer_or_none(draft, card, statement, job.text) or statement,
        )

    def _choice(self, job: Job, scene: Scene | None) -> Written:
        """A multiple choice: the text is the best option."""
        chosen = select_cards(job, scene, self.k)
        if self.layout == RAP:
            scores = self.generator.score(build_prompt(self.layout, job, scene, chosen), job.options)
        else:
            scores = option_scores(self.generator, job, scene, chosen)
        best = max(range(len(scores)), key=scores.__getitem__)
        return Written(job.options[best], tuple(card.concept_id for card in chosen), tuple(scores))


def _seen_by_model(draft: str, present: Sequence[Card], absent: Sequence[Card]) -> str | None:
    """A caption by a model that sees: its words are believed, its names are not."""
    text = without_false_names(mark_names(clean(draft), present), absent)
    return text if text and all(mark(card.name) in text for card in present) else None


def _among_all(job: Job, scene: Scene | None, cards: Sequence[Card]) -> str:
    """ "Who is afraid of thunder?": whoever's card tells it."""
    told = [reading for reading in read_all(job.text, cards) if reading.verdict is not Verdict.UNKNOWN]
    if told:
        return " ".join(reading.statement for reading in told[:3] if reading.score >= told[0].score - 0.1)
    if scene is not None:
        return "I can't tell that from this photo."
    return "None of your cards says that." if cards else "I don't know that yet: you have not taught me anything."


def _told(reading: Reading) -> str:
    if reading.verdict is Verdict.UNKNOWN:
        return sentence(_silent([reading.card]))
    start = {Verdict.YES: "Yes, ", Verdict.NO: "No, "}.get(reading.verdict, "")
    return start + reading.statement


def _silent(cards: Sequence[Card]) -> str:
    names = listed([mark(card.name) for card in cards])
    return f"the card of {names} does not say" if len(cards) == 1 else f"the cards of {names} do not say"
