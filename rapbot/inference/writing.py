"""From what was found to what is said: the last step of the pipeline.

Answers whose form is fixed are composed (wording.py); captions and answers to questions are drafted by the model in one
batch, checked (guard.py), and composed from the facts where the draft does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rapbot.inference.captions import UNSEEN, compose_caption, compose_description
from rapbot.inference.choosing import option_scores
from rapbot.inference.guard import (
    answer_or_none,
    caption_or_none,
    clean,
    mark_names,
    supported_words,
    without_false_names,
)
from rapbot.inference.job import Card, Job, Scene, Task
from rapbot.inference.prompt import RAP, build_prompt, select_cards
from rapbot.inference.reading import Reading, Verdict, is_yes_no, read, read_all
from rapbot.inference.seams import Generator, Prompt
from rapbot.inference.surroundings import other_things
from rapbot.inference.wording import found, located, mark, recognised
from rapbot.messages import Sighting


@dataclass(frozen=True, slots=True)
class Written:
    """The text of an answer with names as <Name>, the concepts it names, and the scores of a multiple choice."""

    text: str
    named: tuple[int, ...] = ()
    option_scores: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the model is asked, and how its draft becomes the text."""

    prompt: Prompt
    finish: Callable[[str], str]


def write_answers(
    generator: Generator,
    work: Sequence[tuple[Job, Scene | None]],
    *,
    layout: str,
    concepts_in_prompt: int,
) -> list[Written]:
    """One text per job, in order; drafts of all jobs are generated together."""
    written: list[Written | None] = [None] * len(work)
    plans: dict[int, _Plan] = {}
    for number, (job, scene) in enumerate(work):
        if job.options:
            written[number] = _choose(generator, job, scene, concepts_in_prompt, layout)
            continue
        planned = _plan(job, scene, layout, concepts_in_prompt)
        if isinstance(planned, str):
            written[number] = _named(planned, job)
        else:
            plans[number] = planned
    drafts = generator.generate([plan.prompt for plan in plans.values()]) if plans else []
    for (number, plan), draft in zip(plans.items(), drafts, strict=True):
        written[number] = _named(plan.finish(draft), work[number][0])
    return [one for one in written if one is not None]


def _named(text: str, job: Job) -> Written:
    by_name = {card.name: card.concept_id for card in job.concepts.cards}
    marked = dict.fromkeys(re.findall(r"<([^<>]*)>", text))
    return Written(text, tuple(by_name[name] for name in marked if name in by_name))


def _plan(job: Job, scene: Scene | None, layout: str, k: int) -> _Plan | str:
    """The finished text where no model is needed, else what to ask it."""
    cards = {card.concept_id: card for card in job.concepts.cards}
    if job.task is Task.FIND:
        return found(scene.sightings if scene else ())
    if job.task in (Task.RECOGNISE, Task.LOCATE):
        return _look_for(job, scene, cards)
    if job.task is Task.QUESTION:
        return _plan_answer(job, scene, layout, k)
    return _plan_caption(job, scene, layout, k)


def _look_for(job: Job, scene: Scene | None, cards: dict[int, Card]) -> str:
    say = recognised if job.task is Task.RECOGNISE else located
    asked = [cards[number] for number in job.mentioned if number in cards]
    if not asked:
        return found(scene.sightings if scene else ())
    return " ".join(say(card, _sighting(scene, card)) for card in asked)


def _sighting(scene: Scene | None, card: Card) -> Sighting | None:
    if scene is None:
        return None
    return next((one for one in scene.sightings if one.concept_id == card.concept_id), None)


def _plan_caption(job: Job, scene: Scene | None, layout: str, k: int) -> _Plan:
    cards = {card.concept_id: card for card in job.concepts.cards}
    seen = {one.concept_id for one in scene.sightings} if scene else set()
    present = [cards[number] for number in seen if number in cards]
    absent = [card for card in cards.values() if card.concept_id not in seen]
    composed = compose_caption(scene, {card.concept_id: card for card in present})
    things = [thing.word for thing in other_things(scene, present)] if scene else []

    def finish(draft: str) -> str:
        if layout == RAP:
            caption = _seen_by_model(draft, present, absent) or composed
        else:
            caption = caption_or_none(draft, present, absent, supported_words(present, things)) or composed
        if job.task is Task.DESCRIBE:
            caption = compose_description(scene, cards, caption)
        return caption if caption == UNSEEN else without_false_names(caption, absent)

    return _Plan(build_prompt(layout, job, scene, select_cards(job, scene, k)), finish)


