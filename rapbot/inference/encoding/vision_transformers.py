"""DINOv2 and SigLIP through transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rapbot.errors import ConfigError, WeightsError
from rapbot.inference.devices import device_of, dtype_of
from rapbot.inference.encoding.batched import BatchedEncoder, Tower
from rapbot.inference.encoding.pixels import MIDDLE, SQUASH, Preparation
from rapbot.inference.encoding.pretrained import load_pretrained, load_processor
from rapbot.inference.encoding.words import ZeroShotWords, affordable
from rapbot.inference.specs import EncoderSpec, Runtime
from rapbot.logs import get_logger

if TYPE_CHECKING:
    import torch

log = get_logger("rapbot.encoding")
DINO_TYPES = ("dinov2", "dinov2_with_registers")
SIGLIP_TYPES = ("siglip",)
TEXTS = 128
"""Texts of one forward pass."""


def load_encoder(spec: EncoderSpec, runtime: Runtime) -> BatchedEncoder:
    """Fills `loading.ENCODERS`. `spec.model` is a hub id, a folder of that name below `models_dir`, or a path.

    dinov2: the layer-normalised class token, with which the paper searches for the same thing in other photos
    (Oquab et al., 2024, section 7.4); a mean over patches would weigh the background by its area. No words.
    siglip: the image embedding that its training compared with texts; it has no class token.
    Raises ConfigError, ExtraMissing, WeightsError.
    """
    device = device_of(runtime)
    dtype = dtype_of(runtime, device)
    types = DINO_TYPES if spec.kind == "dinov2" else SIGLIP_TYPES
    network = load_pretrained("AutoModel", spec.model, runtime, types, device, dtype)
    preparation = _preparation(load_processor("AutoImageProcessor", spec.model, runtime), spec.model)
    words: ZeroShotWords | None = None
    if spec.kind == "siglip":
        words = _words(network, spec.model, runtime, device)
        network = network.vision_model
    width = network.config.hidden_size
    return BatchedEncoder(spec, Tower(_pooled(network), width, preparation, device, dtype), words)


def _pooled(network: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    def embed(pixels: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = network(pixel_values=pixels).pooler_output
        return pooled

    return embed


def _preparation(processor: Any, model: str) -> Preparation:
    """What the image processor does, read off its settings: it would do it picture by picture."""
    size = dict(processor.size)
    final = dict(processor.crop_size) if getattr(processor, "do_center_crop", False) else size
    if not final.get("height") or not final.get("width"):
        raise ConfigError(f"The pictures of {model} are prepared in a way that is not supported ({final}).")
    return Preparation(
        width=final["width"],
        height=final["height"],
        mean=tuple(processor.image_mean),
        std=tuple(processor.image_std),
        fit=MIDDLE if size.get("shortest_edge") else SQUASH,
        resample=int(processor.resample),
        short_side=size.get("shortest_edge") or 0,
        round_down=True,
    )


def _words(network: Any, model: str, runtime: Runtime, device: torch.device) -> ZeroShotWords | None:
    import torch

    length = network.config.text_config.max_position_embeddings
    if not affordable(network.text_model, length):
        return None
    try:
        tokenizer = load_processor("AutoTokenizer", model, runtime)
    except WeightsError as error:  # the keys need no tokenizer
        log.warning("encoder_has_no_words", model=model, reason=error.sentence)
        return None

    def encode(texts: Sequence[str]) -> torch.Tensor:
        parts = []
        for start in range(0, len(texts), TEXTS):
            # SigLIP was trained on lower-case texts, all padded to one length, with no mask.
            batch = [text.lower().rstrip(".") for text in texts[start : start + TEXTS]]
            ids = tokenizer(batch, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
            parts.append(network.text_model(input_ids=ids["input_ids"].to(device)).pooler_output.float())
        return torch.nn.functional.normalize(torch.cat(parts), dim=-1)

    return ZeroShotWords(encode, network.logit_scale.exp().item())
