"""The training loop of the text-only model on a processor: LoRA, packs of samples, a checkpoint that survives kill -9.

Loss on the answers only: the mean negative log-likelihood of a right answer's tokens; where a question has false
options, the cross-entropy of choosing the right one by summed log-likelihood (as serving does, choosing.py); where it
is asked of several texts, that of choosing the text by how likely it makes the question, and that of the verdict on
each (clause_choice.py).
A run that is killed and started again gives the same weights as one that was not: the checkpoint holds the matrices,
the optimiser, the random state and how many packs were read, and is replaced in one step.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.growing import grown
from training.packing import Encoded, Pack, epochs, packs

if TYPE_CHECKING:
    from torch import Tensor

LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is trained and how. `budget`: tokens of a pack; `together`: packs of one step; `save_every`: seconds."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    below: int = 0
    """Layers at the bottom that stay as they are, and cost no backward pass."""
    rate: float = 6e-4
    warmup: int = 20
    """Steps until the full rate."""
    cooling: float = 0.35
    """Last share of the steps, in which the rate falls to a twentieth. Until then nothing depends on how long the run
    is, so that a run can be made longer or shorter before it cools (Hu et al. 2024, "warmup-stable-decay")."""
    passes: int = 1
    budget: int = 280
    together: int = 2
    choice_weight: float = 0.5
    asking_weight: float = 0.1
    """Of the likelihood of a question, given the text that answers it; the choice of the text weighs 1."""
    verdict_weight: float = 1.0
    half: bool = False
    """bfloat16 for all but the trained matrices and the losses: twice as fast where the processor has it (avx512_bf16),
    and slower where not."""
    verdicts: tuple[int, ...] = ()
    """Tokens of the verdicts, see `losses`."""
    clip: float = 1.0
    decay: float = 0.0
    seed: int = 0
    threads: int = 2
    save_every: float = 120.0


@dataclass(slots=True)
class Progress:
    """Told after every step: losses of the step, and seconds since this process started training."""

    step: int
    steps: int
    loss: float
    answer_loss: float
    choice_loss: float
    ranking_loss: float
    verdict_loss: float
    inside: float
    """Share of the time inside forward, backward and the optimiser."""
    seconds: float
    tokens: int
    """Read in this step."""

    def as_row(self) -> dict[str, float]:
        return {name: round(value, 4) for name, value in asdict(self).items()}

    def line(self) -> str:
        return (
            f"step {self.step}/{self.steps}  answers {self.answer_loss:.3f}  choices {self.choice_loss:.3f}"
            f"  rankings {self.ranking_loss:.3f}  verdicts {self.verdict_loss:.3f}"
            f"  {self.seconds:.0f} s, {self.inside:.0%} of it computing"
        )


def train(
    base: Path,
    samples: Sequence[Encoded],
    out: Path,
    recipe: Recipe,
    told: Callable[[Progress], None] = lambda _: None,
    start: Path | None = None,
) -> Path:
    """Train a LoRA for the Llama in `base`; the adapter is written by peft into `out`/adapter, which is returned.

    `start`: the adapter of an earlier run, whose matrices are trained further.
    `out`/checkpoint.pt is taken up where it is. Raises ValueError when it belongs to another recipe or other data.
    """
    import torch

    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    model = _model(base, recipe)
    begun = _take_up(start, model) if start is not None else ""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=recipe.rate, weight_decay=recipe.decay, fused=True)
    steps = len(packs(samples, recipe.budget)) * recipe.passes // recipe.together or 1
    rates = [recipe.rate * _share(step, steps, recipe) for step in range(steps + 1)]

    def what(step: int) -> str:
        """All that the weights after `step` depend on."""
        read = islice(epochs(samples, recipe.budget, recipe.seed), step * recipe.together)
        return _hash([_fixed(recipe), begun, rates[: step + 1], [(pack.tokens, pack.nexts) for pack in read]])

    done = _resume(out, what, model, optimiser)
    rest = islice(epochs(samples, recipe.budget, recipe.seed), done * recipe.together, None)
    began = saved = time.monotonic()
    inside = 0.0
    model.train()
    for step in range(done + 1, steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = rates[step]
        chosen = [PackTensors.of(pack) for pack in islice(rest, recipe.together)]
        before = time.monotonic()
        parts = _add_gradients(model, chosen, recipe)
        torch.nn.utils.clip_grad_norm_(weights, recipe.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        now = time.monotonic()
        inside += now - before
        count = sum(pack.tokens.shape[1] for pack in chosen)
        told(Progress(step, steps, *parts, inside / (now - began), now - began, count))
        if now - saved > recipe.save_every or step == steps:
            _save(out, what(step), model, optimiser, step)
            saved = time.monotonic()
    adapter = out / "adapter"
    model.save_pretrained(str(adapter))
    return adapter


@dataclass(frozen=True, slots=True)
class PackTensors:
    """A pack ready for the model."""

    tokens: Tensor
    positions: Tensor
    mask: Tensor
    froms: Tensor
    nexts: Tensor
    answers: Tensor
    choices: list[tuple[int, ...]]
    rankings: list[tuple[tuple[int, ...], tuple[bool, ...]]]
    verdicts: list[tuple[int, int]]

    @classmethod
    def of(cls, pack: Pack) -> PackTensors:
        import torch

        seen = pack.mask()
        mask = torch.zeros(seen.shape).masked_fill_(~seen, torch.finfo(torch.float32).min)
        froms, nexts, answers = (torch.tensor(one, dtype=torch.long) for one in (pack.froms, pack.nexts, pack.answers))
        tokens, depths = torch.tensor([pack.tokens]), torch.tensor([pack.depths])
        return cls(tokens, depths, mask[None, None], froms, nexts, answers, pack.choices, pack.rankings, pack.verdicts)


@dataclass(frozen=True, slots=True)
class Losses:
    """Means over tokens, questions, questions and verdicts; 0 for what a pack has none of."""

    answer: Tensor
    choice: Tensor
    ranking: Tensor
    asking: Tensor
    verdict: Tensor


def _add_gradients(
    model: Any, packs_read: Sequence[PackTensors], recipe: Recipe
) -> tuple[float, float, float, float, float]:
    """One step's gradients; returns the mean losses: in all, of answers, choices, rankings and verdicts."""
    import torch

    sums = [0.0] * 5
    for pack in packs_read:
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.half):
            parts = losses(model, pack, recipe.verdicts)
        loss = (
            parts.answer
            + recipe.choice_weight * parts.choice
            + parts.ranking
            + recipe.asking_weight * parts.asking
            + recipe.verdict_weight * parts.verdict
        )
        (loss / recipe.together).backward()  # type: ignore[no-untyped-call]
        for which, part in enumerate((loss, parts.answer, parts.choice, parts.ranking, parts.verdict)):
            sums[which] += float(part.detach()) / recipe.together
    return sums[0], sums[1], sums[2], sums[3], sums[4]


