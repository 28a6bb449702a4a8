"""From prompts to tensors: tokens and pixels of one prompt, and of many side by side, padded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from PIL import Image

from rapbot.inference.mllm.conversation import Messages, neutraliser, renderer
from rapbot.inference.mllm.families import Budget, Family, Speech, picture_options
from rapbot.inference.seams import IMAGE, Prompt

if TYPE_CHECKING:
    from torch import Tensor

_OTHER_TEXT = "\a"
"""A last message that begins unlike any other: what is before it belongs to every prompt."""
_TAIL = 160
"""Characters before an answer that decide how its beginning becomes tokens; one word would do."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One prompt: `tensors` as the processor makes them, int64[1, T] or floats of its pictures; `ids` is int64[T]."""

    tensors: dict[str, Tensor]
    fixed: int
    """The first so many tokens are the same in every prompt with this system text, and none is of a picture."""
    tail: str
    """The last characters of the text."""

    @property
    def ids(self) -> list[int]:
        ids: list[int] = self.tensors["input_ids"][0].tolist()
        return ids

    @property
    def length(self) -> int:
        return int(self.tensors["input_ids"].shape[1])


class PromptEncoder:
    """Prompts of one family to tensors, by the processor of one checkpoint."""

    def __init__(self, family: Family, processor: Any, image_tokens: int | None = None) -> None:
        """`image_tokens`: at most so many for one picture, where the family lets one choose. Raises ConfigError."""
        self._family = family
        self._processor = processor
        self.tokenizer = processor.tokenizer
        self._mark: str = processor.image_token
        self._render = renderer(family, processor)
        self._neutralise = neutraliser(family, self.tokenizer, (IMAGE, self._mark))
        self.options = picture_options(family, processor, image_tokens)
        mean = getattr(processor.image_processor, "image_mean", None) or (0.5, 0.5, 0.5)
        self._background = tuple(int(255 * one) for one in mean)
        self._each: list[int] = []
        self._before = lru_cache(maxsize=16)(self._beginning)
        self._tokens = lru_cache(maxsize=64)(self._tokenized)
        self._starts: list[int] | None = None
        pad = self.tokenizer.pad_token_id
        self.pad: int = self.tokenizer.eos_token_id if pad is None else pad

    def check(self, prompt: Prompt) -> None:
        """Raises ValueError when marks and pictures do not agree."""
        marks = sum(content.count(IMAGE) for _, content in prompt.messages)
        if marks != len(prompt.pictures):
            raise ValueError(f"{marks} marks of pictures in the prompt, {len(prompt.pictures)} pictures")

    def text(self, prompt: Prompt) -> str:
        """All that the model reads, pictures as its marks. Raises ValueError when marks and pictures do not agree."""
        self.check(prompt)
        messages = [(role, self._harmless(content)) for role, content in prompt.messages]
        text = self._render(messages)
        if prompt.answer_prefix:
            text += self.before_answer + self._neutralise(prompt.answer_prefix)
        return text

    @property
    def before_answer(self) -> str:
        """What stands between the prompt and the first word of an answer."""
        return " " if self._family.speech is Speech.VICUNA else ""

    def encode(self, prompt: Prompt) -> Encoded:
        """Raises ValueError when marks and pictures do not agree."""
        text = self.text(prompt)
        in_chunks = self._family.speech is not Speech.TEMPLATE
        tensors = self._chunks(text, prompt) if in_chunks else self._processed(text, prompt)
        system = tuple(message for message in prompt.messages[:1] if message[0] == "system")
        shared = self._before(system)
        first = tensors["input_ids"][0, : len(shared)].tolist()
        same = next((at for at, (a, b) in enumerate(zip(shared, first, strict=False)) if a != b), len(first))
        return Encoded(tensors, same, text[-_TAIL:].rpartition(self._mark)[2])

    def answer_ids(self, encoded: Encoded, prompt: Prompt, answer: str) -> list[int]:
        """The tokens of `answer` as they follow the prompt."""
        answer = self._neutralise(answer)
        between = "" if prompt.answer_prefix else self.before_answer
        before, both = self._words(encoded.tail), self._words(encoded.tail + between + answer)
        # Where words would grow together with the end of the prompt, the answer is tokenized for itself.
        return both[len(before) :] if both[: len(before)] == before else self._words(answer)

    def _harmless(self, content: str) -> str:
        return IMAGE.join(self._neutralise(words) for words in content.split(IMAGE))

    def _beginning(self, system: Messages) -> list[int]:
        """Tokens of what every prompt with this system text begins with, before the first picture."""
        system = [(role, self._harmless(content)) for role, content in system]
        rendered = self._render((*system, ("user", _OTHER_TEXT)))
        before = rendered.partition(_OTHER_TEXT)[0].partition(self._mark)[0]
        return [*self._start(before), *self._words(before)]

    def _processed(self, text: str, prompt: Prompt) -> dict[str, Tensor]:
        """By the processor: it puts as many picture tokens as its pictures need in the place of each mark."""
        made = self._processor(
            text=[text],
            images=list(prompt.pictures) or None,
            add_special_tokens=bool(self._start(text)),
            return_tensors="pt",
            **({"images_kwargs": self.options} if prompt.pictures and self.options else {}),
        )
        return dict(made)

    def _chunks(self, text: str, prompt: Prompt) -> dict[str, Tensor]:
        """As LLaVA's own code does it: words between two pictures are tokenized for themselves, pictures are padded.

        The published weights were trained on that; the hub's processor reads the same text with other tokens, and cuts
        off what a photo has beyond a square.
        """
        import torch

        pictures = [_square(picture, self._background) for picture in prompt.pictures]
        made = dict(self._processor.image_processor(pictures, return_tensors="pt")) if pictures else {}
        if pictures and not self._each:
            # Every picture costs as many. The processor is asked once: it takes longer than reading a picture does.
            once = self._processor(text=[self._mark], images=pictures[:1], add_special_tokens=False)
            self._each = list(once["input_ids"][0])
        each = self._each
        first, *others = text.split(self._mark)
        ids = [*self._start(first), *self._words(first)]
        for words in others:
            ids += [*each, *self._words(words)]
        tensors = {name: value for name, value in made.items() if name.startswith(("pixel", "image"))}
        return {
            "input_ids": torch.tensor([ids]),
            "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
            **tensors,
        }

    def _words(self, text: str) -> list[int]:
        # Instructions, and whatever else stands before the first picture, come again with every prompt.
        return list(self._tokens(text))

    def _tokenized(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _start(self, text: str) -> list[int]:
        """The token of the beginning, where the tokenizer puts one and the text has none yet."""
        start = self.tokenizer.bos_token_id
        if start is None or text.startswith(self.tokenizer.bos_token):
            return []
        if self._starts is None:
            self._starts = [start] if self.tokenizer("a")["input_ids"][0] == start else []
        return self._starts


def side_by_side(rows: Sequence[Encoded], pad: int, shared: int, *, pictures_by_row: bool) -> dict[str, Tensor]:
    """One batch of prompts, their last tokens in one column.

    The first `shared` tokens of each stay in place and the padding comes after them (0: on the left). Pictures come one
    after the other, or `pictures_by_row` in a column for each prompt, filled up with black ones.
    """
    import torch

    longest = max(row.length for row in rows)
    names = dict.fromkeys(name for row in rows for name in row.tensors)
    batch: dict[str, Tensor] = {}
    for name in names:
        # A prompt without pictures may have no kinds of tokens: all of them are words.
        is_tokens = any(row.tensors[name].shape == (1, row.length) for row in rows if name in row.tensors)
        if is_tokens:
            filling = pad if name == "input_ids" else 0
            padded = []
            for row in rows:
                values = row.tensors.get(name)
                values = torch.zeros(1, row.length, dtype=torch.long) if values is None else values
                gap = values.new_full((1, longest - row.length), filling)
                padded.append(torch.cat((values[:, :shared], gap, values[:, shared:]), dim=1))
            batch[name] = torch.cat(padded)
        elif pictures_by_row:
            batch[name] = _columns([row.tensors.get(name) for row in rows])
        else:
            batch[name] = torch.cat([row.tensors[name] for row in rows if name in row.tensors])
    return batch


def pictures_by_row(family: Family) -> bool:
    return family.budget is Budget.SPLITTING


def _columns(pictures: Sequence[Tensor | None]) -> Tensor:
    """Tensors [1, N, ...] of different N to one [rows, largest N, ...], filled up with zeros."""
    there = [one for one in pictures if one is not None]
    most = [max(sizes) for sizes in zip(*(one.shape[1:] for one in there), strict=True)]
    filled = there[0].new_zeros((len(pictures), *most))
    for row, one in enumerate(pictures):
        if one is not None:
            part: tuple[Any, ...] = (row, *map(slice, one.shape[1:]))
            filled[part] = one[0]
    return filled


def _square(picture: Image.Image, background: tuple[int, ...]) -> Image.Image:
    """The whole picture in the middle of a square of the encoder's mean colour (LLaVA-1.5, image_aspect_ratio pad)."""
    side = max(picture.size)
    if picture.size == (side, side):
        return picture
    square = Image.new("RGB", (side, side), background)
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square
