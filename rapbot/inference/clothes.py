"""What the people in a photo wear, by the object encoder: the part of the picture below each head.

Clothes change, so within one album of the same hour alone they say something (`rapbot.clothes` compares them), they
never name anybody by themselves, and nothing of them is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from rapbot.inference.eyes import cut
from rapbot.inference.job import Outfit
from rapbot.inference.meeting import Head
from rapbot.inference.retrieval import RetrievalRules
from rapbot.inference.seams import Encoder
from rapbot.messages import Box

MOST = 6
"""Outfits of a photo that are looked at (20 ms each): those below its largest faces."""
_WIDTH = _HEIGHT = 1.6
"""Of the part that is compared, in widths and heights of the head. A larger one holds more of others and of the place
(of 1.6 x 1.6, 2.2 x 1.5, 2 x 2, 2 x 2.5 and 3 x 3 it told ../shared/data/people best at one wrong pair in 1,000)."""
_SHOWN = 0.25
"""A smaller part of it inside the picture shows too little."""
_SMALLEST = 0.08
"""Height in parts of the picture below which it is too coarse to be compared."""
_SHARED = 0.1
"""Outfits that have more than this part of the smaller one in common are nobody's for certain."""
REACH = 0.75
"""Part of the encoder's own limit for things up to which two outfits may be one: .69 for pocket, at which clothes
named a wrong person in 1 of 938 albums without the right one (benchmarks/clothes_quality.py)."""


def outfits(picture: Image.Image, heads: Sequence[Head], encoder: Encoder, rules: RetrievalRules) -> tuple[Outfit, ...]:
    """The outfits that are seen well enough; none is looked at where nobody could be named by them."""
    if not any(head.concept_id for head in heads):
        return ()
    worn = [(head, box) for head in heads[:MOST] if (box := clothes_box(head.box)) is not None]
    alone = [pair for pair in worn if all(pair is other or _shared(pair[1], other[1]) <= _SHARED for other in worn)]
    if not any(head.concept_id for head, _ in alone):
        return ()
    keys = encoder.encode([cut(picture, box) for _, box in alone]).keys
    reach = REACH * rules.window_distance
    return tuple(
        Outfit(head.region, key.tobytes(), head.concept_id, head.named, reach)
        for (head, _), key in zip(alone, keys, strict=True)
    )


def clothes_box(head: Box) -> Box | None:
    """Where the clothes of somebody are whose head is there; None where too little of them is in the picture."""
    width, height = _WIDTH * (head.right - head.left), _HEIGHT * (head.bottom - head.top)
    middle = (head.left + head.right) / 2
    left, right = max(0.0, middle - width / 2), min(1.0, middle + width / 2)
    box = Box(left, head.bottom, right, min(1.0, head.bottom + height))
    return box if box.area >= _SHOWN * width * height and box.bottom - box.top >= _SMALLEST else None


def _shared(one: Box, other: Box) -> float:
    """Common part of two boxes as part of the smaller one."""
    across = max(0.0, min(one.right, other.right) - max(one.left, other.left))
    down = max(0.0, min(one.bottom, other.bottom) - max(one.top, other.top))
    return across * down / min(one.area, other.area)
