"""Which colours a picture has, in words: measured, never guessed."""

from __future__ import annotations

import numpy as np
from PIL import Image

_HUES = (
    (15, "red"),
    (40, "orange"),
    (68, "yellow"),
    (165, "green"),
    (195, "turquoise"),
    (255, "blue"),
    (290, "purple"),
)
"""Up to so many degrees; then pink, and from 335 red again."""


def colours(picture: Image.Image, mask: Image.Image | None = None) -> dict[str, float]:
    """Share of each colour, the most frequent first: of what `mask` ("L") holds, else of the middle of the picture."""
    small = picture.convert("RGB").resize((48, 48), Image.Resampling.BOX)
    hue, saturation, value = np.asarray(small.convert("HSV")).reshape(-1, 3).T.astype(float)
    if mask is None:
        ys, xs = np.mgrid[:48, :48]
        held = ((xs - 23.5) / 18) ** 2 + ((ys - 23.5) / 18) ** 2 <= 1
    else:
        held = np.asarray(mask.resize((48, 48), Image.Resampling.BOX)) > 127
    names = [_named(*one) for one in zip(hue * 360 / 255, saturation / 255, value / 255, strict=True)]
    counts: dict[str, int] = {}
    for name, there in zip(names, held.reshape(-1), strict=True):
        if there:
            counts[name] = counts.get(name, 0) + 1
    whole = max(1, sum(counts.values()))
    return {name: count / whole for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))}


def _named(hue: float, saturation: float, value: float) -> str:
    if value < 0.2:
        return "black"
    if saturation < 0.16:
        return "white" if value > 0.78 else "grey"
    if hue < 40 or hue >= 335:
        if value < 0.62 and saturation < 0.85:
            return "brown"
        if saturation < 0.42:
            return "beige" if value > 0.7 else "brown"
    for most, name in _HUES:
        if hue < most:
            return name
    return "pink" if hue < 335 else "red"
