"""Masks, and other grounds behind what they hold."""

from __future__ import annotations

import random
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from training.augment.framed import Outline

_SIDE = 128
"""Pixels of the longer side at which a ground is looked for."""
_PLAIN = 30.0
"""Distance of colours (0 to 441) up to which a ground counts as of one colour."""


def mask_of(outlines: Iterable[Outline], size: tuple[int, int]) -> Image.Image:
    """What lies within any of the polygons: an "L" picture of `size`, with edges as soft as a lens makes them."""
    width, height = size
    mask = Image.new("L", (2 * width, 2 * height))
    pen = ImageDraw.Draw(mask)
    for outline in outlines:
        for part in outline:
            if len(part) >= 6:
                points = [(2 * width * x, 2 * height * y) for x, y in zip(part[::2], part[1::2], strict=True)]
                pen.polygon(points, fill=255)
    return _soft(mask.resize(size, Image.Resampling.BOX))


def seen_mask(picture: Image.Image) -> Image.Image | None:
    """What stands before a plain ground, as `mask_of`; None where the ground is not plain, or nothing stands out.

    No model: the ground is all that has the colours of the edge and is connected with it.
    """
    small = picture.convert("RGB")
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small.filter(ImageFilter.MedianFilter(3)), dtype=np.float64)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    middle = np.median(edge, axis=0)
    if (np.linalg.norm(edge - middle, axis=1) < _PLAIN).mean() < 0.85:
        return None
    alike = np.linalg.norm(pixels - middle, axis=2) < _PLAIN
    edges = np.zeros_like(alike)
    edges[0], edges[-1], edges[:, 0], edges[:, -1] = True, True, True, True
    thing = _one(~_flooded(alike, edges & alike))
    if thing is None:
        return None
    share, on_edge = thing.mean(), np.concatenate([thing[0], thing[-1], thing[:, 0], thing[:, -1]]).mean()
    if not 0.08 < share < 0.8 or on_edge > 0.25:
        return None
    mask = Image.fromarray(np.where(thing, 255, 0).astype(np.uint8)).filter(ImageFilter.MedianFilter(5))
    return _soft(mask.resize(picture.size, Image.Resampling.BICUBIC))


def before(picture: Image.Image, mask: Image.Image, ground: Image.Image) -> Image.Image:
    """What `mask` holds of `picture`, before `ground`, which is cut to the same shape."""
    behind = ImageOps.fit(ground.convert("RGB"), picture.size, Image.Resampling.LANCZOS)
    return Image.composite(picture.convert("RGB"), behind, mask)


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


def blurred(photo: Image.Image, dice: random.Random) -> Image.Image:
    """The photo as out of focus as no thing on it can be told: its colours, without what it shows."""
    side = max(photo.size)
    return photo.filter(ImageFilter.GaussianBlur(side * dice.uniform(0.06, 0.1)))


def _soft(mask: Image.Image) -> Image.Image:
    # Drawn in by a pixel, so that no rim of the old ground stays.
    thinner = mask.filter(ImageFilter.MinFilter(3))
    return ImageChops.darker(mask, thinner.filter(ImageFilter.GaussianBlur(max(0.8, max(mask.size) / 400))))


def _flooded(open_: npt.NDArray[np.bool_], start: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """What of `open_` is connected with `start` (4 neighbours)."""
    flood = start
    while True:
        wider = flood.copy()
        wider[1:] |= flood[:-1]
        wider[:-1] |= flood[1:]
        wider[:, 1:] |= flood[:, :-1]
        wider[:, :-1] |= flood[:, 1:]
        wider &= open_
        if (wider == flood).all():
            return flood
        flood = wider


def _one(marked: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_] | None:
    """The one piece that is nearly all of `marked`; None where there is none: then it is no single thing."""
    left, whole = marked.copy(), marked.sum()
    while left.any():
        start = np.zeros_like(left)
        start[np.unravel_index(left.argmax(), left.shape)] = True
        piece = _flooded(left, start)
        if piece.sum() > 0.9 * whole:
            return piece
        left &= ~piece
        if left.sum() <= 0.9 * whole:
            return None
    return None
