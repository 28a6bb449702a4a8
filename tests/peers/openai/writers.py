"""Who answers behind the stand-in: a writer of fixed rules, or the real text model of profile pocket."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from zlib import crc32

from PIL import Image

from rapbot.inference.generators import TextGenerator
from rapbot.inference.seams import Prompt

Say = Callable[[str], bool]
"""Takes the next piece of an answer; False: nobody reads on."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the model meets it: (role, text with <image> marks), the pictures, the answer's beginning."""

    model: str
    turns: tuple[tuple[str, str], ...]
    pictures: tuple[Image.Image, ...]
    prefix: str
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a prompt, or one that an answer may begin with."""

    number: int
    text: str
    logprob: float
    rank: int


class Writer(Protocol):
    def write(self, asked: Asked, say: Say) -> None: ...

    def read(self, turns: Sequence[tuple[str, str]]) -> list[Token]:
        """Every token of a conversation whose last turn is finished."""
        ...

    def likeliest(self, asked: Asked, count: int) -> list[Token]:
        """What the answer may begin with."""
        ...


class RuleWriter:
    """Says which model it is and what it was shown, in order: colours for pictures. Or `answer`, where one is set."""

    def __init__(self) -> None:
        self.answer: str | None = None
        self.endless = False
        self.letters: dict[str, float] = {}
        """Log-probabilities of first tokens."""

    def write(self, asked: Asked, say: Say) -> None:
        text = f"{asked.model}: {self._seen(asked)}" if self.answer is None else self.answer
        words = text.split(" ")[: asked.max_tokens] if text else []
        for number, word in enumerate(words):
            if not say(f" {word}" if number or asked.prefix else word):
                return
        while self.endless and say(" more"):
            pass

    def read(self, turns: Sequence[tuple[str, str]]) -> list[Token]:
        """A word is a token, and the longer the less likely."""
        words = [word for role, text in turns for word in (role, *text.split(), "<end>")]
        return [Token(crc32(word.encode()), word, -len(word) / 10, 1) for word in words]

    def likeliest(self, asked: Asked, count: int) -> list[Token]:
        ordered = sorted(self.letters.items(), key=lambda item: -item[1])[:count]
        return [Token(ord(text[-1]), text, chance, rank) for rank, (text, chance) in enumerate(ordered, 1)]

    def _seen(self, asked: Asked) -> str:
        role, text = asked.turns[-1]
        for picture in asked.pictures:
            text = text.replace("<image>", f"[{_colour(picture)}]", 1)
        return f"{role} said {text}"


def _colour(picture: Image.Image) -> str:
    channels = picture.convert("RGB").resize((1, 1)).getpixel((0, 0))
    assert isinstance(channels, tuple)
    return max(zip(channels, ("red", "green", "blue"), strict=True))[1]


class PocketWriter:
    """The text model of profile pocket, one request at a time."""

    def __init__(self, model: TextGenerator) -> None:
        self._model = model
        self._busy = threading.Lock()

    def write(self, asked: Asked, say: Say) -> None:
        prompt = Prompt(asked.turns, max_new_tokens=asked.max_tokens, stop=(), answer_prefix=asked.prefix)
        told = len(asked.prefix)

        def listen(_number: int, text: str) -> bool:
            nonlocal told
            if text.endswith("\N{REPLACEMENT CHARACTER}"):  # servers keep half a character back
                return True
            piece, told = text[told:], max(told, len(text))
            return say(piece) if piece else True

        with self._busy:
            [text] = self._model.generate([prompt], listen)
        if len(text) > told:
            say(text[told:])

    def read(self, turns: Sequence[tuple[str, str]]) -> list[Token]:
        import torch

        text = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)
        tokens = self._model._encode(text)
        with self._busy, torch.inference_mode():
            chances = self._chances(tokens)
            read = []
            for at, token in enumerate(tokens[1:]):
                rank = int((chances[at] > chances[at, token]).sum()) + 1
                read.append(self._token(token, float(chances[at, token]), rank))
                if rank > 1:
                    best = int(chances[at].argmax())
                    read.append(self._token(best, float(chances[at, best]), 1))
        return [self._token(tokens[0], 0.0, 0), *read]

    def likeliest(self, asked: Asked, count: int) -> list[Token]:
        import torch

        with self._busy, torch.inference_mode():
            fixed, last = self._model._tokens(Prompt(asked.turns, answer_prefix=asked.prefix))
            best = self._chances([*fixed, *last])[-1].topk(count)
        found = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [self._token(token, chance, rank) for rank, (token, chance) in enumerate(found, 1)]

    def _chances(self, tokens: list[int]):  # type: ignore[no-untyped-def]
        import torch

        model = self._model._model
        hidden = model.forward(torch.tensor([tokens]), torch.tensor([0]), model.new_cache(1, len(tokens)))
        return model.logits(hidden)[0].log_softmax(dim=-1)

    def _token(self, number: int, chance: float, rank: int) -> Token:
        return Token(number, self._model._tokenizer.decode([number], skip_special_tokens=False), chance, rank)
