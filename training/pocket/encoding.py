"""Samples as tokens: the very text and the very tokens that serving gives the model."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rapbot.inference.clause_choice import nameless
from rapbot.inference.clauses import clauses
from rapbot.inference.generators import answer_tokens, prompt_tokens
from rapbot.inference.job import Card
from rapbot.inference.prompt import VERDICTS, build_clause_prompt
from rapbot.inference.reading import stems
from rapbot.inference.seams import Prompt
from training.loop import Recipe
from training.packing import Encoded, Judged
from training.pocket.evaluation import is_good
from training.pocket.measures import holds, said_words
from training.pocket.samples import QUESTION, UNKNOWN, Sample

_ELSE = len(VERDICTS) - 1
_DECISIONS = {"Yes": 1, "No": 2}
_SAME, _ALONE = 0.6, 0.5
"""Part of a sentence's words by which a clause is recognised as what the sentence says, and by which if no other one
has as much ("Guarantee: May 2029" of "its guarantee runs until May 2029")."""
_OTHERS = 4
"""Of the clauses that do not answer a question so many are judged, those that have most words in common with it. All of
a long card cost twice the tokens, and most of them are far from the question."""


def encode(samples: Sequence[Sample], base: Path) -> list[Encoded]:
    """`base` is the folder of the language model (tokenizer.json)."""
    tokenizer = _tokenizer(base)
    return [_encoded(sample, tokenizer) for sample in samples]


def verdict_tokens(base: Path) -> tuple[int, ...]:
    """The first token of each verdict."""
    tokenizer = _tokenizer(base)
    return tuple(answer_tokens(tokenizer, verdict)[0] for verdict in VERDICTS)


def recipe_for(
    base: Path, *, passes: int, threads: int, rate: float = 1.0, rank: int = 16, half: bool | None = None
) -> Recipe:
    """How the pocket model is trained. `rate`: share of the full one; less on from an adapter, which has its way.

    The lowest layers read words, whatever is asked; left alone, they save a fifth of the time.
    """
    import torch

    has_half: bool = torch.cpu.get_capabilities().get("avx512_bf16", False)
    recipe = Recipe(
        rank=rank,
        alpha=2 * rank,
        below=8,
        budget=450,
        passes=passes,
        threads=threads,
        verdicts=verdict_tokens(base),
        half=has_half if half is None else half,
    )
    return replace(recipe, rate=recipe.rate * rate)


def fits(sample: Sample, card: Card) -> list[tuple[str, bool | None]]:
    """Every clause of `card`, and whether it answers the question of `sample`; None: it may, among other things."""
    said = clauses(card)
    if sample.kind == UNKNOWN:
        return [(clause, False) for clause in said]
    if sample.key in _DECISIONS:
        wanted = set(said_words(sample.answer)[1:])
        shares = [len(wanted & set(said_words(clause))) / max(1, len(wanted)) for clause in said]
        best = max(shares, default=0.0)
        enough = _ALONE if shares.count(best) == 1 else _SAME
        return [(clause, share == best >= enough) for clause, share in zip(said, shares, strict=True)]
    return [
        (clause, True if is_good(sample, clause) else None if holds(clause, sample.key) else False) for clause in said
    ]


def _tokenizer(base: Path) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(base / "tokenizer.json"))


def _encoded(sample: Sample, tokenizer: Any) -> Encoded:
    if sample.kind in (QUESTION, UNKNOWN):
        return Encoded(sample.group, judged=_judged(sample, tokenizer))
    answer, *wrong = (tuple(answer_tokens(tokenizer, text)) for text in (sample.answer, *sample.wrong))
    return Encoded(sample.group, _prompt(tokenizer, sample.prompt()), answer, tuple(wrong))


def _judged(sample: Sample, tokenizer: Any) -> tuple[Judged, ...]:
    """Nothing where no clause answers a question that has an answer: the card was not cut as it was meant."""
    _, _, cards = sample.material()
    card = next(card for card in cards if card.name == sample.about)
    answers = fits(sample, card)
    if sample.kind == QUESTION and not any(fit for _, fit in answers):
        return ()
    answers = _fewer(answers, sample.text)
    question = nameless(sample.text, card)
    asked = tuple(answer_tokens(tokenizer, question))
    return tuple(
        Judged(
            _prompt(tokenizer, build_clause_prompt(said := nameless(clause, card))),
            asked,
            _prompt(tokenizer, build_clause_prompt(said, question)),
            _DECISIONS.get(sample.key, 0) if fit else _ELSE,
            fit,
        )
        for clause, fit in answers
    )


def _fewer(answers: Sequence[tuple[str, bool | None]], question: str) -> list[tuple[str, bool | None]]:
    others = [clause for clause, fit in answers if fit is False]
    if len(others) <= _OTHERS:
        return list(answers)
    random.Random(question).shuffle(others)  # of those that have as much in common any may stay
    asked = stems(question)
    kept = sorted(others, key=lambda clause: -len(stems(clause) & asked))[:_OTHERS]
    return [(clause, fit) for clause, fit in answers if fit is not False or clause in kept]


def _prompt(tokenizer: Any, prompt: Prompt) -> tuple[int, ...]:
    fixed, asked = prompt_tokens(tokenizer, prompt)
    return (*fixed, *asked)
