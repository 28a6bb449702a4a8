"""Grounding DINO (Liu et al., ECCV 2024): boxes for the phrases of a text, each with a score for every token."""

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


class GroundingDino:
    """Fills `Network`. Prompt: "dog. plush toy." - each word between full stops attends to itself alone."""

    def __init__(self, network: Any, processor: Any, side: int, device: torch.device, dtype: torch.dtype) -> None:
        self._network = network
        self._tokenizer = processor.tokenizer
        self._mean = processor.image_processor.image_mean
        self._std = processor.image_processor.image_std
        self._device = device
        self._dtype = dtype
        self._canvas = Canvas(side)
        self._stop = self._tokenizer.convert_tokens_to_ids(".")

    @property
    def canvas(self) -> Canvas:
        return self._canvas

    def parts(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        """As many words as the text side holds; two of its tokens are its own, and one stands after each word."""
        room = self._network.config.max_text_len - 2
        return list(portions(words, [len(self._tokens(word)) + 1 for word in words], room))

    def find(self, pictures: Sequence[Image.Image], words: Sequence[tuple[str, ...]]) -> Found:
        """One forward pass. The score of a word is the best one of its tokens."""
        import torch

        prompts = [self._prompt(row) for row in words]
        ids, attention = self._padded([ids for ids, _ in prompts])
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            seen = self._network(
                pixel_values=self._pixels(pictures),
                pixel_mask=self._canvas.covered(pictures).long().to(self._device),
                input_ids=ids,
                attention_mask=attention,
                token_type_ids=torch.zeros_like(ids),
            )
        tokens = seen.logits.float().sigmoid()
        scores = tokens.new_zeros((*tokens.shape[:2], max(len(row) for row in words)))
        for i, (_, spans) in enumerate(prompts):
            for column, (first, end) in enumerate(spans):
                scores[i, :, column] = tokens[i, :, first:end].amax(dim=-1)
        middle, size = seen.pred_boxes.float().split(2, dim=-1)
        return Found(torch.cat([middle - size / 2, middle + size / 2], dim=-1), scores)

    def _pixels(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """float32[B, 3, side, side]; what no picture covers is 0 after the normalisation, as in training."""
        pixels = self._canvas.pixels(pictures).to(self._device).float() / 255
        mean, std = (pixels.new_tensor(values).view(1, 3, 1, 1) for values in (self._mean, self._std))
        return (pixels - mean) / std * self._canvas.covered(pictures)[:, None].to(self._device)

    def _tokens(self, word: str) -> list[int]:
        """Cut where one word alone is longer than all that the text side holds."""
        ids: list[int] = self._tokenizer(word, add_special_tokens=False)["input_ids"]
        return ids[: self._network.config.max_text_len - 3]

    def _prompt(self, words: Sequence[str]) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids, and from where to where in them each word stands."""
        ids, spans = [self._tokenizer.cls_token_id], []
        for word in words:
            tokens = self._tokens(word)
            spans.append((len(ids), len(ids) + len(tokens)))
            ids += [*tokens, self._stop]
        return [*ids, self._tokenizer.sep_token_id], spans

    def _padded(self, rows: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """int64[B, T] twice: ids filled up on the right, and 1 where a row has its own."""
        import torch

        longest = max(len(row) for row in rows)
        fill = self._tokenizer.pad_token_id
        ids = torch.tensor([row + [fill] * (longest - len(row)) for row in rows])
        own = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        return ids.to(self._device), own.to(self._device)


def load_grounding_dino(spec: DetectorSpec, runtime: Runtime, device: torch.device) -> GroundingDino:
    """Weights stay in float32 and are computed with in half precision by autocast: its box refinement needs both."""
    import torch

    types = ("grounding-dino", "mm-grounding-dino")
    network = load_pretrained("AutoModelForZeroShotObjectDetection", spec.model, runtime, types, device, torch.float32)
    processor = load_processor("AutoProcessor", spec.model, runtime)
    return GroundingDino(network, processor, spec.side, device, dtype_of(runtime, device))
