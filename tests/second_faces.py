"""A second real face model that needs no extra: dlib's, with keys of half the length and rules of its own.

`faces = "python:tests.second_faces:load_faces"`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from rapbot.inference import faces as first
from rapbot.inference.face_matching import FaceRules
from rapbot.inference.faces import Face, FaceEngine
from rapbot.inference.specs import FaceSpec, Runtime


class SecondFaces:
    """Fills the `FaceFinder` seam."""

    dimension = 1025
    rules = FaceRules(limit=0.12)

    def __init__(self, engine: FaceEngine) -> None:
        self._engine = engine

    def find(self, picture: Image.Image, known: npt.NDArray[np.float32] | None = None) -> tuple[Face, ...]:
        assert known is None or known.shape[1] == self.dimension
        return tuple(map(_shorter, self._engine.find(picture)))

    def find_avatar(self, picture: Image.Image) -> tuple[Face, ...]:
        return tuple(map(_shorter, self._engine.find_avatar(picture)))


def load_faces(_spec: FaceSpec, runtime: Runtime, weights_dir: Path) -> SecondFaces:
    return SecondFaces(first.load_faces(FaceSpec(), runtime, weights_dir))


def _shorter(face: Face) -> Face:
    pooled = face.key[:-1].reshape(-1, 2).sum(axis=1)
    return replace(face, key=np.append(pooled / np.linalg.norm(pooled), face.spread).astype(np.float32))