def losses(model: Any, pack: PackTensors, verdicts: Sequence[int] = ()) -> Losses:
    """`verdicts`: the tokens among which a verdict is chosen, the last one for "something else"."""
    import torch

    llama = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = llama.model(
        input_ids=pack.tokens, position_ids=pack.positions, attention_mask=pack.mask, use_cache=False
    ).last_hidden_state[0]
    nothing = torch.zeros(())
    total, lengths = _likelihoods(llama, hidden, pack)
    right = torch.tensor([choice[0] for choice in pack.choices], dtype=torch.long)
    answer = -(total[right].sum() / lengths[right].sum()) if pack.choices else nothing
    several = [choice for choice in pack.choices if len(choice) > 1]
    chosen = [-total[list(choice)].log_softmax(dim=0)[0] for choice in several]
    ranked, asked = [], []
    for texts, fits in pack.rankings:
        scores, fitting = total[list(texts)], torch.tensor(fits)
        ranked.append(scores.logsumexp(dim=0) - scores[fitting].logsumexp(dim=0))
        asked.append(-scores[fitting].max() / lengths[texts[0]])
    return Losses(
        answer,
        torch.stack(chosen).mean() if chosen else nothing,
        torch.stack(ranked).mean() if ranked else nothing,
        torch.stack(asked).mean() if asked else nothing,
        _verdict_loss(llama, hidden, pack, verdicts) if pack.verdicts else nothing,
    )


