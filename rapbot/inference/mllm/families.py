"""What differs between the families of vision-language models: how they are spoken to and what a picture costs them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from rapbot.errors import ConfigError


class Speech(Enum):
    """How a conversation becomes text."""

    TEMPLATE = "template"
    """The processor's own chat template: pictures and words stay in the order of the prompt."""
    VICUNA = "vicuna"
    """LLaVA's conversation "vicuna_v1". The hub's template leaves the system text out and moves all pictures to the
    front, which is not what RAP was trained on."""
    PHI3 = "phi3"
    """LLaVA's conversation "phi3_instruct" (LLaVA++), for the same reason."""


class Budget(Enum):
    """How the number of tokens of one picture is chosen."""

    FIXED = "fixed"
    PIXELS = "pixels"
    """The picture is shrunk to so many pixels (Qwen-VL): one token for each square of merged patches."""
    TILES = "tiles"
    """The picture is cut into tiles of the encoder's size (InternVL), each of as many tokens."""
    SPLITTING = "splitting"
    """The picture, and tiles of its enlargement where there is room for them (SmolVLM, Idefics3)."""
    WHOLE = "whole"
    """One view; cutting tall and wide pictures ("pan and scan" of Gemma 3) is left off."""


@dataclass(frozen=True, slots=True)
class Family:
    """One family of models."""

    name: str
    config_types: tuple[str, ...]
    """`model_type` of transformers."""
    concepts: int
    """K of the paper: how many retrieved concepts the prompt holds."""
    speech: Speech = Speech.TEMPLATE
    ends: tuple[str, ...] = ()
    """Tokens that end an answer, beside those of the checkpoint; the first one it has is scored as end of turn."""
    budget: Budget = Budget.FIXED
    image_tokens: int | None = None
    """Tokens of one picture where that can be chosen and nobody chose."""
    shared_beginning: bool = False
    """Whether keys and values of the beginning may be computed once for all rows of a batch. The rows are then padded
    between the beginning and the rest, so it needs attention over everything (a sliding window counts the padding) and
    positions that skip the padding."""
    turns: tuple[str, ...] = ()
    """Words, not tokens, that begin a turn: people's text must not contain them either."""


GENERIC = Family("generic", (), concepts=2)
"""Any other model of AutoModelForImageTextToText; K as for the smallest context of the paper."""

FAMILIES = {
    family.name: family
    for family in (
        Family(
            "llava-1.5",
            ("llava",),
            # RAP, section 4: 4,096 tokens of context, and 576 of them for each picture.
            concepts=2,
            speech=Speech.VICUNA,
            ends=("</s>",),
            shared_beginning=True,
            turns=("USER:", "ASSISTANT:"),
        ),
        Family(
            "llava-phi3",
            (),
            # RAP's Phi3-V. The same cost for each picture; the paper trained it with three.
            concepts=3,
            speech=Speech.PHI3,
            ends=("<|end|>", "<|endoftext|>"),
            # Phi-3-mini-4k attends to a window of 2,047 tokens.
        ),
        Family(
            "qwen2.5-vl",
            ("qwen2_5_vl", "qwen2_vl"),
            # 32,768 tokens and more; an avatar (512 pixels) costs 334 at most. Five, because the paper's retriever has
            # the right concept among its first five in more than 90 % of the cases with 500 concepts (figure 5).
            concepts=5,
            ends=("<|im_end|>", "<|endoftext|>"),
            budget=Budget.PIXELS,
            image_tokens=1024,
            shared_beginning=True,
        ),
        Family(
            "qwen3-vl",
            ("qwen3_vl", "qwen3_vl_moe"),
            # 262,144 tokens; an avatar costs 256 at most. Five as above.
            concepts=5,
            ends=("<|im_end|>", "<|endoftext|>"),
            budget=Budget.PIXELS,
            image_tokens=1024,
            shared_beginning=True,
        ),
        Family(
            "smolvlm2",
            ("smolvlm", "idefics3"),
            # 8,192 tokens and 64 a picture would hold many; half a billion parameters tell few names apart.
            concepts=3,
            ends=("<end_of_utterance>", "<|im_end|>"),
            budget=Budget.SPLITTING,
            image_tokens=64,
            shared_beginning=True,
            turns=("User:", "Assistant:"),
        ),
        Family(
            "internvl",
            ("internvl",),
            # 32,768 tokens; 256 for each tile of 448 pixels. Five as above. One tile: the tiles follow the shape of a
            # picture and not its size, so that an avatar would cost as much as the photo.
            concepts=5,
            ends=("<|im_end|>", "<|endoftext|>"),
            budget=Budget.TILES,
            image_tokens=256,
            shared_beginning=True,
        ),
        Family(
            "gemma3",
            ("gemma3",),
            # 131,072 tokens, 256 a picture. Five as above.
            concepts=5,
            ends=("<end_of_turn>",),
            budget=Budget.WHOLE,
            # Most layers attend to a window, and a picture's tokens to each other in both directions.
        ),
    )
}
"""By the name that a profile gives (`GeneratorSpec.family`)."""


def find_family(name: str, config_type: str) -> Family:
    """The family of that name; without a name the one that the model's own config tells, else `GENERIC`.

    Raises ConfigError for a name there is not.
    """
    if name and name != GENERIC.name:
        if name not in FAMILIES:
            raise ConfigError(f"There is no family {name} of models. Families: {', '.join(FAMILIES)}, {GENERIC.name}.")
        return FAMILIES[name]
    known = (family for family in FAMILIES.values() if config_type in family.config_types and not name)
    return next(known, GENERIC)


def picture_options(family: Family, processor: Any, image_tokens: int | None) -> dict[str, Any]:
    """Options of the image processor by which one picture costs at most `image_tokens` (None: the family's).

    At least one tile, or one square of patches: a model cannot see with less.
    """
    tokens = image_tokens or family.image_tokens
    pictures = processor.image_processor
    if family.budget is Budget.WHOLE:
        return {"do_pan_and_scan": False}
    if family.budget is Budget.FIXED or tokens is None:
        return {}
    if family.budget is Budget.PIXELS:
        square = (pictures.patch_size * pictures.merge_size) ** 2
        most = max(1, tokens) * square
        return {"size": {"shortest_edge": min(_edge(pictures, "shortest_edge"), most), "longest_edge": most}}
    if family.budget is Budget.TILES:
        # Beside the tiles there is one view of the whole, unless there is only one tile.
        tiles = tokens // processor.image_seq_length - 1
        return {"crop_to_patches": tiles > 1, "min_patches": 1, "max_patches": max(1, tiles)}
    side = int(max(0, tokens // processor.image_seq_len - 1) ** 0.5)
    edge = pictures.max_image_size["longest_edge"]
    return {"do_image_splitting": side > 1, "size": {"longest_edge": max(1, side) * edge}}


def _edge(pictures: Any, name: str) -> int:
    size = pictures.size
    value = size.get(name) if hasattr(size, "get") else getattr(size, name)
    return int(value or 1)
