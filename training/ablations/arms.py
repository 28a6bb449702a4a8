"""What is compared: each arm takes one thing away, or is a baseline, beside what the paper reports for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FULL, NO_AUGMENTATION, NO_NEGATIVES = "full", "no-augmentation", "no-negatives"
VARIANTS = (FULL, NO_AUGMENTATION, NO_NEGATIVES)
"""Trainings of their own: the LoRA of each has seen other samples."""

METRICS = ("recall", "precision", "f1", "visual", "text", "positive", "negative", "weighted")
"""What the paper reports: captions, two kinds of questions, recognition."""


@dataclass(frozen=True, slots=True)
class Arm:
    name: str
    title: str
    variant: str | None = FULL
    """Whose LoRA answers; None: the model as it was before any training."""
    info: bool = True
    """Whether the cards say anything beside name and category."""
    perfect: bool = False
    """Whether it is told who is on the photo, instead of retrieving."""
    examples: bool = False
    """Whether the prompt begins with answered examples."""
    published: Mapping[str, float] = field(default_factory=dict)
    """The paper's values by METRICS, of RAP-LLaVA-13B."""


_FULL = dict(zip(METRICS, (0.935, 0.965, 0.950, 0.935, 0.938, 0.979, 0.982, 0.980), strict=True))
_UNTRAINED = dict(zip(METRICS, (0.013, 0.488, 0.025, 0.912, 0.863, 1.0, 0.025, 0.513), strict=True))
ARMS = (
    Arm("full", "everything", published=_FULL),
    Arm("perfect-retrieval", "perfect retrieval", perfect=True),
    Arm("no-info", "no info text", info=False, published={"f1": 0.917}),
    Arm("no-augmentation", "no augmentation", NO_AUGMENTATION, published={"f1": 0.935}),
    Arm("no-negatives", "no negatives (noise concepts)", NO_NEGATIVES, published={"precision": 0.58, "f1": 0.724}),
    Arm("untrained", "retriever + untrained model", None, published=_UNTRAINED),
    Arm("few-shot", "untrained model, few-shot prompt", None, examples=True),
)
"""The published values: ../shared/docs/RAP.md, "Training" (the differences of F1) and "Published numbers"."""

OTHERS = {
    "RAP-Phi3-V-3.8B": (0.881, 0.951, 0.915, 0.941, 0.850, 0.922, 0.988, 0.955),
    "MyVLM-LLaVA": (0.847, 0.864, 0.855, 0.912, None, 0.994, 0.845, 0.919),
    "Yo'LLaVA": (None, None, None, 0.929, 0.883, 0.949, 0.898, 0.924),
    "LLaVA-LoRA": (0.830, 0.933, 0.878, 0.900, 0.583, 0.988, 0.662, 0.825),
    "GPT-4V + concept info, 1 image": (None, None, None, 0.866, 0.982, 0.809, 0.992, 0.901),
}
"""Other published rows, in the order of METRICS."""
