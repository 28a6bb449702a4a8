"""Varied pictures: boxes and outlines stay on their things, other grounds leave the thing, programs of others."""

from __future__ import annotations

import json
import random
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from rapbot.concepts.rap_format import RapEntry, write_rap_folder
from rapbot.errors import ConfigError
from rapbot.messages import Box
from tests.pictures import jpeg
from training.augment.augmenter import relit, vary_avatar, vary_photo
from training.augment.framed import Framed, Placed, mirrored, rotated, warped
from training.augment.grounds import before, mask_of, seen_mask
from training.augment.novel import ViewMaker
from training.augment.recipe import PHOTO, Amounts, Augmentation, NovelViews, read_augmentation
from training.cli import cli
from training.rap.compose import Composer, Plan
from training.rap.samples import SampleError, read_samples
from training.rap.sources import read_source

SIZE = (240, 160)
PLAIN = replace(PHOTO, colour=0.0, background=0.0)
CONFIG = Path(__file__).parents[1] / "training/configs/augment.toml"


def scene(boxes: dict[str, Box]) -> Image.Image:
    """Red and blue ellipses on grey."""
    picture = Image.new("RGB", SIZE, "grey")
    for colour, box in boxes.items():
        corners = (box.left * SIZE[0], box.top * SIZE[1], box.right * SIZE[0] - 1, box.bottom * SIZE[1] - 1)
        ImageDraw.Draw(picture).ellipse(corners, fill=colour)
    return picture


def found(picture: Image.Image, colour: str) -> Box:
    """Where a colour is, by its pixels."""
    wanted = np.asarray(Image.new("RGB", (1, 1), colour)).reshape(3).astype(int)
    near = np.abs(np.asarray(picture).astype(int) - wanted).sum(axis=2) < 120
    ys, xs = np.nonzero(near)
    return Box(
        xs.min() / picture.width,
        ys.min() / picture.height,
        (xs.max() + 1) / picture.width,
        (ys.max() + 1) / picture.height,
    )


def overlap(one: Box, other: Box) -> float:
    across = min(one.right, other.right) - max(one.left, other.left)
    down = min(one.bottom, other.bottom) - max(one.top, other.top)
    shared = max(0.0, across) * max(0.0, down)
    return shared / (one.area + other.area - shared)


BOXES = {"red": Box(0.3, 0.3, 0.55, 0.8), "blue": Box(0.6, 0.35, 0.75, 0.6)}


def test_boxes_move_with_their_things() -> None:
    """By the colours on 60 varied pictures; a box of the turned corners would overlap far less."""
    framed = Framed(scene(BOXES), {name: Placed(box) for name, box in BOXES.items()})
    dice = random.Random(3)
    amounts = replace(PLAIN, degrees=20.0, perspective=1.0, rotate=1.0)
    sizes = set()
    for _ in range(60):
        varied, other = vary_photo(framed, amounts, dice)
        assert not other
        sizes.add(varied.picture.size)
        for name, box in varied.boxes.items():
            assert overlap(box, found(varied.picture, name)) > 0.85
    assert len(sizes) > 20


def test_outlines_move_with_their_things() -> None:
    corners = ((0.3, 0.3, 0.5, 0.3, 0.5, 0.7, 0.3, 0.7),)
    picture = Image.new("RGB", SIZE, "grey")
    picture.paste("red", (72, 48, 120, 112))
    framed = Framed(picture, {"red": Placed(Box(0.3, 0.3, 0.5, 0.7), corners)})
    dice = random.Random(1)
    for _ in range(30):
        varied, _ = vary_photo(framed, replace(PLAIN, rotate=1.0, degrees=25.0), dice)
        mask = np.asarray(mask_of([varied.placed["red"].outline], varied.picture.size)) > 127
        red = np.asarray(varied.picture)[..., 0].astype(int) - np.asarray(varied.picture)[..., 1] > 60
        assert (mask & red).sum() / (mask | red).sum() > 0.85
        assert overlap(varied.boxes["red"], found(varied.picture, "red")) > 0.9


def test_nothing_leaves_the_photo() -> None:
    """A thing in the corner: what would cut it off is not done."""
    boxes = {"red": Box(0.0, 0.0, 0.12, 0.12)}
    framed = Framed(scene(boxes), {"red": Placed(boxes["red"])})
    dice = random.Random(0)
    for _ in range(80):
        varied, _ = vary_photo(framed, replace(PLAIN, crop=1.0, crop_by=0.3), dice)
        part = found(varied.picture, "red")
        assert part.area * varied.picture.width * varied.picture.height > 0.5 * 0.12 * 0.12 * SIZE[0] * SIZE[1]


