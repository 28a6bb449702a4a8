"""From what was found to what is said: the last step of the pipeline.

Answers whose form is fixed are composed (wording.py, looking.py). Captions and answers to questions are drafted by the
model in one batch, checked (guard.py), and composed from the facts where the draft does not hold. A model that no LoRA
taught is not asked for drafts: it invents, and its good drafts say what composing says. It still chooses (choosing.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace

from rapbot.inference.boxes import AGREE, agreement
from rapbot.inference.captions import UNSEEN, compose_caption, compose_description
from rapbot.inference.choosing import option_scores
from rapbot.inference.drafts import Plan
from rapbot.inference.drafts import Written as Written
from rapbot.inference.guard import (
    caption_or_none,
    clean,
    mark_names,
    plain_words,
    supported_words,
    without_false_names,
)
from rapbot.inference.job import Card, Job, Scene, Task
from rapbot.inference.looking import look_for, two_places
from rapbot.inference.overview import counted_or_listed
from rapbot.inference.prompt import POCKET_LORA, Pictures, build_prompt, select_cards
from rapbot.inference.questions import answer_question, silent, told_by
from rapbot.inference.reading import Verdict, read
from rapbot.inference.seams import Generator, Prompt
from rapbot.inference.surroundings import other_things
from rapbot.inference.wording import mark, place

_UNFINISHED = re.compile(r"<[^<>]*$")
"""A name of which only the beginning is written."""
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|[<>]")


JobListener = Callable[[str, str], bool]
"""Told (job id, text so far, names as <Name>) while an answer is written; False: nobody waits for it any more."""


@dataclass(frozen=True, slots=True)
class Material:
    """What one answer is written from."""

    job: Job
    scene: Scene | None = None
    pictures: Pictures = field(default_factory=Pictures)


def write_answers(generator: Generator, work: Sequence[Material], listener: JobListener | None = None) -> list[Written]:
    """One text per job, in order; drafts of all jobs are generated together.

    A text-only model (layout "pocket") writes from the scene in words, one that sees from the pictures themselves.
    """
    work = [replace(material, job=defused(material.job, material.scene)) for material in work]
    writer = _Writer(generator)
    planned = [writer.plan(material) for material in work]
    plans = [(number, plan) for number, plan in enumerate(planned) if isinstance(plan, Plan)]
    texts: dict[int, str] = {}
    if plans and writer.drafts:

        def follow(position: int, draft: str) -> bool:
            number, plan = plans[position]
            shown = plan.partial(_UNFINISHED.sub("", draft)) if plan.partial else ""
            return listener(work[number].job.id, shown) if listener else True

        drafts = generator.generate([plan.prompt for _, plan in plans], follow if listener else None)
        texts = {number: draft for (number, _), draft in zip(plans, drafts, strict=True)}
    written = []
    for number, (material, plan) in enumerate(zip(work, planned, strict=True)):
        if isinstance(plan, Plan):
            said = plan.finish(texts[number]) if number in texts else plan.composed
            plan = with_names(said, material.job) if isinstance(said, str) else said
        written.append(plan)
    return written


def defused(job: Job, scene: Scene | None = None) -> Job:
    """The job with cards of plain words: a card is quoted to others, so it must not link, tag or mention.

    Any card may answer a question; otherwise nobody reads those (hundreds, maybe) that are neither seen nor asked for.
    """
    read = {*job.mentioned, *(one.concept_id for one in (scene.sightings if scene else ()))}
    every = job.task is Task.QUESTION
    cards = tuple(
        card._replace(info=_plain_lines(card.info) if every or card.concept_id in read else "")
        for card in job.concepts.cards
    )
    return replace(job, concepts=replace(job.concepts, cards=cards))


def _plain_lines(info: str) -> str:
    """Each line by itself: people write one thing a line, without full stops, and a line is read as a sentence."""
    return "\n".join(filter(None, map(plain_words, _TAG.sub(" ", info).splitlines())))


def with_names(text: str, job: Job) -> Written:
    """The text, and which of the job's concepts it names."""
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

    @property
    def drafts(self) -> bool:
        """Whether the model writes, or only chooses.

        The LoRA of profile pocket can caption; what is put together from the same facts reads better, though, and is
        there at once (docs/training.md, "Results").
        """
        return self.generator.sees or (self.generator.adapted and self.generator.layout != POCKET_LORA)

    def _prompt(self, material: Material, cards: Sequence[Card], scene: Scene | None) -> Prompt:
        return build_prompt(self.generator.layout, material.job, scene, cards, material.pictures)

    def plan(self, material: Material) -> Written | Plan:
        """The finished answer where no model is needed, else what to ask it."""
        job, scene = material.job, material.scene
        if job.options:
            return self._choice(material)
        if job.task is Task.LOCATE and self.generator.sees and material.pictures.photo is not None:
            return self._located(material)
        if job.task in (Task.FIND, Task.RECOGNISE, Task.LOCATE):
            return with_names(look_for(job, scene), job)
        planned = self._answer(material) if job.task is Task.QUESTION else self._caption(material)
        return with_names(planned, job) if isinstance(planned, str) else planned

    def _caption(self, material: Material) -> Plan:
        job, scene = material.job, material.scene
        cards = {card.concept_id: card for card in job.concepts.cards}
        sightings = scene.sightings if scene else ()
        present = [cards[one.concept_id] for one in sightings if one.concept_id in cards]
        said = {name for one in sightings for name in (one.name, *one.name.split(" or "))}
        absent = [card for card in cards.values() if card not in present and card.name not in said]
        composed = compose_caption(scene, cards, {card.name.casefold() for card in absent})
        supported = supported_words(present, [thing.word for thing in other_things(scene, present)] if scene else [])
        places = {sighting.name: place(sighting.box) for sighting in sightings}

        def whole(caption: str) -> str:
            if job.task is Task.DESCRIBE and not self.generator.sees:
                caption = compose_description(scene, cards, caption)
            return caption if caption == UNSEEN else without_false_names(caption, absent)

        def finish(draft: str) -> str:
            if self.generator.sees:
                return whole(_seen_by_model(draft, present, absent) or composed)
            return whole(caption_or_none(draft, present, absent, supported, places) or composed)

        def partial(draft: str) -> str:
            return without_false_names(mark_names(clean(draft), present), absent)

        prompt = self._prompt(material, select_cards(job, scene, self.generator.concepts_in_prompt), scene)
        return Plan(whole(composed), prompt, finish, partial)

    def _located(self, material: Material) -> Written | Plan:
        """Where one concept is: the model that sees is asked as well, in one short answer.

        Where it points to what the keys recognised, the detector's box stays: it was fitted to the pixels, the model
        writes rounded numbers. Where it points elsewhere both are told, and alone it is only half believed.
        """
        job, scene = material.job, material.scene
        composed = with_names(look_for(job, scene), job)
        asked = [card for card in job.concepts.cards if card.concept_id in job.mentioned]
        if scene is None or len(asked) != 1:
            return composed
        card = asked[0]
        known = next((one.box for one in scene.sightings if one.concept_id == card.concept_id), None)

        def finish(draft: str) -> Written:
            boxes = self.generator.boxes(draft, scene.width, scene.height)
            if len(boxes) != 1 or (known is not None and agreement(known, boxes[0]) >= AGREE):
                return composed
            if known is not None:
                text = two_places(card, known, boxes[0])
            else:
                text = f"I did not recognise {mark(card.name)} for sure, but that may be {place(boxes[0])}."
            return Written(text, (card.concept_id,), boxes=((card.concept_id, boxes[0]),))

        return Plan(composed.text, self._prompt(material, [card], scene), finish)

    def _answer(self, material: Material) -> Plan | str:
        job, scene = material.job, material.scene
        chosen = select_cards(job, scene, self.generator.concepts_in_prompt)
        if self.generator.sees and (chosen or scene is not None):
            listed = "" if scene is not None or job.mentioned else counted_or_listed(job.text, job.concepts.cards)
            return listed or self._answer_by_sight(material, chosen)
        return answer_question(self.generator, job, scene, chosen)

    def _answer_by_sight(self, material: Material, chosen: Sequence[Card]) -> Plan:
        """A model that sees answers in its own words; an empty answer falls back on what the cards say."""
        job, scene = material.job, material.scene

        def shown(draft: str) -> str:
            return mark_names(clean(draft), chosen)

        readings = [read(job.text, card) for card in chosen]
        told = " ".join(told_by(reading) for reading in readings if reading.verdict is not Verdict.UNKNOWN)
        composed = told or (f"I can't tell that, and {silent(chosen)}." if chosen else "I can't tell that.")
        return Plan(composed, self._prompt(material, chosen, scene), lambda draft: shown(draft) or composed, shown)

    def _choice(self, material: Material) -> Written:
        """A multiple choice: the text is the best option."""
        job, scene = material.job, material.scene
        chosen = select_cards(job, scene, self.generator.concepts_in_prompt)
        if self.generator.sees:
            scores = self.generator.score(self._prompt(material, chosen, scene), job.options)
        else:
            scores = option_scores(self.generator, job, scene, chosen)
        best = max(range(len(scores)), key=scores.__getitem__)
        return Written(job.options[best], tuple(card.concept_id for card in chosen), tuple(scores))


def _seen_by_model(draft: str, present: Sequence[Card], absent: Sequence[Card]) -> str | None:
    """A caption by a model that sees: its words are believed, its names are not."""
    text = without_false_names(mark_names(clean(draft), present), absent)
    return text if text and all(mark(card.name) in text for card in present) else None
