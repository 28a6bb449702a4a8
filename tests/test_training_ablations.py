"""The comparison of the text-only model as it is: no training, the real eyes and the real language model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rapbot.inference.job import Candidate, Region, Scene, VisibleConcepts
from rapbot.inference.job import Card as JobCard
from rapbot.messages import Box
from tests.pictures import cat_elsewhere_jpeg, cat_jpeg, coffee, jpeg
from training.ablations.looks import Look, nearest, perfect
from training.cli import cli


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A cat and a cup, a photo of both, a question."""
    (tmp_path / "lala.jpg").write_bytes(cat_jpeg())
    (tmp_path / "mug.jpg").write_bytes(jpeg(coffee()))
    (tmp_path / "seen.jpg").write_bytes(cat_elsewhere_jpeg())
    cards = {
        "<Lala>": {"name": "Lala", "image": "lala.jpg", "info": "A ginger cat.", "category": "cat"},
        "<Mug>": {"name": "Mug", "image": "mug.jpg", "info": "A white cup.", "category": "cup"},
    }
    (tmp_path / "database.json").write_text(json.dumps({"concept_dict": cards}))
    (tmp_path / "photos.jsonl").write_text(json.dumps({"file": "seen.jpg", "concepts": ["Lala", "Mug"]}))
    asked = {
        "concept": "Lala",
        "info": "A ginger tabby cat. She loves cheese and is afraid of thunder.",
        "question": "What does Lala love?",
        "options": ["Cheese", "Thunder", "Carrots"],
        "answer": "A",
    }
    (tmp_path / "questions.jsonl").write_text(json.dumps(asked))
    return tmp_path


def compare(here: Path, weights: Path, *more: str) -> Result:
    named = {"--database": "database.json", "--photos": "photos.jsonl", "--questions": "questions.jsonl"}
    words = [word for option, name in named.items() for word in (option, str(here / name))]
    environment = {"RAPBOT_DATA_DIR": str(here / "mine"), "RAPBOT_WEIGHTS_DIR": str(weights)}
    return CliRunner().invoke(cli, ["ablations", str(here / "work"), *words, *more], env=environment)


@pytest.mark.timeout(900)  # some dozens of answers, on a machine that may be busy
def test_the_pocket_model_is_compared_without_training(here: Path, weights: Path) -> None:
    done = compare(here, weights)
    assert done.exit_code == 0, (done.output, done.exception)
    told = json.loads((here / "work" / "ablations.json").read_text())
    arms = {row["arm"]: row for row in told["arms"]}
    assert list(arms) == ["full", "perfect-retrieval", "no-info", "untrained", "few-shot"]
    served = {name: row["served"] for name, row in arms.items()}
    assert served["few-shot"] is None, "rapbot has prompts of its own"
    assert served["full"]["caption"]["f1"] == served["full"]["recognition"]["positive"] == 1.0
    assert served["full"]["text"] == 1.0
    for row in arms.values():
        own = row["own"]
        assert 0.0 <= own["caption"]["recall"] <= 1.0
        assert own["visual"] is None, "nothing was asked about a photo"
    assert told["retrieval"]["top"]["top2"] == 1.0
    assert told["retrieval"]["cost"]["seconds_per_concept"] > 0
    assert not (here / "mine").exists(), "nobody's own store"
    assert not (here / "work" / "variants").exists()

    again = compare(here, weights)
    assert again.exit_code == 0
    assert "asking" not in again.output, "what is measured is not measured again"
    assert again.output.split("# ", 1)[1] == done.output.split("# ", 1)[1]


def test_a_model_that_sees_needs_what_it_is_trained_on(here: Path, weights: Path) -> None:
    done = compare(here, weights, "--model", "some/model")
    assert done.exit_code == 1
    assert "--model and --source belong together" in str(done.exception)


def test_perfect_retrieval_sees_who_is_there_and_nobody_else() -> None:
    regions = (Region(Box(0, 0, 1, 1), whole=True), Region(Box(0.1, 0.2, 0.3, 0.4)))
    found = tuple(
        Candidate(region, concept, 1, 0.9, 0.2, accepted=False) for region, concept in ((1, 7), (0, 7), (0, 8))
    )
    concepts = VisibleConcepts(tuple(JobCard(number, f"n{number}", "thing", "") for number in (7, 8, 9)))
    one = Look(Path("a.jpg"), Scene(10, 10, regions, (), found), frozenset({7, 9}))
    assert nearest(one.scene) == [7, 8]
    seen = {sighting.name: sighting.box for sighting in perfect(one, concepts).scene.sightings}
    assert seen == {"n7": Box(0.1, 0.2, 0.3, 0.4), "n9": Box(0, 0, 1, 1)}
