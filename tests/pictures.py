"""Pictures for tests: drawn here, or shipped by scikit-image (chelsea and coffee are CC0, astronaut is NASA's)."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image


def _shipped(name: str) -> Image.Image:
    from skimage import data

    return Image.fromarray(np.asarray(getattr(data, name)()))


@cache
def cat() -> Image.Image:
    """Chelsea, a ginger tabby cat: 451 x 300."""
    return _shipped("chelsea")


@cache
def coffee() -> Image.Image:
    """A cup of coffee on a wooden table: 600 x 400."""
    return _shipped("coffee")


@cache
def astronaut() -> Image.Image:
    return _shipped("astronaut")


@cache
def rocket() -> Image.Image:
    return _shipped("rocket")


def jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.convert("RGB").save(file, "JPEG", quality=90)
    return file.getvalue()


@cache
def cat_jpeg() -> bytes:
    return jpeg(cat())


@cache
def cat_elsewhere_jpeg() -> bytes:
    """The same cat mirrored, smaller, in a corner of another picture."""
    scene = coffee().resize((900, 600))
    scene.paste(cat().transpose(Image.Transpose.FLIP_LEFT_RIGHT).crop((40, 0, 400, 300)).resize((420, 350)), (30, 220))
    return jpeg(scene)
