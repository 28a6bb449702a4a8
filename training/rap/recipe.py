"""How a model that sees is trained: the hyperparameters of RAP, as published."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rapbot.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Recipe:
    """Defaults: RAP.md, "Training" (CVPR 2025, section 4 and appendix)."""

    rank: int = 128
    alpha: int = 256
    dropout: float = 0.05
    rate: float = 1e-4
    projector_rate: float = 2e-5
    projector: bool = False
    """Train the layers between the vision tower and the language model as well, in full."""
    warmup: float = 0.03
    """Share of the steps until the full rate; a cosine to zero follows."""
    decay: float = 0.0
    clip: float = 1.0
    passes: int = 1
    steps: int | None = None
    """So many instead of whole passes."""
    batch: int = 64
    """Samples of one step, over all GPUs."""
    together: int = 4
    """Samples of one forward pass on one GPU."""
    quantization: str = "none"
    """"nf4" is QLoRA (Dettmers et al. 2023): the language model in 4 bits under the LoRA."""
    saving: bool = True
    """Compute activations a second time on the way back instead of keeping them (gradient checkpointing)."""
    concepts: int | None = None
    """K; None: the family's. Samples with more are left out."""
    image_tokens: int | None = None
    """At most so many for a picture, where the family lets one choose; serve with the same number."""
    seed: int = 0
    workers: int = 2
    """Processes that open pictures; 0: the training process does it itself."""
    save_every: int = 100
    """Steps between checkpoints."""

    def accumulation(self, processes: int) -> int:
        """Forward passes of one step. Raises ConfigError where they would not make up a batch."""
        at_once = self.together * processes
        if self.batch % at_once:
            raise ConfigError(
                f"A batch of {self.batch} cannot be made of {self.together} samples on each of {processes} devices: "
                f"choose a batch that {at_once} divides."
            )
        return self.batch // at_once

    def fixed(self) -> dict[str, Any]:
        """All that the weights depend on."""
        free = ("workers", "save_every")
        return {name: value for name, value in asdict(self).items() if name not in free}
