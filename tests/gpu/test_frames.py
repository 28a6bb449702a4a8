"""A model speaks of the picture as it was shown to it; people see the photo as it was sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rapbot.inference.mllm.generator import SeeingGenerator
from rapbot.inference.mllm.models import load_model
from rapbot.inference.specs import GeneratorSpec, Runtime

WIDTH, HEIGHT = 800, 400


def generator(folder: Path, family: str) -> SeeingGenerator:
    spec = GeneratorSpec("transformers", str(folder), family)
    return SeeingGenerator(load_model(spec, Runtime(threads=1, device="cpu", offline=True)), spec)


def test_llava_speaks_of_a_square_around_the_photo(tiny_model: Callable[..., Path]) -> None:
    llava = generator(tiny_model("llava"), "llava-1.5")
    # The photo lies in the middle half of the square.
    [box] = llava.boxes("[0.10, 0.25, 0.50, 0.50]", WIDTH, HEIGHT)
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((0.1, 0.0, 0.5, 0.5), abs=1e-3)
    assert llava.boxes("[0.1, 0.0, 0.5, 0.2]", WIDTH, HEIGHT) == ()  # all of it in the border


def test_qwen_speaks_of_pixels_after_its_own_resizing(tiny_model: Callable[..., Path]) -> None:
    qwen = generator(tiny_model("qwen2.5-vl"), "qwen2.5-vl")
    pictures = qwen._loaded.processor.image_processor
    from PIL import Image

    made = pictures([Image.new("RGB", (WIDTH, HEIGHT))], return_tensors="pt", **qwen._encoder.options)
    _, rows, columns = made["image_grid_thw"][0].tolist()
    wide, tall = columns * pictures.patch_size, rows * pictures.patch_size
    text = f'[{{"bbox_2d": [{wide // 4}, {tall // 2}, {wide // 2}, {tall}], "label": "Lala"}}]'
    [box] = qwen.boxes(text, WIDTH, HEIGHT)
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((0.25, 0.5, 0.5, 1.0), abs=0.02)


def test_thousandths_need_no_size(tiny_model: Callable[..., Path]) -> None:
    qwen = generator(tiny_model("qwen3-vl"), "qwen3-vl")
    [box] = qwen.boxes('{"bbox_2d": [100, 200, 500, 900], "label": "Lala"}', WIDTH, HEIGHT)
    assert (box.left, box.top, box.right, box.bottom) == pytest.approx((0.1, 0.2, 0.5, 0.9))