def _likelihoods(llama: Any, hidden: Tensor, pack: PackTensors) -> tuple[Tensor, Tensor]:
    """float32[answers] twice: the log-likelihood of each, and its number of tokens."""
    import torch

    if not len(pack.froms):
        return torch.zeros(0), torch.zeros(0)
    # The head is a fifth of the model: only where something is asked.
    where, at = torch.unique(pack.froms, return_inverse=True)
    each = llama.lm_head(hidden[where]).float().log_softmax(dim=-1)[at, pack.nexts]
    count = int(pack.answers.max()) + 1
    total = torch.zeros(count).index_add(0, pack.answers, each)
    return total, torch.zeros(count).index_add(0, pack.answers, torch.ones_like(each))


def _verdict_loss(llama: Any, hidden: Tensor, pack: PackTensors, verdicts: Sequence[int]) -> Tensor:
    """Cross-entropy among the verdicts only. Texts that tell it weigh as much as all the others of the pack."""
    import torch

    nodes, labels = (torch.tensor(one, dtype=torch.long) for one in zip(*pack.verdicts, strict=True))
    head = llama.lm_head.weight[torch.tensor(verdicts)]
    each = torch.nn.functional.cross_entropy(
        (hidden[nodes] @ head.T.to(hidden.dtype)).float(), labels, reduction="none"
    )
    telling = labels < len(verdicts) - 1
    parts = [each[chosen].mean() for chosen in (telling, ~telling) if chosen.any()]
    return torch.stack(parts).mean()


def _hash(of: object) -> str:
    return hashlib.sha256(repr(of).encode()).hexdigest()


def _fixed(recipe: Recipe) -> dict[str, Any]:
    """Without what changes no weight, and what `rates` tells."""
    free = ("threads", "save_every", "rate", "warmup", "cooling", "passes")
    return {name: value for name, value in asdict(recipe).items() if name not in free}


def _model(base: Path, recipe: Recipe) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora import LoraLayer
    from transformers import LlamaForCausalLM

    kind = torch.bfloat16 if recipe.half else torch.float32
    # The backward pass of torch's own attention does not use the processor's bfloat16 products; plain products do.
    attention = "eager" if recipe.half else "sdpa"
    llama: Any = LlamaForCausalLM.from_pretrained(base, dtype=kind, attn_implementation=attention)
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=list(LINEAR),
        layers_to_transform=list(range(recipe.below, llama.config.num_hidden_layers)) if recipe.below else None,
        bias="none",
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(llama, config)
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False  # to float32 and, by autocast, back: a fifth of a step
    return model


def _take_up(adapter: Path, model: Any) -> str:
    """Put the matrices of `adapter` into `model`; returns their checksum. Those of a lower rank become the first rows
    and columns: what is new adds nothing yet, for its B is 0. Raises ValueError where they do not fit."""
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    file = adapter / "adapter_model.safetensors"
    try:
        found = grown(load_file(file), get_peft_model_state_dict(model))
    except ValueError as error:
        raise ValueError(f"{file} does not fit this recipe: it has {error}.") from error
    set_peft_model_state_dict(model, found)
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _share(step: int, steps: int, recipe: Recipe) -> float:
    """Of the full rate: up in a line, level, down in a line to a twentieth."""
    cooling = max(1, int(steps * recipe.cooling))
    return min(1.0, step / recipe.warmup, 0.05 + 0.95 * (steps - step) / cooling)


def _save(out: Path, what: str, model: Any, optimiser: Any, step: int) -> None:
    import torch
    from peft import get_peft_model_state_dict

    state = {
        "what": what,
        "step": step,
        "adapter": get_peft_model_state_dict(model),
        "optimiser": optimiser.state_dict(),
        "random": torch.get_rng_state(),
    }
    part = out / "checkpoint.part"
    torch.save(state, part)
    part.replace(out / "checkpoint.pt")  # whole or not at all


def _resume(out: Path, what: Callable[[int], str], model: Any, optimiser: Any) -> int:
    import torch
    from peft import set_peft_model_state_dict

    file = out / "checkpoint.pt"
    if not file.is_file():
        return 0
    state = torch.load(file, weights_only=True)
    if state["what"] != what(int(state["step"])):
        raise ValueError(f"{file} belongs to another recipe or other samples: choose another folder or remove it.")
    set_peft_model_state_dict(model, state["adapter"])
    optimiser.load_state_dict(state["optimiser"])
    torch.set_rng_state(state["random"])
    return int(state["step"])
