"""Samples as tokens: the very text and the very tokens that serving gives the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rapbot.inference.generators import answer_tokens, prompt_tokens
from rapbot.inference.prompt import TOLD, UNTOLD
from training.packing import Encoded
from training.pocket.samples import QUESTION, UNKNOWN, Sample


def encode(samples: Sequence[Sample], base: Path) -> list[Encoded]:
    """`base` is the folder of the language model (tokenizer.json)."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    return [_encoded(sample, tokenizer) for sample in samples]


def _encoded(sample: Sample, tokenizer: Any) -> Encoded:
    fixed, asked = prompt_tokens(tokenizer, sample.prompt())
    prompt = (*fixed, *asked)
    answer, *wrong = (tuple(answer_tokens(tokenizer, text)) for text in (sample.answer, *sample.wrong))
    if sample.kind not in (QUESTION, UNKNOWN):
        return Encoded(sample.group, prompt, answer, tuple(wrong))
    told = [(sample.answer, TOLD)] if sample.kind == QUESTION else []
    told += [(text, TOLD) for text in sample.believed]
    checks = tuple(
        (tuple(answer_tokens(tokenizer, text)[:-1]), tuple(answer_tokens(tokenizer, verdict)))
        for text, verdict in (*told, *((text, UNTOLD) for text in sample.doubted))
    )
    return Encoded(sample.group, prompt, answer[:-1] if sample.kind == QUESTION else (), (), checks)
