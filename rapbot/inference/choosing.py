"""Where the model chooses: among the options of a multiple choice, and among the statements of a card.

The score of an option is what the card adds to its likelihood (pointwise mutual information: log-likelihood with the
card minus without, so that an option is not preferred for being a common phrase), plus how much of it stands in the
card. Measured on tests/data/questions.jsonl, see benchmarks/writing_quality.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rapbot.inference.clause_choice import judge_clauses
from rapbot.inference.job import Card, Job, Scene
from rapbot.inference.prompt import (
    POCKET_LORA,
    build_asking_prompt,
    build_choice_prompt,
    build_short_prompt,
    scene_in_words,
)
from rapbot.inference.reading import Verdict, read, read_all, stems
from rapbot.inference.seams import Generator
from rapbot.inference.statements import statements

_IN_CARD = 6.0
"""Natural-log units for an option all of whose words stand in the card."""
_IN_STATEMENT = 6.0
"""The same for the very statement of the card that the question is about."""
_TELLING = 3.3
"""Natural-log units: here 1 in 20 unanswerable questions gets a statement, and half of the answerable ones that
words alone do not find."""
_PRIOR = 0.8
"""Share of the likelihood without the card that is taken off; the whole of it overshoots on rare words."""


def option_scores(generator: Generator, job: Job, scene: Scene | None, cards: Sequence[Card]) -> list[float]:
    """One score per option of `job`, higher is better; comparable within one question only."""
    about = list(cards) or [reading.card for reading in read_all(job.text, job.concepts.cards)[:2]]
    name = " and ".join(card.name for card in about) or "The photo"
    told = " ".join(card.info for card in about)
    if scene is not None:
        told = f"{told} In the photo: {scene_in_words(scene, about)}."
    readings = [read(job.text, card) for card in about]
    telling = [one.statement for one in readings if one.verdict is not Verdict.UNKNOWN]
    if generator.layout == POCKET_LORA:
        informed = generator.score(build_short_prompt(job, scene, about), job.options)
        blind = [0.0] * len(job.options)  # it was taught to choose by what it reads
        # One of the options is right, so the best clause counts, whether it is believed or not.
        telling += [one.clause for card in about for one in judge_clauses(generator, job.text, card)[:1]]
    else:
        informed = generator.score(build_choice_prompt(name, told, job.text), job.options)
        blind = generator.score(build_choice_prompt(name, "", job.text), job.options)
    statements = " ".join(telling)
    return [
        with_card - _PRIOR * without + _IN_CARD * _found(option, told) + _IN_STATEMENT * _found(option, statements)
        for option, with_card, without in zip(job.options, informed, blind, strict=True)
    ]


def likeliest_statement(generator: Generator, question: str, card: Card) -> str | None:
    """The statement that makes the question likely (more than a neutral one does), or None when none does.

    For questions that share no word with the card: "which department is she in?", "works in accounting".
    """
    neutral = generator.score(build_asking_prompt(f"{card.name} is here."), [question])[0]
    best, statement = -math.inf, None
    for candidate in statements(card):
        gain = generator.score(build_asking_prompt(candidate), [question])[0] - neutral
        if gain > best:
            best, statement = gain, candidate
    return statement if best >= _TELLING else None


def _found(option: str, text: str) -> float:
    """The part of the option's content words that `text` holds."""
    wanted = stems(option)
    return len(wanted & stems(text)) / len(wanted) if wanted else 0.0
