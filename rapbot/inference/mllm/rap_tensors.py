"""The tensors of a checkpoint in the original LLaVA layout, one at a time, under transformers' names.

One at a time because 13 billion weights must not lie in memory twice: files are mapped, not read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapbot.errors import WeightsError
from rapbot.inference.lora import scale_of

if TYPE_CHECKING:
    from torch import Tensor

NON_LORA = "non_lora_trainables.bin"
VISION = "vision_tower."
_NAMES = (
    (re.compile(r"model\.vision_tower\.vision_tower\."), VISION),
    (re.compile(r"model\.mm_projector\.0\."), "multi_modal_projector.linear_1."),
    (re.compile(r"model\.mm_projector\.2\."), "multi_modal_projector.linear_2."),
    (re.compile(r"model\.(?=embed_tokens\.|layers\.|norm\.)"), "language_model.model."),
    (re.compile(r"lm_head\."), "language_model.lm_head."),
)
"""Original name -> the name on the hub's converted LLaVA-1.5 models, which every version of transformers loads."""
_COMPUTED = re.compile(r".*(rotary_emb\.inv_freq|position_ids)|model\.image_newline")
"""Buffers that the classes make themselves, and a row that only LLaVA-1.6 reads."""
_TOWER_PARTS = ("embeddings.", "pre_layrnorm.", "encoder.", "post_layernorm.")


def hub_name(original: str) -> str | None:
    """transformers' name of a tensor; None for one that is not needed. Raises WeightsError for one never heard of."""
    if _COMPUTED.fullmatch(original):
        return None
    for start, new in _NAMES:
        if start.match(original):
            return start.sub(new, original, count=1)
    raise WeightsError(f"The checkpoint holds a tensor that is not of LLaVA-1.5: {original}.")


def stored_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """(original name, tensor) of a folder's shards, safetensors first, else pickled ones (`weights_only`)."""
    from safetensors import safe_open

    shards = sorted(path for path in folder.glob("*.safetensors") if not path.name.startswith("adapter_"))
    for shard in shards:
        with safe_open(shard, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  (not a dict)
                yield name, file.get_tensor(name)
    if not shards:
        for shard in sorted(folder.glob("pytorch_model*.bin")):
            yield from unpickled(shard).items()


def unpickled(file: Path) -> dict[str, Tensor]:
    """A pickled state dict, mapped from the disk where its format allows. No code in it is run."""
    import torch
    from torch.serialization import _is_zipfile

    with file.open("rb") as opened:
        mapped = _is_zipfile(opened)
    tensors: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    return tensors


def tower_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """(transformers' name, tensor) of the vision half of a CLIP of its own."""
    for name, tensor in stored_tensors(folder):
        part = name.removeprefix("vision_model.")
        if part.startswith(_TOWER_PARTS) and not _COMPUTED.fullmatch(name):
            yield f"{VISION}vision_model.{part}", tensor


@dataclass(frozen=True, slots=True)
class Changes:
    """What a LoRA folder in the original layout does to its base: matrices to add to, tensors to put in their place."""

    scale: float
    pairs: dict[str, tuple[Tensor, Tensor]]
    """Original name of a weight -> (A float[r, in], B float[out, r])."""
    instead: dict[str, Tensor]
    """By original name: the projector, which the original trains in full beside the LoRA."""

    def applied(self, tensors: Iterator[tuple[str, Tensor]], folder: Path) -> Iterator[tuple[str, Tensor]]:
        """W + scale * B A in float32, back in the type of W. Raises WeightsError if a matrix finds no W."""
        left, extra = set(self.pairs), dict(self.instead)
        for name, tensor in tensors:
            tensor = extra.pop(name, tensor)
            if name in self.pairs:
                down, up = self.pairs[name]
                if tensor.shape != (up.shape[0], down.shape[1]):
                    raise WeightsError(f"The LoRA in {folder} was trained for another model ({name} does not fit).")
                tensor = (tensor.float() + self.scale * (up.float() @ down.float())).to(tensor.dtype)
                left.discard(name)
            yield name, tensor
        yield from extra.items()
        if left:
            raise WeightsError(f"The LoRA in {folder} was trained for another model ({min(left)} is not there).")


def changes_of(folder: Path) -> Changes:
    """Read adapter_config.json, adapter_model and non_lora_trainables.bin. Raises WeightsError."""
    from safetensors.torch import load_file

    settings: dict[str, Any] = json.loads((folder / "adapter_config.json").read_bytes())
    safe = folder / "adapter_model.safetensors"
    adapter = load_file(safe) if safe.is_file() else unpickled(folder / "adapter_model.bin")
    pairs = {}
    for name, down in adapter.items():
        if name.endswith(".lora_A.weight"):
            weight = name.replace(".lora_A.weight", ".weight").removeprefix("base_model.model.")
            pairs[weight] = (down, adapter[name.replace(".lora_A.", ".lora_B.")])
    rest = unpickled(folder / NON_LORA) if (folder / NON_LORA).is_file() else {}
    bare = {re.sub(r"^(base_model\.)?(model\.)*", "", name): value for name, value in rest.items()}
    instead = {name if name.startswith("lm_head.") else f"model.{name}": value for name, value in bare.items()}
    return Changes(scale_of(settings, folder), pairs, instead)


def grown(rows: int) -> Callable[[str, Tensor], Tensor]:
    """Embedding and head with rows for new tokens: the mean of the others, so that none is ever the likeliest."""
    import torch

    def grow(name: str, tensor: Tensor) -> Tensor:
        if not name.endswith(("embed_tokens.weight", "lm_head.weight")) or tensor.shape[0] >= rows:
            return tensor
        mean = tensor.float().mean(dim=0, keepdim=True).to(tensor.dtype)
        return torch.cat([tensor, mean.expand(rows - tensor.shape[0], -1)])

    return grow
