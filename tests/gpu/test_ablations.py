"""The paper's ablations end to end: a tiny LLaVA is trained three times and every arm asked, by the real command."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw
from typer.testing import CliRunner, Result

from training.ablations.arms import ARMS, NO_AUGMENTATION, NO_NEGATIVES, VARIANTS
from training.ablations.variants import plan_of
from training.cli import cli
from training.rap.compose import Plan

pytestmark = [
    # peft asks transformers for a name that is to go away in version 6.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning"),
    # peft looks for the config of the base model on the hub, which no test asks.
    pytest.mark.filterwarnings("ignore:Could not find a config file in:UserWarning"),
]
COLOURS = {"Bo": "red", "Kiki": "blue", "Lala": "green"}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def toy(colour: str, seed: int) -> Image.Image:
    """A coloured ring somewhere before another ground."""
    dice = random.Random(seed)
    picture = Image.new(
        "RGB", (160, 128), (dice.randrange(180, 255), dice.randrange(180, 255), dice.randrange(180, 255))
    )
    left, top = dice.randrange(8, 60), dice.randrange(8, 30)
    ImageDraw.Draw(picture).ellipse((left, top, left + 80, top + 80), fill=colour, outline="black", width=4)
    return picture


def folder_of(path: Path, seed: int) -> Path:
    """SOURCE and evaluation alike: three concepts, two photos of each."""
    (path / "concepts").mkdir(parents=True)
    cards, rows = {}, []
    for number, (name, colour) in enumerate(COLOURS.items()):
        toy(colour, seed + number).save(path / "concepts" / f"{name}.png")
        card = {"name": name, "image": f"{name}.png", "info": f"It is {colour}. Its owner is Ines.", "category": "toy"}
        cards[f"<{name}>"] = card
        for more in range(2):
            file = f"{name}{more}.png"
            toy(colour, seed + 10 * (more + 1) + number).save(path / file)
            rows.append({"file": file, "concepts": [name]})
    (path / "concepts" / "database.json").write_text(json.dumps({"concept_dict": cards}))
    (path / "photos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder_of(tmp_path / "source", 1)
    evaluated = folder_of(tmp_path / "evaluated", 500)
    text = {
        "concept": "Bo",
        "info": "It is red.",
        "question": "What colour?",
        "options": ["red", "blue"],
        "answer": "A",
    }
    sight = {
        "file": "Kiki0.png",
        "concept": "Kiki",
        "question": "What colour?",
        "options": ["red", "blue"],
        "answer": "B",
    }
    (evaluated / "questions.jsonl").write_text(json.dumps(text) + "\n" + json.dumps(sight) + "\n")
    (evaluated / "others").mkdir()
    toy("yellow", 900).save(evaluated / "others" / "yellow.png")
    return tmp_path


def compare(here: Path, model: Path, *more: str) -> Result:
    files = here / "evaluated"
    options = {
        "--database": files / "concepts" / "database.json",
        "--photos": files / "photos.jsonl",
        "--questions": files / "questions.jsonl",
        "--negatives": files / "others",
        "--source": here / "source",
        "--model": model,
        "--samples": 24,
        "--steps": 3,
        "--rank": 8,
        "--rate": 0.01,
        "--batch": 8,
        "--workers": 0,
        "--device": "cpu",
        "--seed": 1,
    }
    words = [str(word) for pair in options.items() for word in pair]
    environment = {"RAPBOT_DATA_DIR": str(here / "mine"), "RAPBOT_WORKER__THREADS": "1"}
    return CliRunner().invoke(cli, ["ablations", str(here / "work"), *words, *more], env=environment)


@pytest.mark.timeout(900)  # three trainings and two starts of the worker, on a machine that may be busy
def test_all_variants_are_trained_and_all_arms_measured_and_nothing_twice(
    here: Path, tiny_model: Callable[..., Path], weights: Path
) -> None:
    done = compare(here, tiny_model("llava"))
    assert done.exit_code == 0, (done.output, done.exception)
    work = here / "work"
    told = json.loads((work / "ablations.json").read_text())
    assert [row["arm"] for row in told["arms"]] == [arm.name for arm in ARMS]
    for row in told["arms"]:
        for way in [row["own"], row["served"]] if row["arm"] != "few-shot" else [row["own"]]:
            for value in (way["caption"]["recall"], way["recognition"]["weighted"], way["visual"], way["text"]):
                assert 0.0 <= value <= 1.0
            assert way["false_names"] in (0.0, 1.0)
    served = {row["arm"]: row["served"] for row in told["arms"] if row["served"]}
    assert served["perfect-retrieval"]["caption"] == {"recall": 1.0, "precision": 1.0, "f1": 1.0}
    assert served["perfect-retrieval"]["recognition"]["weighted"] == 1.0
    assert told["retrieval"]["count"]["visual_questions"] == 1
    table = (work / "ablations.md").read_text()
    assert table in done.output + "\n"
    for words in ("| no negatives (noise concepts) |", "| RAP-Phi3-V-3.8B |", "0.724"):
        assert words in table
    assert (work / "ablations.png").read_bytes().startswith(b"\x89PNG")
    manifests = [work / "variants" / variant / "published" / "rapbot.json" for variant in VARIANTS]
    hashes = {json.loads(file.read_text())["data_hash"] for file in manifests}
    assert len(hashes) == 3, "each was trained on samples of its own"
    full = next(row for row in told["arms"] if row["arm"] == "full")
    assert json.loads(manifests[0].read_text())["metrics"]["served.caption.f1"] == full["served"]["caption"]["f1"]

    kept = work / "arms" / "no-info.json"
    before = json.loads(kept.read_text())
    kept.unlink()
    again = compare(here, tiny_model("llava"))
    assert again.exit_code == 0, (again.output, again.exception)
    assert "training" not in again.output
    assert again.output.count(": asking") == 1
    after = json.loads(kept.read_text())
    assert {**after, "seconds": 0} == {**before, "seconds": 0}

    other = compare(here, tiny_model("llava"), "--absent", "2")
    assert other.exit_code == 1
    assert "belong to another absent" in str(other.exception)


def test_what_was_trained_on_is_not_evaluated_on(here: Path, tiny_model: Callable[..., Path]) -> None:
    copied = (here / "source" / "Bo0.png").read_bytes()
    (here / "evaluated" / "Bo1.png").write_bytes(copied)
    done = compare(here, tiny_model("llava"))
    assert done.exit_code == 1
    assert "what was trained on proves nothing" in str(done.exception)


def test_a_variant_lacks_one_thing_only() -> None:
    plan = Plan(seed=3)
    assert plan_of("full", plan) == plan
    assert plan_of(NO_NEGATIVES, plan).noise == 0.0
    assert plan_of(NO_NEGATIVES, plan).augmentation == plan.augmentation
    plain = plan_of(NO_AUGMENTATION, plan)
    assert (plain.noise, plain.augmentation.avatar.views, plain.augmentation.photo.views) == (plan.noise, 1, 1)