def test_mirrored_and_turned_pictures_are_what_they_say() -> None:
    picture = scene(BOXES)
    placed = {name: Placed(box) for name, box in BOXES.items()}
    flipped = warped(Framed(picture, placed), mirrored(SIZE[0]), SIZE)
    assert flipped is not None
    assert np.array_equal(np.asarray(flipped.picture), np.asarray(picture)[:, ::-1])
    assert flipped.boxes["red"].left == pytest.approx(1 - BOXES["red"].right, abs=0.005)
    turned = warped(Framed(picture), rotated(*SIZE, 10, filled=False), SIZE)
    assert turned is not None
    same = picture.rotate(10, Image.Resampling.BICUBIC, fillcolor="grey")
    assert np.abs(np.asarray(turned.picture).astype(int) - np.asarray(same)).mean() < 1.0
    filled = warped(Framed(Image.new("RGB", SIZE, "white")), rotated(*SIZE, 30, filled=True), SIZE)
    assert filled is not None
    assert filled.picture.getcolors() == [(SIZE[0] * SIZE[1], (255, 255, 255))]


def test_another_ground_leaves_the_thing_as_it_is() -> None:
    square = ((0.25, 0.25, 0.75, 0.25, 0.75, 0.75, 0.25, 0.75),)
    picture = Image.new("RGB", (100, 100), "white")
    picture.paste("red", (25, 25, 75, 75))
    made = before(picture, mask_of([square], (100, 100)), Image.new("RGB", (300, 200), "green"))
    assert {made.getpixel((50, 50)), made.getpixel((30, 30))} == {(255, 0, 0)}
    assert made.getpixel((5, 5)) == made.getpixel((22, 50)) == (0, 128, 0)
    rim = np.asarray(made).reshape(-1, 3).astype(int)
    assert (rim.min(axis=1) > 100).sum() == 0, "no rim of the old, white ground"
    framed = Framed(picture, {"red": Placed(Box(0.25, 0.25, 0.75, 0.75), square)})
    always = replace(PLAIN, background=1.0, rotate=0.0, crop=0.0, perspective=0.0, flip=0.0)
    varied, other = vary_photo(framed, always, random.Random(0), lambda: Image.new("RGB", (9, 9), "green"))
    assert other
    assert varied.picture.getpixel((5, 5)) == (0, 128, 0)
    unknown = Framed(picture, {**framed.placed, "x": Placed(Box(0, 0, 0.2, 0.2))})
    assert not vary_photo(unknown, always, random.Random(0), lambda: Image.new("RGB", (9, 9)))[1]


def test_a_plain_ground_is_seen_and_others_are_left_alone() -> None:
    picture = Image.new("RGB", (200, 150), (240, 238, 235))
    ImageDraw.Draw(picture).ellipse((60, 30, 150, 130), fill="navy", outline="navy")
    mask = seen_mask(picture)
    assert mask is not None
    assert mask.size == picture.size
    true = np.asarray(Image.new("L", picture.size)).copy()
    drawn = Image.fromarray(true)
    ImageDraw.Draw(drawn).ellipse((60, 30, 150, 130), fill=255)
    one, other = np.asarray(mask) > 127, np.asarray(drawn) > 127
    assert (one & other).sum() / (one | other).sum() > 0.93
    assert seen_mask(Image.effect_noise((200, 150), 120).convert("RGB")) is None, "no plain ground"
    assert seen_mask(Image.new("RGB", (200, 150), "white")) is None, "nothing stands out"
    ImageDraw.Draw(picture).ellipse((5, 5, 50, 60), fill="navy")
    assert seen_mask(picture) is None, "two things"


def test_avatars_vary_and_the_same_seed_gives_the_same() -> None:
    picture = scene(BOXES)
    made = [[vary_avatar(picture, Amounts(), dice) for _ in range(5)] for dice in (random.Random(4), random.Random(4))]
    assert [view.tobytes() for view in made[0]] == [view.tobytes() for view in made[1]]
    assert len({view.tobytes() for view in made[0]}) == 5
    corner = vary_avatar(
        Image.new("RGB", (90, 90), "white"), replace(Amounts(), rotate=1.0, colour=0.0), random.Random(0)
    )
    assert corner.getcolors() == [(corner.width * corner.height, (255, 255, 255))], "turned corners are filled"
    warm = relit(Image.new("RGB", (8, 8), (120, 120, 120)), replace(Amounts(), colour=1.0), random.Random(1))
    assert warm.getpixel((0, 0)) != (120, 120, 120)


