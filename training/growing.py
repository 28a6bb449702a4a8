"""Adapters of a lower rank among matrices of a higher one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def grown(adapter: Mapping[str, Tensor], room: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """float32, shaped like `room`: each matrix in the first rows and columns of a copy of its room. Where the rest of B
    is 0 there, the product B A stays what it was. Raises ValueError for other names, or matrices larger than `room`."""
    if adapter.keys() != room.keys():
        raise ValueError("other matrices")
    made = {}
    for name, weight in adapter.items():
        if any(few > many for few, many in zip(weight.shape, room[name].shape, strict=True)):
            raise ValueError("a higher rank, or another base")
        rows, columns = weight.shape
        made[name] = room[name].float().clone()
        made[name][:rows, :columns] = weight
    return made


__all__ = ["grown"]
