"""Crops of any shape as the pixels that an image tower was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import torch

MIDDLE = "middle"
"""The shorter side fits, of the longer one the middle is kept."""
SQUASH = "squash"
"""Both sides fit, the shape is lost."""
PAD = "pad"
"""The longer side fits, the rest is filled."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """A model's own preparation of its pictures, as published with it."""

    width: int
    height: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: str = MIDDLE
    resample: int = Image.Resampling.BICUBIC
    short_side: int = 0
    """MIDDLE: pixels of the shorter side before the middle is cut out, where that is more than the rest needs."""
    round_down: bool = False
    """MIDDLE: a middle between two pixels begins at the first (transformers), else at the even one (torchvision)."""
    fill: int = 0
    """PAD: grey level of the rest, 0..255."""

    def pixels(self, crops: Sequence[Image.Image], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
        """dtype[N, 3, height, width], normalised. Pictures travel to the device as bytes, a quarter of the floats."""
        import torch

        table = np.empty((len(crops), self.height, self.width, 3), np.uint8)
        for row, crop in zip(table, crops, strict=True):
            row[:] = np.asarray(self.fitted(crop))
        pixels = torch.from_numpy(table).to(device).permute(0, 3, 1, 2).float()
        mean, std = (pixels.new_tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return pixels.div_(255).sub_(mean).div_(std).to(dtype)

    def fitted(self, crop: Image.Image) -> Image.Image:
        """The crop as RGB picture of `width` x `height`."""
        crop = crop.convert("RGB")
        resample = Image.Resampling(self.resample)
        if self.fit == SQUASH:
            return crop.resize((self.width, self.height), resample)
        if self.fit == PAD:
            scale = min(self.width / crop.width, self.height / crop.height)
            size = max(1, round(crop.width * scale)), max(1, round(crop.height * scale))
            canvas = Image.new("RGB", (self.width, self.height), (self.fill,) * 3)
            canvas.paste(crop.resize(size, resample), ((self.width - size[0]) // 2, (self.height - size[1]) // 2))
            return canvas
        return crop.resize((self.width, self.height), resample, box=self._middle(crop.width, crop.height))

    def _middle(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The part of a crop that is left when it is scaled and cut to the middle: both in one step.

        Rounded to the pixels at which the model's own two steps round; in one step, because a crop of
        3000 x 2 pixels would be half a million pixels wide in between.
        """
        short = self.short_side or max(self.width, self.height)
        if width <= height:
            scaled_width, scaled_height = short, int(short * height / width)
        else:
            scaled_width, scaled_height = int(short * width / height), short
        beside, above = (scaled_width - self.width) / 2, (scaled_height - self.height) / 2
        left, top = (int(beside), int(above)) if self.round_down else (round(beside), round(above))
        across, down = width / scaled_width, height / scaled_height
        return left * across, top * down, (left + self.width) * across, (top + self.height) * down
