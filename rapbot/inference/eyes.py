"""The vision part of the pipeline: photo -> regions -> keys -> who is where."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from PIL import Image

from rapbot.inference.job import Region, Scene, VisibleConcepts
from rapbot.inference.retrieval import AvatarKeys, RetrievalRules, retrieve
from rapbot.inference.seams import Detector, Encoder, Target
from rapbot.messages import Box

Floats = npt.NDArray[np.float32]


@runtime_checkable
class GuidedDetector(Protocol):
    """A detector that can be told what it should look for."""

    def detect_near(self, pictures: Sequence[Image.Image], keys: Sequence[Floats]) -> list[list[Region]]: ...


@dataclass(frozen=True, slots=True)
class Look:
    """What the eyes saw in one photo, and the seconds each stage took (detect, encode, retrieve)."""

    scene: Scene
    timings: dict[str, float]


class Eyes:
    """Detector, encoder and rules put together."""

    def __init__(self, detector: Detector, encoder: Encoder, rules: RetrievalRules | None = None) -> None:
        self._detector = detector
        self._encoder = encoder
        self._rules = rules or RetrievalRules()

    def look(self, picture: Image.Image, concepts: VisibleConcepts, mentioned: Sequence[int] = ()) -> Look:
        """What an upright RGB picture shows, and which of `concepts` are in it."""
        started = time.perf_counter()
        regions = self._regions(picture, concepts)
        detected = time.perf_counter()
        views = self._encoder.encode([cut(picture, region.box) for region in regions])
        regions = [replace(region, tags=tags) for region, tags in zip(regions, views.tags, strict=True)]
        encoded = time.perf_counter()
        sightings, candidates = retrieve(views.keys, regions, concepts, mentioned, self._rules)
        scene = Scene(picture.width, picture.height, tuple(regions), sightings, candidates)
        return Look(
            scene,
            {"detect": detected - started, "encode": encoded - detected, "retrieve": time.perf_counter() - encoded},
        )

    def _regions(self, picture: Image.Image, concepts: VisibleConcepts) -> list[Region]:
        wanted = AvatarKeys.read(concepts).positive
        if isinstance(self._detector, GuidedDetector) and wanted.size:
            return self._detector.detect_near([picture], [wanted])[0]
        categories = tuple(sorted({card.category for card in concepts.cards}))
        return self._detector.detect([picture], [Target(categories, wanted)])[0]


def cut(picture: Image.Image, box: Box) -> Image.Image:
    """The part of the picture inside `box`."""
    return picture.crop(box.pixels(picture.width, picture.height))
