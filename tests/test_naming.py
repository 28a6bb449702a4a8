"""Names in angle brackets: whatever the model would like, only known ones are spelled, and what was right stays."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from rapbot.inference.generators import SHIPPED, TextGenerator
from rapbot.inference.naming import NameTokens
from rapbot.inference.seams import Prompt
from rapbot.inference.weights import LANGUAGE, ensure

NAMES = ("Milo", "Milo_2", "Cup", "Zoë", "李雷", "O'Neil & Sons", "St.")
CAPTION = Prompt(
    (("user", "In the photo: <Milo>, a cat, on the left; a couch.\nCaption:"),), max_new_tokens=32, stop=()
)


@pytest.fixture(scope="module")
def folder(weights: Path) -> Path:
    return ensure(LANGUAGE, weights)


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def tokens(tokenizer: Tokenizer) -> NameTokens:
    special = tokenizer.get_added_tokens_decoder()
    return NameTokens(tokenizer.get_vocab(), special, lambda text: tokenizer.encode(text, add_special_tokens=False).ids)


def written(tokens: NameTokens, tokenizer: Tokenizer, names: tuple[str, ...], seed: int, count: int = 60) -> str:
    """What a model without any sense writes that likes brackets above all."""
    guide = tokens.guide(names)
    assert guide is not None
    random = torch.Generator().manual_seed(seed)
    chosen = []
    for _ in range(count):
        logits = torch.rand(tokenizer.get_vocab_size(), generator=random)
        logits[sorted(tokens.marked)] += 0.5
        logits[sorted(tokenizer.get_added_tokens_decoder())] = 0
        chosen.append(guide.choose(int(logits.argmax()), logits))
    text: str = tokenizer.decode(chosen)
    return text


def test_only_known_names_are_spelled(tokens: NameTokens, tokenizer: Tokenizer) -> None:
    said = [name for seed in range(20) for name in re.findall("<([^<>]*)>", written(tokens, tokenizer, NAMES, seed))]
    assert len(said) > 50
    assert set(said) == set(NAMES)


def test_where_nobody_is_known_nobody_is_named(tokens: NameTokens, tokenizer: Tokenizer) -> None:
    assert not any("<" in written(tokens, tokenizer, (), seed) for seed in range(5))


def test_a_name_is_spelled_once(tokens: NameTokens, tokenizer: Tokenizer) -> None:
    """What would be somebody else is not made one that there is."""
    assert all(written(tokens, tokenizer, ("Milo",), seed).count("<") == 1 for seed in range(5))


def test_what_is_right_stays(tokens: NameTokens, tokenizer: Tokenizer) -> None:
    text = "<Milo>, <Zoë> (<Milo_2>) and <李雷> beside <O'Neil & Sons>. 3 > 2!"
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    guide = tokens.guide(NAMES)
    assert guide is not None
    nothing = torch.zeros(tokenizer.get_vocab_size())
    assert [guide.choose(token, nothing) for token in ids] == ids


def test_an_answer_may_end_outside_of_a_name_and_not_within(tokens: NameTokens, tokenizer: Tokenizer) -> None:
    end: int = tokenizer.get_vocab()["<|im_end|>"]
    logits = torch.zeros(tokenizer.get_vocab_size())
    for begun, ends in (("", True), ("A photo of <", False)):
        guide = tokens.guide(NAMES, begun)
        assert guide is not None
        assert (guide.choose(end, logits) == end) is ends


def test_a_model_is_held_to_the_names_of_its_prompt(folder: Path) -> None:
    """Also where its own words would be others: here it is asked about somebody else than it may name."""
    generator = TextGenerator.load(folder, 1, SHIPPED)
    [free] = generator.generate([CAPTION])
    assert "<Milo>" in free
    [same, other, nobody] = generator.generate(
        [replace(CAPTION, names=("Milo", "Bo")), replace(CAPTION, names=("Mila_7",)), replace(CAPTION, names=())]
    )
    assert same == free
    assert re.findall("<([^<>]*)>", other) == ["Mila_7"]
    assert "<" not in nobody
    [begun] = generator.generate([replace(CAPTION, names=("李雷",), answer_prefix="A photo of <")])
    assert begun.startswith("A photo of <李雷>")