def test_the_shipped_config_says_the_defaults_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    assert read_augmentation(CONFIG) == Augmentation()
    file = tmp_path / "augment.toml"
    for text, sentence in (
        ("[avatars]\nflip = 1", r"there is no table \[avatars\]"),
        ("[avatar]\nflips = 1", r"\[avatar\]: there is no key flips\. Keys: flip, rotate"),
        ("[avatar]\nflip = 2", r"flip is a number up to 1, not 2"),
        ("[photo]\nviews = 0", r"views is a number up to 1000, not 0"),
        ("[novel_views]\nthings = 'draw {input} {output}'", r"things is a list of words"),
        ("[novel_views]\nthings = ['draw', '{input}']", r"the command things needs \{input\} and \{output\}"),
        ("avatar", "cannot be read"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError, match=sentence):
            read_augmentation(file)


DRAW = """
import sys
from PIL import Image
given, folder = sys.argv[1:]
picture = Image.open(given)
for number, turn in enumerate((90, 180)):
    picture.rotate(turn).convert("RGBA").save(f"{folder}/{number}.png")
open(sys.argv[0] + ".calls", "a").write("x")
"""


def program(tmp_path: Path, code: str) -> tuple[str, ...]:
    file = tmp_path / "draw it; touch me.py"
    file.write_text(code)
    return (sys.executable, str(file), "{input}", "{output}")


def test_novel_views_come_from_a_program_once(tmp_path: Path) -> None:
    command = program(tmp_path, DRAW)
    maker = ViewMaker(NovelViews(things=command), tmp_path / "store")
    picture = scene(BOXES)
    views = maker.views(picture, "toy")
    assert [view.mode for view in views] == ["RGBA", "RGBA"]
    assert np.array_equal(np.asarray(views[1].convert("RGB")), np.asarray(picture.rotate(180)))
    assert maker.views(picture, "an old man") == [], "no program for people"
    again = ViewMaker(NovelViews(things=command), tmp_path / "store")
    assert len(again.views(picture, "toy")) == 2
    assert (tmp_path / "draw it; touch me.py.calls").read_text() == "x", "drawn once, kept by content"
    assert (maker.made, again.made, maker.failures, maker.missing()) == (1, 0, [], [])


@pytest.mark.parametrize(
    ("code", "timeout", "sentence"),
    [
        ("raise SystemExit('no GPU here')", 60.0, r"ended with 1: no GPU here\.$"),
        ("", 60.0, r"wrote no picture\.$"),
        ("import threading\nthreading.Event().wait()", 0.3, r"took longer than 0\.3 seconds\.$"),
        ("import sys\nopen(sys.argv[2] + '/a.png', 'w').write('no')", 60.0, r"^a\.png is not a picture"),
    ],
)
def test_a_program_that_fails_is_told_and_nothing_else_fails(
    tmp_path: Path, code: str, timeout: float, sentence: str
) -> None:
    maker = ViewMaker(NovelViews(things=program(tmp_path, code), timeout=timeout), tmp_path / "store")
    assert maker.views(scene(BOXES), "toy") == []
    [failure] = maker.failures
    assert re.search(sentence, failure)


def test_a_program_that_is_not_installed_is_not_used(tmp_path: Path) -> None:
    maker = ViewMaker(NovelViews(things=("wonder3d-of-nobody", "{input}", "{output}")), tmp_path / "store")
    assert maker.views(scene(BOXES), "toy") == []
    assert maker.missing() == ["wonder3d-of-nobody"]
    assert not maker.failures


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two toys on photos with outlines, and a photo of nobody."""
    folder = tmp_path / "source"
    square = [[0.2, 0.2, 0.6, 0.2, 0.6, 0.8, 0.2, 0.8]]
    rows: list[dict[str, Any]] = []
    entries = []
    (folder / "photos").mkdir(parents=True)
    for name, colour in (("bo", "red"), ("kiki", "blue")):
        picture = Image.new("RGB", (200, 150), "white")
        picture.paste(colour, (40, 30, 120, 120))
        picture.save(folder / "photos" / f"{name}.png")
        entries.append(RapEntry(name, "toy", f"Its colour is {colour}.", (jpeg(picture.crop((30, 20, 130, 130))),)))
        rows.append({"file": f"photos/{name}.png", "concepts": [name], "boxes": {name: [0.2, 0.2, 0.6, 0.8]}})
        rows[-1] |= {"outlines": {name: square}, "caption": f"<{name}> before a white wall."}
        rows[-1] |= {"description": f"<{name}> stands alone.", "questions": [[f"Is <{name}> alone?", "Yes."]]}
    Image.new("RGB", (200, 150), "green").save(folder / "photos/empty.png")
    rows.append({"file": "photos/empty.png", "concepts": []})
    (folder / "photos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_rap_folder(folder / "concepts", entries)
    outline = [[0.1, 0.09, 0.9, 0.09, 0.9, 0.91, 0.1, 0.91]]
    (folder / "concepts/outlines.json").write_text(json.dumps({"avatars/bo.jpg": outline, "avatars/kiki.jpg": outline}))
    return folder


def test_composed_samples_use_varied_photos_whose_boxes_are_true(source: Path, tmp_path: Path) -> None:
    how = Augmentation(
        photo=replace(PHOTO, views=6, background=0.5, colour=0.0), avatar=replace(Amounts(), background=1.0, colour=0.0)
    )
    plan = Plan(120, seed=1, renamed=0.0, noise=0.0, scenes=8, augmentation=how)
    composer = Composer(read_source(source), tmp_path, plan)
    samples = composer.samples()
    colours = {"bo": "red", "kiki": "blue"}
    asked = [sample for sample in samples if sample.kind == "grounding"]
    assert len({sample.image for sample in asked}) > 10
    for sample in asked:
        numbers = [float(one) for one in sample.turns[0][1].strip("[]").split(", ")]
        shown = Image.open(tmp_path / sample.image).convert("RGB")
        assert overlap(Box(*numbers), found(shown, colours[sample.crops[0].name])) > 0.85
    grounds = [Image.open(tmp_path / crop.picture).convert("RGB") for one in samples for crop in one.crops]
    assert any(np.asarray(picture)[0, 0].argmax() == 1 and np.asarray(picture)[0, 0, 0] < 80 for picture in grounds), (
        "the green photo of nobody behind an avatar"
    )
    for sample in samples:
        if "white wall" in sample.turns[0][1]:
            left = np.asarray(Image.open(tmp_path / sample.image).convert("RGB"))[2:-2, 2]
            assert left.mean() > 200, "the caption tells of a ground that is there"


def test_texts_that_tell_places_are_not_used_with_varied_photos(source: Path, tmp_path: Path) -> None:
    row = json.loads((source / "photos.jsonl").read_text().splitlines()[0])
    row |= {"caption": "<bo> is on the left.", "description": "<bo> stands alone.", "questions": []}
    (source / "photos.jsonl").write_text(json.dumps(row))
    how = Augmentation(photo=replace(PHOTO, views=8, background=0.0))
    plan = Plan(200, renamed=0.0, scenes=0, augmentation=how, proportions={"caption": 1.0, "description": 1.0})
    samples = Composer(read_source(source), tmp_path, plan).samples()
    assert {sample.image for sample in samples if "left" in sample.turns[0][1]} == {"pictures/photo-0.jpg"}
    assert len({sample.image for sample in samples if "alone" in sample.turns[0][1]}) > 4


def test_annotated_texts_are_used_and_must_be_of_the_photo(source: Path, tmp_path: Path) -> None:
    plan = Plan(120, seed=2, renamed=0.0, scenes=0, proportions={"question": 1.0, "description": 1.0})
    samples = Composer(read_source(source), tmp_path, plan).samples()
    answers = {turn for sample in samples for turn in sample.turns}
    assert ("Is <bo> alone?", "Yes.") in answers
    assert any("stands alone." in answer for _, answer in answers)
    row = json.loads((source / "photos.jsonl").read_text().splitlines()[0]) | {"caption": "<kiki> is here."}
    (source / "photos.jsonl").write_text(json.dumps(row))
    with pytest.raises(SampleError, match="a text names <kiki>, which is not among the concepts"):
        read_source(source)


def test_the_command_takes_the_proportions_and_tells_of_programs(source: Path, tmp_path: Path) -> None:
    file = tmp_path / "augment.toml"
    file.write_text('[avatar]\nviews = 2\n[novel_views]\nthings = ["wonder3d-of-nobody", "{input}", "{output}"]\n')
    words = ["rap-compose", str(source), str(tmp_path / "work"), "--samples", "20", "--augment", str(file)]
    run = CliRunner().invoke(cli, words)
    assert run.exit_code == 0, run.output
    assert "No novel views: wonder3d-of-nobody is not installed." in run.output
    assert len(read_samples(tmp_path / "work/train.jsonl")) == pytest.approx(20, abs=2)
    assert len(list((tmp_path / "work/pictures").glob("avatar-*"))) == 4
