"""A LoRA on every linear layer of the language model inside a model that sees, and on nothing else."""

from __future__ import annotations

import warnings
from typing import Any

from rapbot.errors import ConfigError
from training.rap.recipe import Recipe

_PROJECTORS = ("projector", "connector", "merger")


def with_lora(model: Any, recipe: Recipe) -> Any:
    """peft's model around `model` (frozen), its new matrices in float32 and the only ones that learn."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=linear_layers(model),
        modules_to_save=[projector(model)] if recipe.projector else None,
        bias="none",
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        # peft asks transformers for a name that is to go away in version 6.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
        made: Any = get_peft_model(model, config)
    made.config.use_cache = False
    if recipe.saving:
        # Frozen embeddings give activations without gradients, through which nothing would be computed again.
        made.enable_input_require_grads()
        # The older name goes away in transformers 6.
        newer = hasattr(model, "activation_checkpointing_enable")
        save = model.activation_checkpointing_enable if newer else model.gradient_checkpointing_enable
        save({"use_reentrant": False})
    return made


def linear_layers(model: Any) -> list[str]:
    """Full names of the linear layers of the language model: not of the vision tower, the projector or the head."""
    from torch import nn

    decoder = model.get_decoder()
    path = next(name for name, module in model.named_modules() if module is decoder)
    return [f"{path}.{name}" for name, module in decoder.named_modules() if isinstance(module, nn.Linear)]


def projector(model: Any) -> str:
    """Full name of the layers between vision tower and language model. Raises ConfigError where there are none."""
    for name, _ in model.named_modules():
        if any(word in name.rpartition(".")[2] for word in _PROJECTORS):
            return str(name)
    raise ConfigError("This model has no projector between its vision tower and its language model.")
