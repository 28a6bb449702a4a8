"""The mean of two adapters of which one was trained on from the other.

What the later one learned and what it forgot lie on one line; half-way it keeps most of both (Wortsman et al. 2022,
"Robust fine-tuning of zero-shot models").
"""

from __future__ import annotations

import shutil
from pathlib import Path

_MATRICES = "adapter_model.safetensors"


def average(before: Path, after: Path, out: Path) -> Path:
    """Write the mean of two peft adapter folders to `out`, which is returned. Raises ValueError where they differ."""
    import torch
    from safetensors.torch import load_file, save_file

    first, second = load_file(before / _MATRICES), load_file(after / _MATRICES)
    if {name: weight.shape for name, weight in first.items()} != {
        name: weight.shape for name, weight in second.items()
    }:
        raise ValueError(f"{before} and {after} hold different matrices.")
    shutil.copytree(after, out, dirs_exist_ok=True)
    mean = {name: torch.lerp(first[name].float(), second[name].float(), 0.5).contiguous() for name in first}
    save_file(mean, str(out / _MATRICES))
    return out


__all__ = ["average"]
