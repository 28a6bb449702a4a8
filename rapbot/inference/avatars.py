"""Which part of a photo becomes the avatar, when the person did not draw a box.

A tight crop stays as it is. A photo of a teapot in a room is cut down to the teapot, because a key of the whole
would remember the room.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from rapbot.inference.job import Region
from rapbot.messages import WHOLE, Box

SMALLEST_SIDE = 96
"""Pixels: a smaller part of the picture shows too little of a thing to remember it by."""
CLEAR = 0.4
"""A whole picture whose own words are this probable shows the thing well enough."""
STANDS_OUT = 0.13
"""Detector score of a subject in its surroundings; the parts of a tight crop have less (measured: .08 to .12)."""


def choose_avatar_box(picture: Image.Image, regions: Sequence[Region], category: str = "") -> Box:
    """The box of the main object where that is clearly better than the whole picture, else WHOLE.

    `regions` come with their words, the whole picture first, from a detector that was told nothing to look for.
    Windows whose words say the `category` are preferred.
    """
    whole = next((region for region in regions if region.whole), None)
    windows = [r for r in regions if not r.whole and r.score >= STANDS_OUT and _large_enough(r.box, picture)]
    wanted = _words_for(category, regions)
    if whole is None or not windows or _clearness(whole, wanted) >= CLEAR:
        return WHOLE
    return max(windows, key=lambda region: region.score * (1.0 + (_clearness(region, wanted) if wanted else 0.0))).box


def _large_enough(box: Box, picture: Image.Image) -> bool:
    left, top, right, bottom = box.pixels(picture.width, picture.height)
    return min(right - left, bottom - top) >= SMALLEST_SIDE


def _words_for(category: str, regions: Sequence[Region]) -> frozenset[str]:
    """Words among the tags that say the category ("plush toy" is said by "toy"); empty: any word will do."""
    said = {tag.word for region in regions for tag in region.tags}
    parts = set(category.casefold().split())
    return frozenset(word for word in said if parts & set(word.casefold().split()))


def _clearness(region: Region, wanted: frozenset[str]) -> float:
    """Probability of the likeliest of the wanted words, or of any word where none is wanted."""
    return max((tag.probability for tag in region.tags if not wanted or tag.word in wanted), default=0.0)
