"""Which part of a photo becomes the avatar, when the person did not draw a box.

A tight crop stays as it is. A photo of a dog in a garden is cut down to the dog, because a key of the whole would
remember the garden.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from rapbot.inference.job import Region
from rapbot.messages import WHOLE, Box

SMALLEST_SIDE = 96
"""Pixels: a smaller part of the picture shows too little of a thing to remember it by."""
CLEARLY_BETTER = 1.15
"""A window must show its thing by this factor more clearly than the whole picture does."""
CERTAIN = 0.2
"""A window whose words are less probable than this shows nothing in particular."""
_HALF = 0.5


def choose_avatar_box(picture: Image.Image, regions: Sequence[Region], category: str = "") -> Box:
    """The box of the main object where that is clearly better than the whole picture, else WHOLE.

    `regions` come with their words, the whole picture first. With a `category` that is one of those words, the window
    that shows it best is taken; otherwise the clearest one near the centre.
    """
    whole = next((region for region in regions if region.whole), None)
    windows = [r for r in regions if not r.whole and _large_enough(r.box, picture)]
    if whole is None or not windows:
        return WHOLE
    wanted = _wanted_words(windows, category)
    best = max(windows, key=lambda region: _merit(region, wanted))
    if _clearness(best, wanted) < max(CERTAIN, CLEARLY_BETTER * _clearness(whole, wanted)):
        return WHOLE
    return best.box


def _large_enough(box: Box, picture: Image.Image) -> bool:
    left, top, right, bottom = box.pixels(picture.width, picture.height)
    return min(right - left, bottom - top) >= SMALLEST_SIDE


def _wanted_words(windows: Sequence[Region], category: str) -> frozenset[str]:
    """Words among the tags that say the category ("plush toy" is said by "toy"); empty: any word will do."""
    said = {tag.word for region in windows for tag in region.tags}
    parts = set(category.casefold().split())
    return frozenset(word for word in said if parts & set(word.casefold().split()))


def _clearness(region: Region, wanted: frozenset[str]) -> float:
    return max((tag.probability for tag in region.tags if not wanted or tag.word in wanted), default=0.0)


def _merit(region: Region, wanted: frozenset[str]) -> float:
    """How well the window shows the thing, preferring the middle of the picture and what is not tiny."""
    box = region.box
    away = abs(box.left + box.right - 1.0) * _HALF + abs(box.top + box.bottom - 1.0) * _HALF
    return _clearness(region, wanted) * (1.0 - _HALF * away) * min(1.0, box.area / 0.1) ** _HALF