def _seen_by_model(draft: str, present: Sequence[Card], absent: Sequence[Card]) -> str | None:
    """A caption by a model that sees: its words are believed, its names are not."""
    text = without_false_names(mark_names(clean(draft), present), absent)
    return text if all(mark(card.name) in text for card in present) else None


def _plan_answer(job: Job, scene: Scene | None, layout: str, k: int) -> _Plan | str:
    cards = {card.concept_id: card for card in job.concepts.cards}
    chosen = select_cards(job, scene, max(k, len(job.mentioned[:k])))
    asked = [cards[number] for number in job.mentioned if number in cards][:k]
    if layout != RAP and scene is not None and (seen := _from_scene(job, scene, asked)):
        return seen
    about = asked or list(chosen) or list(cards.values())
    readings = [read(job.text, card) for card in about] if asked else read_all(job.text, about)[:3]
    told = [reading for reading in readings if reading.verdict is not Verdict.UNKNOWN]
    if layout == RAP:
        return _Plan(build_prompt(layout, job, scene, chosen), lambda draft: mark_names(clean(draft), chosen))
    if not told:
        return _unknown(asked, bool(cards))
    if not asked:
        told = [reading for reading in told if reading.score >= told[0].score - 0.1]
    if len(told) == 1 and told[0].verdict is Verdict.TOLD and not is_yes_no(job.text):
        only = told[0]
        prompt = build_prompt(layout, job, None, [only.card])
        return _Plan(prompt, lambda draft: answer_or_none(draft, only.card, only.statement, job.text) or only.statement)
    return " ".join(_told(reading) for reading in (readings if asked else told))


def _told(reading: Reading) -> str:
    if reading.verdict is Verdict.UNKNOWN:
        return f"The card of {mark(reading.card.name)} does not say."
    start = {Verdict.YES: "Yes, ", Verdict.NO: "No, "}.get(reading.verdict, "")
    return start + reading.statement


def _unknown(asked: Sequence[Card], any_cards: bool) -> str:
    if asked:
        return " ".join(f"The card of {mark(card.name)} does not say." for card in asked)
    return "None of your cards says that." if any_cards else "I don't know that yet: you have not taught me anything."


_WHERE_IS = re.compile(r"^\s*(?:and\s+)?(?:where(?:'s| is| are)|can you see|do you see|is|are)\b", re.I)
_IN_PHOTO = re.compile(r"\b(?:photo|picture|pic|image|here|see|there)\b", re.I)
_WHAT_SHOWN = re.compile(
    r"^\s*(?:what(?:'s| is| do you see| can you see| does)?|who(?:'s| is| are| do you see)?)\b", re.I
)


def _from_scene(job: Job, scene: Scene, asked: Sequence[Card]) -> str:
    """Answers that the photo gives: who is here, where somebody is, whether somebody is in it."""
    text = job.text.strip()
    if asked and re.match(r"^\s*(?:and\s+)?where(?:'s| is| are)\b", text, re.I) and len(text.split()) <= 8:
        return " ".join(located(card, _sighting(scene, card)) for card in asked)
    if asked and _WHERE_IS.match(text) and _IN_PHOTO.search(text):
        return " ".join(recognised(card, _sighting(scene, card)) for card in asked)
    if not asked and _WHAT_SHOWN.match(text) and (_IN_PHOTO.search(text) or len(text.split()) <= 4):
        if text.casefold().startswith("who"):
            return found(scene.sightings)
        return compose_caption(scene, {card.concept_id: card for card in job.concepts.cards})
    return ""


def _choose(generator: Generator, job: Job, scene: Scene | None, k: int, layout: str) -> Written:
    """Score the options of a multiple choice; the text is the best one."""
    chosen = select_cards(job, scene, k)
    if layout == RAP:
        scores = generator.score(build_prompt(layout, job, scene, chosen), job.options)
    else:
        scores = option_scores(generator, job, scene, chosen)
    best = max(range(len(scores)), key=scores.__getitem__)
    return Written(job.options[best], tuple(card.concept_id for card in chosen), tuple(scores))
