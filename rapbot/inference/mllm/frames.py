"""Where the boxes of a model lie in the photo: a model speaks of the picture as it was shown to it."""

from __future__ import annotations

from typing import Any

from rapbot.inference.boxes import parse_boxes
from rapbot.inference.mllm.families import Budget, Family, Speech
from rapbot.messages import Box


def boxes_in_photo(
    text: str, width: int, height: int, family: Family, options: dict[str, Any], processor: Any
) -> tuple[Box, ...]:
    """The boxes in an answer about one photo of `width` x `height` pixels, in fractions of it.

    `options` are those of `families.picture_options`.
    """
    if family.speech is not Speech.TEMPLATE:
        side = max(width, height)  # LLaVA is shown the photo in the middle of a square, and speaks of the square
        found = parse_boxes(text, side, side, family.name)
        return tuple(box for one in found if (box := _out_of_square(one.box, width, height)) is not None)
    if family.budget is Budget.PIXELS:
        width, height = _resized(width, height, options, processor.image_processor)
    return tuple(one.box for one in parse_boxes(text, width, height, family.name))


def _out_of_square(box: Box, width: int, height: int) -> Box | None:
    side = max(width, height)
    left, right = (_within(at * side - (side - width) / 2, width) for at in (box.left, box.right))
    top, bottom = (_within(at * side - (side - height) / 2, height) for at in (box.top, box.bottom))
    return Box(left, top, right, bottom) if left < right and top < bottom else None


def _within(at: float, length: int) -> float:
    return min(1.0, max(0.0, at / length))


def _resized(width: int, height: int, options: dict[str, Any], pictures: Any) -> tuple[int, int]:
    """Qwen-VL's own resizing: sides of whole squares of patches, and at most so many of them."""
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

    size = options.get("size", pictures.size)
    tall, wide = smart_resize(
        height,
        width,
        factor=pictures.patch_size * pictures.merge_size,
        min_pixels=size["shortest_edge"],
        max_pixels=size["longest_edge"],
    )
    return int(wide), int(tall)
