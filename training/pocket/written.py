"""Cards and questions as people write both (written/*.txt): what no grammar of ours would have said.

A block of lines a card: "= name | category", its text, then its questions: "? question => told: words of the card",
"=> yes:" or "=> no:" with the words that say so, and "- question" for what the card does not tell. One card in ten is
held back, by a checksum of its text.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from training.pocket.grammar import HELD, is_held

_FOLDER = Path(__file__).parent / "written"
_HELD_SHARE = 10
_TOGETHER = 5
"""Questions of a card that train together, so that its sentences stand there once."""


@dataclass(frozen=True, slots=True)
class Question:
    """`verdict`: "told", "yes", "no", or "" where the card does not tell; `words`: those of the card that do."""

    text: str
    verdict: str = ""
    words: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """One card with its questions."""

    name: str
    category: str
    info: str
    questions: tuple[Question, ...]


@cache
def written(split: str) -> tuple[Written, ...]:
    """The cards of a half, in the order of their files."""
    blocks = (
        block
        for file in sorted(_FOLDER.glob("*.txt"))
        for block in file.read_text(encoding="utf-8").strip().split("\n\n")
    )
    return tuple(card for card in map(_read, blocks) if is_held(card.info, _HELD_SHARE) == (split == HELD))


def portions(rng: random.Random, split: str) -> Iterator[tuple[Written, list[Question]]]:
    """Endless: every card with some of its questions; no question comes again before all others came."""
    while True:
        found: list[tuple[Written, list[Question]]] = []
        for card in written(split):
            questions = rng.sample(card.questions, len(card.questions))
            parts = -(-len(questions) // _TOGETHER)
            found.extend((card, questions[at::parts]) for at in range(parts))
        rng.shuffle(found)
        yield from found


def _read(block: str) -> Written:
    head, *lines = block.splitlines()
    name, _, category = head.removeprefix("= ").partition("|")
    asked = [line for line in lines if line.startswith(("? ", "- "))]
    info = "\n".join(lines[: len(lines) - len(asked)])
    return Written(name.strip(), category.strip(), info, tuple(map(_question, asked)))


def _question(line: str) -> Question:
    text, _, answer = line[2:].partition(" => ")
    verdict, _, words = answer.partition(": ")
    return Question(text, verdict, words)


__all__ = ["Question", "Written", "portions", "written"]
