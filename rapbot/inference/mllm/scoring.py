"""How likely a model finds given answers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rapbot.inference.mllm.kv_cache import cache_argument, cache_in

if TYPE_CHECKING:
    from torch import Tensor


def answer_likelihoods(model: Any, inputs: dict[str, Tensor], answers: Sequence[list[int]], rows: int) -> list[float]:
    """Natural log of the probability of each answer (its token ids) after one prompt, summed over its tokens.

    The prompt (tensors of one row) is read once; then `rows` answers at a time, padded on the right: no token sees the
    padding behind it.
    """
    import torch

    read = model(**inputs, use_cache=True, logits_to_keep=1)
    cache, first = cache_in(read), read.logits[:, -1].float().log_softmax(-1)
    start, likelihoods = inputs["input_ids"].shape[1], []
    position = _next_position(model, start)
    for at in range(0, len(answers), rows):
        part = answers[at : at + rows]
        longest = max(map(len, part))
        padded = torch.tensor([answer + [answer[-1]] * (longest - len(answer)) for answer in part], device=first.device)
        each = first.expand(len(part), -1).gather(1, padded[:, :1])
        if longest > 1:
            copied = copy.deepcopy(cache)
            if len(part) > 1:
                copied.batch_repeat_interleave(len(part))
            positions = torch.arange(position, position + longest - 1, device=first.device)
            more = model(
                input_ids=padded[:, :-1],
                attention_mask=padded.new_ones((len(part), start + longest - 1)),
                position_ids=_shaped(model, positions, len(part)),
                use_cache=True,
                **cache_argument(model, copied),
            )
            chances = more.logits.float().log_softmax(-1).gather(2, padded[:, 1:, None])[:, :, 0]
            each = torch.cat((each, chances), dim=1)
        likelihoods += [float(row[: len(answer)].sum()) for row, answer in zip(each, part, strict=True)]
    return likelihoods


def _deltas(model: Any) -> Any:
    """Where positions have three axes (Qwen-VL), a picture takes fewer of them than tokens: by how many, after a prompt
    with pictures."""
    return getattr(getattr(model, "model", None), "rope_deltas", None)


def _next_position(model: Any, tokens: int) -> int:
    deltas = _deltas(model)
    return tokens if deltas is None else tokens + int(deltas.reshape(-1)[0])


def _shaped(model: Any, positions: Tensor, rows: int) -> Tensor:
    """int64[rows, T], or int64[3, rows, T] where positions have three axes."""
    flat = positions.expand(rows, -1)
    return flat if not hasattr(getattr(model, "model", None), "rope_deltas") else flat.expand(3, rows, -1)
