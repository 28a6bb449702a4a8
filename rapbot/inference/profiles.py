"""Named sets of models with their thresholds. `pocket` runs anywhere; its weights all come as Python packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rapbot.errors import ConfigError
from rapbot.inference.serving import WorkerStart

if TYPE_CHECKING:
    from rapbot.inference.pipeline import RapPipeline

POCKET = "pocket"
_ENCODERS = {POCKET: "efficientnet-lite2/1"}
"""Known without loading anything, because the store needs it before the worker has started."""


def encoder_name(profile: str) -> str:
    """The encoder whose keys the store serves under `profile`."""
    if profile not in _ENCODERS:
        raise ConfigError(f"There is no profile {profile}. Profiles: {', '.join(_ENCODERS)}.")
    return _ENCODERS[profile]


def load_pipeline(start: WorkerStart) -> RapPipeline:
    """All models of a profile, ready to answer. Runs in the worker process. Raises WeightsError."""
    from rapbot.inference.detectors import DenseMapDetector
    from rapbot.inference.encoders import EfficientNetEncoder
    from rapbot.inference.generators import TextGenerator
    from rapbot.inference.meeting import FaceEyes
    from rapbot.inference.pipeline import Models, RapPipeline
    from rapbot.inference.retrieval import RetrievalRules
    from rapbot.inference.weights import LANGUAGE, ensure
    from rapbot.photos import PhotoLimits

    encoder = EfficientNetEncoder.load(start.threads)
    assert encoder.name == encoder_name(start.profile)
    models = Models(
        detector=DenseMapDetector(encoder),
        encoder=encoder,
        generator=TextGenerator.load(ensure(LANGUAGE, start.weights_dir), start.threads, start.lora),
        rules=RetrievalRules(),
        layout="pocket",
        concepts_in_prompt=3,
        faces=FaceEyes(start.weights_dir),
    )
    return RapPipeline(models, PhotoLimits(start.max_bytes, start.max_pixels))
