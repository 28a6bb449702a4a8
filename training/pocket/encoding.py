"""Samples as tokens: the very text and the very tokens that serving gives the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rapbot.inference.generators import answer_tokens, prompt_tokens
from training.packing import Encoded
from training.pocket.samples import Sample


def encode(samples: Sequence[Sample], base: Path) -> list[Encoded]:
    """`base` is the folder of the language model (tokenizer.json)."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    return [_encoded(sample, tokenizer) for sample in samples]


def _encoded(sample: Sample, tokenizer: Any) -> Encoded:
    fixed, asked = prompt_tokens(tokenizer, sample.prompt())
    answer, *wrong = (tuple(answer_tokens(tokenizer, text)) for text in (sample.answer, *sample.wrong))
    return Encoded(sample.group, (*fixed, *asked), answer, tuple(wrong))
