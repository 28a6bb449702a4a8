"""Many prompts in one forward pass, each word of a shared beginning computed once.

The prompts of a pack form a tree of tokens: what several begin with stands there once (a card asked five questions
costs its card once). Attention runs along the path from the root, positions count the depth, so every token sees
exactly what it would see alone: same result, less than half the work, and no padding at all (a pack is one row). The
idea is that of prefix trees in decoding (e.g. SpecInfer, Miao et al. 2024), here for training.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Judged:
    """A question asked of one text: `prompt` as tokens, the question with what ends it, prompt and question as what a
    verdict follows, and the number of the right verdict. `fits`: whether the text answers it; None: it may."""

    prompt: tuple[int, ...]
    question: tuple[int, ...]
    asked: tuple[int, ...]
    verdict: int
    fits: bool | None


@dataclass(frozen=True, slots=True)
class Encoded:
    """One prompt as tokens, its right answer (or none) and false ones, each with what ends it; or one question that is
    asked of several texts (`judged`)."""

    group: int
    prompt: tuple[int, ...] = ()
    answer: tuple[int, ...] = ()
    wrong: tuple[tuple[int, ...], ...] = ()
    judged: tuple[Judged, ...] = ()


@dataclass(slots=True)
class Pack:
    """A tree of tokens. Node i follows node `parents[i]` (-1: none). Target t: at node `froms[t]`, `tokens_next[t]` is
    read, as part of answer `answers[t]`; `choices` lists the answers of one question, the right one first. `rankings`
    lists one question as the answer of each text, and which of these fit; `verdicts` (node, number of the verdict)."""

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    froms: list[int] = field(default_factory=list)
    nexts: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    choices: list[tuple[int, ...]] = field(default_factory=list)
    rankings: list[tuple[tuple[int, ...], tuple[bool, ...]]] = field(default_factory=list)
    verdicts: list[tuple[int, int]] = field(default_factory=list)
    _children: dict[tuple[int, int], int] = field(default_factory=dict)
    _count: int = 0

    def __len__(self) -> int:
        return len(self.tokens)

    def add(self, one: Encoded) -> None:
        if one.answer:
            end = self._walk(-1, one.prompt)
            self.choices.append(tuple(self._answer(end, answer) for answer in (one.answer, *one.wrong)))
        if any(each.fits for each in one.judged):
            ranked = [each for each in one.judged if each.fits is not None]
            asked = tuple(self._answer(self._walk(-1, each.prompt), each.question) for each in ranked)
            self.rankings.append((asked, tuple(bool(each.fits) for each in ranked)))
        for each in one.judged:
            if each.fits is not None:
                self.verdicts.append((self._walk(-1, each.asked), each.verdict))

    def _answer(self, node: int, tokens: tuple[int, ...]) -> int:
        number = self._count
        self._count += 1
        for at, token in enumerate(tokens, 1):
            self.froms.append(node)
            self.nexts.append(token)
            self.answers.append(number)
            if at < len(tokens):  # what follows the last one is never asked
                node = self._step(node, token)
        return number

    def _walk(self, node: int, tokens: Sequence[int]) -> int:
        for token in tokens:
            node = self._step(node, token)
        return node

    def _step(self, node: int, token: int) -> int:
        found = self._children.get((node, token))
        if found is None:
            found = len(self.tokens)
            self._children[node, token] = found
            self.tokens.append(token)
            self.parents.append(node)
            self.depths.append(self.depths[node] + 1 if node >= 0 else 0)
        return found

    def mask(self) -> Tensor:
        """bool[N, N]: whether a token (row) sees another (column): itself and what it follows."""
        import numpy as np
        import torch

        seen = np.zeros((len(self), len(self)), dtype=bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                seen[node, : parent + 1] = seen[parent, : parent + 1]
            seen[node, node] = True
        return torch.from_numpy(seen)


def packs(samples: Sequence[Encoded], budget: int, seed: int | None = None) -> list[Pack]:
    """All samples, groups together, as they come or in an order drawn from `seed`; `budget`: tokens of a pack."""
    groups: dict[int, list[Encoded]] = {}
    for sample in samples:
        groups.setdefault(sample.group, []).append(sample)
    order = list(groups.values())
    if seed is not None:
        random.Random(seed).shuffle(order)
    made, current = [], Pack()
    for group in order:
        if len(current) and len(current) + _size(group) > budget:
            made.append(current)
            current = Pack()
        for sample in group:
            current.add(sample)
    return [*made, current] if len(current) else made


def _size(group: Sequence[Encoded]) -> int:
    pack = Pack()
    for sample in group:
        pack.add(sample)
    return len(pack)


def epochs(samples: Sequence[Encoded], budget: int, seed: int) -> Iterator[Pack]:
    """Endless: as they come (they were composed by chance), then each time in another order."""
    yield from packs(samples, budget)
    epoch = 1
    while True:
        yield from packs(samples, budget, seed + epoch)
        epoch += 1
