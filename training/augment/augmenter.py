"""Draws changes: seeded, so that the same dice give the same pictures."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance

from training.augment.framed import Framed, Matrix, mirrored, onto, rotated, warped
from training.augment.grounds import before, mask_of
from training.augment.recipe import Amounts

_SEEN = 0.75
"""Part of every thing that has to stay on the picture."""
_TRIES = 8

Ground = Callable[[], Image.Image | None]
"""Another ground; None where there is none to be had."""


def vary_avatar(
    picture: Image.Image,
    amounts: Amounts,
    dice: random.Random,
    mask: Image.Image | None = None,
    ground: Ground = lambda: None,
) -> Image.Image:
    """Another view of a picture that shows one thing. `mask`: what of it is the thing (grounds.py)."""
    if mask is not None and dice.random() < amounts.background and (behind := ground()) is not None:
        picture = before(picture, mask, behind)
    matrix, size = _geometry(picture.size, amounts, dice, filled=False)
    moved = warped(Framed(picture), matrix, size)
    assert moved is not None  # nothing is on it that could be lost
    return relit(moved.picture, amounts, dice)


def vary_photo(
    framed: Framed, amounts: Amounts, dice: random.Random, ground: Ground = lambda: None
) -> tuple[Framed, bool]:
    """(another view of a photo with its things, whether it has another ground).

    Every thing stays on the picture; where no drawn change leaves it there, the geometry is unchanged. The ground
    changes only if every thing has an outline: all else vanishes.
    """
    outlined = bool(framed.placed) and all(one.outline for one in framed.placed.values())
    changed = False
    if outlined and dice.random() < amounts.background and (behind := ground()) is not None:
        mask = mask_of([one.outline for one in framed.placed.values()], framed.picture.size)
        framed, changed = Framed(before(framed.picture, mask, behind), framed.placed), True
    for _ in range(_TRIES):
        matrix, size = _geometry(framed.picture.size, amounts, dice, filled=True)
        moved = warped(framed, matrix, size, _SEEN)
        if moved is not None:
            framed = moved
            break
    return Framed(relit(framed.picture, amounts, dice), framed.placed), changed


def relit(picture: Image.Image, amounts: Amounts, dice: random.Random) -> Image.Image:
    """In other light: brightness, saturation, contrast and warmth."""
    if dice.random() >= amounts.colour:
        return picture
    by = amounts.colour_by
    for change in (ImageEnhance.Brightness, ImageEnhance.Color, ImageEnhance.Contrast):
        picture = change(picture).enhance(dice.uniform(1 - by, 1 + by))
    warmth = dice.uniform(-by / 2, by / 2)
    bands = picture.split()
    gains = (1 + warmth, 1.0, 1 - warmth)
    return Image.merge("RGB", [band.point(lambda v, g=gain: v * g) for band, gain in zip(bands, gains, strict=True)])


def _geometry(
    size: tuple[int, int], amounts: Amounts, dice: random.Random, *, filled: bool
) -> tuple[Matrix, tuple[int, int]]:
    """A drawn change as one matrix, and the size of the new picture."""
    width, height = size
    matrix: Matrix = np.eye(3)
    if dice.random() < amounts.flip:
        matrix = mirrored(width)
    if dice.random() < amounts.rotate:
        matrix = rotated(width, height, dice.uniform(-amounts.degrees, amounts.degrees), filled=filled) @ matrix
    left, top, right, bottom = 0.0, 0.0, float(width), float(height)
    if dice.random() < amounts.crop:
        by = amounts.crop_by
        left, right = width * dice.uniform(0, by), width * (1 - dice.uniform(0, by))
        top, bottom = height * dice.uniform(0, by), height * (1 - dice.uniform(0, by))
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    if dice.random() < amounts.perspective:
        by = amounts.perspective_by
        inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]], dtype=np.float64)
        drawn = [[dice.uniform(0, by) * (right - left), dice.uniform(0, by) * (bottom - top)] for _ in range(4)]
        corners = corners + inwards * np.array(drawn)
    new = (max(8, round(right - left)), max(8, round(bottom - top)))
    return onto(corners, *new) @ matrix, new
