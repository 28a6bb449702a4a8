"""What the eyes make of a photo before anybody's concepts come in, and a short memory of it.

The cache makes a follow-up about the same photo cost no second look. It holds regions, words and keys, in RAM
of the worker only, never the picture, and forgets them after some minutes.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rapbot.inference.job import Region

if TYPE_CHECKING:
    from rapbot.inference.faces import Face


@dataclass(frozen=True, slots=True)
class Perception:
    """`keys` is float32[R, D], one row per region, L2-normalised; the first region is the whole picture."""

    width: int
    height: int
    regions: tuple[Region, ...]
    keys: npt.NDArray[np.float32]
    faces: tuple[Face, ...] = ()
    """Where people are among the concepts; found once per photo."""


class PerceptionCache:
    """LRU by the name of a look (`look_name`); `lifetime` in seconds."""

    def __init__(self, capacity: int = 32, lifetime: float = 900.0) -> None:
        self._capacity = capacity
        self._lifetime = lifetime
        self._entries: OrderedDict[bytes, tuple[float, Perception]] = OrderedDict()

    def get(self, name: bytes) -> Perception | None:
        self._expire()
        if name not in self._entries:
            return None
        self._entries.move_to_end(name)
        return self._entries[name][1]

    def put(self, name: bytes, perception: Perception) -> None:
        self._entries[name] = (time.monotonic(), perception)
        while len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def _expire(self) -> None:
        oldest = time.monotonic() - self._lifetime
        for name in [name for name, (made, _) in self._entries.items() if made < oldest]:
            del self._entries[name]


def look_name(photo: bytes, looked_for: bytes) -> bytes:
    """Of the content of a photo, and of what was looked for in it (the serialized index: 2.5 MB for 500 concepts)."""
    return hashlib.blake2b(looked_for, digest_size=20, key=hashlib.blake2b(photo, digest_size=32).digest()).digest()
