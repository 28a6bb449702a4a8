"""What is kept of those who were here last: at most so many of them, and at most so many bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Bounded(Generic[Key, Value]):
    """Forgets what was asked for longest ago; the newest stays, however large it is."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[Key, tuple[Value, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """Bytes, as `put` was told."""
        return self._bytes

    def get(self, key: Key) -> Value | None:
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: Key, value: Value, size: int) -> None:
        """`size`: its bytes."""
        self.drop(key)
        self._kept[key] = value, size
        self._bytes += size
        while len(self._kept) > self._most or (self._bytes > self._most_bytes and len(self._kept) > 1):
            self.drop(next(iter(self._kept)))

    def drop(self, key: Key) -> None:
        _value, size = self._kept.pop(key, (None, 0))
        self._bytes -= size

    def drop_where(self, unwanted: Callable[[Key, Value], bool]) -> None:
        for key in [key for key, (value, _size) in self._kept.items() if unwanted(key, value)]:
            self.drop(key)
