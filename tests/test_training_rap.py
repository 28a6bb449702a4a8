"""Samples for models that see: the RAP format, and composing them. No model is needed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from rapbot.concepts.rap_format import RapEntry, RapFormatError, write_rap_folder
from rapbot.inference.boxes import parse_boxes
from rapbot.inference.prompt import SILENT
from rapbot.inference.seams import IMAGE
from tests.pictures import jpeg
from training.cli import cli
from training.rap.collate import ByLength
from training.rap.compose import PROPORTIONS, Composer, Plan, statistics
from training.rap.prompts import open_pictures, sample_prompts
from training.rap.samples import KINDS, Crop, Sample, SampleError, data_hash, read_samples, write_samples
from training.rap.sheet import contact_sheet
from training.rap.sources import read_source

COLOURS = {"bo": "red", "kiki": "blue", "lala": "green", "mug": "orange"}
INFO = "A toy whose colour is {}."


def dot(colour: str, side: int = 96) -> Image.Image:
    picture = Image.new("RGB", (side, side), "white")
    ImageDraw.Draw(picture).ellipse((side // 6, side // 6, side - side // 6, side - side // 6), fill=colour)
    return picture


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    entries = [RapEntry(name, "toy", INFO.format(colour), (jpeg(dot(colour)),)) for name, colour in COLOURS.items()]
    write_rap_folder(folder / "concepts", entries)
    (folder / "photos").mkdir()
    rows: list[dict[str, Any]] = []
    for name, colour in COLOURS.items():
        dot(colour, 160).save(folder / "photos" / f"{name}.jpg")
        rows.append({"file": f"photos/{name}.jpg", "concepts": [name]})
    rows[0] |= {"boxes": {"bo": [0.2, 0.2, 0.8, 0.8]}, "caption": "<bo> on a white ground."}
    (folder / "photos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def composed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Sample]]:
    work = tmp_path_factory.mktemp("work")
    samples = Composer(read_source(source), work, Plan(600, concepts=3, seed=1, renamed=0.0)).samples()
    write_samples(work / "train.jsonl", samples)
    return work, samples


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, Any]]:
    for name in ("photo.jpg", "crop.jpg"):
        dot("red").save(tmp_path / name)
    said = [{"from": "human", "value": f"{IMAGE}\nWho is this?"}, {"from": "gpt", "value": "<bo>."}]
    extra = {"crop.jpg": {"name": "<bo>", "info": "A dog.", "category": "dog"}}
    row = {"id": "1", "image": "photo.jpg", "conversations": said, "extra": extra, "type": "caption"}
    return [row, json.loads(json.dumps(row)) | {"id": "2"}]


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    file = folder / "train.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_samples_come_back_as_they_were_written(composed: tuple[Path, list[Sample]]) -> None:
    work, samples = composed
    assert read_samples(work / "train.jsonl") == samples
    assert data_hash(samples, work) == data_hash(read_samples(work / "train.jsonl"), work)
    assert data_hash(samples, work) != data_hash(samples[1:], work)


def test_the_format_is_that_of_rap(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    sample = Sample(
        "1", "caption", (("Who is this?", "<bo>."),), "photo.jpg", (Crop("crop.jpg", "bo", "A dog.", "dog"),)
    )
    written = sample.as_row()
    assert written["extra"] == {"crop.jpg": {"name": "bo", "info": "A dog.", "category": "dog"}}
    assert {**written, "extra": None} == {**rows[0], "extra": None}
    assert read_samples(write(tmp_path, rows)) == [sample, replace(sample, id="2")]
    listed = tmp_path / "rap_260k.json"
    listed.write_text(json.dumps(rows))
    assert read_samples(listed) == [sample, replace(sample, id="2")]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"image": "../secret.jpg"}, r"train\.jsonl, line 2: the picture \.\./secret\.jpg is outside of the folder"),
        ({"image": "/etc/hostname"}, r"line 2: the picture /etc/hostname is outside"),
        ({"image": "gone.jpg"}, r"line 2: the picture gone\.jpg is missing\.$"),
        ({"image": ["photo.jpg"]}, r'line 2: "image" is not a path'),
        ({"extra": {"gone.jpg": {"name": "bo"}}}, r"line 2: the picture gone\.jpg is missing"),
        ({"extra": {"crop.jpg": {"info": "A dog."}}}, r"line 2: the crop crop\.jpg has no name"),
        ({"extra": {"crop.jpg": {"name": "bo", "info": 3}}}, r'line 2: the "info" of the crop crop\.jpg is not a text'),
        ({"extra": ["crop.jpg"]}, r'line 2: "extra" is not a table'),
        ({"conversations": []}, r'line 2: "conversations" must be "human" and "gpt" by turns'),
        ({"conversations": [{"from": "gpt", "value": "a"}, {"from": "human", "value": "b"}]}, r"turn 1 is not\.$"),
        ({"conversations": [{"from": "human", "value": IMAGE}, {"from": "gpt", "value": "b"}]}, r"turn 1 is empty"),
        (
            {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": f"b {IMAGE}"}]},
            r"answer 1 holds the mark of a picture, <image>\.$",
        ),
    ],
)
def test_the_first_wrong_row_is_named(
    tmp_path: Path, rows: list[dict[str, Any]], change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SampleError, match=sentence):
        read_samples(write(tmp_path, [rows[0], rows[1] | change]))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"id": 1', r"x\.jsonl, line 1: not valid JSON"),
        ("[{]", r"x\.jsonl: not valid JSON"),
        ("[3]", r"x\.jsonl, entry 1: a sample is a table"),
        ("\n", r"holds no samples\.$"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    with pytest.raises(SampleError, match=sentence):
        read_samples(tmp_path / "x.jsonl")
    with pytest.raises(SampleError, match="cannot be read"):
        read_samples(tmp_path / "none.jsonl")


def test_a_picture_that_is_none_is_named_when_it_is_opened(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    (tmp_path / "crop.jpg").write_text("no picture")
    [sample, _] = read_samples(write(tmp_path, rows))
    with pytest.raises(SampleError, match=r"^Sample 1: the picture crop\.jpg cannot be read"):
        open_pictures(sample, tmp_path)


def test_the_model_reads_exactly_the_prompt_of_rap(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    [sample, _] = read_samples(write(tmp_path, rows))
    [(prompt, answer)] = sample_prompts(sample, open_pictures(sample, tmp_path))
    assert prompt.messages == (("user", "<image>\n[1.<image>\n Name: <bo>, Info: A dog.\n]Who is this?"),)
    assert (len(prompt.pictures), answer) == (2, "<bo>.")
    textual = replace(sample, image="", turns=(*sample.turns, ("And?", "No more.")))
    [_, (prompt, answer)] = sample_prompts(textual, open_pictures(textual, tmp_path))
    assert [role for role, _ in prompt.messages] == ["user", "assistant", "user"]
    assert prompt.messages[0][1] == "[1.<image>\n Name: <bo>, Info: A dog.\n]Who is this?"
    assert (prompt.messages[1][1], prompt.messages[2][1], answer) == ("<bo>.", "And?", "No more.")


def test_composed_samples_have_the_proportions_of_rap(composed: tuple[Path, list[Sample]]) -> None:
    _, samples = composed
    counts = Counter(sample.kind for sample in samples)
    assert set(counts) == set(KINDS)
    for kind, share in PROPORTIONS.items():
        assert counts[kind] == pytest.approx(600 * share / 260, abs=1)
    table = statistics(samples)
    assert 0.3 < table["recognition"]["no"] / table["recognition"]["samples"] < 0.7
    assert table["question"]["no"] > 3, "some questions the card does not answer"
    assert table["question"]["photos"] < table["question"]["samples"], "some come without a photo"
    assert table["caption"]["several"] > table["caption"]["samples"] / 3


def test_composed_answers_are_true(source: Path, composed: tuple[Path, list[Sample]]) -> None:
    """By the colours in the picture: each concept has its own, and nothing else has any."""
    work, samples = composed
    for sample in samples:
        names = [crop.name for crop in sample.crops]
        answer, asked = sample.turns[0][1], sample.turns[0][0]
        assert len(names) == len(set(names)) <= 3
        if sample.kind in ("caption", "recognition", "grounding"):
            there = seen(open_pictures(sample, work)[0])
            if sample.kind == "caption":
                assert {name for name in COLOURS if f"<{name}>" in answer} == there
                assert there <= set(names), "every name of an answer is on the list"
            elif sample.kind == "recognition":
                assert answer == ("Yes" if names[0] in there else "No")
                assert f"<{names[0]}>" in asked
            else:
                photo = open_pictures(sample, work)[0]
                [found] = parse_boxes(answer, photo.width, photo.height, "llava-1.5")
                assert seen(photo.crop(found.box.pixels(*photo.size))) == {names[0]}
        if sample.kind == "question" and answer != SILENT:
            told = " ".join(crop.info + crop.name + crop.category for crop in sample.crops)
            words = answer.rstrip(".").split(" ")
            assert words[-1].strip("<>") in told


def seen(picture: Image.Image) -> set[str]:
    """Which concepts are in a picture, by the share of their colour."""
    wanted = {"bo": (255, 0, 0), "kiki": (0, 0, 255), "lala": (0, 128, 0), "mug": (255, 165, 0)}
    pixels = np.asarray(picture.resize((64, 64))).reshape(-1, 3).astype(int)
    away = np.stack([np.abs(pixels - one).sum(axis=1) for one in wanted.values()])
    best = np.where(away.min(axis=0) < 110, away.argmin(axis=0), -1)
    return {name for number, name in enumerate(wanted) if (best == number).sum() > 30}


def test_noise_concepts_change_no_answer_and_names_change_everywhere(source: Path, tmp_path: Path) -> None:
    read = read_source(source)
    plan = Plan(200, concepts=3, noise=1.0, renamed=1.0, scenes=0, proportions={"caption": 1.0})
    for sample in Composer(read, tmp_path, plan).samples():
        assert len(sample.crops) > 1, "one on the photo, the others not"
        names = [crop.name for crop in sample.crops]
        assert not set(names) & set(COLOURS)
        assert sum(f"<{name}>" in sample.turns[0][1] for name in names) == 1
        assert not any(f"<{name}>" in sample.turns[0][1] for name in COLOURS)


def test_the_same_seed_gives_the_same_samples_and_pictures(source: Path, tmp_path: Path) -> None:
    made = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        (tmp_path / name).mkdir()
        samples = Composer(read_source(source), tmp_path / name, Plan(60, seed=seed)).samples()
        pictures = {path.name: path.read_bytes() for path in (tmp_path / name / "pictures").iterdir()}
        made.append((samples, pictures))
    assert made[0] == made[1]
    assert made[0][0] != made[2][0]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"file": "photos/bo.jpg"}, r'line 1: a photo has a "file" and a list of "concepts"'),
        ({"file": "../bo.jpg", "concepts": []}, r"line 1: the photo \.\./bo\.jpg is outside of the source"),
        ({"file": "gone.jpg", "concepts": []}, r"line 1: the photo gone\.jpg is missing"),
        ({"file": "photos/bo.jpg", "concepts": ["rex"]}, r"line 1: there is no concept rex in the database"),
        (
            {"file": "photos/bo.jpg", "concepts": ["bo"], "boxes": {"bo": [20, 20, 80, 80]}},
            r"the box of bo is not \[left, top, right, bottom\] in fractions",
        ),
    ],
)
def test_a_wrong_source_is_named(source: Path, tmp_path: Path, row: dict[str, Any], sentence: str) -> None:
    for name in ("concepts", "photos"):
        (tmp_path / name).symlink_to(source / name, target_is_directory=True)
    (tmp_path / "photos").unlink()
    (tmp_path / "photos").mkdir()
    dot("red").save(tmp_path / "photos" / "bo.jpg")
    (tmp_path / "photos.jsonl").write_text(json.dumps(row))
    with pytest.raises(SampleError, match=sentence):
        read_source(tmp_path)
    with pytest.raises(RapFormatError):
        read_source(tmp_path / "photos")


def test_the_contact_sheet_shows_every_kind(composed: tuple[Path, list[Sample]]) -> None:
    work, samples = composed
    sheet = contact_sheet(samples, work, most=6)
    assert sheet.width > 1000
    for row in range(3):
        for column in range(2):
            cell = sheet.crop((column * 620 + 2, row * 250 + 2, column * 620 + 618, row * 250 + 248))
            assert len(cell.getcolors(616 * 246) or ()) > 5, "text or pictures in every cell"


def test_batches_are_of_like_lengths() -> None:
    lengths = [100 + 37 * (number % 50) for number in range(403)]
    order = list(ByLength(lengths, 4, 1, seed=0))
    groups = [[lengths[at] for at in order[start : start + 4]] for start in range(0, len(order), 4)]
    assert sorted(order) == list(range(403))
    assert 1 - sum(map(sum, groups)) / sum(len(group) * max(group) for group in groups) < 0.1


def test_the_command_composes_and_tells_what(source: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke(cli, ["rap-compose", str(source), str(tmp_path / "w"), "--samples", "40", "--views", "1"])
    assert run.exit_code == 0, run.output
    assert "grounding" in run.output
    assert len(read_samples(tmp_path / "w" / "train.jsonl")) == pytest.approx(40, abs=2)
    assert (tmp_path / "w" / "contact_sheet.jpg").is_file()
    wrong = CliRunner().invoke(cli, ["rap-compose", str(source), str(tmp_path / "w"), "--kinds", "captions=1"])
    assert "is not a kind and its share" in str(wrong.exception)
    for command in ("rap", "rap-compose"):
        assert "WORK" in CliRunner().invoke(cli, [command, "--help"]).output
