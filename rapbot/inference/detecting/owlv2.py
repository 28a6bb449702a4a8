"""OWLv2 (Minderer et al., NeurIPS 2023): a box and an embedding for every patch, compared with those of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PIL import Image

from rapbot.inference.detecting.canvas import Canvas
from rapbot.inference.detecting.detector import Found, portions
from rapbot.inference.devices import dtype_of
from rapbot.inference.encoding.pretrained import load_pretrained, load_processor
from rapbot.inference.specs import DetectorSpec, Runtime

if TYPE_CHECKING:
    import torch

QUERIES = 128
"""Words of one forward pass: each is a text of its own for the text tower."""


class Owlv2:
    """Fills `Network`. The side of the canvas is the model's own: its position embeddings are made for it."""

    def __init__(self, network: Any, processor: Any, device: torch.device, dtype: torch.dtype) -> None:
        self._network = network
        self._tokenizer = processor.tokenizer
        self._mean = processor.image_processor.image_mean
        self._std = processor.image_processor.image_std
        self._device = device
        self._dtype = dtype
        self._canvas = Canvas(network.config.vision_config.image_size)

    @property
    def canvas(self) -> Canvas:
        return self._canvas

    def parts(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        return list(portions(words, [1] * len(words), QUERIES))

    def find(self, pictures: Sequence[Image.Image], words: Sequence[tuple[str, ...]]) -> Found:
        """One forward pass; pictures with fewer words are filled up with empty queries, which the model leaves out."""
        import torch

        ids, attention = self._queries(words)
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            seen = self._network(pixel_values=self._pixels(pictures), input_ids=ids, attention_mask=attention)
        middle, size = seen.pred_boxes.float().split(2, dim=-1)
        return Found(torch.cat([middle - size / 2, middle + size / 2], dim=-1), seen.logits.float().sigmoid())

    def _pixels(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        pixels = self._canvas.pixels(pictures).to(self._device).float() / 255
        mean, std = (pixels.new_tensor(values).view(1, 3, 1, 1) for values in (self._mean, self._std))
        return (pixels - mean) / std

    def _queries(self, words: Sequence[tuple[str, ...]]) -> tuple[torch.Tensor, torch.Tensor]:
        """int64[B * C, T] twice: ids and attention mask of C queries a picture."""
        import torch

        length = self._network.config.text_config.max_position_embeddings
        most = max(len(row) for row in words)
        ids = torch.zeros((len(words), most, length), dtype=torch.long)
        attention = torch.zeros_like(ids)
        for i, row in enumerate(words):
            texts = self._tokenizer(
                [f"a photo of a {word}" for word in row],
                padding="max_length",
                truncation=True,
                max_length=length,
                return_tensors="pt",
            )
            ids[i, : len(row)], attention[i, : len(row)] = texts["input_ids"], texts["attention_mask"]
        attention[:, :, 0] = 1  # an empty query attends to its first place, lest its softmax be one over nothing
        return ids.flatten(0, 1).to(self._device), attention.flatten(0, 1).to(self._device)


def load_owlv2(spec: DetectorSpec, runtime: Runtime, device: torch.device) -> Owlv2:
    """Weights stay in float32 and are computed with in half precision by autocast."""
    import torch

    network = load_pretrained(
        "AutoModelForZeroShotObjectDetection", spec.model, runtime, ("owlv2",), device, torch.float32
    )
    processor = load_processor("AutoProcessor", spec.model, runtime)
    return Owlv2(network, processor, device, dtype_of(runtime, device))
