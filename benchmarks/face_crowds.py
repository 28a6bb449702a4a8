"""Pictures put together of heads, for `face_quality`: groups of thirty, and other people's heads alone.

No group photos of people who may be shown were at hand. The heads are cut out of the photos and of the negatives.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from rapbot.inference.faces import Face

HEADS = 30
"""Of a crowd."""
AROUND = 0.35
"""Part of a head that is shown around it."""
WHERE = {
    "Julian_05": (0.35, 0.33),
    "Julian_11": (0.33, 0.27),
    "Julian_12": (0.46, 0.2),
    "Julian_22": (0.22, 0.2),
}
"""Where who is named is, in the photos of ../shared/data/people in which only another person's face may be found, or be
the nearer one: by eye, as parts of width and height."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Of a crowd: heads side by side, and pixels that each gets."""

    name: str
    across: int
    cell: int


LAYOUTS = (Layout("close", 6, 250), Layout("small", 10, 150))
"""A face is a fourteenth of the picture's longer side in the first and a twenty-second in the second."""


def heads(picture: Image.Image, faces: Sequence[Face]) -> list[Image.Image]:
    """The heads of those who are surely people, in the order of `faces`."""
    return [picture.crop(face.box.grown(AROUND).pixels(*picture.size)) for face in faces if face.sure]


def whose(photo: str, faces: Sequence[Face], avatar: Face) -> int | None:
    """Which of the faces is the named person's: the one where they are known to be, else the nearest to the avatar."""
    if photo in WHERE:
        x, y = WHERE[photo]
        inside = (face.box.left < x < face.box.right and face.box.top < y < face.box.bottom for face in faces)
        return next((number for number, one in enumerate(inside) if one), None)
    apart = [float(np.linalg.norm(face.key[:-1] - avatar.key[:-1])) for face in faces]
    return int(np.argmin(apart)) if apart else None


def crowds(
    known: Mapping[str, Sequence[Image.Image]], strangers: Sequence[Image.Image], layout: Layout, count: int
) -> Iterator[Image.Image]:
    """Group pictures with one head of everybody known among strangers' (some twice, mirrored); the same in each run."""
    chance = random.Random(30)
    for _ in range(count):
        shown = [chance.choice(known[name]) for name in sorted(known)]
        others = [ImageOps.mirror(head) if chance.random() < 0.5 else head for head in strangers]
        shown += chance.choices(others, k=HEADS - len(shown))
        chance.shuffle(shown)
        crowd = Image.new("RGB", (layout.across * layout.cell, -(-HEADS // layout.across) * layout.cell), "grey")
        for place, head in enumerate(shown):
            fitting = ImageOps.contain(head, (layout.cell - 10, layout.cell - 10), Image.Resampling.BICUBIC)
            crowd.paste(fitting, (place % layout.across * layout.cell, place // layout.across * layout.cell))
        yield crowd


def alone(head: Image.Image) -> Image.Image:
    """A head in a grey picture: nobody beside it takes a name away from it."""
    return ImageOps.expand(ImageOps.contain(head, (500, 500)), 200, (128, 128, 128))
