"""What answers: the models, the process that runs them, the cluster in its place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from rapbot.config.section import Section, given_once, read_given

ProfileName = Literal[
    "pocket",
    "rap-llava-13b",
    "rap-phi3-v",
    "rap-qwen-vl",
    "qwen3-vl",
    "llava-7b",
    "internvl",
    "gemma3",
    "smolvlm2",
    "server",
]
"""Of `inference.profiles.PROFILES`; named here as well so that a typing error is told at once."""


class ModelSettings(Section):
    """Changes to the profile: other models, where they lie, how they are loaded."""

    models_dir: Path | None = None
    """Folder of models kept by hand: `<models_dir>/<model>` wins over the hub."""
    offline: bool = False
    device: str = "auto"
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    detector: str | None = None
    """"kind:model", as every model here."""
    encoder: str | None = None
    generator: str | None = None
    faces: str | None = None
    family: str | None = None
    quantization: Literal["none", "nf4", "int8"] | None = None
    attention: Literal["auto", "sdpa", "flash_attention_2", "eager"] = "auto"
    rap_trained: bool | None = None
    concepts_in_prompt: int | None = Field(None, ge=1, le=16)
    image_tokens: int | None = Field(None, ge=16)
    batch: int | None = Field(None, ge=1, le=256)
    adapters: dict[str, str] = Field(default_factory=dict)
    """LoRAs side by side: name = folder or hub id."""
    adapter: str = ""
    """Which of them answers."""
    judge: bool | None = None
    window_distance: float | None = Field(None, gt=0, lt=2)
    url: str = ""
    api_key: SecretStr | None = None
    api_key_file: Path | None = None
    timeout_s: float = Field(60.0, gt=0)

    _one_key = given_once("api_key")

    def secret(self) -> str:
        """The API key itself; it is never logged. Raises ConfigError when its file cannot be read."""
        return read_given(self.api_key, self.api_key_file, "API key file")

    @model_validator(mode="after")
    def _known_adapter(self) -> ModelSettings:
        if self.adapter and self.adapter not in self.adapters:
            raise ValueError(f"{self.adapter} is none of the adapters: {', '.join(self.adapters) or 'there is none'}")
        return self


class WorkerSettings(Section):
    """The process that runs the models, and the queue before it."""

    threads: int = Field(default_factory=lambda: min(4, os.cpu_count() or 1), ge=1)
    batch_size: int = Field(4, ge=1, le=64)
    batch_wait_ms: int = Field(5, ge=0, le=1000)
    deadline_s: float = Field(60.0, gt=0)
    start_deadline_s: float = Field(180.0, gt=0)
    queue_size: int = Field(200, ge=1)
    queue_per_person: int = Field(20, ge=1)
    queue_per_chat: int = Field(60, ge=1)
    backoff_first_s: float = Field(0.2, ge=0)
    backoff_max_s: float = Field(30.0, ge=0)


class ClusterSettings(Section):
    """Ray Serve in the place of the worker process: off until there is an address."""

    address: str = Field("", pattern=r"^(?:[^\s:/]+:\d{1,5})?$")
    """HOST:PORT of the cluster's head."""
    token_file: Path | None = None
    """The secret of the cluster; the default lies in data_dir, made by `rapbot cluster up`."""
    replicas_min: int = Field(1, ge=1, le=256)
    replicas_max: int = Field(1, ge=1, le=256)
    num_cpus: float = Field(1.0, ge=0)
    """Of each replica; for placing it, no bound on what it uses."""
    num_gpus: float = Field(0.0, ge=0)
    max_batch: int | None = Field(None, ge=1, le=256)
    """Jobs of one batch in a replica; None: `worker.batch_size`."""
    batch_wait_ms: int = Field(0, ge=0, le=1000)
    """How long a replica waits for batches of other bots; ours has waited in the queue."""
    upscale_after_s: float = Field(10.0, ge=0)
    downscale_after_s: float = Field(600.0, ge=0)
    drain_s: float = Field(60.0, ge=0)
    """What a replica that shall go gets to finish its work."""
    health_period_s: float = Field(5.0, gt=0)
    health_timeout_s: float = Field(30.0, gt=0)
    dashboard: bool = False

    @property
    def enabled(self) -> bool:
        return bool(self.address)

    @model_validator(mode="after")
    def _grows(self) -> ClusterSettings:
        if self.replicas_max < self.replicas_min:
            raise ValueError("replicas_max must not be less than replicas_min")
        return self
