"""Where something may be: windows proposed from the encoder's own dense feature map, so no second network has to run.

The mean feature of any window comes from an integral image of the map. Guided by the avatars' keys, the windows
nearest to one of them win; without keys, those that stand out most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from rapbot.errors import ConfigError
from rapbot.inference.encoders import unit
from rapbot.inference.job import Region
from rapbot.inference.seams import Detector, Target
from rapbot.inference.specs import DetectorSpec, Runtime
from rapbot.messages import WHOLE, Box

Floats = npt.NDArray[np.float32]
Cells = npt.NDArray[np.intp]


class DenseEncoder(Protocol):
    """An encoder that can also show its feature map before pooling."""

    def dense_map(self, picture: Image.Image, side: int) -> Floats:
        """float32[H, W, D] of the picture squeezed to `side` x `side` pixels."""
        ...

    def clearness(self, pooled: Floats) -> Floats:
        """float32[N]: how clearly each pooled feature float32[N, D] shows one kind of thing."""
        ...


@dataclass(frozen=True, slots=True)
class WindowRules:
    side: int = 800
    """Pixels: the picture is squeezed to this square for the map."""
    sizes: tuple[float, ...] = (0.7, 0.5, 0.35, 0.25, 0.18, 0.13)
    """Window sides as parts of the picture's side, when looking for known things."""
    plain_sizes: tuple[float, ...] = (0.85, 0.7, 0.5, 0.35, 0.25)
    """The same when nothing is known: whatever stands out."""
    shapes: tuple[float, ...] = (0.66, 1.0, 1.5)
    """Width to height."""
    contrast: float = 0.75
    """How much of its surroundings' similarity is taken off a window's own: a thing ends where its window ends."""
    windows: int = 16
    """Windows kept for each picture, beside the whole."""
    keys: int = 96
    """Of more than twice as many keys only so many, the most promising, guide the search."""
    stride: int = 7
    """Every so many windows are compared with all keys, to find those. Prime to the number of sizes and shapes."""
    overlap: float = 0.3
    """Windows that overlap a better one by more (intersection over union) are dropped."""


class DenseMapDetector:
    """Fills the `Detector` seam."""

    def __init__(self, encoder: DenseEncoder, rules: WindowRules | None = None) -> None:
        self._encoder = encoder
        self._rules = rules or WindowRules()

    def detect(self, pictures: Sequence[Image.Image], targets: Sequence[Target]) -> list[list[Region]]:
        """The whole picture and the windows nearest to any of the target's keys; `categories` are not used.

        Without keys: the windows that stand out most.
        """
        return [self._regions(picture, target.keys) for picture, target in zip(pictures, targets, strict=True)]

    def _regions(self, picture: Image.Image, wanted: Floats) -> list[Region]:
        dense = self._encoder.dense_map(picture, self._rules.side)
        sizes = self._rules.sizes if wanted.size else self._rules.plain_sizes
        cells = _windows(dense.shape[0], dense.shape[1], sizes, self._rules.shapes)
        scores = self._likeness(dense, cells, wanted) if wanted.size else self._interest(dense, cells)
        chosen = _suppress(cells, scores, self._rules.overlap, self._rules.windows)
        height, width = dense.shape[:2]
        found = [Region(box=_box(cells[i], width, height), score=float(scores[i])) for i in chosen]
        return [Region(box=WHOLE, whole=True, score=max((r.score for r in found), default=0.0)), *found]

    def _likeness(self, dense: Floats, cells: Cells, wanted: Floats) -> Floats:
        """float32[N]: similarity of each window to the key nearest to it, less that of what lies around it."""
        inside, around = _inside_and_around(dense, cells)
        contrast = unit(inside) - np.float32(self._rules.contrast) * unit(around)
        keys = wanted[:, : dense.shape[2]]
        if len(keys) > 2 * self._rules.keys:
            keys = keys[self._promising(contrast, keys)]
        likeness: Floats = (contrast @ keys.T).max(axis=1)
        return likeness

    def _promising(self, windows: Floats, keys: Floats) -> Cells:
        """int[K]: which keys come nearest to any of some windows, of every size and from everywhere.

        Neighbours overlap by two thirds, so a key that fits a window fits one of these nearly as well. Comparing
        every window with hundreds of keys would take as long as a tenth of the network.
        """
        best = (windows[:: self._rules.stride] @ keys.T).max(axis=0)
        promising: Cells = np.argpartition(-best, self._rules.keys)[: self._rules.keys]
        return promising

    def _interest(self, dense: Floats, cells: Cells) -> Floats:
        """float32[N]: how much each window looks like the subject of the photo.

        A subject differs from what lies around it, is some kind of thing, sits near the middle and is not tiny.
        """
        inside, around = _inside_and_around(dense, cells)
        standing_out = 1.0 - (unit(inside) * unit(around)).sum(axis=1)
        height, width = dense.shape[:2]
        middle = (cells[:, :2] + cells[:, 2:]) / (width, height) - 1.0
        centred = 1.0 - 0.5 * np.abs(middle).sum(axis=1)
        share = _areas(cells) / (width * height)
        interest: Floats = standing_out * self._encoder.clearness(inside) ** 0.5 * centred * share**0.25
        return interest


