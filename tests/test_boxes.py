"""Boxes in the answers of models: what each family writes, and what no model should have written."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rapbot.inference.boxes import LabelledBox, agreement, parse_boxes
from rapbot.messages import Box

WIDTH, HEIGHT = 800, 600
BOX = Box(0.25, 0.5, 0.75, 0.9)
"""In pixels of 800 x 600: 200, 300, 600, 540; in thousandths 250, 500, 750, 900; in 1/1024: 256, 512, 768, 921.6."""

WRITTEN = {
    "LLaVA and RAP": ("llava-1.5", "[0.25, 0.5, 0.75, 0.90]", ""),
    "RAP with a name": ("llava-1.5", "<Lala>: [0.25, 0.5, 0.75, 0.90]", "Lala"),
    "LLaVA in a sentence": ("llava-1.5", "Sure! <Lala> is at [0.25,0.5,0.75,0.9].", "Lala"),
    "Phi": ("phi3.5-v", "(0.25, 0.50), (0.75, 0.90)", ""),
    "Qwen2.5-VL": ("qwen2.5-vl", '[{"bbox_2d": [200, 300, 600, 540], "label": "the dog"}]', "the dog"),
    "Qwen2.5-VL, fenced": (
        "qwen2.5-vl",
        '```json\n[\n\t{"bbox_2d": [200, 300, 600, 540], "label": "Lala"}\n]\n```',
        "Lala",
    ),
    "Qwen2.5-VL, label first": ("qwen2.5-vl", '{"label": "Lala", "bbox_2d": [200, 300, 600, 540]}', "Lala"),
    "Qwen2.5-VL, cut off": ("qwen2.5-vl", '```json\n[{"bbox_2d": [200, 300, 600, 540], "label": "La', ""),
    "Qwen2.5-VL that fell back to thousandths": ("qwen2.5-vl", '{"bbox_2d": [250, 500, 750, 900]}', ""),
    "Qwen3-VL": ("qwen3-vl", '[{"bbox_2d": [250, 500, 750, 900], "label": "Lala"}]', "Lala"),
    "Qwen-VL": ("qwen-vl", "<ref>Lala</ref><box>(250,500),(750,900)</box>", "Lala"),
    "Qwen2-VL": (
        "qwen2-vl",
        "<|object_ref_start|>Lala<|object_ref_end|><|box_start|>(250,500),(750,900)<|box_end|><|im_end|>",
        "Lala",
    ),
    "InternVL": ("internvl", "<ref>Lala</ref><box>[[250, 500, 750, 900]]</box>", "Lala"),
    "PaliGemma": ("paligemma", "<loc0512><loc0256><loc0922><loc0768> dog", "dog"),
    "Gemma 3": ("gemma3", '```json\n[{"box_2d": [500, 250, 900, 750], "label": "Lala"}]\n```', "Lala"),
    "unknown, fractions": ("", "The box is [0.25, 0.5, 0.75, 0.9]", ""),
    "unknown, pixels": ("", '{"bbox": [200, 300, 600, 540], "name": "Lala"}', "Lala"),
    "unknown, thousandths": ("openai", "[250, 500, 750, 900]", ""),
    "a family that wrote fractions for once": ("qwen3-vl", "[0.25, 0.5, 0.75, 0.9]", ""),
    "corners exchanged": ("llava-1.5", "[0.75, 0.9, 0.25, 0.5]", ""),
}


@pytest.mark.parametrize(("style", "text", "label"), WRITTEN.values(), ids=WRITTEN.keys())
def test_every_family_means_the_same_box(style: str, text: str, label: str) -> None:
    [found] = parse_boxes(text, WIDTH, HEIGHT, style)
    assert found.label == label
    assert agreement(found.box, BOX) > 0.99


def test_pixels_are_those_of_the_picture_that_the_model_saw() -> None:
    answer = '{"bbox_2d": [112, 0, 224, 140]}'
    assert parse_boxes(answer, 448, 280, "qwen2.5-vl")[0].box == Box(0.25, 0.0, 0.5, 0.5)
    assert parse_boxes(answer, 224, 140, "qwen2.5-vl")[0].box == Box(0.5, 0.0, 1.0, 1.0)


def test_several_boxes_keep_their_order_and_names() -> None:
    answer = '[{"bbox_2d": [1, 2, 300, 400], "label": "Lala"}, {"bbox_2d": [500, 2, 700, 400], "label": "Bo"}]'
    assert [one.label for one in parse_boxes(answer, WIDTH, HEIGHT, "qwen3-vl")] == ["Lala", "Bo"]
    places = "<loc0000><loc0000><loc0512><loc0512> cat ; <loc0512><loc0512><loc1023><loc1023> dog"
    assert parse_boxes(places, WIDTH, HEIGHT, "paligemma") == (
        LabelledBox(Box(0.0, 0.0, 0.5, 0.5), "cat"),
        LabelledBox(Box(0.5, 0.5, 1023 / 1024, 1023 / 1024), "dog"),
    )


def test_several_boxes_of_one_name() -> None:
    answer = "<ref>dog</ref><box>[[1, 2, 30, 40], [500, 2, 700, 400]]</box> and [0, 0, 9, 9]"
    assert [one.label for one in parse_boxes(answer, WIDTH, HEIGHT, "internvl")] == ["dog", "dog", ""]


def test_all_boxes_of_an_answer_are_read_on_one_scale() -> None:
    """The first would fit as pixels, the second would not."""
    first, second = parse_boxes("[100, 100, 200, 200] [900, 900, 1000, 1000]", WIDTH, HEIGHT, "")
    assert first.box == Box(0.1, 0.1, 0.2, 0.2)
    assert second.box == Box(0.9, 0.9, 1.0, 1.0)


def test_boxes_are_clipped_into_the_picture() -> None:
    assert parse_boxes("[-0.1, 0.2, 1.05, 1.3]", WIDTH, HEIGHT, "llava-1.5")[0].box == Box(0.0, 0.2, 1.0, 1.0)
    assert parse_boxes("[400, 300, 810, 640]", WIDTH, HEIGHT, "qwen2.5-vl")[0].box == Box(0.5, 0.5, 1.0, 1.0)
    assert parse_boxes("[100, 100, 5000, 5000]", WIDTH, HEIGHT, "qwen3-vl")[0].box == Box(0.125, 1 / 6, 1.0, 1.0)


@pytest.mark.parametrize(
    "text",
    ["", "No.", "[0.5, 0.5, 0.5, 0.9]", "[1, 2, 3]", "[1, 2, 3, 4, 5]", "[0, 0, 0, 0]", "[nan, nan, nan, nan]",
     "[-5, -5, -1, -1]", "[99999999999, 1, 2, 3]", "<loc12><loc0001>", '{"bbox_2d": null}', "[[], []]"],
)  # fmt: skip
def test_what_is_no_box_is_left_out(text: str) -> None:
    assert parse_boxes(text, WIDTH, HEIGHT, "") == ()


def test_a_model_that_repeats_itself_says_it_once() -> None:
    assert len(parse_boxes("[0.1, 0.2, 0.3, 0.4], " * 50, WIDTH, HEIGHT, "llava-1.5")) == 1


def test_markup_is_no_name() -> None:
    assert parse_boxes("<box>[[250, 500, 750, 900]]</box>", WIDTH, HEIGHT, "internvl")[0].label == ""


PIECES = st.sampled_from(
    ["[", "]", "(", ")", ",", "<box>", "</box>", "<ref>", "</ref>", '{"bbox_2d": ', '"box_2d": [', "}", '"label": "a"',
     "<loc0001>", "<loc9999>", "0.5", "1", "-3", "1000", "1e9", ".", "nan", "```json", "\n", " ", "<Lala>", "é", "\x00"]
)  # fmt: skip
STYLES = st.sampled_from(["", "openai", "llava-1.5", "phi3", "qwen2.5-vl", "qwen3-vl", "internvl", "gemma3", "zzz"])


@given(st.text() | st.lists(PIECES, max_size=60).map("".join), st.integers(0, 5000), st.integers(0, 5000), STYLES)
@example("[1.,2.,3.,4.]", 0, 0, "qwen2.5-vl")
def test_no_text_is_an_error_and_every_box_lies_in_the_picture(text: str, width: int, height: int, style: str) -> None:
    for one in parse_boxes(text, width, height, style):
        assert 0.0 <= one.box.left < one.box.right <= 1.0
        assert 0.0 <= one.box.top < one.box.bottom <= 1.0
        assert len(one.label) <= 64


@given(st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0.01, 0.5), st.floats(0.01, 0.5))
def test_a_box_agrees_wholly_with_itself_and_not_at_all_with_one_apart(
    x: float, y: float, width: float, height: float
) -> None:
    box = Box(x, y, x + width, y + height)
    assert agreement(box, box) == pytest.approx(1.0)
    assert agreement(box, Box(x + width, y, x + 2 * width, y + height)) == pytest.approx(0.0, abs=1e-9)
    half = Box(x, y, x + width / 2, y + height)
    assert agreement(box, half) == pytest.approx(0.5, abs=1e-6) == agreement(half, box)
