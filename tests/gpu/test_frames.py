"""A model speaks of the picture as it was shown to it; people see the photo as it was sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from rapbot.inference.job import Card, Job, Region, Scene, Task, VisibleConcepts
from rapbot.inference.mllm.generator import SeeingGenerator
from rapbot.inference.mllm.models import load_model
from rapbot.inference.prompt import Pictures
from rapbot.inference.specs import GeneratorSpec, Runtime
from rapbot.inference.writing import Material, write_answers
from rapbot.messages import Box, Sighting

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


@pytest.mark.parametrize(
    ("says", "text", "boxes"),
    [
        ("[.1,.3,.5,.7]", "<Bo> is on the left of the photo.", 0),
        ("[.6,.3,1.,.7]", "I recognised <Bo> on the left, but a second look says on the right.", 1),
        ("no box", "<Bo> is on the left of the photo.", 0),
    ],
)
def test_what_it_points_to_is_compared_with_what_was_recognised(
    tiny_model: Callable[..., Path], says: str, text: str, boxes: int
) -> None:
    """Random weights say nothing, so the logits are bent towards `says`, token by token; the rest is the real way."""
    llava = generator(tiny_model("llava"), "llava-1.5")
    ids = [*llava._encoder.tokenizer(says, add_special_tokens=False)["input_ids"], llava._ends[0]]
    told = iter(ids)

    def bend(_module: Any, _args: Any, logits: torch.Tensor) -> torch.Tensor:
        logits[:, -1, next(told)] = 1e4
        return logits

    card = Card(1, "Bo", "dog", "A shiba inu.")
    seen = Box(0.1, 0.1, 0.5, 0.9)  # in the square around the photo: [.1, .3, .5, .7]
    scene = Scene(WIDTH, HEIGHT, (Region(seen),), (Sighting(1, "Bo", seen, 0.5, 0.9, 1, 0),))
    job = Job("job", "me", Task.LOCATE, "where is Bo?", concepts=VisibleConcepts((card,)), mentioned=(1,))
    shown = Pictures(Image.new("RGB", (WIDTH, HEIGHT)), {1: Image.new("RGB", (64, 64), "red")})
    work = [Material(job, scene, shown)]
    write_answers(llava, work)  # reads the common beginning, which says nothing
    handle = llava._model.get_output_embeddings().register_forward_hook(bend)
    try:
        [written] = write_answers(llava, work)
    finally:
        handle.remove()
    assert next(told, None) is None  # all of it was said
    assert written.text == text
    assert written.named == (1,)
    assert len(written.boxes) == boxes
    if boxes:
        box = written.boxes[0][1]
        assert (box.left, box.top, box.right, box.bottom) == pytest.approx((0.6, 0.1, 1.0, 0.9), abs=1e-3)
