"""dlib's face network in torch: an upright face of 150 x 150 pixels becomes numbers.

The weights are read straight out of dlib's own file (`dlib_face_recognition_resnet_model_v1.dat`). dlib itself runs
them on a CPU without a vector library: 0.2 s a face. The same arithmetic takes 9 ms here (equal to 1e-6), which is
what makes a group photo bearable, and gives the layer before the last ones. That layer is what rapbot compares: the
last layers were taught to put faces of some parts of the world into one small corner, where strangers lie nearer
to each other than two photos of one person do elsewhere. Source of the layout: dlib, `anet_type` in
examples/dnn_face_recognition_ex.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from rapbot.errors import WeightsError

Floats = npt.NDArray[np.float32]

CHIP = 150
"""Side of the picture of a face that the network was trained with, in pixels."""
KEY = 128
"""Numbers of dlib's own key."""
MAP = 256 * 4 * 2
"""Numbers of the map of a face."""
_MEAN = (122.782, 117.001, 104.298)
_LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""(channels, residual blocks, whether the first of them halves the picture)."""
_CONVOLUTION, _AFFINE, _DENSE = b"\x01\x05con_4", b"\x01\x07affine_", b"\x01\x04fc_2"
_BATCH = 8


class FaceNetwork:
    """29 convolutions with their scales folded in; make one with `load`."""

    def __init__(self, tensors: Iterator[Floats]) -> None:
        self._stem = _folded(tensors, 3, 32, 7)
        self._blocks: list[tuple[nn.Conv2d, nn.Conv2d, bool]] = []
        before = 32
        for channels, blocks, halves in _LEVELS:
            for number in range(blocks):
                down = halves and number == 0
                first = _folded(tensors, before, channels, 3, stride=2 if down else 1)
                self._blocks.append((first, _folded(tensors, channels, channels, 3), down))
                before = channels
        self._dense = torch.from_numpy(next(tensors).reshape(before, KEY).copy())
        self._mean = torch.tensor(_MEAN).reshape(1, 3, 1, 1)

    @classmethod
    def load(cls, file: Path) -> FaceNetwork:
        """The network out of dlib's file (0.1 s). Raises WeightsError when the file holds another network."""
        try:
            return cls(_tensors(file.read_bytes()))
        except (OSError, ValueError, StopIteration) as error:
            raise WeightsError(
                f"The face model {file.name} cannot be read. Delete it and run `rapbot models fetch`."
            ) from error

    def look(self, chips: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """(float32[N, 2048] of length 1: the map before the last blocks; float32[N, 128] of length 1: dlib's own key).

        `chips` is uint8[N, 150, 150, 3], RGB. The map counts with the root of its values, so that a few strong
        channels do not drown the rest, and its left and right halves are added, so that it does not matter which way
        a face looks.
        """
        maps, keys = np.zeros((len(chips), MAP), np.float32), np.zeros((len(chips), KEY), np.float32)
        with torch.inference_mode():
            for start in range(0, len(chips), _BATCH):
                batch = torch.from_numpy(np.ascontiguousarray(chips[start : start + _BATCH])).permute(0, 3, 1, 2)
                part = slice(start, start + len(batch))
                dense, key = self._forward((batch.float() - self._mean) / 256.0)
                maps[part] = _folded_map(dense).numpy()
                keys[part] = functional.normalize(key).numpy()
        return maps, keys

    def _forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(the map before the last block, [N, 256, 4, 4]; the key as dlib gives it, [N, 128])."""
        x = functional.max_pool2d(functional.relu(self._stem(pictures)), 3, 2)
        dense = x
        for first, second, down in self._blocks:
            dense = x
            shortcut = functional.avg_pool2d(x, 2, 2) if down else x
            x = functional.relu(_added(second(functional.relu(first(x))), shortcut))
        return dense, x.mean(dim=(2, 3)) @ self._dense


def _folded_map(dense: Tensor) -> Tensor:
    root = dense.sqrt()
    root = root / root.flatten(1).norm(dim=1)[:, None, None, None].clamp_min(1e-12)
    half = dense.shape[-1] // 2
    return functional.normalize((root[..., :half] + root[..., half:].flip(-1)).flatten(1))


def _added(one: Tensor, other: Tensor) -> Tensor:
    """The sum of two maps; the smaller one is continued with zeros (dlib, `add_prev_`)."""
    if one.shape == other.shape:
        return one + other
    shape = [max(a, b) for a, b in zip(one.shape[1:], other.shape[1:], strict=True)]
    return _widened(one, shape) + _widened(other, shape)


def _widened(x: Tensor, shape: list[int]) -> Tensor:
    channels, height, width = (wanted - had for wanted, had in zip(shape, x.shape[1:], strict=True))
    return functional.pad(x, (0, width, 0, height, 0, channels))


def _folded(tensors: Iterator[Floats], before: int, after: int, side: int, stride: int = 0) -> nn.Conv2d:
    """The next convolution of the file with the scale and shift behind it. dlib pads only where the stride is 1."""
    step = stride or (2 if side == 7 else 1)
    layer = nn.Conv2d(before, after, side, stride=step, padding=side // 2 if step == 1 else 0)
    numbers, affine = torch.from_numpy(next(tensors)), torch.from_numpy(next(tensors))
    kernel, bias = numbers[:-after].reshape(after, before, side, side), numbers[-after:]
    scale, shift = affine[:after], affine[after:]
    folded = (kernel * scale[:, None, None, None]).contiguous(memory_format=torch.channels_last)
    layer.weight = nn.Parameter(folded, requires_grad=False)
    layer.bias = nn.Parameter(bias * scale + shift, requires_grad=False)
    return layer


def _tensors(data: bytes) -> Iterator[Floats]:
    """The learnt numbers of each layer, first layer first.

    In dlib's format a layer is its name, then a tensor: a version, four sizes, raw float32 (dlib/serialize.h,
    dlib/cuda/tensor.h). Whole numbers are a byte that counts bytes and then these bytes, lowest first.
    """
    at = 0
    for name in [_CONVOLUTION, _AFFINE] * 29 + [_DENSE]:
        at = data.index(name, at) + len(name)
        sizes = []
        for _ in range(7 if name is _DENSE else 5):  # a dense layer says how many numbers go in and out first
            width = data[at]
            sizes.append(int.from_bytes(data[at + 1 : at + 1 + width], "little"))
            at += 1 + width
        count = int(np.prod(sizes[-4:]))
        yield np.frombuffer(data, "<f4", count, at).astype(np.float32)
        at += 4 * count
