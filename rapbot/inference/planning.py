"""From the settings to the models that run: a profile with the person's changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rapbot.config import ModelSettings, Settings
from rapbot.errors import ConfigError
from rapbot.inference.loading import DETECTORS, ENCODERS, FACE_MODELS, GENERATORS
from rapbot.inference.profiles import find_profile, rules_of, with_calibration
from rapbot.inference.serving import WorkerStart
from rapbot.inference.specs import AdapterSpec, DetectorSpec, EncoderSpec, FaceSpec, GeneratorSpec, Profile, Runtime
from rapbot.logs import hide


def plan(settings: Settings) -> Profile:
    """The profile of the settings with everything in their section [models]. Raises ConfigError."""
    chosen, profile = settings.models, find_profile(settings.profile)
    measured = settings.data_dir.expanduser() / "calibration"
    if chosen.detector is not None:
        kind, model = _named(chosen.detector, "models.detector", tuple(DETECTORS))
        profile = replace(profile, detector=DetectorSpec(kind, model))
    if chosen.encoder is not None:
        kind, model = _named(chosen.encoder, "models.encoder", tuple(ENCODERS))
        other = EncoderSpec(kind, model)
        if other != profile.encoder:  # its distances mean something else
            profile = replace(profile, encoder=other, calibrated=False, rules=rules_of(other, measured))
    if chosen.faces is not None:
        profile = replace(profile, faces=FaceSpec(*_named(chosen.faces, "models.faces", tuple(FACE_MODELS))))
    profile = replace(profile, generator=_generator(profile.generator, chosen, settings))
    profile = with_calibration(profile, measured)
    if chosen.window_distance is not None:
        far = chosen.window_distance
        rules = replace(profile.rules, window_distance=far, whole_distance=far, counterexample_reach=far)
        profile = replace(profile, rules=rules)
    return replace(profile, judge=profile.judge if chosen.judge is None else chosen.judge)


def runtime(settings: Settings) -> Runtime:
    chosen = settings.models
    return Runtime(
        threads=settings.worker.threads,
        device=chosen.device,
        dtype=chosen.dtype,
        models_dir=chosen.models_dir.expanduser() if chosen.models_dir else None,
        offline=chosen.offline,
    )


def worker_start(settings: Settings) -> WorkerStart:
    """All that a worker process must know. Raises ConfigError."""
    hide(settings.models.secret())
    return WorkerStart(
        profile=plan(settings),
        runtime=runtime(settings),
        weights_dir=settings.weights_dir.expanduser(),
        max_bytes=int(settings.limits.photo_megabytes * 1_000_000),
        max_pixels=int(settings.limits.photo_megapixels * 1_000_000),
        log_level=settings.log_level,
        log_format=settings.log_format,
    )


def adapters(settings: Settings) -> tuple[AdapterSpec, ...]:
    """The LoRAs of the settings, the one that answers first; `lora` is the short way to name a single one."""
    named = {name: AdapterSpec(name, source) for name, source in settings.models.adapters.items()}
    if settings.lora is not None:
        if settings.models.adapter:
            raise ConfigError("Give lora or models.adapter, not both.")
        return (AdapterSpec("default", str(settings.lora)), *named.values())
    first = settings.models.adapter
    return tuple(sorted(named.values(), key=lambda adapter: adapter.name != first))


def _generator(spec: GeneratorSpec, chosen: ModelSettings, settings: Settings) -> GeneratorSpec:
    if chosen.generator is not None:
        kind, model = _named(chosen.generator, "models.generator", tuple(GENERATORS))
        quantization = spec.quantization if kind == spec.kind else "none"
        spec = GeneratorSpec(kind, model, quantization=quantization)
    changed: dict[str, Any] = {
        "family": chosen.family,
        "quantization": chosen.quantization,
        "rap_trained": chosen.rap_trained,
        "concepts_in_prompt": chosen.concepts_in_prompt,
        "image_tokens": chosen.image_tokens,
        "batch": chosen.batch,
    }
    spec = replace(spec, **{name: value for name, value in changed.items() if value is not None})
    return replace(
        spec,
        adapters=adapters(settings),
        attention=chosen.attention,
        url=chosen.url,
        key=chosen.secret(),
        # Before the worker itself is given up: the server's silence is told by its own sentence.
        timeout=min(chosen.timeout_s, 0.8 * settings.worker.deadline_s),
    )


def _named(written: str, option: str, kinds: tuple[str, ...]) -> tuple[str, str]:
    """ "kind:model" in its two parts."""
    kind, _, model = written.partition(":")
    if kind not in kinds:
        raise ConfigError(f"The option {option} is written kind:model; {kind!r} is none of {', '.join(kinds)}.")
    return kind, model
