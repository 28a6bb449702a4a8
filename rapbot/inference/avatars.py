"""Which part of a photo becomes the avatar, when the person did not draw a box."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from rapbot.inference.job import Region
from rapbot.messages import WHOLE, Box


def choose_avatar_box(picture: Image.Image, regions: Sequence[Region], category: str = "") -> Box:
    """The box of the main object where that is clearly better than the whole picture, else WHOLE.

    `regions` come from the detector with their words (the whole picture first).
    """
    return WHOLE
