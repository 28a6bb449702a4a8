"""An adapter for a model that sees, as it is shipped: matrices, peft's settings, the manifest and a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from rapbot import __version__
from rapbot.inference.mllm.manifest import Manifest
from rapbot.inference.prompt import PROMPT_VERSIONS, RAP
from training.publish import PEFT_SETTINGS
from training.rap.recipe import Recipe
from training.rap.train import Trained

_CARD = """---
base_model: {base}
library_name: peft
tags: [rap, personalization, lora]
---
# A RAP adapter for {base}

Made by `rapbot-train rap` (rapbot {version}) on samples in the RAP format; data {data}.
Prompt layout `{layout}`, version `{prompt}`, at most {concepts} concepts in a prompt.
Method: Retrieval-Augmented Personalization for Multimodal Large Language Models (CVPR 2025).
LoRA rank {rank}, alpha {alpha}, dropout {dropout}, rate {rate}, batch {batch}, {steps} steps; last loss {loss:.4f}.

Use it: `lora = "this folder"` in rapbot's config.toml, with a profile whose model is {base}.
It is bound to the licence of its base model. What it gains was not measured by the training itself: see `rapbot eval`.
"""


def publish(
    trained: Trained, into: Path, base: str, recipe: Recipe, licence: str, metrics: Mapping[str, float] | None = None
) -> Manifest:
    """Write the folder `into`. `base`: hub id, or folder, of the model; for another the adapter is refused."""
    import torch
    from safetensors.torch import load_file, save_file

    into.mkdir(parents=True, exist_ok=True)
    # A LoRA is served in 16 bits anyway; bfloat16 as it was computed, and it cannot overflow.
    halves = {
        name: weight.to(torch.bfloat16).contiguous()
        for name, weight in load_file(trained.adapter / "adapter_model.safetensors").items()
    }
    save_file(halves, into / "adapter_model.safetensors", metadata={"format": "pt"})
    settings = json.loads((trained.adapter / "adapter_config.json").read_text(encoding="utf-8"))
    kept = {name: settings[name] for name in (*PEFT_SETTINGS, "modules_to_save") if name in settings}
    # Of a folder only its name: a path of this machine is nobody's business.
    name = base.replace("\\", "/").rstrip("/")
    name = name.rpartition("/")[2] if Path(base).is_dir() else name
    kept |= {"base_model_name_or_path": name, "target_modules": sorted(kept["target_modules"]), "inference_mode": True}
    (into / "adapter_config.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    manifest = Manifest(
        base_model=name,
        prompt_version=PROMPT_VERSIONS[RAP],
        layout=RAP,
        concepts_in_prompt=trained.concepts,
        data_hash=trained.data_hash,
        metrics={one: round(value, 4) for one, value in sorted((metrics or {}).items())},
        licence=licence,
        made_by=f"rapbot-train {__version__}",
    )
    manifest.write(into)
    card = _CARD.format(
        base=name,
        version=__version__,
        data=trained.data_hash[:12],
        layout=RAP,
        prompt=PROMPT_VERSIONS[RAP],
        concepts=trained.concepts,
        rank=recipe.rank,
        alpha=recipe.alpha,
        dropout=recipe.dropout,
        rate=recipe.rate,
        batch=recipe.batch,
        steps=len(trained.losses),
        loss=trained.losses[-1] if trained.losses else float("nan"),
    )
    (into / "README.md").write_text(card, encoding="utf-8")
    return manifest
