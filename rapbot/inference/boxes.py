"""Boxes in the answers of models that see: each family writes them in its own way.

- LLaVA, RAP, Phi: `[x1, y1, x2, y2]`, fractions of the picture
- Qwen2.5-VL: JSON, `"bbox_2d": [x1, y1, x2, y2], "label": ...`, pixels of the picture that it was shown
- Qwen3-VL: the same JSON, thousandths
- Qwen-VL, Qwen2-VL: `<ref>name</ref><box>(x1,y1),(x2,y2)</box>`, thousandths
- InternVL: `<ref>name</ref><box>[[x1, y1, x2, y2]]</box>`, thousandths
- PaliGemma: `<loc0123>` four times, then the name, in 1/1024; Gemma 3: JSON, `"box_2d"`, thousandths; both y first

Sources: the model cards and grounding cookbooks of these models. No model keeps to its format always, so the brackets
decide how a box is read, and the family only what its numbers mean; where they cannot mean that, they are guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from rapbot.messages import Box

_LONGEST_TEXT = 20_000
_MOST = 64
"""Boxes of one answer: a model that repeats itself stops only at its length."""
_SMALLEST = 1e-4
"""Fraction of a side below which a box shows nothing."""

AGREE = 0.5
"""Intersection over union from which two boxes show the same thing: where PASCAL VOC (Everingham et al. 2010, section
4.2) counts a detection as right. A model writes rounded numbers, so its boxes are rarely closer."""

_N = r"\s*([-+]?\d{1,6}(?:\.\d{0,12})?|[-+]?\.\d{1,12})\s*"
_CORNERS = re.compile(
    rf"[\[(]{_N},{_N},{_N},{_N}[\])]"
    rf"|[\[(]{_N},{_N}[\])]\s*,?\s*[\[(]{_N},{_N}[\])]"
    r"|<loc(\d{4})>\s*<loc(\d{4})>\s*<loc(\d{4})>\s*<loc(\d{4})>"
)
_KEY = re.compile(r"[\"'](\w{1,32})[\"']\s*:\s*\[?\s*$")
_JSON_LABEL = re.compile(r"[\"'](?:label|name|object|sub_label|text_content)[\"']\s*:\s*[\"']([^\"'\n]{1,64})[\"']")
_REFERENCE = re.compile(r"(?:<ref>|<\|object_ref_start\|>)([^<]{1,64})(?:</ref>|<\|object_ref_end\|>)[^(){}\]]{0,32}$")
_NAME = re.compile(r"<(?!/|\|)([^<>\[\]()]{1,64})>(?:'s)?\s*(?:is\s+at|bounding box(?:\s+is)?|[:=-])?\s*$")
_AFTER = re.compile(r"\s*([^<>;,.\n\[\]{}]{1,64})")
_MARKUP = frozenset({"box", "ref", "image", "bbox", "loc", "s"})


class _Scale(Enum):
    FRACTIONS = auto()
    PIXELS = auto()
    THOUSANDTHS = auto()
    LOCATIONS = auto()


_STYLES = {
    "llava": _Scale.FRACTIONS,
    "rap": _Scale.FRACTIONS,
    "phi": _Scale.FRACTIONS,
    "qwen2.5": _Scale.PIXELS,
    "qwen3": _Scale.THOUSANDTHS,
    "qwen": _Scale.THOUSANDTHS,
    "internvl": _Scale.THOUSANDTHS,
    "gemma": _Scale.THOUSANDTHS,
}
"""By the beginning of the family's name, the more exact one first."""


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """A box of an answer, and what the answer calls it ("" where it does not say)."""

    box: Box
    label: str = ""


@dataclass(frozen=True, slots=True)
class _Raw:
    """Four numbers as they were written, already x first."""

    corners: tuple[float, float, float, float]
    label: str
    thousandths: bool = False
    """The way it is written says so, whatever the family."""
    locations: bool = False


