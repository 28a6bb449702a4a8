"""The real worker and the real pipeline with models that weigh nothing, for tests that start them hundreds of times.

Keys are colours. Some pictures are trouble: see `TROUBLE`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from rapbot.inference import profiles, serving
from rapbot.inference.job import Region
from rapbot.inference.meeting import FaceEyes
from rapbot.inference.pipeline import Models, RapPipeline
from rapbot.inference.seams import Target, Views
from rapbot.inference.serving import Channel, WorkerStart
from rapbot.messages import WHOLE
from rapbot.photos import PhotoLimits
from tests.scripted import Scripted

TROUBLE = {"memory": (255, 0, 255), "death": (0, 255, 0), "hang": (0, 0, 255), "slow": (0, 255, 255)}
"""Colours of pictures that need more memory than there is, end the process, never get done, or take a while."""
SLOW_S = 1.5


def initialise(start: WorkerStart, progress: Channel) -> None:
    """In the place of `serving.initialise`: the same with these models."""
    profiles.load_pipeline = load_pipeline
    serving.initialise(start, progress)


def attach(start: WorkerStart, progress: Channel) -> None:
    """In the place of `serving.attach`, in a replica of a cluster."""
    profiles.load_pipeline = load_pipeline
    serving.attach(start, progress)


def load_pipeline(start: WorkerStart) -> RapPipeline:
    generator = Scripted()
    generator.adapted = False  # it only chooses
    models = Models(
        detector=_WholePicture(),
        encoder=_Colours(start.profile.encoder.name),
        generator=generator,
        rules=start.profile.rules,
        faces=FaceEyes(start.weights_dir, start.profile.faces, start.runtime),
    )
    return RapPipeline(models, PhotoLimits(start.max_bytes, start.max_pixels))


class _WholePicture:
    def detect(self, pictures: Sequence[Image.Image], targets: Sequence[Target]) -> list[list[Region]]:
        return [[Region(WHOLE, whole=True)] for _picture in pictures]


class _Colours:
    dimension = 4

    def __init__(self, name: str) -> None:
        self.name = name

    def encode(self, crops: Sequence[Image.Image]) -> Views:
        keys = np.array([self.encode_avatar(crop) for crop in crops], np.float32)
        return Views(keys.reshape(len(crops), self.dimension), ((),) * len(crops))

    def encode_avatar(self, picture: Image.Image) -> npt.NDArray[np.float32]:
        red, green, blue = np.asarray(picture.convert("RGB"), np.float32).reshape(-1, 3).mean(axis=0)
        for name, colour in TROUBLE.items():
            if max(abs(a - b) for a, b in zip((red, green, blue), colour, strict=True)) < 8:
                _make_trouble(name)
        key = np.array([red, green, blue, 1.0], np.float32)
        return np.asarray(key / np.linalg.norm(key), np.float32)


def _make_trouble(name: str) -> None:
    if name == "memory":
        np.empty(1 << 60, np.uint8)  # MemoryError
    if name == "death":
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out
    time.sleep(SLOW_S if name == "slow" else 3600)
