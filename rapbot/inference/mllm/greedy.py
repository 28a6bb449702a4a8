"""Greedy decoding of several prompts in lockstep.

transformers' `generate` does the same and much else at each token, which costs a small model a tenth of its time; that
both write the same is tested for every family. `generate` stays for models of no known family.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Any

from rapbot.inference.mllm.decoding import Draft
from rapbot.inference.mllm.kv_cache import cache_argument, cache_in, make_room
from rapbot.inference.naming import NameGuide, choose_tokens

if TYPE_CHECKING:
    from torch import Tensor


def write(
    model: Any,
    inputs: dict[str, Tensor],
    drafts: Sequence[Draft],
    guides: Sequence[NameGuide | None],
    ends: Set[int],
    cache: Any = None,
) -> None:
    """Add tokens to each of `drafts` (one for each row of `inputs`, each with its guide) until all are done.

    `inputs` are those of `side_by_side`; `cache`, which is written on, holds the first tokens of each row already.
    Once half of the rows are done, the model goes on with the others alone.
    """
    import torch

    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    made, positions = _read(model, inputs, cache)
    cache = cache_in(made)
    make_room(cache)
    length, most = ids.shape[1], max(draft.left for draft in drafts)
    # Without padding no mask is needed, and attention is faster.
    seen = None if bool(mask.all()) else torch.cat((mask, mask.new_ones((len(drafts), most))), dim=1)
    rows, guides = list(drafts), list(guides)
    while True:
        tokens = made.logits[:, -1].argmax(-1).to(ids.device)
        likeliest: list[int] = tokens.tolist()
        chosen = choose_tokens(guides, likeliest, made.logits[:, -1])
        del made  # the first pass may have made logits of many tokens
        for draft, token in zip(rows, chosen, strict=True):
            draft.add(token, ends)
        going = [row for row, draft in enumerate(rows) if not draft.done]
        if not going:
            return
        if chosen != likeliest:
            tokens = torch.tensor(chosen, device=ids.device)
        if 2 * len(going) <= len(rows):
            left = torch.tensor(going, device=ids.device)
            cache.batch_select_indices(left)
            tokens, positions = tokens[left], positions.index_select(-2, left)
            seen = None if seen is None else seen[left]
            rows, guides = [rows[row] for row in going], [guides[row] for row in going]
        length, positions = length + 1, positions + 1
        made = model(
            input_ids=tokens[:, None],
            attention_mask=None if seen is None else seen[:, :length],
            position_ids=positions,
            use_cache=True,
            return_dict=True,
            **cache_argument(model, cache),
        )


def _read(model: Any, inputs: dict[str, Tensor], cache: Any) -> tuple[Any, Tensor]:
    """(what the model makes of the prompts, positions int64[..., rows, 1] of their last tokens).

    Which positions and which of `inputs` a model takes, it says itself, by the two methods that `generate` asks too.
    """
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    known = cache_argument(model, cache)
    positions: Tensor = model._prepare_position_ids_for_generation(ids, {**inputs, **known})
    given = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask")}
    prepared = model.prepare_inputs_for_generation(
        ids,
        next_sequence_length=None if cache is None else ids.shape[1] - cache.get_seq_length(),
        attention_mask=None if bool(mask.all()) else mask,
        position_ids=positions,
        is_first_iteration=True,
        use_cache=True,
        logits_to_keep=1,
        **given,
        **known,
    )
    return model(**prepared, return_dict=True), positions[..., -1:]
