"""From specs to models: each kind of model is one module, imported only when a profile names it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapbot.errors import ConfigError, ExtraMissing
from rapbot.inference.specs import DetectorSpec, EncoderSpec, FaceSpec, GeneratorSpec, Runtime

if TYPE_CHECKING:
    from rapbot.inference.seams import Detector, Encoder, FaceFinder, Generator

DETECTORS = {
    "dense-map": "rapbot.inference.detectors:load_detector",
    "yolo-world": "rapbot.inference.detecting.yolo_world:load_detector",
    "grounding-dino": "rapbot.inference.detecting.open_vocabulary:load_detector",
    "owlv2": "rapbot.inference.detecting.open_vocabulary:load_detector",
}
"""Each is a function (DetectorSpec, Runtime, Encoder) -> Detector."""
ENCODERS = {
    "efficientnet-lite2": "rapbot.inference.encoders:load_encoder",
    "open-clip": "rapbot.inference.encoding.open_clip:load_encoder",
    "dinov2": "rapbot.inference.encoding.vision_transformers:load_encoder",
    "siglip": "rapbot.inference.encoding.vision_transformers:load_encoder",
    "python": "rapbot.inference.own_encoder:load_encoder",
}
"""Each is a function (EncoderSpec, Runtime) -> Encoder."""
GENERATORS = {
    "smollm2": "rapbot.inference.generators:load_generator",
    "transformers": "rapbot.inference.mllm.generator:load_generator",
    "openai": "rapbot.inference.mllm.openai_server:load_generator",
}
"""Each is a function (GeneratorSpec, Runtime, weights folder) -> Generator."""
FACE_MODELS = {
    "dlib": "rapbot.inference.faces:load_faces",
    "python": "rapbot.inference.own_encoder:load_faces",
}
"""Each is a function (FaceSpec, Runtime, weights folder) -> FaceFinder."""


def load_detector(spec: DetectorSpec, runtime: Runtime, encoder: Encoder) -> Detector:
    """Raises ConfigError, ExtraMissing, WeightsError."""
    detector: Detector = _loader(DETECTORS, spec.kind, "detector")(spec, runtime, encoder)
    return detector


def load_encoder(spec: EncoderSpec, runtime: Runtime) -> Encoder:
    """Raises ConfigError, ExtraMissing, WeightsError."""
    encoder: Encoder = _loader(ENCODERS, spec.kind, "encoder")(spec, runtime)
    return encoder


def load_generator(spec: GeneratorSpec, runtime: Runtime, weights_dir: Path) -> Generator:
    """Raises ConfigError, ExtraMissing, WeightsError."""
    generator: Generator = _loader(GENERATORS, spec.kind, "generator")(spec, runtime, weights_dir)
    return generator


def load_faces(spec: FaceSpec, runtime: Runtime, weights_dir: Path) -> FaceFinder:
    """Raises ConfigError, WeightsError."""
    faces: FaceFinder = _loader(FACE_MODELS, spec.kind, "face model")(spec, runtime, weights_dir)
    return faces


@contextmanager
def needs(what: str, extra: str = "gpu") -> Iterator[None]:
    """Around the imports of an optional library. Raises ExtraMissing instead of ImportError."""
    try:
        yield
    except ImportError as error:
        raise ExtraMissing(what, extra, error.name or str(error)) from error


def _loader(kinds: Mapping[str, str], kind: str, what: str) -> Any:
    if kind not in kinds:
        raise ConfigError(f"There is no {what} of the kind {kind}. Kinds: {', '.join(kinds)}.")
    module, name = kinds[kind].split(":")
    return getattr(importlib.import_module(module), name)