def parse_boxes(text: str, width: int, height: int, style: str = "") -> tuple[LabelledBox, ...]:
    """Every box of an answer, in its order, inside the picture; never an exception, whatever the text.

    `width` and `height`: pixels of the picture as the model saw it (after the processor's resizing). `style`: name of
    the model's family ("qwen2.5-vl"); unknown or "": guessed by the numbers.
    """
    raw = list(_written(text[:_LONGEST_TEXT]))
    scale = _scale([one.corners for one in raw if not one.locations and not one.thousandths], width, height, style)
    found: dict[LabelledBox, None] = {}
    for one in raw:
        own = _Scale.LOCATIONS if one.locations else _Scale.THOUSANDTHS if one.thousandths else scale
        box = _box(one.corners, own, width, height)
        if box is not None:
            found[LabelledBox(box, one.label)] = None
    return tuple(found)[:_MOST]


def agreement(box: Box, other: Box) -> float:
    """Intersection over union of two boxes: 0 apart, 1 the same."""
    across = min(box.right, other.right) - max(box.left, other.left)
    down = min(box.bottom, other.bottom) - max(box.top, other.top)
    shared = max(0.0, across) * max(0.0, down)
    union = box.area + other.area - shared
    return min(1.0, shared / union) if union > 0 else 0.0


def _written(text: str) -> Iterator[_Raw]:
    matches = list(_CORNERS.finditer(text))
    label = ""
    for number, match in enumerate(matches):
        before = text[matches[number - 1].end() if number else 0 : match.start()][-200:]
        after = text[match.end() : matches[number + 1].start() if number + 1 < len(matches) else None][:200]
        a, b, c, d = (float(group) for group in match.groups() if group is not None)
        key = _KEY.search(before)
        locations = match.group(0).startswith("<loc")
        gemini = key is not None and key.group(1) == "box_2d"
        own = _label(before, after, in_json=key is not None, locations=locations)
        label = own or (label if not before.strip("[](), \n") else "")  # <ref>dogs</ref><box>[[...], [...]]</box>
        yield _Raw((b, a, d, c) if locations or gemini else (a, b, c, d), label, gemini, locations)


def _label(before: str, after: str, *, in_json: bool, locations: bool) -> str:
    """In JSON beside the box; else in a mark before it, or (PaliGemma) behind it."""
    if in_json:
        here = before[before.rfind("{") + 1 :] + "\n" + after.partition("}")[0]
        found = _JSON_LABEL.search(here)
    elif locations:
        found = _AFTER.match(after)
    else:
        found = _REFERENCE.search(before) or _NAME.search(before)
    label = " ".join(found.group(1).split()).strip(" <>\"'") if found else ""
    return "" if label.casefold() in _MARKUP else label


def _scale(written: Sequence[tuple[float, float, float, float]], width: int, height: int, style: str) -> _Scale:
    """What the numbers of an answer mean. All of its boxes are written alike."""
    if not written:
        return _Scale.FRACTIONS
    largest = max(max(corners) for corners in written)
    usual = next((scale for name, scale in _STYLES.items() if style.casefold().startswith(name)), None)
    if largest <= 1.0 or (usual is _Scale.FRACTIONS and largest < 2.0):
        return _Scale.FRACTIONS
    inside = all(max(x, right) <= width and max(y, bottom) <= height for x, y, right, bottom in written)
    if largest > 1000.0:
        return _Scale.PIXELS
    if usual is _Scale.THOUSANDTHS:
        return usual
    if usual is _Scale.PIXELS:
        # A few pixels over the edge are still pixels; a box far outside was written in thousandths.
        near = all(max(x, right) <= 1.1 * width and max(y, bottom) <= 1.1 * height for x, y, right, bottom in written)
        return usual if near else _Scale.THOUSANDTHS
    return _Scale.PIXELS if inside else _Scale.THOUSANDTHS


def _box(corners: tuple[float, float, float, float], scale: _Scale, width: int, height: int) -> Box | None:
    """In fractions, clipped, corners in order; None when nothing is left."""
    units = {_Scale.FRACTIONS: (1.0, 1.0), _Scale.PIXELS: (width, height), _Scale.LOCATIONS: (1024.0, 1024.0)}
    across, down = units.get(scale, (1000.0, 1000.0))
    x1, y1, x2, y2 = corners
    left, right = sorted(min(1.0, max(0.0, x / max(1.0, across))) for x in (x1, x2))
    top, bottom = sorted(min(1.0, max(0.0, y / max(1.0, down))) for y in (y1, y2))
    if right - left < _SMALLEST or bottom - top < _SMALLEST:
        return None
    return Box(left, top, right, bottom)
