"""Words for crops from a model that was trained on pictures with their captions (zero-shot, CLIP section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rapbot.inference.encoders import imagenet_words, tags_of
from rapbot.inference.job import Tag

if TYPE_CHECKING:
    import torch

AFFORDABLE = 2e12
"""Operations that all words together may cost on a CPU while a model is loaded: some ten seconds."""


def affordable(network: torch.nn.Module, tokens: int) -> bool:
    """Whether the text tower is worth asking on this device; a GPU takes the largest ones in seconds."""
    parameters = list(network.parameters())
    if parameters and parameters[0].device.type != "cpu":
        return True
    return 2 * sum(p.numel() for p in parameters) * tokens * len(imagenet_words()) <= AFFORDABLE


class ZeroShotWords:
    """Everyday and exact words, by the same rule as the pocket encoder's (`encoders.tags_of`)."""

    def __init__(self, encode_texts: Callable[[Sequence[str]], torch.Tensor], scale: float) -> None:
        """`encode_texts` gives float32[N, D] of length 1; `scale` sharpens cosines as in the model's training."""
        import torch

        prompts = [f"a photo of a {exact}." for exact, _ in imagenet_words()]
        with torch.inference_mode():
            self._features = encode_texts(prompts)
        self._scale = scale

    def __call__(self, keys: torch.Tensor) -> list[tuple[Tag, ...]]:
        """Words for float32[N, D] of length 1, most probable first; the probabilities are those among these words."""
        probabilities = (self._scale * keys @ self._features.T).softmax(dim=-1)
        return [tags_of(row) for row in probabilities.cpu().numpy()]
