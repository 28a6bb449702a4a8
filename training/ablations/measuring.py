"""One arm in numbers: the model's own words, and what a person would read."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rapbot.evaluation import shuffled
from rapbot.inference.seams import Generator, Prompt
from rapbot.inference.writing import Material, write_answers
from rapbot.scores import NameCounts, Recognitions, choice_in, likeliest, names_in, share, yes_or_no
from training.ablations.asking import Asking
from training.ablations.looks import Look, Seen

_AT_ONCE = 32


@dataclass(slots=True)
class Counted:
    """What one way of answering is worth."""

    names: NameCounts = field(default_factory=NameCounts)
    recognitions: Recognitions = field(default_factory=Recognitions)
    false_named: list[bool] = field(default_factory=list)
    visual: list[bool] = field(default_factory=list)
    text: list[bool] = field(default_factory=list)

    def in_numbers(self) -> dict[str, Any]:
        return {
            "caption": self.names.strict(),
            "caption_published": self.names.published(),
            "recognition": self.recognitions.in_numbers(),
            "visual": share(self.visual),
            "text": share(self.text),
            "false_names": share(self.false_named),
        }


def measure(
    asking: Asking, generator: Generator, seen: Seen, absent: int, *, served: bool, known: dict[Any, Any]
) -> dict[str, Any]:
    """{"own": numbers, "served": numbers or None, "sample": captions to look at, "seconds"}.

    `absent`: for each photo, how many concepts that are not on it are asked for as well. `known` is filled with what
    was asked already: arms of a model that no LoRA taught may be the same.
    """
    began = time.perf_counter()
    photos = [asking.look(one) for one in seen.photos]
    others = [asking.look(one) for one in seen.negatives]
    pairs = list(_pairs(photos, seen, absent))
    here = (asking, generator, seen, photos, others, pairs)
    for key, answer in ((asking.own_key, _own), (asking.served_key, _served)):
        if key not in known and (served or answer is _own):
            known[key] = answer(*here)
    own, captions = known[asking.own_key]
    made = {"own": own.in_numbers(), "served": known[asking.served_key][0].in_numbers() if served else None}
    return made | {"sample": captions[:8], "seconds": round(time.perf_counter() - began, 1)}


def _own(
    asking: Asking,
    generator: Generator,
    seen: Seen,
    photos: Sequence[Look],
    others: Sequence[Look],
    pairs: Sequence[tuple[Look, int]],
) -> tuple[Counted, list[str]]:
    counted, names = Counted(), {card.concept_id: card.name for card in seen.concepts.cards}
    captions = _texts(generator, [*photos, *others], asking.caption)
    for one, caption in zip((*photos, *others), captions, strict=True):
        said = names_in(caption, names.values())
        if one.there:
            counted.names.add(said, {names[concept] for concept in one.there})
        else:
            counted.false_named.append(bool(said))
    replies = _texts(generator, pairs, lambda pair: asking.recognition(*pair))
    for (one, concept), reply in zip(pairs, replies, strict=True):
        counted.recognitions.add(concept in one.there, yes_or_no(reply))
    asked = _choices(asking, seen)
    replies = _texts(generator, asked, lambda one: asking.choice(one[0], one[1], one[3]))
    for (_, options, right, about), reply in zip(asked, replies, strict=True):
        (counted.text if about is None else counted.visual).append(choice_in(reply, options) == right)
    return counted, captions


def _served(
    asking: Asking,
    generator: Generator,
    seen: Seen,
    photos: Sequence[Look],
    others: Sequence[Look],
    pairs: Sequence[tuple[Look, int]],
) -> tuple[Counted, list[str]]:
    counted, captions = Counted(), list[str]()
    for one, written in _written(generator, [*photos, *others], asking.served_caption):
        captions.append(written.text)
        if one.there:
            counted.names.add(set(map(str, written.named)), set(map(str, one.there)))
        else:
            counted.false_named.append(bool(written.named))
    for one, concept in pairs:  # told from what was seen; no model is asked
        [written] = write_answers(generator, [asking.served_recognition(one, concept)])
        counted.recognitions.add(concept in one.there, yes_or_no(written.text))
    asked = _choices(asking, seen)
    for (_, _, right, one), written in _written(
        generator, asked, lambda one: asking.served_choice(one[0], one[1], one[3])
    ):
        answers = counted.text if one is None else counted.visual
        answers.append(likeliest(written.option_scores) == right)
    return counted, captions


def _pairs(photos: Sequence[Look], seen: Seen, absent: int) -> Iterator[tuple[Look, int]]:
    """(photo, concept that is asked for): all that are there, and some that are not."""
    dice = random.Random(0)
    everybody = [card.concept_id for card in seen.concepts.cards]
    for one in photos:
        for concept in sorted(one.there):
            yield one, concept
        away = [concept for concept in everybody if concept not in one.there]
        for concept in dice.sample(away, min(absent, len(away))):
            yield one, concept


def _choices(asking: Asking, seen: Seen) -> list[tuple[Any, tuple[str, ...], int, Look | None]]:
    """(question, options in another order, where the right one is, its photo); the same for every arm."""
    dice = random.Random(0)
    made = []
    for question, one in seen.questions:
        options, right = shuffled(question, dice)
        made.append((question, options, right, asking.look(one) if one else None))
    return made


def _texts(generator: Generator, things: Sequence[Any], make: Callable[[Any], Prompt]) -> list[str]:
    """The answers to the prompts of `things`; not all of their pictures are open at a time."""
    texts: list[str] = []
    for first in range(0, len(things), _AT_ONCE):
        texts += generator.generate([make(thing) for thing in things[first : first + _AT_ONCE]])
    return texts


def _written(generator: Generator, things: Sequence[Any], make: Callable[[Any], Material]) -> Iterator[tuple[Any, Any]]:
    for first in range(0, len(things), _AT_ONCE):
        part = things[first : first + _AT_ONCE]
        yield from zip(part, write_answers(generator, [make(thing) for thing in part]), strict=True)