class WithoutKeys:
    """A detector for the keys of another encoder than its own: they tell it nothing, the categories do."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def detect(self, pictures: Sequence[Image.Image], targets: Sequence[Target]) -> list[list[Region]]:
        """See `Detector.detect`."""
        return self._detector.detect(pictures, [replace(target, keys=target.keys[:0]) for target in targets])


def load_detector(_spec: DetectorSpec, _runtime: Runtime, encoder: DenseEncoder) -> DenseMapDetector:
    """Fills `loading.DETECTORS`. Raises ConfigError for an encoder that has no dense map."""
    if not hasattr(encoder, "dense_map"):
        raise ConfigError("The detector dense-map works with the encoder efficientnet-lite2 only.")
    return DenseMapDetector(encoder)


@cache
def _windows(height: int, width: int, sizes: tuple[float, ...], shapes: tuple[float, ...]) -> Cells:
    """int[N, 4]: left, top, right, bottom of all windows, in cells; neighbours lie a third of a window apart."""
    found: set[tuple[int, int, int, int]] = set()
    for size in sizes:
        for shape in shapes:
            w = min(width, max(2, round(width * size * shape**0.5)))
            h = min(height, max(2, round(height * size / shape**0.5)))
            for top in _starts(height, h):
                for left in _starts(width, w):
                    found.add((left, top, left + w, top + h))
    return np.array(sorted(found - {(0, 0, width, height)}), np.intp)


def _starts(length: int, window: int) -> list[int]:
    step = max(1, round(window / 3))
    return sorted({*range(0, length - window + 1, step), length - window})


def _inside_and_around(dense: Floats, cells: Cells) -> tuple[Floats, Floats]:
    """float32[N, D] twice: mean feature of each window, and of the frame half a window wide around it."""
    height, width = dense.shape[:2]
    size = cells[:, 2:] - cells[:, :2]
    grown = np.maximum(1, (size + 1) // 2)
    frame = np.concatenate([cells[:, :2] - grown, cells[:, 2:] + grown], axis=1)
    frame = np.clip(frame, 0, (width, height, width, height))
    inside, outside = _means(dense, cells), _means(dense, frame)
    inner, outer = _areas(cells)[:, None], _areas(frame)[:, None]
    around = (outside * outer - inside * inner) / np.maximum(outer - inner, 1.0)
    return inside, np.maximum(around, 0.0, dtype=np.float32)


def _areas(cells: Cells) -> Floats:
    areas: Floats = ((cells[:, 2] - cells[:, 0]) * (cells[:, 3] - cells[:, 1])).astype(np.float32)
    return areas


def _means(dense: Floats, cells: Cells) -> Floats:
    """float32[N, D]: mean feature of each window, from the integral image of the map."""
    height, width, depth = dense.shape
    total = np.zeros((height + 1, width + 1, depth), np.float32)
    np.cumsum(np.cumsum(dense, axis=0), axis=1, out=total[1:, 1:])
    left, top, right, bottom = cells.T
    means: Floats = (total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]) / _areas(cells)[
        :, None
    ]
    return np.maximum(means, 0.0)


def _suppress(cells: Cells, scores: Floats, overlap: float, count: int) -> list[int]:
    """Positions of the best `count` windows of which no two overlap by more than `overlap`."""
    areas = _areas(cells)
    order = np.argsort(-scores, kind="stable")
    chosen: list[int] = []
    while order.size and len(chosen) < count:
        best, order = int(order[0]), order[1:]
        chosen.append(best)
        width = np.minimum(cells[order, 2], cells[best, 2]) - np.maximum(cells[order, 0], cells[best, 0])
        height = np.minimum(cells[order, 3], cells[best, 3]) - np.maximum(cells[order, 1], cells[best, 1])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        order = order[shared <= overlap * (areas[order] + areas[best] - shared)]
    return chosen


def _box(cells: Cells, width: int, height: int) -> Box:
    left, top, right, bottom = (int(v) for v in cells)
    return Box(left / width, top / height, right / width, bottom / height)
