"""What every kind of `Generator` does, whatever it is made of.

A test module gives a fixture `generator` and `class TestConformance(GeneratorConformance): pass`. The models may be of
random weights: nothing is said here about what the answers mean.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from rapbot.inference.seams import Generator, Prompt

FRANCE = Prompt((("user", "What is the capital of France? Answer in one sentence."),), max_new_tokens=12, stop=())
RULES = Prompt(
    (("system", "You are helpful and speak of animals only. " * 6), ("user", "Name a colour of the sky.")),
    max_new_tokens=8,
    stop=(),
)
TALK = Prompt(
    (("user", "My dog is called <Bo>."), ("assistant", "What a name."), ("user", "Who is he?")),
    max_new_tokens=16,
    stop=(),
)
HELLO = Prompt((("user", "Say hello."),), max_new_tokens=5, stop=())
PROMPTS = (RULES, FRANCE, HELLO, TALK)
SPECIAL = ("<|im_end|>", "<|im_start|>", "</s>", "<s>", "<|image_pad|>", "<start_of_turn>", "<|end|>", "<|endoftext|>")
"""Turn marks and picture marks of many tokenizers."""


def noise(side: int, seed: int) -> Image.Image:
    """A square picture in large random patches, so that little of it is lost when it is made smaller."""
    patches = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize((side, side), Image.Resampling.NEAREST)


def seeing(*sides: int, text: str = "Give a caption of the image.") -> Prompt:
    """A prompt of the layout "rap" with one picture for each of `sides`."""
    pictures = tuple(noise(side, seed=side) for side in sides)
    listing = "".join(f"{number}.<image>\n Name: <C{number}>, Info: a thing\n" for number in range(1, len(sides)))
    mark = "<image>\n" if sides else ""
    return Prompt((("user", f"{mark}[{listing}]{text}"),), pictures, max_new_tokens=6, stop=())


class Diary:
    """A listener that remembers, and wants no more of an answer after `enough[number]` calls."""

    def __init__(self, enough: dict[int, int] | None = None) -> None:
        self.heard: dict[int, list[str]] = defaultdict(list)
        self._enough = enough or {}

    def __call__(self, number: int, text: str) -> bool:
        self.heard[number].append(text)
        return len(self.heard[number]) < self._enough.get(number, 1_000_000)


def alone(generator: Generator, prompts: Sequence[Prompt]) -> list[str]:
    return [generator.generate([prompt])[0] for prompt in prompts]


class GeneratorConformance:
    """Needs the fixture `generator`."""

    def test_what_it_says_of_itself(self, generator: Generator) -> None:
        assert isinstance(generator.sees, bool)
        assert isinstance(generator.family, str)
        assert isinstance(generator.adapted, bool)
        assert generator.layout in ("rap", "pocket", "seeing")
        assert generator.concepts_in_prompt >= 1

    def test_no_prompts_no_texts(self, generator: Generator) -> None:
        assert generator.generate([]) == []
        assert generator.score(FRANCE, []) == []

    def test_a_batch_answers_each_prompt_as_if_it_were_alone_and_in_order(self, generator: Generator) -> None:
        single = alone(generator, PROMPTS)
        assert any(single)
        assert generator.generate(PROMPTS) == single
        assert generator.generate(PROMPTS[::-1]) == single[::-1]

    def test_more_prompts_than_one_batch_holds(self, generator: Generator) -> None:
        single = alone(generator, PROMPTS)
        assert generator.generate(PROMPTS * 5) == single * 5

    def test_an_answer_is_the_same_every_time(self, generator: Generator) -> None:
        assert generator.generate([FRANCE]) == generator.generate([FRANCE])

    def test_fewer_tokens_are_the_beginning_of_more(self, generator: Generator) -> None:
        texts = generator.generate([replace(FRANCE, max_new_tokens=tokens) for tokens in (1, 4, 12)])
        assert texts[1].startswith(texts[0])
        assert texts[2].startswith(texts[1])
        assert len(texts[0]) < len(texts[2])

    def test_no_tokens_are_only_the_prefix(self, generator: Generator) -> None:
        assert generator.generate([replace(FRANCE, max_new_tokens=0, answer_prefix="Well")]) == ["Well"]

    def test_writing_ends_before_a_stop_text(self, generator: Generator) -> None:
        [free] = generator.generate([FRANCE])
        stop = next(letter for letter in free[len(free) // 2 :] if not letter.isspace())
        stopped = generator.generate([replace(FRANCE, stop=("never said by anybody", stop)), FRANCE])
        assert stopped == [free[: free.index(stop)], free]

    def test_an_answer_prefix_is_kept_once(self, generator: Generator) -> None:
        prompts = [replace(FRANCE, answer_prefix="The city is"), FRANCE]
        [prefixed, free] = generator.generate(prompts)
        assert prefixed.startswith("The city is")
        assert not prefixed[len("The city is") :].lstrip().startswith("The city is")
        assert [prefixed, free] == alone(generator, prompts)

    def test_a_listener_hears_growing_texts_and_at_last_the_answer(self, generator: Generator) -> None:
        diary = Diary()
        texts = generator.generate(PROMPTS, diary)
        assert texts == generator.generate(PROMPTS)
        assert set(diary.heard) <= set(range(len(PROMPTS)))
        for number, text in enumerate(texts):
            heard = diary.heard[number]
            assert (heard[-1] if heard else "") == text
            for earlier, later in itertools.pairwise(heard):
                assert later.startswith(earlier)
            assert not any(one.endswith("\N{REPLACEMENT CHARACTER}") for one in heard[:-1])

    def test_a_listener_ends_only_the_answer_that_it_does_not_want(self, generator: Generator) -> None:
        prompts = [TALK, FRANCE, TALK]
        free = generator.generate(prompts)
        diary = Diary({0: 1})
        texts = generator.generate(prompts, diary)
        assert texts[1:] == free[1:]
        assert len(diary.heard[0]) == 1
        assert texts[0] == diary.heard[0][0]
        assert free[0].startswith(texts[0])

    def test_scores_are_finite_and_tell_options_apart(self, generator: Generator) -> None:
        scores = generator.score(FRANCE, ["Paris", "The whole of Lyon and its river", "no"])
        assert all(math.isfinite(score) and score < 0 for score in scores)
        assert len(set(scores)) == 3

    def test_many_options_score_as_each_alone(self, generator: Generator) -> None:
        options = ["Paris", "Rome", *(f"The city number {number} of the list" for number in range(9))]
        single = [generator.score(TALK, [option])[0] for option in options]
        assert generator.score(TALK, options) == pytest.approx(single, rel=1e-3, abs=0.02)

    def test_special_tokens_of_people_are_only_text(self, generator: Generator) -> None:
        attack = Prompt((("user", f"hi {' '.join(SPECIAL)} bye"),), max_new_tokens=5, stop=())
        texts = generator.generate([attack, FRANCE])
        assert texts == alone(generator, [attack, FRANCE])
        assert math.isfinite(generator.score(attack, [SPECIAL[0]])[0])

    def test_pictures_are_taken_by_those_that_see_and_refused_by_others(self, generator: Generator) -> None:
        prompts = [seeing(60, 40), FRANCE, seeing(50), seeing(64, 48, 32)]
        if not generator.sees:
            with pytest.raises(ValueError, match="see"):
                generator.generate(prompts)
            with pytest.raises(ValueError, match="see"):
                generator.score(prompts[0], ["a", "b"])
            return
        assert generator.generate(prompts) == alone(generator, prompts)
        assert len(set(generator.score(prompts[0], ["a dog", "a cat"]))) == 2

    def test_marks_and_pictures_must_agree(self, generator: Generator) -> None:
        if generator.sees:
            with pytest.raises(ValueError, match="picture"):
                generator.generate([replace(seeing(40), pictures=())])
            with pytest.raises(ValueError, match="picture"):
                generator.generate([replace(FRANCE, pictures=seeing(40).pictures)])
