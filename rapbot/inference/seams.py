"""The small seams behind which models live. Every profile fills each once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from rapbot.inference.job import Region, Tag
from rapbot.messages import Box

if TYPE_CHECKING:
    from rapbot.inference.face_matching import FaceRules
    from rapbot.inference.faces import Face


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


class FaceFinder(Protocol):
    """Picture to faces with their keys: float32[dimension], all but the last number of length 1, the last one the
    spread (0 where it was not measured)."""

    dimension: int

    @property
    def rules(self) -> FaceRules:
        """When two of its keys show one person."""
        ...

    def find(self, picture: Image.Image, known: npt.NDArray[np.float32] | None = None) -> tuple[Face, ...]:
        """The faces of an upright RGB picture, largest first; `known` float32[N, dimension] they are compared with."""
        ...

    def find_avatar(self, picture: Image.Image) -> tuple[Face, ...]:
        """The faces of a picture from which somebody is learnt, sure ones first."""
        ...


IMAGE = "<image>"
"""Stands in the text of a prompt where a picture stands; prompt.py lets no other text contain it."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a generator is given: chat messages (role, content), and the pictures of the `<image>` marks in order."""

    messages: tuple[tuple[str, str], ...]
    pictures: tuple[Image.Image, ...] = ()
    max_new_tokens: int = 48
    stop: tuple[str, ...] = ("\n",)
    answer_prefix: str = ""
    """Words the answer must begin with; part of the returned text."""
    adapter: str = ""
    """Which of the LoRAs side by side answers; empty: the default one."""
    names: tuple[str, ...] | None = None
    """Who may be named in angle brackets (naming.py); None: whoever the model likes."""


class Listener(Protocol):
    """Follows answers while they are written."""

    def __call__(self, number: int, text: str, /) -> bool:
        """`text` is all of answer `number` so far. False: nobody wants the rest of it, stop writing it."""
        ...


class Generator(Protocol):
    """Prompt to text. A conformance suite (tests/generator_conformance.py) holds for every kind."""

    @property
    def sees(self) -> bool:
        """Whether it takes pictures."""
        ...

    @property
    def family(self) -> str:
        """Name of its kind (mllm.families); "" where it is none of those."""
        ...

    def boxes(self, text: str, width: int, height: int) -> tuple[Box, ...]:
        """The boxes that an answer about one photo of that many pixels speaks of, in fractions of the photo."""
        ...

    @property
    def adapted(self) -> bool:
        """Whether it was trained for rapbot's prompts; one that was not, and cannot see, only chooses."""
        ...

    @property
    def layout(self) -> str:
        """The prompt it was trained on: a name in prompt.py."""
        ...

    @property
    def concepts_in_prompt(self) -> int:
        """K of the paper: how many retrieved concepts its context holds."""
        ...

    def generate(self, prompts: Sequence[Prompt], listener: Listener | None = None) -> list[str]:
        """One greedy answer per prompt: `answer_prefix` and what follows, up to a stop text, without it.

        An answer that the listener stopped is what was written until then. Raises InferenceError, ValueError for
        pictures where none are taken.
        """
        ...

    def score(self, prompt: Prompt, options: Sequence[str]) -> list[float]:
        """Log-likelihood (natural log, summed over tokens) of each option as the answer to `prompt`."""
        ...
