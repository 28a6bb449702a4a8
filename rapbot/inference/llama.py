"""The forward pass of a small Llama (SmolLM2), lean enough for a processor: fused projections, a preallocated cache.

Why not transformers: importing its Llama takes longer than everything else at start (5 s of 6 s on two slow cores), and
its Python around thirty small layers costs three quarters of the time of a token. The arithmetic is that of
`transformers.LlamaForCausalLM`; tests/test_generator.py holds the two against each other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Linear = Callable[["Tensor"], "Tensor"]
"""float32[..., in] -> float32[..., out]"""


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """The numbers of config.json that the forward pass needs."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    context: int
    rope_base: float
    norm_epsilon: float

    @classmethod
    def read(cls, folder: Path) -> LlamaShape:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        rope = config.get("rope_parameters") or {}
        heads = config["num_attention_heads"]
        return cls(
            layers=config["num_hidden_layers"],
            hidden=config["hidden_size"],
            heads=heads,
            kv_heads=config["num_key_value_heads"],
            head_size=config.get("head_dim") or config["hidden_size"] // heads,
            context=config["max_position_embeddings"],
            rope_base=rope.get("rope_theta") or config.get("rope_theta", 10000.0),
            norm_epsilon=config["rms_norm_eps"],
        )


@dataclass(frozen=True, slots=True)
class KeyValues:
    """What attention remembers: `keys` and `values` are float32[layers, B, kv_heads, T, head_size]."""

    keys: Tensor
    values: Tensor

    @property
    def room(self) -> int:
        """Tokens that fit."""
        return self.keys.shape[3]

    @property
    def rows(self) -> int:
        return self.keys.shape[1]

    def part(self, rows: int, tokens: int) -> KeyValues:
        """The first `rows` and `tokens`, sharing memory."""
        return KeyValues(self.keys[:, :rows, :, :tokens], self.values[:, :rows, :, :tokens])

    def row(self, number: int) -> KeyValues:
        """One row, sharing its memory."""
        return KeyValues(self.keys[:, number : number + 1], self.values[:, number : number + 1])

    def copy_row(self, source: KeyValues, length: int) -> None:
        """Fill the first `length` positions of every row from the single row of `source`."""
        self.keys[:, :, :, :length] = source.keys[:, :1, :, :length]
        self.values[:, :, :, :length] = source.values[:, :1, :, :length]


@dataclass(frozen=True, slots=True)
class _Layer:
    norm_in: Tensor
    norm_out: Tensor
    query_key_value: Linear
    output: Linear
    gate_up: Linear
    down: Linear


