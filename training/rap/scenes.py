"""Photos of several concepts, laid out of pictures of one: coarse, but who is where is known exactly."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageOps

from rapbot.messages import Box

AVATAR_SIDE, PHOTO_SIDE = 512, 1024
"""Pixels of the longer side."""
_TRIES = 40


@dataclass(frozen=True, slots=True)
class Piece:
    """A picture of a concept, to be laid into a scene: only what `mask` ("L") holds of it, where there is one."""

    name: str
    picture: Image.Image
    mask: Image.Image | None = None


def lay_out(
    background: Image.Image, pieces: Sequence[Piece], dice: random.Random
) -> tuple[Image.Image, dict[str, Box]]:
    """`pieces` on `background` without overlap, and where each of them is; one that finds no room is left out."""
    scene = background.convert("RGB")
    scene.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
    width, height = scene.size
    taken: list[tuple[int, int, int, int]] = []
    boxes: dict[str, Box] = {}
    for piece in pieces:
        for _ in range(_TRIES):
            side = int(min(width, height) * dice.uniform(0.25, 0.5))
            part = ImageOps.contain(piece.picture.convert("RGB"), (side, side))
            mask = None if piece.mask is None else piece.mask.resize(part.size, Image.Resampling.BOX)
            left, top = dice.randrange(width - part.width + 1), dice.randrange(height - part.height + 1)
            here = (left, top, left + part.width, top + part.height)
            if all(here[2] <= a or c <= here[0] or here[3] <= b or d <= here[1] for a, b, c, d in taken):
                scene.paste(part, here[:2], mask)
                taken.append(here)
                boxes[piece.name] = _held(here, mask, width, height)
                break
    return scene, boxes


def _held(here: tuple[int, int, int, int], mask: Image.Image | None, width: int, height: int) -> Box:
    """The box of what was pasted: of the mask, where there is one."""
    left, top, right, bottom = here
    # At half: the edges of masks are soft.
    held = mask.point(lambda value: 255 if value >= 128 else 0).getbbox() if mask is not None else None
    if held:
        left, top, right, bottom = left + held[0], top + held[1], left + held[2], top + held[3]
    return Box(left / width, top / height, right / width, bottom / height)
