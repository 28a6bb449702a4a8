"""CLIP and its kin through open_clip: the encoder of the RAP paper is ViT-L/14-336 with OpenAI's weights, 768-d."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from rapbot.inference.devices import device_of, dtype_of
from rapbot.inference.encoding.batched import BatchedEncoder, Tower
from rapbot.inference.encoding.open_clip_models import OpenClip, load_open_clip, text_encoder
from rapbot.inference.encoding.pixels import MIDDLE, PAD, SQUASH, Preparation
from rapbot.inference.encoding.words import ZeroShotWords, affordable
from rapbot.inference.specs import EncoderSpec, Runtime

if TYPE_CHECKING:
    import torch

FITS = {"shortest": MIDDLE, "squash": SQUASH, "longest": PAD}


def load_encoder(spec: EncoderSpec, runtime: Runtime) -> BatchedEncoder:
    """Fills `loading.ENCODERS`. `spec.model` is a name as `open_clip_models.load_open_clip` takes it.

    Keys are the projected image features, those that the model compares with texts. Raises ConfigError, ExtraMissing,
    WeightsError.
    """
    device = device_of(runtime)
    dtype = dtype_of(runtime, device)
    clip = load_open_clip(spec.model, runtime, dtype)
    network = clip.network.to(device)
    preparation = _preparation(clip)
    words = _words(clip, device)
    network.transformer = network.text = None  # the text tower has said all it will be asked
    tower = Tower(network.encode_image, _dimension(clip, preparation, device, dtype), preparation, device, dtype)
    return BatchedEncoder(spec, tower, words)


def _preparation(clip: OpenClip) -> Preparation:
    own = clip.network.visual.preprocess_cfg
    size = own["size"]
    height, width = (size, size) if isinstance(size, int) else size
    return Preparation(
        width=width,
        height=height,
        mean=tuple(own["mean"]),
        std=tuple(own["std"]),
        fit=FITS[own["resize_mode"]],
        resample=getattr(Image.Resampling, own["interpolation"].upper(), Image.Resampling.BICUBIC),
        fill=own["fill_color"],
    )


def _words(clip: OpenClip, device: torch.device) -> ZeroShotWords | None:
    network = clip.network
    tower = network.text if hasattr(network, "text") else network.transformer
    if not affordable(tower, clip.tokenizer(["a"]).shape[1]):
        return None
    return ZeroShotWords(text_encoder(clip, device), network.logit_scale.exp().item())


def _dimension(clip: OpenClip, preparation: Preparation, device: torch.device, dtype: torch.dtype) -> int:
    """Asked of the model itself: towers of different libraries keep it under different names."""
    import torch

    with torch.inference_mode():
        grey = preparation.pixels([Image.new("RGB", (8, 8), "grey")], device, dtype)
        return int(clip.network.encode_image(grey).shape[-1])
