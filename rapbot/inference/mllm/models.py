"""From a spec to a vision-language model in memory, with its processor and its LoRAs."""

from __future__ import annotations

import importlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapbot.errors import ConfigError, WeightsError
from rapbot.inference.devices import device_of, dtype_of, reading
from rapbot.inference.loading import needs
from rapbot.inference.mllm.adapters import Adapters
from rapbot.inference.mllm.hub import folder_of
from rapbot.inference.mllm.memory import check_memory, outside_decoder
from rapbot.inference.mllm.rap_weights import converted, is_original_layout
from rapbot.inference.prompt import RAP
from rapbot.inference.specs import GeneratorSpec, Runtime

if TYPE_CHECKING:
    import torch

QUANTIZATIONS = ("none", "nf4", "int8")
ATTENTIONS = ("auto", "sdpa", "flash_attention_2", "eager")


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to answer. Not thread-safe: one worker owns it."""

    model: Any
    """transformers' image-text-to-text model, frozen, in eval mode, on its device. It stays the same object when
    adapters come and go: peft puts its layers into it."""
    processor: Any
    """Its processor; the tokenizer pads on the left, as generation in batches needs."""
    config_type: str
    """`config.model_type`, by which families.py knows it."""
    rap_trained: bool
    """Whether the weights, or the default adapter, know the exact RAP prompt."""
    adapters: Adapters


def load_model(spec: GeneratorSpec, runtime: Runtime) -> LoadedModel:
    """Load `spec.model` with `spec.adapters`, the first of which becomes the default one.

    Raises ConfigError for a setting that cannot be had here, ExtraMissing, WeightsError for files that are missing, cut
    short, of another kind, or too large for the memory.
    """
    _check_words(spec)
    with needs("A vision-language model"):
        for library in ("accelerate", "peft", "transformers"):
            importlib.import_module(library)
        if spec.quantization != "none":
            importlib.import_module("bitsandbytes")
    _quiet()
    device = device_of(runtime)
    dtype = dtype_of(runtime, device)
    if spec.attention == "flash_attention_2":
        _check_flash_attention(device, dtype)
    folder = folder_of(spec.model, runtime)
    if is_original_layout(_config_of(folder)):
        folder = converted(folder, spec.model, runtime)
    with reading(spec.model, runtime):
        processor = _processor(folder)
    if processor is None:
        raise WeightsError(
            f"The model {spec.model} has no processor for pictures (preprocessor_config.json) beside it."
        )
    model = _model(folder, spec, runtime, device, dtype)
    adapters = Adapters(model, spec.model, runtime, dtype)
    adapters.swap(spec.adapters)
    manifest = adapters.manifest("")
    rap_trained = spec.rap_trained or (manifest is not None and manifest.layout == RAP)
    return LoadedModel(model, processor, str(model.config.model_type), rap_trained, adapters)


def _check_words(spec: GeneratorSpec) -> None:
    for option, word, known in (
        ("quantization", spec.quantization, QUANTIZATIONS),
        ("attention", spec.attention, ATTENTIONS),
    ):
        if word not in known:
            raise ConfigError(f'There is no {option} "{word}". It is one of {", ".join(known)}.')


def _check_flash_attention(device: torch.device, dtype: torch.dtype) -> None:
    import torch

    if device.type != "cuda" or dtype == torch.float32:
        raise ConfigError(
            'attention = "flash_attention_2" needs a CUDA device and a dtype of 16 bits; set it to "sdpa".'
        )
    if not _transformers().utils.is_flash_attn_2_available():
        raise ConfigError(
            'attention = "flash_attention_2" needs the package flash-attn, which is not installed '
            '(pip install flash-attn --no-build-isolation); "sdpa" needs nothing more and is nearly as fast.'
        )


def _config_of(folder: Path) -> dict[str, Any]:
    """config.json as it stands, before any library judges it; empty where there is none that can be read."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _processor(folder: Path) -> Any | None:
    processor = _transformers().AutoProcessor.from_pretrained(folder, local_files_only=True)
    if getattr(processor, "image_processor", None) is None:
        return None
    tokenizer = processor.tokenizer
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return processor


def _model(folder: Path, spec: GeneratorSpec, runtime: Runtime, device: torch.device, dtype: torch.dtype) -> Any:
    import torch

    transformers = _transformers()
    with reading(spec.model, runtime):
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    if type(config) not in transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise WeightsError(f"The model {spec.model} ({config.model_type}) does not answer with text about pictures.")
    auto_class = transformers.AutoModelForImageTextToText
    attention = None if spec.attention == "auto" else spec.attention
    with reading(spec.model, runtime), torch.device("meta"):
        outline = auto_class.from_config(config, dtype=dtype, attn_implementation=attention)
    check_memory(outline, spec.model, spec.quantization, device)
    kept = outside_decoder(outline)
    quantization = None
    if spec.quantization == "nf4":
        quantization = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=kept,
        )
    elif spec.quantization == "int8":
        quantization = transformers.BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=kept)
    with reading(spec.model, runtime):
        model, found = auto_class.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            device_map={"": device},
            attn_implementation=attention,
            quantization_config=quantization,
            use_safetensors=any(folder.glob("*.safetensors")),
            weights_only=True,
            local_files_only=True,
            output_loading_info=True,
        )
    if found["missing_keys"]:
        first = sorted(found["missing_keys"])[0]
        raise WeightsError(
            f"The weights of {spec.model} are incomplete: {len(found['missing_keys'])} tensors are missing ({first})."
        )
    return model.requires_grad_(False).eval()


def _quiet() -> None:
    """No bar per loaded file in the log, and no line per layer and token that int8 computes in float16."""
    _transformers().utils.logging.disable_progress_bar()
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)


def _transformers() -> Any:
    return importlib.import_module("transformers")
