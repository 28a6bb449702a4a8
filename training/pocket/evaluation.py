"""What the pocket model gained: the same held-back samples to the model with and without its LoRA.

Two ways: the model's own words ("raw"), and what a person would read (through writing.py, "served").
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rapbot.inference.clause_choice import read_by_model
from rapbot.inference.generators import TextGenerator
from rapbot.inference.job import Card, Job, Task, VisibleConcepts
from rapbot.inference.prompt import POCKET_LORA
from rapbot.inference.questions import told_by
from rapbot.inference.reading import Reading, Verdict
from rapbot.inference.writing import Material, write_answers
from training.pocket.measures import Names, is_exact, is_silent
from training.pocket.samples import CAPTION, CHAT, CHOICE, QUESTION, UNKNOWN, Sample

_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Told:
    """One sample beside what was said."""

    sample: Sample
    text: str
    good: bool


def evaluate(
    generator: TextGenerator, samples: Sequence[Sample], *, served: bool, told: Callable[[str], None] = lambda _: None
) -> tuple[dict[str, float], list[Told]]:
    """Shares in [0, 1] by name, and every answer."""
    answers: list[Told] = []
    metrics: dict[str, float] = {}
    for kind in (QUESTION, UNKNOWN, CAPTION, CHAT):
        chosen = [sample for sample in samples if sample.kind == kind and not (served and kind == CHAT)]
        if not chosen:
            continue
        names, found = Names(), []
        for first in range(0, len(chosen), _AT_ONCE):
            part = chosen[first : first + _AT_ONCE]
            for sample, text in zip(part, _texts(generator, part, served), strict=True):
                if kind == CAPTION:
                    there = [name for name, *_ in sample.placed or ()]
                    names = names.add(text, there, [name for name, *_ in sample.cards if name not in there])
                found.append(Told(sample, text, is_good(sample, text)))
            told(f"{kind} {len(found)}/{len(chosen)}")
        answers += found
        metrics[kind] = sum(one.good for one in found) / len(found)
        if kind == CAPTION:
            metrics |= {"caption_f1": names.f1, "captions_with_invented_names": float(names.invented)}
    chosen = [sample for sample in samples if sample.kind == CHOICE and sample.wrong]
    if chosen:
        found = [Told(sample, *_chosen(generator, sample, served)) for sample in chosen]
        answers += found
        metrics[CHOICE] = sum(one.good for one in found) / len(found)
    return metrics, answers


def is_good(sample: Sample, text: str) -> bool:
    """Whether an answer to `sample` is right (a caption: exactly the names that are there, each once)."""
    names = [name for name, *_ in sample.cards]
    match sample.kind:
        case "question":
            return is_exact(text, sample.key, sample.rivals, sample.about, names)
        case "unknown":
            return is_silent(text)
        case "caption":
            return sorted(part.split(">")[0] for part in text.split("<")[1:]) == sorted(
                name for name, *_ in sample.placed or ()
            )
    return is_ordinary(text)


def is_ordinary(text: str) -> bool:
    """A sentence: some words, no marked name, no talk of cards, an end."""
    return len(text.split()) > 1 and "<" not in text and "card does not say" not in text and text[-1] in ".!?"


def read_questions(file: Path) -> Iterator[Sample]:
    """Multiple-choice questions as JSON lines {concept, info, question, options, answer: "A"}, right option first."""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        options = list(row["options"])
        right = options.pop("ABCDEFGH".index(row["answer"]))
        cards = ((row["concept"], "", row["info"]),)
        yield Sample(CHOICE, number, cards, row["question"], right, tuple(options), about=row["concept"])


def two_choice(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """Each question with one of its false options, drawn by `seed`."""
    rng = random.Random(seed)
    return [replace(sample, wrong=(rng.choice(sample.wrong),)) for sample in samples]


def _texts(generator: TextGenerator, samples: Sequence[Sample], served: bool) -> list[str]:
    if served:
        work = [Material(job, scene) for job, scene, _ in (sample.material() for sample in samples)]
        return [written.text for written in write_answers(generator, work)]
    if generator.layout == POCKET_LORA and samples[0].kind in (QUESTION, UNKNOWN):
        return [_judged(generator, sample) for sample in samples]
    return generator.generate([sample.prompt(generator.layout) for sample in samples])


def _judged(generator: TextGenerator, sample: Sample) -> str:
    """What the model's judgement alone would say."""
    _, _, cards = sample.material()
    card = next(card for card in cards if card.name == sample.about)
    unknown = Reading(card, Verdict.UNKNOWN, "", 0.0)
    return told_by(read_by_model(generator, sample.text, card, unknown))


def _chosen(generator: TextGenerator, sample: Sample, served: bool) -> tuple[str, bool]:
    """The chosen option. A tie is lost."""
    options = (*sample.wrong, sample.answer)
    if served:
        job, scene, cards = sample.material()
        job = replace(job, options=options, mentioned=job.mentioned or tuple(card.concept_id for card in cards))
        text = write_answers(generator, [Material(job, scene)])[0].text
    else:
        scores = generator.score(sample.prompt(generator.layout), options)
        text = options[max(range(len(options)), key=scores.__getitem__)]
    return text, text == sample.answer


def ask(generator: TextGenerator, concept: str, info: str, question: str) -> str:
    """One question as serving answers it."""
    cards = VisibleConcepts((Card(1, concept, "", info),))
    job = Job("job", "me", Task.QUESTION, question, concepts=cards, mentioned=(1,))
    return write_answers(generator, [Material(job)])[0].text
