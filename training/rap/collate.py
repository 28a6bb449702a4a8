"""Samples to batches: the tokens of serving, labels on the answers alone, rows of like lengths side by side."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from rapbot.inference.mllm.encoding import Encoded, PromptEncoder, pictures_by_row, side_by_side
from rapbot.inference.mllm.families import Family
from rapbot.inference.seams import IMAGE, Prompt
from training.rap.prompts import open_pictures, sample_prompts
from training.rap.samples import Sample

if TYPE_CHECKING:
    from torch import Tensor

UNLABELLED = -100
"""What the losses of transformers leave out."""


@dataclass(frozen=True, slots=True)
class Row:
    """A sample as the model reads it: prompt and answers; `labels` is int64[T], `UNLABELLED` outside of the answers."""

    encoded: Encoded
    labels: list[int]

    @property
    def length(self) -> int:
        return self.encoded.length


class Encoder:
    """Samples to rows, by the encoder that serves the model."""

    def __init__(self, prompts: PromptEncoder, end: int, folder: Path) -> None:
        """`end`: the token that ends an answer; `folder`: of the pictures."""
        self._prompts = prompts
        self._end = end
        self._folder = folder
        self._cost = lru_cache(maxsize=4096)(self._picture_cost)

    def encode(self, sample: Sample) -> Row:
        """Raises SampleError for a picture that cannot be read."""
        made = sample_prompts(sample, open_pictures(sample, self._folder))
        prompt, answer = made[-1]
        encoded = self._prompts.encode(prompt)
        ids = encoded.ids
        labels = [UNLABELLED] * len(ids)
        for earlier, said in made[:-1]:
            self._label(labels, ids, self._prompts.encode(earlier), earlier, said)
        # Where a mark of speech stands before the first word it is part of the answer's first token.
        tokens = [*self._prompts.answer_ids(encoded, prompt, answer), self._end]
        return Row(_longer(encoded, tokens), labels + tokens)

    def length(self, sample: Sample) -> int:
        """Tokens of the sample, to sort by: its words are read, of its pictures only the sizes."""
        blank = sample_prompts(sample, tuple(_BLANK for _ in sample.pictures))[-1]
        text = self._prompts.text(blank[0]) + blank[1]
        words = len(self._prompts.tokenizer(text, add_special_tokens=False)["input_ids"])
        return words + sum(self._cost(*_size(self._folder / name)) for name in sample.pictures)

    def _label(self, labels: list[int], ids: list[int], before: Encoded, prompt: Prompt, answer: str) -> None:
        """An answer within the conversation, unless its words grew together with what follows."""
        tokens = [*self._prompts.answer_ids(before, prompt, answer), self._end]
        start, stop = before.length, before.length + len(tokens)
        if ids[:start] == before.ids and ids[start:stop] == tokens:
            labels[start:stop] = tokens

    def _picture_cost(self, width: int, height: int) -> int:
        asked = Prompt((("user", f"{IMAGE}\n"),), (Image.new("RGB", (width, height)),))
        return self._prompts.encode(asked).length - self._bare()

    @lru_cache(maxsize=1)  # noqa: B019 - lives as long as the training
    def _bare(self) -> int:
        return self._prompts.encode(Prompt((("user", "\n"),))).length


_BLANK = Image.new("RGB", (1, 1))


@dataclass(frozen=True, slots=True)
class Samples:
    """What a DataLoader reads: `samples[i % n]`, so that several passes are one long epoch."""

    samples: Sequence[Sample]
    encoder: Encoder
    passes: int = 1

    def __len__(self) -> int:
        return len(self.samples) * self.passes

    def __getitem__(self, number: int) -> Row:
        return self.encoder.encode(self.samples[number % len(self.samples)])


@dataclass(frozen=True, slots=True)
class Collator:
    """Rows to a batch: what the model takes, and `labels` int64[B, T]; padded on the left, as in serving."""

    pad: int
    family: Family

    def __call__(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        import torch

        encoded = [row.encoded for row in rows]
        batch = side_by_side(encoded, self.pad, 0, pictures_by_row=pictures_by_row(self.family))
        longest = max(row.length for row in rows)
        padded = [[UNLABELLED] * (longest - row.length) + row.labels for row in rows]
        return batch | {"labels": torch.tensor(padded)}


class ByLength:
    """The order of all samples: every pass in batches of like lengths, batches in random order.

    Nothing depends on anything but the arguments, so a run that is resumed reads what it would have read.
    """

    def __init__(self, lengths: Sequence[int], batch: int, passes: int, seed: int) -> None:
        self._lengths = lengths
        self._batch = batch
        self._passes = passes
        self._seed = seed

    def __len__(self) -> int:
        return len(self._lengths) * self._passes

    def __iter__(self) -> Iterator[int]:
        count = len(self._lengths)
        left: list[int] = []
        for number in range(self._passes):
            dice = random.Random(f"{self._seed} {number}")
            own = [*left, *range(number * count, (number + 1) * count)]
            order = sorted(own, key=lambda at: (self._lengths[at % count], dice.random()))
            groups = [order[at : at + self._batch] for at in range(0, len(order), self._batch)]
            # A short group in the middle would cut all groups after it elsewhere: it waits for the next pass.
            left = groups.pop() if len(groups[-1]) < self._batch else []
            dice.shuffle(groups)
            yield from (at for group in groups for at in group)
        yield from left


def padding(batch: Mapping[str, Any]) -> tuple[int, int]:
    """(tokens that are read, all places of the batch)"""
    mask = batch["attention_mask"]
    return int(mask.sum()), int(mask.numel())


def _size(file: Path) -> tuple[int, int]:
    with Image.open(file) as picture:  # reads the header only
        turned = picture.getexif().get(0x0112, 1) >= 5
        return (picture.height, picture.width) if turned else (picture.width, picture.height)


def _longer(encoded: Encoded, tokens: list[int]) -> Encoded:
    """With the answer behind the prompt: all its tokens are words that are read."""
    import torch

    length = encoded.length
    tensors = dict(encoded.tensors)
    for name, value in encoded.tensors.items():
        if value.shape == (1, length):
            filling = torch.tensor([tokens]) if name == "input_ids" else torch.full((1, len(tokens)), 0)
            filling = torch.ones_like(filling) if name == "attention_mask" else filling
            tensors[name] = torch.cat((value, filling.to(value.dtype)), dim=1)
    return Encoded(tensors, encoded.fixed, encoded.tail)
