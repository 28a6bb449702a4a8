"""Named sets of models with their thresholds. `pocket` runs anywhere; its weights all come as Python packages."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapbot.errors import ConfigError, RapbotError
from rapbot.inference.retrieval import RetrievalRules
from rapbot.inference.serving import WorkerStart
from rapbot.inference.specs import DetectorSpec, EncoderSpec, FormerEncoder, GeneratorSpec, Profile, Runtime

if TYPE_CHECKING:
    from rapbot.inference.pipeline import Former, RapPipeline
    from rapbot.inference.seams import Detector

POCKET = "pocket"

_YOLO = DetectorSpec("yolo-world", "yolov8x-worldv2.pt")
_DINO = DetectorSpec("grounding-dino", "IDEA-Research/grounding-dino-base", side=800, score=0.2)
_CLIP = EncoderSpec("open-clip", "ViT-L-14-336/openai")
_START = RetrievalRules(window_distance=0.80, whole_distance=0.80, counterexample_reach=0.80)
"""For encoders whose weights nobody could measure here: strict enough to name nobody wrongly. `rapbot calibrate` makes
the real ones."""


def _seeing(name: str, model: str, family: str, licence: str, detector: DetectorSpec = _YOLO) -> Profile:
    """A profile of the paper's kind. 4 bit, because it then fits the graphics card of a private person."""
    generator = GeneratorSpec("transformers", model, family, quantization="nf4")
    return Profile(name, detector, _CLIP, generator, _START, extra="gpu", licence=licence)


def _rap(profile: Profile) -> Profile:
    return replace(profile, generator=replace(profile.generator, rap_trained=True))


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            POCKET,
            DetectorSpec("dense-map"),
            EncoderSpec("efficientnet-lite2"),
            GeneratorSpec("smollm2"),
            calibrated=True,
            licence="Apache-2.0",
        ),
        _rap(_seeing("rap-llava-13b", "Hoar012/RAP-LLaVA-13b", "llava-1.5", "Llama 2 Community License")),
        _rap(_seeing("rap-phi3-v", "Hoar012/RAP-Phi3-mini", "llava-phi3", "MIT")),
        _seeing("rap-qwen-vl", "Qwen/Qwen2.5-VL-7B-Instruct", "qwen2.5-vl", "Apache-2.0", _DINO),
        _seeing("qwen3-vl", "Qwen/Qwen3-VL-4B-Instruct", "qwen3-vl", "Apache-2.0", _DINO),
        _seeing("llava-7b", "llava-hf/llava-1.5-7b-hf", "llava-1.5", "Llama 2 Community License"),
        _seeing("internvl", "OpenGVLab/InternVL3-2B-hf", "internvl", "Apache-2.0", _DINO),
        _seeing("gemma3", "google/gemma-3-4b-it", "gemma3", "Gemma Terms of Use", _DINO),
        replace(
            _seeing("smolvlm2", "HuggingFaceTB/SmolVLM2-500M-Video-Instruct", "smolvlm2", "Apache-2.0", _DINO),
            encoder=EncoderSpec("siglip", "google/siglip2-base-patch16-384"),
        ),
        Profile("server", _YOLO, _CLIP, GeneratorSpec("openai", family="openai"), _START, extra="gpu"),
    )
}


def find_profile(name: str) -> Profile:
    """Raises ConfigError with the names there are."""
    if name not in PROFILES:
        raise ConfigError(f"There is no profile {name}. Profiles: {', '.join(PROFILES)}.")
    return PROFILES[name]


def encoder_name(profile: str) -> str:
    """The encoder whose keys the store serves under `profile` as it is shipped."""
    return find_profile(profile).encoder.name


def calibration_file(folder: Path, encoder: str) -> Path:
    """Where `rapbot calibrate` writes the thresholds of an encoder."""
    return folder / (re.sub(r"[^a-z0-9.]+", "-", encoder.casefold()) + ".json")


def with_calibration(profile: Profile, folder: Path) -> Profile:
    """The profile with the measured thresholds of its encoder, where `rapbot calibrate` was run. Raises ConfigError."""
    path = calibration_file(folder, profile.encoder.name)
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        measured: dict[str, Any] = {key: float(value) for key, value in table["rules"].items()}
        rules = replace(profile.rules, **measured)
    except FileNotFoundError:
        return profile
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"The calibration {path} cannot be read; run rapbot calibrate again.") from error
    return replace(profile, rules=rules, calibrated=True)


def rules_of(encoder: EncoderSpec, folder: Path) -> RetrievalRules:
    """The thresholds of an encoder that is not the profile's own: measured, or those it is shipped with."""
    shipped = next((profile.rules for profile in PROFILES.values() if profile.encoder.name == encoder.name), _START)
    profile = replace(PROFILES[POCKET], encoder=encoder, rules=shipped)
    return with_calibration(profile, folder).rules


def load_pipeline(start: WorkerStart) -> RapPipeline:
    """All models of a profile, ready to answer. Runs in the worker process.

    Raises ConfigError, ExtraMissing, WeightsError.
    """
    from rapbot.inference import decoding
    from rapbot.inference.loading import load_detector, load_encoder, load_generator
    from rapbot.inference.meeting import FaceEyes
    from rapbot.inference.pipeline import Models, RapPipeline
    from rapbot.photos import PhotoLimits

    profile, runtime = start.profile, start.runtime
    encoder = load_encoder(profile.encoder, runtime)
    assert encoder.name == profile.encoder.name
    detector = load_detector(profile.detector, runtime, encoder)
    former, missing = None, ""
    if start.former is not None:
        try:
            former = _load_former(start.former, runtime, detector)
        except RapbotError as error:  # the program says so, and encodes the avatars again without it
            missing = error.sentence
    models = Models(
        detector=detector,
        encoder=encoder,
        generator=load_generator(profile.generator, runtime, start.weights_dir),
        rules=profile.rules,
        former=former,
        former_missing=missing,
        judge=profile.judge,
        faces=FaceEyes(start.weights_dir, profile.faces, runtime),
    )
    return RapPipeline(models, PhotoLimits(start.max_bytes, start.max_pixels), decoding.SECONDS)


def _load_former(former: FormerEncoder, runtime: Runtime, detector: Detector) -> Former:
    """The encoder that was configured before; one with a dense map sees with it as it did, others with `detector`."""
    from rapbot.inference.detectors import WithoutKeys
    from rapbot.inference.loading import load_detector, load_encoder
    from rapbot.inference.pipeline import Former

    encoder = load_encoder(former.encoder, runtime)
    dense = hasattr(encoder, "dense_map")
    own = load_detector(DetectorSpec("dense-map"), runtime, encoder) if dense else WithoutKeys(detector)
    return Former(own, encoder, former.rules)
