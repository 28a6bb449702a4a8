"""The bytes of a FAISS flat index, written and read with one copy of the keys; FAISS itself makes five.

The layout is that of `faiss.write_index` (impl/index_write.cpp): IndexIDMap2 over IndexFlatL2, little-endian.
Whether the installed FAISS still writes it is asked once; if not, FAISS writes and reads.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

_HEADER = struct.Struct("<4siqqqBi")
"""Kind, dimensions, count, two numbers that mean nothing any more, trained, metric."""
_COUNT = struct.Struct("<q")
_UNUSED = 1 << 20
_METRIC_L2 = 1
_BEFORE_KEYS = 2 * _HEADER.size + _COUNT.size


def write_flat_index(ids: Sequence[int], keys: Sequence[bytes]) -> bytes:
    """`faiss.serialize_index` of `keys`, each float32[D], little-endian; `ids[i]` is the id of `keys[i]`.

    Empty bytes when there are none. Raises ValueError when the keys differ in length.
    """
    if not keys:
        return b""
    if len({len(key) for key in keys}) != 1:
        raise ValueError("the keys of one index must have one length")
    return _joined(ids, keys) if _faiss_writes_this_layout(len(keys[0]) // 4) else _by_faiss(ids, keys)


def read_flat_index(data: bytes) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Keys float32[N, D] and ids int64[N] of what `write_flat_index` or `faiss.serialize_index` wrote.

    [0, 0] and [0] of empty bytes. Raises RuntimeError (from FAISS) when `data` is no such index.
    """
    if not data:
        return np.empty((0, 0), np.float32), np.empty(0, np.int64)
    if len(data) >= _BEFORE_KEYS:
        _, dimensions, count, *_ = _HEADER.unpack_from(data)
        end = _BEFORE_KEYS + 4 * count * dimensions
        # Only if every other byte is as expected are these bytes the keys.
        if len(data) == end + _COUNT.size + 8 * count and data.startswith(_before_keys(dimensions, count)):
            # A slice, because the keys of a view into `data` would not be aligned: numpy copies such at every use.
            keys = np.frombuffer(data[_BEFORE_KEYS:end], np.dtype("<f4")).reshape(count, dimensions)
            ids = np.frombuffer(data, np.dtype("<i8"), count, end + _COUNT.size)
            return keys.astype(np.float32, copy=False), ids.astype(np.int64)
    import faiss

    owner = faiss.deserialize_index(np.frombuffer(data, np.uint8))  # frees everything below when it goes
    mapped: Any = faiss.downcast_index(owner)
    flat: Any = faiss.downcast_index(mapped.index)
    return flat.reconstruct_n(0, flat.ntotal), faiss.vector_to_array(mapped.id_map)


def _before_keys(dimensions: int, count: int) -> bytes:
    sizes = (dimensions, count, _UNUSED, _UNUSED, True, _METRIC_L2)
    return _HEADER.pack(b"IxM2", *sizes) + _HEADER.pack(b"IxF2", *sizes) + _COUNT.pack(count * dimensions)


def _joined(ids: Sequence[int], keys: Sequence[bytes]) -> bytes:
    count = len(keys)
    before = _before_keys(len(keys[0]) // 4, count)
    return b"".join((before, *keys, _COUNT.pack(count), np.array(ids, np.dtype("<i8")).tobytes()))


def _by_faiss(ids: Sequence[int], keys: Sequence[bytes]) -> bytes:
    import faiss

    vectors = np.frombuffer(b"".join(keys), np.dtype("<f4")).astype(np.float32).reshape(len(keys), -1)
    index = faiss.IndexIDMap2(faiss.IndexFlatL2(vectors.shape[1]))
    index.add_with_ids(vectors, np.array(ids, np.int64))
    serialized: bytes = faiss.serialize_index(index).tobytes()
    return serialized


@cache
def _faiss_writes_this_layout(dimensions: int) -> bool:
    """Asked with two keys, so that counts, keys and ids all stand in the bytes."""
    keys = [np.arange(start, start + dimensions, dtype=np.dtype("<f4")).tobytes() for start in (1, 2)]
    return _joined((7, 2**40), keys) == _by_faiss((7, 2**40), keys)
