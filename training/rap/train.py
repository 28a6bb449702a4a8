"""LoRA for a model that sees: peft through transformers' Trainer, on what `mllm.models` loads for serving.

A run that is killed and started again goes on from its last whole checkpoint and ends with the weights of a run that
was not (on the same device): checkpoints hold matrices, optimiser, schedule and random state, and the order of the
samples follows from the seed alone.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapbot.errors import ConfigError
from rapbot.inference.loading import needs
from rapbot.inference.mllm.encoding import PromptEncoder
from rapbot.inference.mllm.families import find_family
from rapbot.inference.specs import GeneratorSpec, Runtime
from training.rap.collate import ByLength, Collator, Encoder, Samples
from training.rap.lora import with_lora
from training.rap.recipe import Recipe
from training.rap.samples import Sample, SampleError, data_hash, read_samples

RUN = "run.json"
_CHECKPOINT = "checkpoint-"
_STATE = "trainer_state.json"


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run gave."""

    adapter: Path
    """As peft writes it."""
    concepts: int
    """K."""
    data_hash: str
    dropped: dict[str, int]
    """Samples that were left out, by reason."""
    losses: tuple[float, ...]
    """Mean of each step, of the whole run."""
    padding: float
    """Share of the places of the batches that held no token; of this process's part of the run, as the next ones."""
    inside: float
    """Share of the time inside forward, backward and the optimiser."""
    waiting: float
    """Share of the time that was spent waiting for samples to be read and encoded."""
    seconds: float


def train(
    work: Path,
    model: str,
    recipe: Recipe | None = None,
    runtime: Runtime | None = None,
    *,
    family: str = "",
    told: Callable[[str], None] = lambda _: None,
) -> Trained:
    """Train a LoRA for `model` (folder or hub id) on `work`/train.jsonl; the adapter is written to `work`/adapter.

    Checkpoints of an earlier run in `work` are taken up. Raises ConfigError, also where they belong to other samples or
    another recipe; ExtraMissing, SampleError, WeightsError.
    """
    recipe, runtime = recipe or Recipe(), _of_this_process(runtime or Runtime())
    with needs("Training a model that sees"):
        for library in ("accelerate", "peft", "transformers"):
            importlib.import_module(library)
    from transformers import set_seed

    from rapbot.inference.mllm.models import load_model
    from training.rap.trainer import make_trainer

    file = work / "train.jsonl"
    samples = read_samples(file)
    data = data_hash(samples, work)
    _claim(work, {"model": model, "data": data, "recipe": recipe.fixed()})
    spec = GeneratorSpec("transformers", model, family, quantization=recipe.quantization)
    loaded = load_model(spec, runtime)
    kind = find_family(family, loaded.config_type)
    prompts = PromptEncoder(kind, loaded.processor, recipe.image_tokens)
    encoder = Encoder(prompts, _end(kind.ends, loaded), work)
    concepts = recipe.concepts or kind.concepts
    context = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
    kept, lengths, dropped = _fitting(samples, encoder, concepts, context)
    told(f"{len(kept)} samples, {sum(lengths) / len(lengths):.0f} tokens each. Left out: {_reasons(dropped)}.")
    set_seed(recipe.seed)
    network = with_lora(loaded.model, recipe)
    passes = recipe.passes if recipe.steps is None else -(-recipe.steps * recipe.batch // len(kept))
    trainer = make_trainer(
        network,
        Samples(kept, encoder, passes),
        Collator(prompts.pad, kind),
        ByLength(lengths, recipe.together, passes, recipe.seed),
        recipe,
        work,
        told,
    )
    checkpoint = last_checkpoint(work)
    if checkpoint is not None:
        told(f"Going on from {checkpoint.name}.")
    adapter = work / "adapter"
    state = None if checkpoint is None else json.loads((checkpoint / _STATE).read_bytes())
    if checkpoint is not None and state is not None and state["global_step"] >= state["max_steps"]:
        # The Trainer would take one step more.
        shutil.copytree(checkpoint, adapter, ignore=_but_the_adapter, dirs_exist_ok=True)
        history = state["log_history"]
    else:
        with warnings.catch_warnings():
            # peft asks transformers for a name that is to go away in version 6.
            warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        trainer.save_model(str(adapter))
        history = trainer.state.log_history
    losses = tuple(row["loss"] for row in history if "loss" in row)
    clock = trainer.clock
    shares = (clock.padding, clock.inside, clock.waiting)
    return Trained(adapter, concepts, data, dict(dropped), losses, *shares, clock.seconds)


def last_checkpoint(work: Path) -> Path | None:
    """The newest whole checkpoint; what a killed process began to write after it is removed."""
    found = [path for path in work.glob(f"{_CHECKPOINT}*") if path.name.removeprefix(_CHECKPOINT).isdecimal()]
    for path in sorted(found, key=lambda path: int(path.name.removeprefix(_CHECKPOINT)), reverse=True):
        try:
            json.loads((path / _STATE).read_bytes())  # the Trainer writes it last
        except (OSError, ValueError):
            shutil.rmtree(path)
            continue
        return path
    return None


def _but_the_adapter(_: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.startswith("adapter_")]


def _claim(work: Path, run: dict[str, Any]) -> None:
    """Write down what is trained here, or hold it against what was."""
    file = work / RUN
    if last_checkpoint(work) is not None and file.is_file():
        before = json.loads(file.read_text(encoding="utf-8"))
        other = [name for name in run if before.get(name) != run[name]]
        if other:
            raise ConfigError(
                f"The checkpoints in {work} belong to another {other[0]} (data, model or recipe): "
                f"choose another folder, or remove them."
            )
    part = file.with_suffix(".part")
    part.write_text(json.dumps(run, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(file)


def _fitting(
    samples: Sequence[Sample], encoder: Encoder, concepts: int, context: int | None
) -> tuple[list[Sample], list[int], Counter[str]]:
    """(those that are trained on, their lengths in tokens, the others by reason)"""
    kept, lengths, dropped = [], [], Counter[str]()
    for sample in samples:
        if len(sample.crops) > concepts:
            dropped[f"more than {concepts} concepts"] += 1
            continue
        length = encoder.length(sample)
        if context is not None and length >= context:
            dropped[f"longer than {context} tokens"] += 1
            continue
        kept.append(sample)
        lengths.append(length)
    if not kept:
        raise SampleError(f"No sample is left to train on. Left out: {_reasons(dropped)}.")
    return kept, lengths, dropped


def _reasons(dropped: Counter[str]) -> str:
    return ", ".join(f"{count} with {reason}" for reason, count in sorted(dropped.items())) or "none"


def _end(ends: Sequence[str], loaded: Any) -> int:
    """The token that ends an answer, as the generator of serving knows it first."""
    known = loaded.processor.tokenizer.get_vocab()
    own = [known[word] for word in ends if word in known]
    configured = loaded.model.generation_config.eos_token_id
    own += configured if isinstance(configured, list) else [configured]
    found = next((end for end in (*own, loaded.processor.tokenizer.eos_token_id) if end is not None), None)
    if found is None:
        raise ConfigError("This model has no token that ends an answer.")
    return int(found)


def _of_this_process(runtime: Runtime) -> Runtime:
    """Started by accelerate, each process has a GPU of its own."""
    rank = os.environ.get("LOCAL_RANK")
    if rank is None or runtime.device != "auto":
        return runtime
    return Runtime(runtime.threads, f"cuda:{rank}", runtime.dtype, runtime.models_dir, runtime.offline)
