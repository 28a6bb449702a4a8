"""Keys and values of the beginnings that prompts share, computed once."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from rapbot.inference.mllm.kv_cache import cache_in

_KEPT = 8
"""Beginnings kept; one of 50 tokens takes 40 MB in a 13B model (bfloat16)."""
WORTH_IT = 8
"""Tokens. Copying a shorter one costs as much as reading it."""


class Beginnings:
    """The last few of them, for one model. Not thread-safe."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._kept: OrderedDict[tuple[str, tuple[int, ...]], Any] = OrderedDict()

    def rows(self, adapter: str, tokens: Sequence[int], rows: int) -> Any:
        """A cache that already holds `tokens` (no pictures among them) in each of `rows` rows, to be written on.

        With the model's current adapter, whose name is `adapter`.
        """
        import torch

        key = (adapter, tuple(tokens))
        if key not in self._kept:
            ids = torch.tensor([list(tokens)], device=self._model.device)
            made = self._model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True, logits_to_keep=1)
            self._kept[key] = cache_in(made)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        cache = copy.deepcopy(self._kept[key])
        if rows > 1:
            cache.batch_repeat_interleave(rows)
        return cache

    def forget(self) -> None:
        """Another adapter makes other keys and values."""
        self._kept.clear()
