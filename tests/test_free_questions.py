"""Questions that nobody tuned anything on, answered by the model as it is shipped."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.free_questions import answer, questions
from rapbot.inference.generators import SHIPPED, TextGenerator
from rapbot.inference.weights import LANGUAGE, ensure


@pytest.fixture(scope="module")
def found(weights: Path) -> Counter[str]:
    """A part of the sets that are only counted, so that it takes seconds; docs/training.md has the whole."""
    generator = TextGenerator.load(ensure(LANGUAGE, weights), 1, SHIPPED)
    asked = [*list(questions([4]))[::3], *list(questions([6]))[::7]]
    return Counter(one.found(answer(generator, one)) for one in asked)


def test_most_are_answered(found: Counter[str]) -> None:
    assert found["answered"] >= 4 * found["not answered"]


def test_what_the_card_does_not_tell_is_mostly_left_open(found: Counter[str]) -> None:
    assert found["silent"] >= 1.2 * found["not silent"]


def test_yes_and_no_are_mostly_right(found: Counter[str]) -> None:
    assert found["right"] >= 2 * found["wrong"]
