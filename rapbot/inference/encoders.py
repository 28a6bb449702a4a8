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
from rapbot.inference.specs import EncoderSpec, Runtime

if TYPE_CHECKING:
    from rapbot.inference.efficientnet import EfficientNetLite2

Floats = npt.NDArray[np.float32]

BATCH = 8
"""Crops per forward pass: larger ones leave the processor's cache and take longer per crop."""
FLAT_POWER = 0.6
"""Signed power on the mean feature: a few strong channels no longer drown the many that tell look-alikes apart."""
CUBE_POWER = 0.5
"""Power on the mean of the cubed feature (generalised-mean pooling): what stands out in a crop counts more than what
surrounds it, which helps where the crop also holds other things."""
COMMONNESS = 0.46
"""By how much the similarity to an avatar is lowered for one unit of its similarity to the typical key. Some avatars
(blurred, dark, full of texture) lie near to everything; without this they are named in photos where they are not."""
TYPICAL_SIMILARITY = 0.565
"""Similarity of an ordinary avatar to the typical key."""
_LEVER = 0.4
"""Length of the component of a key that carries the commonness."""
SURE = 0.35
"""From this probability on the exact class is worth saying ("corgi"), below it only the everyday word ("dog")."""
WORTH_SAYING = 0.10
MOST_TAGS = 4


class EfficientNetEncoder:
    """Fills the `Encoder` seam; also gives the dense map from which `DenseMapDetector` proposes regions."""

    name = "efficientnet-lite2/1"
    dimension = 1281

    def __init__(self, network: EfficientNetLite2) -> None:
        self._network = network
        self._typical = as_directions(network.typical_mean()[None], network.typical_cube()[None])[0]

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
        """Keys float32[N, 1281] and words of RGB crops of any size (20 ms a crop on two cores)."""
        mean, cube = self._pooled(crops)
        directions = as_directions(mean, cube)
        level = np.full((len(crops), 1), _LEVER, np.float32)
        keys = np.concatenate([directions * np.float32((1.0 - _LEVER**2) ** 0.5), level], axis=1)
        return Views(keys=keys, tags=tuple(tags_of(row) for row in self._probabilities(mean)))

    def encode_avatar(self, picture: Image.Image) -> Floats:
        """float32[1281]: key of the mean feature of the picture and its mirror image.

        Its last component lowers the similarity of every region to an avatar that looks common.
        """
        mean, cube = self._pooled([picture, ImageOps.mirror(picture)])
        direction = as_directions(mean.mean(axis=0, keepdims=True), cube.mean(axis=0, keepdims=True))[0]
        common = (float(direction @ self._typical) - TYPICAL_SIMILARITY) * COMMONNESS / _LEVER
        key: Floats = np.append(direction * (1.0 - common**2) ** 0.5, -common).astype(np.float32)
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

    def _pooled(self, crops: Sequence[Image.Image]) -> tuple[Floats, Floats]:
        """Mean and mean of the cube of the dense map of each crop, float32[N, 1280] each."""
        import torch

        from rapbot.inference.efficientnet import FEATURES, to_tensor

        mean = np.zeros((len(crops), FEATURES), np.float32)
        cube = np.zeros((len(crops), FEATURES), np.float32)
        with torch.inference_mode():
            for start in range(0, len(crops), BATCH):
                batch = crops[start : start + BATCH]
                dense = self._network(to_tensor(batch))
                mean[start : start + len(batch)] = dense.mean(dim=(2, 3)).numpy()
                cube[start : start + len(batch)] = (dense * dense).mul_(dense).mean(dim=(2, 3)).numpy()
        return mean, cube

    def _probabilities(self, pooled: Floats) -> Floats:
        import torch

        with torch.inference_mode():
            found: Floats = torch.softmax(self._network.logits(torch.from_numpy(pooled)), dim=1).numpy()
        return found


def load_encoder(_spec: EncoderSpec, runtime: Runtime) -> EfficientNetEncoder:
    """Fills `loading.ENCODERS`; there is one such model."""
    return EfficientNetEncoder.load(runtime.threads)


def as_directions(mean: Floats, cube: Floats) -> Floats:
    """Pooled features float32[N, D] (mean; mean of the cube, none negative) -> float32[N, D] of length 1."""
    return unit(unit(mean**FLAT_POWER) + unit(cube**CUBE_POWER))


def unit(vectors: Floats) -> Floats:
    """float32[N, D] -> the same directions with length 1; zero stays zero."""
    scaled: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return scaled


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
