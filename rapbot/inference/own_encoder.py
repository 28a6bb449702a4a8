"""Models of one's own, named in the configuration: `encoder = "python:package.module:function"`, `faces = ...` alike.

The function takes (EncoderSpec, Runtime) and returns what fills the `Encoder` seam; its keys are stored under the
spec's name, so another function is another encoder. `rapbot calibrate` measures its thresholds. A function for faces
takes (FaceSpec, Runtime, folder of weights) and returns a `FaceFinder`.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapbot.errors import ConfigError
from rapbot.inference.specs import EncoderSpec, FaceSpec, Runtime

if TYPE_CHECKING:
    from rapbot.inference.seams import Encoder, FaceFinder


def load_encoder(spec: EncoderSpec, runtime: Runtime) -> Encoder:
    """Fills `loading.ENCODERS`. Raises ConfigError when there is no such function."""
    encoder: Encoder = _function(spec.model, "encoder")(spec, runtime)
    return encoder


def load_faces(spec: FaceSpec, runtime: Runtime, weights_dir: Path) -> FaceFinder:
    """Fills `loading.FACE_MODELS`. Raises ConfigError when there is no such function."""
    faces: FaceFinder = _function(spec.model, "face model")(spec, runtime, weights_dir)
    return faces


def _function(name: str, what: str) -> Any:
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"The {what} python:{name} cannot be loaded: {error}.") from error
