"""The vision part of the pipeline: pictures -> regions with words and keys, with a closer look where it may pay.

Windows of a coarse grid rarely fit a small thing well. So the windows that come nearest to an avatar are moved and
scaled a little, encoded again, and replaced where another crop comes nearer. A detector whose boxes fit the things
already says so (`tight`), and nothing is looked at twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from rapbot.inference.job import Region
from rapbot.inference.seams import Detector, Encoder, Target
from rapbot.messages import Box

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CloserLook:
    """Which regions are looked at again, and where. Distances as in `RetrievalRules`."""

    regions: int = 3
    """At most so many of a picture, each for another avatar."""
    near: float = 0.8
    """Regions nearer than this fit well enough."""
    far: float = 1.05
    """Regions farther than this are hopeless."""
    scales: tuple[float, ...] = (0.75, 1.3)
    shift: float = 0.25
    """Of the window's own width or height."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Regions of one picture with their words, the whole picture first; `keys` float32[R, D], a row for each."""

    regions: tuple[Region, ...]
    keys: Floats


class Eyes:
    """Detector and encoder put together."""

    def __init__(self, detector: Detector, encoder: Encoder, closer: CloserLook | None = None) -> None:
        """`closer` None: as the detector's boxes need it."""
        self._detector = detector
        self._encoder = encoder
        self._closer = closer or (CloserLook(regions=0) if getattr(detector, "tight", False) else CloserLook())

    def look(self, pictures: Sequence[Image.Image], targets: Sequence[Target]) -> list[Seen]:
        """What each upright RGB picture shows; `targets[i]` is what to look for in picture i. One batch for all."""
        found = self._detector.detect(pictures, targets)
        seen = self._encode(pictures, found)
        again = [self._worth_another_look(s, target) for s, target in zip(seen, targets, strict=True)]
        tries = [
            [replace(s.regions[i], box=box) for i, _ in pairs for box in self._around(s.regions[i].box)]
            for s, pairs in zip(seen, again, strict=True)
        ]
        closer = self._encode(pictures, tries)
        return [
            self._replaced(first, second, pairs, target)
            for first, second, pairs, target in zip(seen, closer, again, targets, strict=True)
        ]

    def _encode(self, pictures: Sequence[Image.Image], found: Sequence[Sequence[Region]]) -> list[Seen]:
        crops = [cut(picture, r.box) for picture, regions in zip(pictures, found, strict=True) for r in regions]
        views = self._encoder.encode(crops)
        seen: list[Seen] = []
        first = 0
        for regions in found:
            part = slice(first, first + len(regions))
            first += len(regions)
            # An encoder without words leaves those of the detector.
            tagged = tuple(replace(r, tags=tags or r.tags) for r, tags in zip(regions, views.tags[part], strict=True))
            seen.append(Seen(tagged, views.keys[part]))
        return seen

    def _worth_another_look(self, seen: Seen, target: Target) -> list[tuple[int, int]]:
        """(region, avatar) pairs, nearest first; no region and no avatar twice."""
        if not target.keys.size:
            return []
        distances = _distances(seen.keys, target.keys)
        avatars = distances.argmin(axis=1)
        nearest = distances[np.arange(len(avatars)), avatars]
        pairs: dict[int, int] = {}
        for region in np.argsort(nearest, kind="stable"):
            inside = self._closer.near < nearest[region] < self._closer.far
            if inside and not seen.regions[region].whole and len(pairs) < self._closer.regions:
                pairs.setdefault(int(avatars[region]), int(region))
        return [(region, avatar) for avatar, region in pairs.items()]

    def _around(self, box: Box) -> list[Box]:
        """The boxes to try instead of `box`: always the same number."""
        width, height = box.right - box.left, box.bottom - box.top
        scaled = [
            _moved(box, (1 - s) * width / 2, (1 - s) * height / 2, s * width, s * height) for s in self._closer.scales
        ]
        steps = ((-1, 0), (1, 0), (0, -1), (0, 1))
        shift = self._closer.shift
        return scaled + [_moved(box, x * shift * width, y * shift * height, width, height) for x, y in steps]

    def _replaced(self, first: Seen, second: Seen, pairs: Sequence[tuple[int, int]], target: Target) -> Seen:
        """`first` with each looked-at region replaced by the try of `second` that is nearest to the avatar."""
        regions, keys = list(first.regions), first.keys.copy()
        count = len(second.regions) // len(pairs) if pairs else 0
        for n, (region, avatar) in enumerate(pairs):
            tries = slice(n * count, (n + 1) * count)
            distances = _distances(second.keys[tries], target.keys[avatar : avatar + 1])[:, 0]
            best = int(distances.argmin())
            if distances[best] < _distances(keys[region : region + 1], target.keys[avatar : avatar + 1])[0, 0]:
                regions[region], keys[region] = second.regions[tries][best], second.keys[tries][best]
        return Seen(tuple(regions), keys)


def cut(picture: Image.Image, box: Box) -> Image.Image:
    """The part of the picture inside `box`."""
    return picture.crop(box.pixels(picture.width, picture.height))


def _distances(keys: Floats, others: Floats) -> Floats:
    distances: Floats = np.sqrt(np.maximum(2.0 - 2.0 * (keys @ others.T), 0.0)).astype(np.float32)
    return distances


def _moved(box: Box, dx: float, dy: float, width: float, height: float) -> Box:
    """A box of the given size, moved from `box` by (dx, dy) and kept inside the picture."""
    left, top = max(0.0, box.left + dx), max(0.0, box.top + dy)
    right, bottom = min(1.0, box.left + dx + width), min(1.0, box.top + dy + height)
    return Box(left, top, max(right, left + 0.01), max(bottom, top + 0.01))
