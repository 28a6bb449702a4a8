"""What a server serves: its model, its LoRAs, and whether it takes pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rapbot.errors import ConfigError
from rapbot.inference.specs import AdapterSpec, GeneratorSpec

_TEXT = "text"
"""The family of models without eyes."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a server was found to serve."""

    model: str
    sees: bool = True
    loras: Mapping[str, str] = field(default_factory=dict)
    """Served name by the name that a prompt uses; the first one answers unless a prompt names another."""


def find_served(spec: GeneratorSpec, models: Sequence[Mapping[str, Any]] | None, server: str) -> Served:
    """The model and LoRAs of `spec` among those that the server lists. Raises ConfigError with the names there are."""
    if models is None:
        if not spec.model:
            raise ConfigError(f"{server} does not list its models (does the address end with /v1?): name one.")
        return Served(spec.model, spec.family != _TEXT, {lora.name: lora.source or lora.name for lora in spec.adapters})
    by_name = {str(model["id"]): model for model in models}
    there = ", ".join(by_name) or "none"
    bases = [name for name, model in by_name.items() if not model.get("parent")]
    if not spec.model and len(bases) != 1:
        raise ConfigError(f"{server} serves several models: name one of {there}.")
    name = spec.model or bases[0]
    if name not in by_name:
        raise ConfigError(f"{server} serves no model {name}. It serves: {there}.")
    loras = {lora.name: _served_name(lora, by_name, server, there) for lora in spec.adapters}
    return Served(name, spec.family != _TEXT and _takes_pictures(by_name[name]), loras)


def _served_name(lora: AdapterSpec, served: Mapping[str, Any], server: str, there: str) -> str:
    """By its source, else by the name that prompts use."""
    name = next((name for name in (lora.source, lora.name) if name in served), None)
    if name is None:
        raise ConfigError(f"{server} serves no LoRA {lora.source or lora.name}. It serves: {there}.")
    return name


def _takes_pictures(model: Mapping[str, Any]) -> bool:
    """Unless the server says otherwise: llama.cpp, Mistral's service and OpenRouter tell, vLLM does not."""
    told = model.get("capabilities")
    if isinstance(told, list):
        return "multimodal" in told or "vision" in told
    if isinstance(told, dict) and isinstance(told.get("vision"), bool):
        return bool(told["vision"])
    architecture = model.get("architecture")
    kinds = architecture.get("input_modalities") if isinstance(architecture, dict) else None
    return "image" in kinds if isinstance(kinds, list) else True
