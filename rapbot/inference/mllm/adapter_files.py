"""Read a LoRA folder as peft writes it, and hold it against the model before anything is changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapbot.errors import WeightsError
from rapbot.inference.mllm.manifest import MANIFEST, Manifest, check_manifest, other_base, read_manifest, same_model

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PICKLED = "adapter_model.bin"
_PREFIX = "base_model.model."
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_LORA = re.compile(r"(?P<path>.+)\.(?P<part>lora_A|lora_B|lora_magnitude_vector)(\.weight)?")
_OLD_NAMES = (
    # transformers before 4.52 kept the language model one level deeper, and the towers one level higher.
    (re.compile(r"^language_model\.model\."), "model.language_model."),
    (re.compile(r"^language_model\.lm_head"), "lm_head"),
    (re.compile(r"^(vision_tower|visual|vision_model|multi_modal_projector|connector|language_model)\."), r"model.\1."),
    (re.compile(r"^model\.(layers|norm|embed_tokens)\b"), r"model.language_model.\1"),
)


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """A LoRA that fits its model."""

    folder: Path
    config: Any
    """peft's LoraConfig; `target_modules` are the exact names of the modules that have weights."""
    tensors: dict[str, Tensor]
    """By peft's names, with the names of modules that today's model has."""
    manifest: Manifest | None
    stamp: tuple[tuple[str, int, int], ...]


def stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """(name, bytes, time in ns) of the files: the same for as long as nobody writes the adapter anew."""
    files = [folder / name for name in (CONFIG, WEIGHTS, PICKLED, MANIFEST)]
    return tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file())


def read_adapter(folder: Path, name: str, model: Any, base_model: str) -> AdapterFiles:
    """Read the adapter in `folder` for `model`, whose name is `base_model`.

    Refused (WeightsError): another base by its manifest, by adapter_config.json where both names are hub ids (training
    scripts often leave the path of their own machine there), or by the shapes of its matrices; other prompts; another
    method than LoRA; damaged files.
    """
    from peft import LoraConfig, PeftConfig

    manifest = read_manifest(folder)
    if manifest is not None:
        check_manifest(manifest, name, base_model)
    before = stamp(folder)
    try:
        config = PeftConfig.from_pretrained(str(folder))
        tensors = _tensors(folder)
    except Exception as error:  # of peft, json, safetensors, pickle: each raises its own
        raise WeightsError(
            f"The adapter {name} cannot be read: {folder} does not hold a whole {CONFIG} and {WEIGHTS}."
        ) from error
    if not isinstance(config, LoraConfig):
        raise WeightsError(f"The adapter {name} is of the kind {config.peft_type}; rapbot reads LoRA.")
    trained_for = config.base_model_name_or_path or ""
    hub_ids = _HUB_ID.fullmatch(trained_for) and _HUB_ID.fullmatch(base_model)
    if manifest is None and hub_ids and not same_model(trained_for, base_model):
        raise other_base(name, trained_for, base_model)
    tensors = _renamed(tensors, model)
    for wrong in _misfits(tensors, model):
        trained_for = (manifest.base_model if manifest else trained_for) or "another model"
        raise WeightsError(f"The adapter {name} was trained for {trained_for}, not for {base_model}: {wrong}.")
    config.target_modules = sorted({match["path"] for key in tensors if (match := _lora(key))})
    config.inference_mode = True
    return AdapterFiles(folder, config, tensors, manifest, before)


def _tensors(folder: Path) -> dict[str, Tensor]:
    import torch
    from safetensors.torch import load_file

    if (folder / WEIGHTS).is_file():
        return load_file(folder / WEIGHTS)
    tensors: dict[str, Tensor] = torch.load(folder / PICKLED, map_location="cpu", weights_only=True)
    return tensors


def _renamed(tensors: dict[str, Tensor], model: Any) -> dict[str, Tensor]:
    """With the names of modules in today's transformers; names that nothing matches stay."""
    known = _modules(model)

    def today(key: str) -> str:
        path = key.removeprefix(_PREFIX)
        for old, new in ((re.compile("^"), ""), *_OLD_NAMES):
            other = old.sub(new, path, count=1)
            match = _LORA.fullmatch(other)
            if (match["path"] if match else other.rpartition(".")[0]) in known:
                return _PREFIX + other
        return key

    return {today(key): tensor for key, tensor in tensors.items()}


def _misfits(tensors: dict[str, Tensor], model: Any) -> Iterator[str]:
    """What is wrong, in words: first of all modules that are not there, or have another shape."""
    modules = _modules(model)
    if not any(_lora(key) for key in tensors):
        yield "it holds no LoRA matrices"
    for key, tensor in tensors.items():
        match = _lora(key)
        path = match["path"] if match else key.removeprefix(_PREFIX).rpartition(".")[0]
        module = modules.get(path)
        if module is None:
            yield f"there is no {path}"
        elif match and match["part"] == "lora_A" and tensor.shape[1] != getattr(module, "in_features", None):
            yield f"{path} takes {getattr(module, 'in_features', 'no')} features, not {tensor.shape[1]}"
        elif match and match["part"] == "lora_B" and tensor.shape[0] != getattr(module, "out_features", None):
            yield f"{path} gives {getattr(module, 'out_features', 'no')} features, not {tensor.shape[0]}"


def _modules(model: Any) -> dict[str, Any]:
    """By the names that they have without the wrappers of the adapters that are already there."""
    return {
        name.replace(".original_module", "").replace(".base_layer", ""): module
        for name, module in model.named_modules()
    }


def _lora(key: str) -> re.Match[str] | None:
    return _LORA.fullmatch(key.removeprefix(_PREFIX))
