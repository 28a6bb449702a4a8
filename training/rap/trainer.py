"""transformers' Trainer with our order of samples, our two learning rates, and a clock."""

from __future__ import annotations

import importlib
import importlib.util
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.rap.collate import ByLength, Collator, Samples, padding
from training.rap.recipe import Recipe


@dataclass(slots=True)
class Clock:
    """Where the time goes, and how much of the batches is padding."""

    began: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0
    """Seconds for samples to be ready."""
    computed: float = 0.0
    """Seconds inside forward, backward and the optimiser."""
    read: int = 0
    places: int = 0

    @property
    def padding(self) -> float:
        return 1.0 - self.read / self.places if self.places else 0.0

    @property
    def inside(self) -> float:
        return self.computed / self.seconds if self.seconds else 0.0

    @property
    def waiting(self) -> float:
        return self.waited / self.seconds if self.seconds else 0.0


def make_trainer(
    model: Any,
    samples: Samples,
    collator: Collator,
    order: ByLength,
    recipe: Recipe,
    work: Path,
    told: Callable[[str], None],
) -> Any:
    """A Trainer whose `clock` is a Clock. Its class needs transformers, so it is made here. Raises ConfigError."""
    import torch

    library: Any = importlib.import_module("transformers")
    device = next(model.parameters()).device
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    board = importlib.util.find_spec("tensorboard") is not None
    if board:
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(work / "board"))
    arguments = library.TrainingArguments(
        output_dir=str(work),
        num_train_epochs=1,  # passes are within the one epoch, see `Samples`
        max_steps=-1 if recipe.steps is None else recipe.steps,
        per_device_train_batch_size=recipe.together,
        gradient_accumulation_steps=recipe.accumulation(processes),
        learning_rate=recipe.rate,
        lr_scheduler_type="cosine",
        warmup_steps=recipe.warmup,  # below 1 it is a share
        weight_decay=recipe.decay,
        max_grad_norm=recipe.clip,
        bf16=device.type == "cuda" and torch.cuda.is_bf16_supported(),
        logging_strategy="steps",
        logging_steps=1,
        save_strategy="steps",
        save_steps=recipe.save_every,
        save_total_limit=2,
        report_to=["tensorboard"] if board else [],
        seed=recipe.seed,
        use_cpu=device.type == "cpu",
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_num_workers=recipe.workers,
        dataloader_persistent_workers=recipe.workers > 0,
        dataloader_pin_memory=device.type == "cuda",
        disable_tqdm=True,
    )
    clock = Clock()

    def finished() -> float:
        """Now, with nothing left to do: a GPU is only told what to do by the calls that were counted."""
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.monotonic()

    class Follow(library.TrainerCallback):  # type: ignore[misc]
        before = 0.0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            clock.began = time.monotonic()

        def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
            self.before = finished()

        def on_optimizer_step(self, *_: Any, **__: Any) -> None:
            clock.computed += finished() - self.before

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.seconds = time.monotonic() - clock.began

        def on_log(self, _: Any, state: Any, __: Any, logs: dict[str, float] | None = None, **___: Any) -> None:
            if logs and "loss" in logs and state.is_world_process_zero:
                told(
                    f"step {state.global_step}/{state.max_steps}  loss {logs['loss']:.4f}  {clock.seconds:.0f} s, "
                    f"{clock.inside:.0%} of it computing, {clock.waiting:.0%} waiting for samples, "
                    f"{clock.padding:.1%} padding"
                )

    class RapTrainer(library.Trainer):  # type: ignore[misc]
        clock: Clock
        optimizer: Any = None

        def _get_train_sampler(self, train_dataset: Any = None) -> ByLength:
            return order

        def get_batch_samples(self, *args: Any, **named: Any) -> Any:
            before = time.monotonic()
            found = super().get_batch_samples(*args, **named)
            clock.waited += time.monotonic() - before
            return found

        def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **named: Any) -> Any:
            read, places = padding(inputs)
            clock.read += read
            clock.places += places
            before = time.monotonic()
            loss = super().training_step(model, inputs, *args, **named)
            clock.computed += finished() - before
            return loss

        def create_optimizer(self, model: Any = None) -> Any:
            if self.optimizer is None:
                learning = [(name, one) for name, one in self.model.named_parameters() if one.requires_grad]
                lora = [one for name, one in learning if "lora_" in name]
                others = [one for name, one in learning if "lora_" not in name]
                groups = [{"params": lora, "lr": recipe.rate}]
                groups += [{"params": others, "lr": recipe.projector_rate}] if others else []
                self.optimizer = torch.optim.AdamW(groups, weight_decay=recipe.decay)
            return self.optimizer

    trainer: Any = RapTrainer(
        model=model, args=arguments, data_collator=collator, train_dataset=samples, callbacks=[Follow()]
    )
    trainer.clock = clock
    for printing in (library.PrinterCallback, library.ProgressCallback):
        trainer.remove_callback(printing)
    return trainer
