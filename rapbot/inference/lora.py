"""Read a LoRA adapter folder (as peft writes it) and add it to the weights at load.

W' = W + scale * B A (Hu et al. 2021, section 4). Done here in a few lines because importing peft takes six seconds on
two slow cores; tests/test_generator.py holds the result against peft's own merge.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapbot.errors import WeightsError
from rapbot.inference.mllm.manifest import check_manifest, read_manifest
from rapbot.inference.prompt import POCKET, POCKET_LORA

if TYPE_CHECKING:
    from torch import Tensor

BASE_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""The model of profile pocket, as manifests name it (weight_files.py says where its file comes from)."""
_PREFIX = "base_model.model."
_UNREAD = ("use_dora", "fan_in_fan_out", "lora_bias", "rank_pattern", "alpha_pattern", "modules_to_save")
"""Settings of peft that would change the sum; an adapter that uses one is refused instead of read wrongly."""


def merge_lora(weights: dict[str, Tensor], folder: Path) -> str:
    """Add the adapter in `folder` to `weights` in place; returns the prompt layout that it was trained on.

    Raises WeightsError when the folder is no LoRA adapter, uses an unread setting or does not fit the model, or when
    its manifest names another model or other prompts. One without a manifest is taken as made for these.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    manifest = read_manifest(folder)
    layout = POCKET if manifest is None else manifest.layout
    if manifest is not None:
        check_manifest(manifest, folder.name, BASE_MODEL)
        if layout not in (POCKET, POCKET_LORA):
            raise WeightsError(f"The adapter {folder.name} was trained on the layout {layout}, not on {POCKET_LORA}.")
    try:
        settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        adapter = load_file(folder / "adapter_model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise WeightsError(f"{folder} does not hold a LoRA adapter (adapter_config.json and its weights).") from error
    scale = scale_of(settings, folder)
    downs = {name: tensor for name, tensor in adapter.items() if name.endswith(".lora_A.weight")}
    if not downs or len(adapter) != 2 * len(downs):
        raise WeightsError(f"The adapter in {folder} holds something other than LoRA matrices.")
    for name, down in downs.items():
        target = name.removeprefix(_PREFIX).replace(".lora_A.weight", ".weight")
        up = adapter.get(name.replace(".lora_A.", ".lora_B."))
        base = weights.get(target)
        if up is None or base is None or base.shape != (up.shape[0], down.shape[1]):
            raise WeightsError(f"The adapter in {folder} was trained for another model ({target} does not fit).")
        weights[target] = base.float() + scale * (up.float() @ down.float())
    return layout


def scale_of(settings: dict[str, Any], folder: Path) -> float:
    """What B A is multiplied with, by adapter_config.json. Raises WeightsError for anything but plain LoRA."""
    if settings.get("peft_type") != "LORA" or any(settings.get(name) for name in _UNREAD):
        raise WeightsError(f"The adapter in {folder} is of a kind that rapbot does not read; use plain LoRA.")
    rank = settings["r"]
    return float(settings["lora_alpha"]) / (math.sqrt(rank) if settings.get("use_rslora") else rank)
