"""Pictures for samples: varied views of avatars, and photos of several concepts made from photos of one.

RAP's augmentation of the crops (rotation, flip; appendix), and jitter of crop and light. Novel views by another model
are not made here. A composed scene is pictures laid on a photo: coarse, but who is where is known exactly.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageEnhance, ImageOps

from rapbot.messages import Box

AVATAR_SIDE, PHOTO_SIDE = 512, 1024
"""Pixels of the longer side."""
_TRIES = 40


@dataclass(frozen=True, slots=True)
class Piece:
    """A picture of a concept, to be laid into a scene."""

    name: str
    picture: Image.Image


def vary(avatar: Image.Image, dice: random.Random) -> Image.Image:
    """Another view of an avatar: mirrored, turned by up to 15 degrees, cropped by up to 10 %, in other light."""
    picture = ImageOps.mirror(avatar) if dice.random() < 0.5 else avatar.copy()
    fill = picture.resize((1, 1)).getpixel((0, 0))
    picture = picture.rotate(dice.uniform(-15, 15), Image.Resampling.BICUBIC, fillcolor=fill)
    width, height = picture.size
    left, top, right, bottom = (dice.uniform(0.0, 0.1) for _ in range(4))
    picture = picture.crop(
        (int(left * width), int(top * height), width - int(right * width), height - int(bottom * height))
    )
    for change in (ImageEnhance.Brightness, ImageEnhance.Color, ImageEnhance.Contrast):
        picture = change(picture).enhance(dice.uniform(0.8, 1.2))
    return picture


def light_of(photo: Image.Image) -> Image.Image:
    """A ground as large as the photo, which runs between the colours of its corners."""
    width, height = photo.size
    near, far = (0.0, 0.06), (0.94, 1.0)
    corners = Image.new("RGB", (2, 2))
    for x, across in enumerate((near, far)):
        for y, down in enumerate((near, far)):
            box = (int(across[0] * width), int(down[0] * height), int(across[1] * width), int(down[1] * height))
            corners.paste(photo.resize((1, 1), box=box), (x, y))
    return corners.resize(photo.size, Image.Resampling.BILINEAR)


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
            left, top = dice.randrange(width - part.width + 1), dice.randrange(height - part.height + 1)
            here = (left, top, left + part.width, top + part.height)
            if all(here[2] <= a or c <= here[0] or here[3] <= b or d <= here[1] for a, b, c, d in taken):
                scene.paste(part, here[:2])
                taken.append(here)
                boxes[piece.name] = Box(here[0] / width, here[1] / height, here[2] / width, here[3] / height)
                break
    return scene, boxes