class Llama:
    """Weights packed for reading: `forward` is all there is."""

    def __init__(self, shape: LlamaShape, weights: Mapping[str, Tensor]) -> None:
        """`weights` are named as in a Hugging Face checkpoint; the head is tied to the embedding."""
        import torch

        self.shape = shape
        self._embedding = weights["model.embed_tokens.weight"].to(torch.float16, copy=True)  # lets the file go
        self._head = _packed(weights.get("lm_head.weight", weights["model.embed_tokens.weight"]))
        self._norm = weights["model.norm.weight"].float()
        self._layers = [_layer(shape, weights, number) for number in range(shape.layers)]
        self._rotations = _rotations(shape, min(shape.context, 4096))

    def new_cache(self, rows: int, tokens: int) -> KeyValues:
        import torch

        size = (self.shape.layers, rows, self.shape.kv_heads, tokens, self.shape.head_size)
        # Zeros, not empty: a masked position still takes part in 0 * value, and 0 * nan is nan.
        return KeyValues(torch.zeros(size), torch.zeros(size))

    def forward(self, tokens: Tensor, starts: Tensor, cache: KeyValues) -> Tensor:
        """Append int64[B, n] `tokens` at positions int64[B] `starts` of `cache`; returns float32[B, n, hidden]."""
        import torch
        from torch.nn import functional as F  # noqa: N812 (the name everybody knows)

        shape, (rows, count) = self.shape, tokens.shape
        positions = starts[:, None] + torch.arange(count)
        end = int(positions.max()) + 1
        rotation = self._rotations[positions][:, :, None]
        # Queries of one key head lie side by side as extra rows, so grouped attention needs no copied keys.
        groups = shape.heads // shape.kv_heads
        mask = (torch.arange(end) <= positions[:, :, None])[:, None].repeat(1, 1, groups, 1)
        row = torch.arange(rows)[:, None]
        turned, width = shape.heads + shape.kv_heads, shape.head_size
        hidden = self._embedding[tokens].float()
        for number, layer in enumerate(self._layers):
            normed = F.rms_norm(hidden, (shape.hidden,), layer.norm_in, shape.norm_epsilon)
            mixed = layer.query_key_value(normed).view(rows, count, turned + shape.kv_heads, width)
            pairs = torch.view_as_complex(mixed[:, :, :turned].reshape(rows, count, turned, width // 2, 2))
            query_key = torch.view_as_real(pairs * rotation).view(rows, count, turned, width)
            keys, values = cache.keys[number], cache.values[number]
            keys[row, :, positions] = query_key[:, :, shape.heads :]
            values[row, :, positions] = mixed[:, :, turned:]
            query = query_key[:, :, : shape.heads].view(rows, count, shape.kv_heads, groups, width)
            query = query.permute(0, 2, 3, 1, 4).reshape(rows, shape.kv_heads, groups * count, width)
            seen = F.scaled_dot_product_attention(query, keys[:, :, :end], values[:, :, :end], attn_mask=mask)
            seen = seen.view(rows, shape.kv_heads, groups, count, width).permute(0, 3, 1, 2, 4)
            hidden = hidden + layer.output(seen.reshape(rows, count, shape.heads * width))
            normed = F.rms_norm(hidden, (shape.hidden,), layer.norm_out, shape.norm_epsilon)
            gate, up = layer.gate_up(normed).chunk(2, dim=-1)
            hidden = hidden + layer.down(F.silu(gate) * up)
        return F.rms_norm(hidden, (shape.hidden,), self._norm, shape.norm_epsilon)

    def logits(self, hidden: Tensor) -> Tensor:
        """float32[..., hidden] -> float32[..., vocabulary]."""
        return self._head(hidden)


def _layer(shape: LlamaShape, weights: Mapping[str, Tensor], number: int) -> _Layer:
    import torch

    def weight(part: str) -> Tensor:
        return weights[f"model.layers.{number}.{part}.weight"].float()

    query = _interleaved(weight("self_attn.q_proj"), shape.heads)
    key = _interleaved(weight("self_attn.k_proj"), shape.kv_heads)
    return _Layer(
        norm_in=weight("input_layernorm"),
        norm_out=weight("post_attention_layernorm"),
        query_key_value=_packed(torch.cat((query, key, weight("self_attn.v_proj")))),
        output=_packed(weight("self_attn.o_proj")),
        gate_up=_packed(torch.cat((weight("mlp.gate_proj"), weight("mlp.up_proj")))),
        down=_packed(weight("mlp.down_proj")),
    )


def _interleaved(weight: Tensor, heads: int) -> Tensor:
    """Rows of each head reordered so that the two numbers a rotation turns are neighbours (one complex product)."""
    out, into = weight.shape
    return weight.view(heads, 2, out // heads // 2, into).transpose(1, 2).reshape(out, into)


def _rotations(shape: LlamaShape, length: int) -> Tensor:
    """complex64[length, head_size / 2]: rotary position embedding (Su et al. 2021)."""
    import torch

    steps = torch.arange(0, shape.head_size, 2, dtype=torch.float32) / shape.head_size
    angles = torch.outer(torch.arange(length, dtype=torch.float32), shape.rope_base**-steps)
    return torch.polar(torch.ones_like(angles), angles)


def _packed(weight: Tensor) -> Linear:
    """x -> x W^T with W kept in half precision where torch was built with FBGEMM: reading W is what takes the time.

    Sums stay in float32; the weights were 4-bit once, so nothing is lost. Elsewhere plain float32.
    """
    import torch
    from torch.nn import functional as F  # noqa: N812

    try:
        packed = torch.ops.quantized.linear_prepack_fp16(weight.float().contiguous(), None)
        multiply = torch.ops.quantized.linear_dynamic_fp16.default
        multiply(torch.zeros(1, weight.shape[1]), packed)
    except (AttributeError, NotImplementedError, RuntimeError):
        full = weight.float().contiguous()
        return lambda values: F.linear(values, full)
    return lambda values: multiply(values, packed)
