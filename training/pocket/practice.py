"""Practice: the model answers composed questions in its own words, and learns which of these to believe.

Sentences that a grammar makes up are not the mistakes that the model makes; it learns to judge its own on its own
(compare the "P(True)" of Kadavath et al. 2022, "Language Models (Mostly) Know What They Know", and expert iteration).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from rapbot.inference.generators import TextGenerator
from rapbot.inference.prompt import read_verdict
from training.pocket.evaluation import is_good
from training.pocket.samples import QUESTION, UNKNOWN, Sample

_AT_ONCE = 48
_DOUBTED = 3
"""Sentences of one sample that are judged false; its own comes first."""


def practise(
    generator: TextGenerator, samples: Sequence[Sample], told: Callable[[int], None] = lambda _: None
) -> Iterator[Sample]:
    """The same samples; each question also has what `generator` says to it, among the believed or the doubted.

    `told` hears how many were answered so far.
    """
    answered = 0
    for first in range(0, len(samples), _AT_ONCE):
        part = samples[first : first + _AT_ONCE]
        asked = [sample for sample in part if sample.kind in (QUESTION, UNKNOWN)]
        drafts = generator.generate([sample.prompt(generator.layout) for sample in asked])
        said = {id(sample): read_verdict(draft)[0] for sample, draft in zip(asked, drafts, strict=True)}
        answered += len(asked)
        told(answered)
        for sample in part:
            yield _judged(sample, said[id(sample)]) if id(sample) in said else sample


def _judged(sample: Sample, said: str) -> Sample:
    if not said or said == sample.answer:
        return sample
    if sample.kind == QUESTION and is_good(sample, said):
        return replace(sample, believed=(said,))
    others = [text for text in sample.doubted if text != said]
    return replace(sample, doubted=(said, *others)[:_DOUBTED])
