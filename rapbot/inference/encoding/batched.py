"""One encoder for every image tower: crops -> batches -> unit vectors, and words where the model knows any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from rapbot.inference.encoding.pixels import Preparation
from rapbot.inference.job import Tag
from rapbot.inference.seams import Views
from rapbot.inference.specs import EncoderSpec

if TYPE_CHECKING:
    import torch

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tower:
    """An image tower ready to use: `embed` takes dtype[N, 3, H, W] on `device` and gives any float[N, dimension]."""

    embed: Callable[[torch.Tensor], torch.Tensor]
    dimension: int
    preparation: Preparation
    device: torch.device
    dtype: torch.dtype


class BatchedEncoder:
    """Fills the `Encoder` seam."""

    def __init__(
        self,
        spec: EncoderSpec,
        tower: Tower,
        words: Callable[[torch.Tensor], list[tuple[Tag, ...]]] | None = None,
    ) -> None:
        """`words` names what float32[N, D] of length 1 show."""
        self.name = spec.name
        self.dimension = tower.dimension
        self._batch = spec.batch
        self._tower = tower
        self._words = words

    def encode(self, crops: Sequence[Image.Image]) -> Views:
        """Keys float32[N, D] and words of RGB crops of any size."""
        import torch

        with torch.inference_mode():
            features = self._features(crops)
            words = self._words(features) if self._words and crops else [()] * len(crops)
            return Views(keys=features.cpu().numpy(), tags=tuple(words))

    def encode_avatar(self, picture: Image.Image) -> Floats:
        """float32[D]: direction of the mean of the picture's key and that of its mirror image."""
        import torch

        with torch.inference_mode():
            both = self._features([picture, ImageOps.mirror(picture)])
            key: Floats = _unit(both.mean(dim=0, keepdim=True))[0].cpu().numpy()
        return key

    def _features(self, crops: Sequence[Image.Image]) -> torch.Tensor:
        """float32[N, D] of length 1, on the device.

        Nothing is read back between batches, so that a GPU computes one while the next is made ready.
        """
        import torch

        tower = self._tower
        parts = [torch.zeros((0, tower.dimension), device=tower.device)]
        for start in range(0, len(crops), self._batch):
            pixels = tower.preparation.pixels(crops[start : start + self._batch], tower.device, tower.dtype)
            parts.append(tower.embed(pixels).float())
        return _unit(torch.cat(parts))


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.nn.functional.normalize(vectors, dim=-1)
