"""Tiny checkpoints in the original LLaVA layout, written out of transformers' LLaVA under the original names."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

transformers: Any = importlib.import_module("transformers")
LORA_TARGETS = {"llava": ("q_proj", "up_proj", "down_proj"), "llava-phi3": ("qkv_proj", "down_proj")}
RANK, ALPHA = 4, 8


def original_name(name: str) -> str:
    """As haotian-liu/LLaVA names a parameter of LlavaForConditionalGeneration."""
    name = re.sub(r"^model\.vision_tower\.(vision_model\.)?", "model.vision_tower.vision_tower.vision_model.", name)
    name = re.sub(r"^model\.multi_modal_projector\.linear_1", "model.mm_projector.0", name)
    name = re.sub(r"^model\.multi_modal_projector\.linear_2", "model.mm_projector.2", name)
    return re.sub(r"^model\.language_model\.", "model.", name)


def original_tensors(model: Any, *, tower: bool) -> dict[str, Tensor]:
    """Without the image token's row, which the original does not have; with a buffer that old checkpoints carry."""
    rows = model.config.image_token_id
    tensors = {}
    for name, tensor in model.state_dict().items():
        if name.startswith("model.vision_tower.") and not tower:
            continue
        cut = tensor[:rows] if name.endswith(("embed_tokens.weight", "lm_head.weight")) else tensor
        tensors[original_name(name)] = cut.clone()
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
    return tensors


def original_config(model: Any, tower: Path, **changes: Any) -> dict[str, Any]:
    text = model.config.text_config
    phi = text.model_type == "phi3"
    same = (
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
        "max_position_embeddings", "rms_norm_eps", "hidden_act", "bos_token_id", "eos_token_id", "pad_token_id",
    )  # fmt: skip
    return {
        "architectures": ["LlavaPhiForCausalLM" if phi else "LlavaLlamaForCausalLM"],
        "model_type": "llava_phi" if phi else "llava_llama",
        "vocab_size": model.config.image_token_id,
        "rope_theta": text.rope_parameters["rope_theta"],
        "mm_vision_tower": str(tower),
        "mm_projector_type": "mlp2x_gelu",
        "mm_hidden_size": model.config.vision_config.hidden_size,
        "mm_vision_select_layer": -2,
        "mm_vision_select_feature": "patch",
        "mm_use_im_start_end": False,
        "mm_use_im_patch_token": False,
        "image_aspect_ratio": "pad",
        "torch_dtype": "float32",
        "tie_word_embeddings": False,
        **{name: getattr(text, name) for name in same},
        **changes,
    }


def write_tower(model: Any, folder: Path) -> Path:
    """The vision tower as a repository of its own."""
    tower = transformers.CLIPVisionModel(model.config.vision_config)
    state = {name.removeprefix("vision_model."): name for name in tower.state_dict()}
    source = {
        name.removeprefix("model.vision_tower.").removeprefix("vision_model."): tensor
        for name, tensor in model.state_dict().items()
        if name.startswith("model.vision_tower.")
    }
    tower.load_state_dict({state[name]: tensor for name, tensor in source.items()})
    tower.save_pretrained(folder)
    return folder


def write_files(tensors: dict[str, Tensor], folder: Path, kind: str, *, shards: int = 2) -> None:
    """`kind`: "safetensors" or "bin"; in two shards with their index, as large models come."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(tensors)
    where = {}
    stem = "model" if kind == "safetensors" else "pytorch_model"
    for number in range(shards):
        file = f"{stem}-{number + 1:05d}-of-{shards:05d}.{kind}"
        part = {name: tensors[name] for name in names[number::shards]}
        where.update(dict.fromkeys(part, file))
        if kind == "safetensors":
            save_file(part, folder / file, {"format": "pt"})
        else:
            torch.save(part, folder / file)
    index = {"metadata": {}, "weight_map": where}
    (folder / f"{stem}.{kind}.index.json").write_text(json.dumps(index))


def write_tokenizer(processor: Any, folder: Path) -> None:
    """The model's tokenizer as the original had it: without the image token."""
    tokenizer = processor.tokenizer
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    backend["added_tokens"] = [token for token in backend["added_tokens"] if token["content"] != "<image>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(backend))
    special = {name: getattr(tokenizer, name) for name in ("pad_token", "eos_token", "bos_token")}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "padding_side": "right", **special})
    )


def write_lora(model: Any, name: str, folder: Path, base: Path, tower: Path, kind: str = "bin") -> Any:
    """A LoRA folder as LLaVA's train.py leaves it, over `base`; returns the model with everything merged in."""
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(5)
    matrices: dict[str, Tensor] = {}
    rest: dict[str, Tensor] = {}
    state = model.state_dict()
    for path, tensor in state.items():
        if path.endswith(".weight") and path.split(".")[-2] in LORA_TARGETS[name] and "language_model" in path:
            down = torch.randn(RANK, tensor.shape[1], generator=generator) / 8
            up = torch.randn(tensor.shape[0], RANK, generator=generator) / 8
            key = "base_model.model." + original_name(path).removesuffix(".weight")
            matrices |= {f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up}
            state[path] = tensor + ALPHA / RANK * up @ down
        elif "multi_modal_projector" in path:
            state[path] = tensor + torch.randn(tensor.shape, generator=generator) / 8
            rest["base_model.model." + original_name(path)] = state[path].clone()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(original_config(model, tower)))
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(base),
        "r": RANK,
        "lora_alpha": ALPHA,
        "lora_dropout": 0.05,
        "bias": "none",
        "fan_in_fan_out": False,
        "modules_to_save": None,
        "target_modules": list(LORA_TARGETS[name]),
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    if kind == "bin":
        torch.save(matrices, folder / "adapter_model.bin")
    else:
        save_file(matrices, folder / "adapter_model.safetensors", {"format": "pt"})
    torch.save(rest, folder / "non_lora_trainables.bin")
    model.load_state_dict(state)
    return model
