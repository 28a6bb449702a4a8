"""How much memory a model takes, told before it is loaded: from its config alone."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapbot.errors import WeightsError

if TYPE_CHECKING:
    import torch

BYTES_PER_WEIGHT = {"nf4": 0.5 + 0.127 / 8, "int8": 1.0}
"""Of a quantised matrix. nf4: 4 bits, and 0.127 bits of doubly quantised scales (Dettmers et al. 2023, section 3)."""
_SPARE = 1.05
"""Weights are not all: buffers, the library's own pages."""


def outside_decoder(model: Any) -> list[str]:
    """Names of the parts beside the language model's layers: vision tower, projector, output head.

    Quantisation leaves them alone. The published quality of RAP rests on fine visual detail (this dog, not that one);
    the tower and the projector together are under 5 % of a 13B model, so 4 bits there would save next to nothing. The
    output head decides between nearly equal tokens (as bitsandbytes' own default has it).
    """
    decoder = model.get_decoder()
    path = next(name for name, module in model.named_modules() if module is decoder)
    names, here, prefix = [], model, ""
    for part in path.split("."):
        names += [prefix + name for name, _ in here.named_children() if name != part]
        here, prefix = getattr(here, part), f"{prefix}{part}."
    return names


def weight_bytes(model: Any, quantization: str) -> int:
    """Bytes that the weights of `model` (may be on the device "meta") take once loaded."""
    from torch import nn

    decoder = model.get_decoder()
    quantised: set[int] = set()
    if quantization in BYTES_PER_WEIGHT:
        quantised = {id(module.weight) for module in decoder.modules() if isinstance(module, nn.Linear)}
    total = 0.0
    for parameter in model.parameters():  # tied ones come once
        each = BYTES_PER_WEIGHT[quantization] if id(parameter) in quantised else parameter.element_size()
        total += parameter.numel() * each
    return int(total * _SPARE)


def free_bytes(device: torch.device) -> int:
    """Bytes that can still be taken on `device`; on a CPU within the limit of the container, if there is one."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    psutil: Any = importlib.import_module("psutil")  # comes with accelerate
    return min([int(psutil.virtual_memory().available), *_container_rest()])


def check_memory(model: Any, name: str, quantization: str, device: torch.device) -> None:
    """Raises WeightsError before a load that cannot end well, with both numbers."""
    needed, free = weight_bytes(model, quantization), free_bytes(device)
    if needed <= free:
        return
    helps = weight_bytes(model, "nf4") <= free
    advice = 'try quantization = "nf4" or a smaller profile' if helps else "try a smaller profile"
    raise WeightsError(
        f"The model {name} needs about {needed / 1e9:.1f} GB, there are {free / 1e9:.1f} GB free "
        f"({device.type}); {advice}."
    )


def _container_rest(root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """What a control group (v2) leaves; empty where there is no limit. Pages of the file cache can be given back."""
    try:
        limit, used = (int((root / file).read_text()) for file in ("memory.max", "memory.current"))
        numbers = dict(line.split() for line in (root / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return []
    return [limit - used + int(numbers.get("inactive_file", 0))]
