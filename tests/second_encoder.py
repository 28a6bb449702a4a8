"""A second real encoder that needs no extra: the same network as pocket's, at a smaller size and pooled otherwise.

`encoder = "python:tests.second_encoder:load_encoder"`. Its keys are shorter than pocket's by the component that carries
the commonness, and lie elsewhere. It keeps the dense map, so pocket's detector works with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from rapbot.inference.encoders import EfficientNetEncoder, Floats, unit
from rapbot.inference.seams import Views
from rapbot.inference.specs import EncoderSpec, Runtime

SPEC = EncoderSpec("python", "tests.second_encoder:load_encoder")
_SIDE = 160
"""Pixels: what these keys are good for matters less here than how long they take."""


class SecondEncoder:
    """Plain mean pooling; fills the `Encoder` seam."""

    dimension = 1280

    def __init__(self, name: str, eyes: EfficientNetEncoder) -> None:
        self.name = name
        self._eyes = eyes
        self.dense_map = eyes.dense_map
        self.clearness = eyes.clearness

    def encode(self, crops: Sequence[Image.Image]) -> Views:
        means = np.zeros((len(crops), self.dimension), np.float32)
        for row, crop in enumerate(crops):
            means[row] = self._eyes.dense_map(crop, _SIDE).mean(axis=(0, 1))
        return Views(unit(means), ((),) * len(crops))

    def encode_avatar(self, picture: Image.Image) -> Floats:
        key: Floats = self.encode([picture]).keys[0]
        return key


def load_encoder(spec: EncoderSpec, runtime: Runtime) -> SecondEncoder:
    return SecondEncoder(spec.name, EfficientNetEncoder.load(runtime.threads))
