"""Pictures of any shape as the square that a network sees, and its boxes back as fractions of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Place:
    """Where on the canvas the picture lies, in pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Canvas:
    """A square of `side` pixels into which each picture is fitted without distortion.

    The same square whatever else is in the batch, so that a picture gives the same boxes alone and in company.
    """

    side: int
    fill: int = 0
    """Grey level 0..255 of what the picture does not cover."""
    centred: bool = False
    """The picture in the middle, else in the upper left corner."""

    def place(self, width: int, height: int) -> Place:
        """Where a picture of so many pixels goes: its longer side becomes the canvas's."""
        scale = self.side / max(width, height)
        inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
        left = (self.side - inner_width) // 2 if self.centred else 0
        top = (self.side - inner_height) // 2 if self.centred else 0
        return Place(left, top, inner_width, inner_height)

    def pixels(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """uint8[N, 3, side, side] of RGB pictures, in the computer's own memory."""
        import torch

        canvas = np.full((len(pictures), self.side, self.side, 3), self.fill, np.uint8)
        for area, picture in zip(canvas, pictures, strict=True):
            at = self.place(picture.width, picture.height)
            fitted = picture.convert("RGB").resize((at.width, at.height), Image.Resampling.BILINEAR)
            area[at.top : at.top + at.height, at.left : at.left + at.width] = np.asarray(fitted)
        return torch.from_numpy(canvas).permute(0, 3, 1, 2)

    def fractions(self, boxes: torch.Tensor, picture: Image.Image) -> torch.Tensor:
        """float[N, 4] corners in fractions of the canvas -> of the picture, cut off at its edge."""
        at = self.place(picture.width, picture.height)
        offset = boxes.new_tensor((at.left, at.top, at.left, at.top))
        size = boxes.new_tensor((at.width, at.height, at.width, at.height))
        return ((boxes * self.side - offset) / size).clamp(0.0, 1.0)

    def covered(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """bool[N, side, side]: which pixels show the picture."""
        import torch

        mask = torch.zeros((len(pictures), self.side, self.side), dtype=torch.bool)
        for area, picture in zip(mask, pictures, strict=True):
            at = self.place(picture.width, picture.height)
            area[at.top : at.top + at.height, at.left : at.left + at.width] = True
        return mask
