"""Models of open_clip by name, from a folder of one's own or from the hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapbot.errors import ConfigError, WeightsError
from rapbot.inference.devices import dtype_of, local_path, reading
from rapbot.inference.loading import needs
from rapbot.inference.specs import Runtime

if TYPE_CHECKING:
    import torch

HUB = "hf-hub:"
TEXTS = 128
"""Texts of one forward pass."""
WEIGHTS = (".safetensors", ".bin", ".pth", ".pt")


@dataclass(frozen=True, slots=True)
class OpenClip:
    """`network` in evaluation mode on the CPU; `tokenizer` takes a list of texts and gives int64[N, T]."""

    network: Any
    tokenizer: Callable[[Sequence[str]], torch.Tensor]


def load_open_clip(model: str, runtime: Runtime, dtype: torch.dtype) -> OpenClip:
    """An open_clip model. Names:

    - "ARCHITECTURE/TAG" ("ViT-L-14-336/openai"): published weights; `open_clip.list_pretrained()` has them all.
    - "hf-hub:ORG/NAME": a repository of the hub with an `open_clip_config.json`.
    - either of them as a folder below `models_dir` ("hf-hub:" left off), or a path: with an `open_clip_config.json`
      beside the weights; without one, "ARCHITECTURE/TAG" may also hold (or be) just the weights file.

    Raises ConfigError for a name that is none of them, ExtraMissing, WeightsError.
    """
    with needs("The open_clip model " + model):
        import open_clip
    options = _options(model, local_path(model.removeprefix(HUB), runtime))
    precision = {"torch.float16": "fp16", "torch.bfloat16": "bf16"}.get(str(dtype), "fp32")
    with reading(model, runtime):
        # require_pretrained: otherwise weights that cannot be fetched are replaced by random ones, with a log line.
        network = open_clip.create_model(**options, precision=precision, require_pretrained=True)
        tokenizer = open_clip.get_tokenizer(options["model_name"])
    return OpenClip(network.eval(), tokenizer)


def load_text_encoder(model: str, runtime: Runtime, device: torch.device) -> Callable[[Sequence[str]], torch.Tensor]:
    """The text tower alone, as `text_encoder`; the image tower is let go of. Raises as `load_open_clip`."""
    clip = load_open_clip(model, runtime, dtype_of(runtime, device))
    del clip.network.visual
    clip.network.to(device)
    return text_encoder(clip, device)


def text_encoder(clip: OpenClip, device: torch.device) -> Callable[[Sequence[str]], torch.Tensor]:
    """Texts -> float32[N, D] of length 1 on `device`. Longer texts than the tower holds are cut by its tokenizer."""
    import torch

    def encode(texts: Sequence[str]) -> torch.Tensor:
        with torch.inference_mode():
            parts = [
                clip.network.encode_text(clip.tokenizer(list(texts[start : start + TEXTS])).to(device)).float()
                for start in range(0, len(texts), TEXTS)
            ]
            return torch.nn.functional.normalize(torch.cat(parts), dim=-1)

    return encode


def _options(model: str, path: Path | None) -> dict[str, Any]:
    """What `open_clip.create_model` is called with."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    if path is not None and (path / "open_clip_config.json").is_file():
        return {"model_name": f"local-dir:{path}"}
    if model.startswith(HUB):
        return {"model_name": model}
    architecture, _, tag = model.partition("/")
    if architecture not in open_clip.list_models():
        raise ConfigError(
            f"open_clip has no architecture {architecture} (of {model}). Write ARCHITECTURE/TAG as "
            "ViT-L-14-336/openai, hf-hub:ORG/NAME, or put a folder with an open_clip_config.json into models_dir."
        )
    published = get_pretrained_cfg(architecture, tag) if tag else {}
    if path is None and not published:
        tags = ", ".join(list_pretrained_tags_by_model(architecture))
        raise ConfigError(f"open_clip has no weights {tag or '(none named)'} for {architecture}. Its weights: {tags}.")
    options: dict[str, Any] = {"model_name": architecture, "pretrained": tag}
    # OpenAI's weights were trained with another activation than the architecture of the same name uses by default.
    options["force_quick_gelu"] = bool(published.get("quick_gelu"))
    if path is not None:
        options["pretrained"] = str(_weights_file(path, model))
        options["force_preprocess_cfg"] = {
            key: published[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in published
        }
    return options


def _weights_file(path: Path, model: str) -> Path:
    if path.is_file():
        return path
    files = sorted((f for f in path.iterdir() if f.suffix in WEIGHTS), key=lambda f: WEIGHTS.index(f.suffix))
    if not files:
        raise WeightsError(f"The folder {path} of the model {model} holds no weights ({', '.join(WEIGHTS)}).")
    return files[0]
