"""Keys and values of a growing text, written in place.

transformers' cache joins all of a layer's keys anew at every token; beside a small model that copying costs more than
the layer itself, and the more rows are written together, the more.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_ROOM = 64
"""Tokens that a layer gets room for at a time."""


def cache_argument(model: Any, past: Any) -> dict[str, Any]:
    """`past` (None: nothing) as the argument that the model takes it by: "cache" since transformers 5.24."""
    if past is None:
        return {}
    kind: Any = type(model)
    return {_argument(kind): past}


def cache_in(made: Any) -> Any:
    """The keys and values that came with a model's output, under either name."""
    new = getattr(made, "cache", None)
    return made.past_key_values if new is None else new


@cache
def _argument(kind: Any) -> str:
    return "cache" if "cache" in inspect.signature(kind.forward).parameters else "past_key_values"


def make_room(past: Any) -> None:
    """Let the plain layers of a filled `DynamicCache` grow in place; others (sliding windows) stay as they are."""
    from transformers.cache_utils import DynamicLayer

    roomy = _roomy_layer()
    for layer in past.layers:
        if type(layer) is DynamicLayer:
            layer.__class__ = roomy
            layer.__dict__["room"] = None


@cache
def _roomy_layer() -> type[Any]:
    import torch
    from transformers.cache_utils import DynamicLayer

    class RoomyLayer(DynamicLayer):
        """`keys` and `values`, T[B, H, N, D], are the beginning of `room`, T[2, B, H, N + some, D], once it grew."""

        room: Tensor | None

        def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
            begin = self.get_seq_length()
            end = begin + key_states.shape[-2]
            room = self.room
            if room is None or room.shape[-2] < end:
                batch, heads, _, width = key_states.shape
                room = torch.empty(
                    (2, batch, heads, end + _ROOM, width), dtype=key_states.dtype, device=key_states.device
                )
                if self.keys is not None and self.values is not None:
                    room[0, :, :, :begin] = self.keys
                    room[1, :, :, :begin] = self.values
                self.room = room
            room[0, :, :, begin:end] = key_states
            room[1, :, :, begin:end] = value_states
            self.keys, self.values = room[0, :, :, :end], room[1, :, :, :end]
            return self.keys, self.values

        def batch_select_indices(self, indices: Tensor) -> None:
            super().batch_select_indices(indices)
            self.room = None

    return RoomyLayer
