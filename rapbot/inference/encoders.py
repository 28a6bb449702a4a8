"""EfficientNet-Lite2 as the pocket profile's `Encoder`: a crop becomes a key and a few everyday words."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from rapbot.inference.job import Tag
from rapbot.inference.seams import Views

if TYPE_CHECKING:
    from rapbot.inference.efficientnet import EfficientNetLite2

Floats = npt.NDArray[np.float32]

BATCH = 8
"""Crops per forward pass: larger ones leave the processor's cache and take longer per crop."""
KEY_POWER = 0.6
"""Signed power before the L2 norm: a few strong channels no longer drown the many that tell look-alikes apart."""
SURE = 0.35
"""From this probability on the exact class is worth saying ("corgi"), below it only the everyday word ("dog")."""
WORTH_SAYING = 0.10
MOST_TAGS = 4


class EfficientNetEncoder:
    """Fills the `Encoder` seam; also gives the dense map from which `DenseMapDetector` proposes regions."""

    name = "efficientnet-lite2/1"
    dimension = 1280

    def __init__(self, network: EfficientNetLite2) -> None:
        self._network = network

    @classmethod
    def load(cls, threads: int = 0) -> EfficientNetEncoder:
        """The encoder with verified weights; `threads` > 0 limits torch in this process.

        Raises WeightsError when the weights file is not the pinned one.
        """
        import torch

        from rapbot.inference.efficientnet import load

        if threads > 0:
            torch.set_num_threads(threads)
        return cls(load())

    def encode(self, crops: Sequence[Image.Image]) -> Views:
        """Keys float32[N, 1280] and words of RGB crops of any size (20 ms a crop on two cores)."""
        pooled = self._pooled(crops)
        return Views(keys=as_keys(pooled), tags=tuple(tags_of(row) for row in self._probabilities(pooled)))

    def encode_avatar(self, picture: Image.Image) -> Floats:
        """float32[1280]: key of the mean feature of the picture and its mirror image."""
        pooled = self._pooled([picture, ImageOps.mirror(picture)])
        key: Floats = as_keys(pooled.mean(axis=0, keepdims=True))[0]
        return key

    def dense_map(self, picture: Image.Image, side: int) -> Floats:
        """float32[H, W, 1280] of the picture squeezed to `side` x `side` pixels, H = W = side / 32."""
        import torch

        from rapbot.inference.efficientnet import to_tensor

        with torch.inference_mode():
            dense: Floats = self._network(to_tensor([picture], side, side))[0].permute(1, 2, 0).numpy()
        return dense

    def clearness(self, pooled: Floats) -> Floats:
        """float32[N]: probability of the likeliest everyday word for each pooled feature float32[N, 1280]."""
        words, position = _everyday()
        probabilities = self._probabilities(pooled)
        summed = np.zeros((len(words), len(pooled)), np.float32)
        np.add.at(summed, position, probabilities.T)
        clearest: Floats = summed.max(axis=0)
        return clearest

    def _pooled(self, crops: Sequence[Image.Image]) -> Floats:
        import torch

        from rapbot.inference.efficientnet import FEATURES, to_tensor

        pooled = np.zeros((len(crops), FEATURES), np.float32)
        with torch.inference_mode():
            for start in range(0, len(crops), BATCH):
                batch = crops[start : start + BATCH]
                pooled[start : start + len(batch)] = self._network(to_tensor(batch)).mean(dim=(2, 3)).numpy()
        return pooled

    def _probabilities(self, pooled: Floats) -> Floats:
        import torch

        with torch.inference_mode():
            found: Floats = torch.softmax(self._network.logits(torch.from_numpy(pooled)), dim=1).numpy()
        return found


def as_keys(pooled: Floats) -> Floats:
    """Pooled features float32[N, D] -> keys float32[N, D]: signed power, then L2 norm 1."""
    powered = np.sign(pooled) * np.abs(pooled) ** KEY_POWER
    keys: Floats = powered / np.maximum(np.linalg.norm(powered, axis=-1, keepdims=True), 1e-12)
    return keys


@cache
def imagenet_words() -> tuple[tuple[str, str], ...]:
    """(exact word, everyday word) of the 1000 ImageNet-1k classes, in class order."""
    text = files("rapbot.inference").joinpath("imagenet_words.txt").read_text(encoding="utf-8")
    pairs = (line.split(";") for line in text.splitlines())
    return tuple((fine, coarse) for fine, coarse in pairs)


@cache
def _everyday() -> tuple[tuple[str, ...], npt.NDArray[np.intp]]:
    """The everyday words, and for each class the position of its own among them."""
    coarse = [pair[1] for pair in imagenet_words()]
    words = tuple(dict.fromkeys(coarse))
    position = {word: i for i, word in enumerate(words)}
    return words, np.array([position[word] for word in coarse], np.intp)


def tags_of(probabilities: Floats) -> tuple[Tag, ...]:
    """Words for one crop, most probable first.

    Everyday words carry the summed probability of their classes; exact ones are added where sure.
    `probabilities` is float32[1000]. An exact word stands right before the everyday word it belongs to.
    """
    words, position = _everyday()
    summed = np.bincount(position, weights=probabilities, minlength=len(words))
    likeliest = int(probabilities.argmax())
    fine = imagenet_words()[likeliest][0]
    tags: list[Tag] = []
    for i in np.argsort(-summed, kind="stable")[:MOST_TAGS]:
        if summed[i] < WORTH_SAYING:
            break
        if i == position[likeliest] and fine != words[i] and probabilities[likeliest] >= SURE:
            tags.append(Tag(fine, float(probabilities[likeliest])))
        tags.append(Tag(words[i], float(min(summed[i], 1.0))))
    return tuple(tags)
