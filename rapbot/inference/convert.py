"""Turn a GGUF file of a small Llama into the files that everything else reads, once.

Reading GGUF takes seconds on every start (97,000 strings, 4-bit blocks); the folder written here loads in half a second
and is an ordinary Hugging Face checkpoint, so training starts from the same numbers that are served.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Weights = dict[str, npt.NDArray[np.float16]]
Step = Callable[[int, int], None]
"""Called with (tensors done, tensors in all)."""

_OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_INNER = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert_gguf(source: Path, folder: Path, step: Step | None = None) -> None:
    """Write model.safetensors (float16), config.json, tokenizer.json and tokenizer_config.json into `folder`.

    Raises ValueError or KeyError when `source` is not a GGUF file of a Llama with a byte-level tokenizer.
    """
    import gguf
    from safetensors.numpy import save_file

    reader = gguf.GGUFReader(source)
    fields = _Fields(reader)
    if fields["general.architecture"] != "llama":
        raise ValueError(f"{source.name} is not a Llama")
    weights: Weights = {}
    for number, tensor in enumerate(reader.tensors):
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        weights[_checkpoint_name(tensor.name)] = _as_checkpoint(tensor.name, values, fields).astype(np.float16)
        if step is not None:
            step(number + 1, len(reader.tensors))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _write_json(folder / "config.json", _config(fields, tied="lm_head.weight" not in weights))
    _write_tokenizer(folder, fields)


class _Fields:
    """The key-value part of a GGUF file."""

    def __init__(self, reader: Any) -> None:
        self._fields = reader.fields

    def __getitem__(self, key: str) -> Any:
        return self._fields[key].contents()


def _checkpoint_name(name: str) -> str:
    """ "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight"."""
    parts = name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{_INNER[parts[2]]}.{parts[3]}"
    return f"{_OUTER[parts[0]]}.{parts[1]}"


def _as_checkpoint(name: str, values: npt.NDArray[np.float32], fields: _Fields) -> npt.NDArray[np.float32]:
    """Undo GGUF's reordering of query and key rows (pairs side by side) to the two halves that checkpoints have."""
    heads = {"attn_q": "head_count", "attn_k": "head_count_kv"}.get(name.split(".")[-2])
    if heads is None:
        return values
    count = int(fields[f"llama.attention.{heads}"])
    rows, columns = values.shape
    return values.reshape(count, rows // count // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _config(fields: _Fields, *, tied: bool) -> dict[str, object]:
    hidden, heads = int(fields["llama.embedding_length"]), int(fields["llama.attention.head_count"])
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": int(fields["llama.feed_forward_length"]),
        "num_hidden_layers": int(fields["llama.block_count"]),
        "num_attention_heads": heads,
        "num_key_value_heads": int(fields["llama.attention.head_count_kv"]),
        "head_dim": hidden // heads,
        "max_position_embeddings": int(fields["llama.context_length"]),
        "rms_norm_eps": float(fields["llama.attention.layer_norm_rms_epsilon"]),
        "rope_parameters": {"rope_type": "default", "rope_theta": float(fields["llama.rope.freq_base"])},
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "tie_word_embeddings": tied,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": int(fields["tokenizer.ggml.bos_token_id"]),
        "eos_token_id": int(fields["tokenizer.ggml.eos_token_id"]),
        "pad_token_id": int(fields["tokenizer.ggml.padding_token_id"]),
        "dtype": "float16",
    }


def _write_tokenizer(folder: Path, fields: _Fields) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    kinds: list[int] = fields["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ", 1)) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=merges))
    # "smollm" pre-tokenization: digits one by one, which transformers' own GGUF reader forgets.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    control = 3  # LLAMA_TOKEN_TYPE_CONTROL
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == control]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))

    def named(key: str) -> str:
        return tokens[int(fields[f"tokenizer.ggml.{key}"])]

    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": named("bos_token_id"),
        "eos_token": named("eos_token_id"),
        "pad_token": named("padding_token_id"),
        "unk_token": named("unknown_token_id"),
        "model_max_length": int(fields["llama.context_length"]),
        "chat_template": fields["tokenizer.chat_template"],
    }
    _write_json(folder / "tokenizer_config.json", settings)


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
