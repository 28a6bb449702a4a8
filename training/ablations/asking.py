"""The prompts of an arm: what the model is asked in its own words, and what rapbot would make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from PIL import Image

from rapbot.concepts.category import guess_category
from rapbot.evaluation import Question
from rapbot.inference.job import Card, Job, Task, VisibleConcepts
from rapbot.inference.prompt import POCKET, POCKET_LORA, RAP, Pictures, build_prompt, select_cards
from rapbot.inference.seams import Generator, Prompt
from rapbot.inference.writing import Material
from rapbot.photos import open_photo
from rapbot.scores import with_letters
from training.ablations.arms import Arm
from training.ablations.looks import Look, Seen, nearest, perfect
from training.rap.prompts import PHOTO_SIDE, open_pictures, sample_prompts
from training.rap.samples import Sample

_PHOTO = b"-"
"""Instead of the bytes of a photo that was looked at already."""


@dataclass(frozen=True, slots=True)
class Example:
    """An answered prompt before the question."""

    prompt: Prompt
    answer: str


class Asking:
    """Everything that one arm asks of one generator."""

    def __init__(
        self,
        arm: Arm,
        generator: Generator,
        seen: Seen,
        examples: Mapping[Task, Sequence[Example]] | None = None,
    ) -> None:
        """`examples` are for an arm of a model that sees; a text-only one has its own in prompt.py."""
        self._arm = arm
        self._sees = generator.sees
        self._k = generator.concepts_in_prompt
        self._examples = (examples or {}) if arm.examples else {}
        self._layout = self._layout_of(generator)
        taught = arm.variant if generator.adapted else None
        self.served_key = ("served", taught, arm.info, arm.perfect)
        self.own_key = ("own", self._layout, taught, arm.info, arm.perfect, bool(self._examples))
        """Arms of one key ask the same model the same."""
        cards = seen.concepts.cards
        if not arm.info:
            cards = tuple(card._replace(info="", traits="") for card in cards)
        self._concepts = replace(seen.concepts, cards=cards)
        self._avatars = {concept: open_photo(jpeg) for concept, jpeg in seen.avatars.items()} if self._sees else {}

    def look(self, one: Look) -> Look:
        return perfect(one, self._concepts) if self._arm.perfect else one

    def caption(self, one: Look) -> Prompt:
        job = self._job(Task.CAPTION)
        return self._prompt(job, one, self._cards(job, one))

    def recognition(self, one: Look, concept: int) -> Prompt:
        name = next(card.name for card in self._concepts.cards if card.concept_id == concept)
        text = f"Is <{name}> in this image? Answer with a single word or phrase."
        job = self._job(Task.RECOGNISE, text, mentioned=(concept,))
        if not self._sees:  # it knows this request as a question
            job = replace(job, task=Task.QUESTION)
        return self._prompt(job, one, self._cards(job, one))

    def choice(self, question: Question, options: Sequence[str], one: Look | None) -> Prompt:
        """A multiple choice, to be answered in words."""
        job = self._question(with_letters(question.text, options), question, ())
        return self._prompt(job, one, self._cards(job, one))

    def served_caption(self, one: Look) -> Material:
        return Material(self._job(Task.CAPTION), one.scene, self._pictures(one))

    def served_recognition(self, one: Look, concept: int) -> Material:
        return Material(self._job(Task.RECOGNISE, mentioned=(concept,)), one.scene, self._pictures(one))

    def served_choice(self, question: Question, options: Sequence[str], one: Look | None) -> Material:
        job = self._question(question.text, question, tuple(options))
        return Material(job, one.scene if one else None, self._pictures(one))

    def _layout_of(self, generator: Generator) -> str:
        if self._sees:
            return RAP  # the paper asks every model so, trained or not
        if self._arm.variant is not None:
            return generator.layout
        return POCKET if self._arm.examples else POCKET_LORA

    def _job(self, task: Task, text: str = "", mentioned: tuple[int, ...] = ()) -> Job:
        return Job("", "", task, text, _PHOTO, self._concepts, mentioned)

    def _question(self, text: str, question: Question, options: tuple[str, ...]) -> Job:
        if question.photo is not None:
            concept = next(card.concept_id for card in self._concepts.cards if card.name == question.concept)
            return replace(self._job(Task.QUESTION, text, (concept,)), options=options)
        info = question.info if self._arm.info else ""
        card = Card(1, question.concept, guess_category(question.info) or "thing", info)
        known = VisibleConcepts((card,))
        return Job("", "", Task.QUESTION, text, concepts=known, mentioned=(1,), options=options)

    def _cards(self, job: Job, one: Look | None) -> tuple[Card, ...]:
        """A model that sees is shown the K nearest, as in the paper; one that does not must be told who is there."""
        if one is None or not self._sees or self._arm.perfect:
            return select_cards(job, one.scene if one else None, self._k)
        by_id = {card.concept_id: card for card in job.concepts.cards}
        wanted = dict.fromkeys([*job.mentioned, *nearest(one.scene)])
        return tuple(by_id[concept] for concept in wanted if concept in by_id)[: self._k]

    def _prompt(self, job: Job, one: Look | None, cards: Sequence[Card]) -> Prompt:
        prompt = build_prompt(self._layout, job, one.scene if one else None, cards, self._pictures(one))
        for example in reversed(self._examples.get(job.task, ())):
            messages = (*example.prompt.messages, ("assistant", example.answer), *prompt.messages)
            prompt = replace(prompt, messages=messages, pictures=(*example.prompt.pictures, *prompt.pictures))
        return prompt

    def _pictures(self, one: Look | None) -> Pictures:
        if not self._sees:
            return Pictures()
        return Pictures(_opened(one.path) if one else None, self._avatars)


def examples_of(samples: Sequence[Sample], folder: Path, count: int) -> dict[Task, tuple[Example, ...]]:
    """The first `count` samples of each task with one concept in their list, as answered prompts."""
    kinds = {"caption": Task.CAPTION, "recognition": Task.RECOGNISE, "question": Task.QUESTION}
    found: dict[Task, tuple[Example, ...]] = dict.fromkeys(kinds.values(), ())
    for sample in samples:
        task = kinds.get(sample.kind)
        if task is None or len(found[task]) >= count or len(sample.crops) != 1:
            continue
        answers = {example.answer for example in found[task]}
        if task is Task.RECOGNISE and sample.turns[0][1] in answers:
            continue  # a yes and a no
        [(prompt, answer), *_] = sample_prompts(sample, open_pictures(sample, folder))
        found[task] = (*found[task], Example(prompt, answer))
    return found


@lru_cache(maxsize=16)
def _opened(path: Path) -> Image.Image:
    return open_photo(path.read_bytes(), max_side=PHOTO_SIDE)
