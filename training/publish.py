"""An adapter as it is shipped: fp16 matrices, peft's settings, the manifest and a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from rapbot import __version__
from rapbot.inference.lora import BASE_MODEL
from rapbot.inference.mllm.manifest import Manifest
from rapbot.inference.prompt import PROMPT_VERSIONS

PEFT_SETTINGS = (
    "peft_type",
    "r",
    "lora_alpha",
    "target_modules",
    "bias",
    "lora_dropout",
    "fan_in_fan_out",
    "use_rslora",
    "use_dora",
    "task_type",
    "base_model_name_or_path",
    "inference_mode",
)


def publish(
    adapter: Path, into: Path, layout: str, concepts: int, data_hash: str, metrics: Mapping[str, float], card: str
) -> Manifest:
    """Write the folder `into` from what peft wrote into `adapter`. `card` is the text of its README.md."""
    import torch
    from safetensors.torch import load_file, save_file

    into.mkdir(parents=True, exist_ok=True)
    halves = {
        name: weight.to(torch.float16).contiguous()
        for name, weight in load_file(adapter / "adapter_model.safetensors").items()
    }
    save_file(halves, into / "adapter_model.safetensors", metadata={"format": "pt"})
    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    kept = {name: settings[name] for name in PEFT_SETTINGS if name in settings}
    kept |= {"base_model_name_or_path": BASE_MODEL, "target_modules": sorted(kept["target_modules"])}
    (into / "adapter_config.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    manifest = Manifest(
        base_model=BASE_MODEL,
        prompt_version=PROMPT_VERSIONS[layout],
        layout=layout,
        concepts_in_prompt=concepts,
        data_hash=data_hash,
        metrics={name: round(value, 4) for name, value in sorted(metrics.items())},
        licence="Apache-2.0",
        made_by=f"rapbot-train {__version__}",
    )
    manifest.write(into)
    (into / "README.md").write_text(card, encoding="utf-8")
    return manifest
