"""The three small seams behind which models live. Every profile fills each once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from rapbot.inference.job import Region, Tag


@dataclass(frozen=True, slots=True)
class Views:
    """What an encoder sees in N crops: `keys` float32[N, D], L2-normalised; `tags[i]` words for crop i, or none."""

    keys: npt.NDArray[np.float32]
    tags: tuple[tuple[Tag, ...], ...]


@dataclass(frozen=True, slots=True)
class Target:
    """What to look for in a picture: kinds of thing, and keys float32[A, D] of avatars (either may be empty)."""

    categories: tuple[str, ...]
    keys: npt.NDArray[np.float32]


class Detector(Protocol):
    """Where something may be. The first region of each picture is always the whole picture."""

    def detect(self, pictures: Sequence[Image.Image], targets: Sequence[Target]) -> list[list[Region]]:
        """Regions for each upright RGB picture, best first; `targets[i]` is what to look for in picture i."""
        ...


class Encoder(Protocol):
    """Picture to key."""

    name: str
    dimension: int

    def encode(self, crops: Sequence[Image.Image]) -> Views:
        """Keys and words of a batch of RGB crops of any size."""
        ...

    def encode_avatar(self, picture: Image.Image) -> npt.NDArray[np.float32]:
        """float32[D]: the key under which an avatar is stored (may average views such as the mirror image)."""
        ...


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a generator is given: chat messages (role, content), and the pictures of the `<image>` marks in order."""

    messages: tuple[tuple[str, str], ...]
    pictures: tuple[Image.Image, ...] = ()
    max_new_tokens: int = 48
    stop: tuple[str, ...] = ("\n",)
    answer_prefix: str = ""
    """Words the answer must begin with; part of the returned text."""


class Generator(Protocol):
    """Prompt to text."""

    def generate(self, prompts: Sequence[Prompt]) -> list[str]:
        """One greedy answer per prompt."""
        ...

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        """Log-likelihood (natural log, summed over tokens) of each option as the answer to `prompt`."""
        ...
