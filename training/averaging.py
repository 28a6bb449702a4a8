"""The mean of two adapters of which one was trained on from the other.

What the later one learned and what it forgot lie on one line; half-way it keeps most of both (Wortsman et al. 2022,
"Robust fine-tuning of zero-shot models").
"""

from __future__ import annotations

import shutil
from pathlib import Path

_MATRICES = "adapter_model.safetensors"


def average(before: Path, after: Path, out: Path, share: float = 0.5) -> Path:
    """Write the mean of two peft adapter folders to `out`, which is returned. `share`: weight of `after`, which may
    have a higher rank: what it has more of counts as 0 in B before. Raises ValueError where they differ otherwise."""
    import torch
    from safetensors.torch import load_file, save_file

    from training.growing import grown

    first, second = load_file(before / _MATRICES), load_file(after / _MATRICES)
    room = {name: torch.zeros_like(weight) if "lora_B" in name else weight for name, weight in second.items()}
    try:
        first = grown(first, room)
    except ValueError as error:
        raise ValueError(f"{before} and {after} hold different matrices.") from error
    mean = {name: torch.lerp(first[name], weight.float(), share).contiguous() for name, weight in second.items()}
    shutil.copytree(after, out, dirs_exist_ok=True)
    save_file(mean, str(out / _MATRICES), metadata={"format": "pt"})
    return out


__all__ = ["average"]
