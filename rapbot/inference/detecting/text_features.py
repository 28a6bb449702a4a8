"""What categories mean to a network, kept: changing somebody's concepts costs one short text, no reload."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

ROOM = 4096
"""Categories kept: 8 MB at 512 numbers each."""


class TextFeatures:
    """A text encoder behind a memory of the categories last used."""

    def __init__(self, encode: Callable[[Sequence[str]], torch.Tensor], room: int = ROOM) -> None:
        """`encode` gives float32[N, D] for N texts; at least one."""
        self._encode = encode
        self._room = room
        self._known: OrderedDict[str, torch.Tensor] = OrderedDict()

    def of(self, batch: Sequence[tuple[str, ...]]) -> list[torch.Tensor]:
        """float32[C, D] for the C words of each picture. Words nobody asked for yet are encoded in one batch."""
        new = [word for word in dict.fromkeys(w for words in batch for w in words) if word not in self._known]
        if new:
            self._known.update(zip(new, self._encode(new), strict=True))
        features = [self._rows(words) for words in batch]
        while len(self._known) > self._room:
            self._known.popitem(last=False)
        return features

    def _rows(self, words: tuple[str, ...]) -> torch.Tensor:
        import torch

        for word in words:
            self._known.move_to_end(word)
        return torch.stack([self._known[word] for word in words])
