"""`rapbot eval` on a small database of pictures that scikit-image ships, with answers that can be counted by hand."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from rapbot.errors import ConceptError
from rapbot.evaluation import Question, read_questions, shuffled
from tests.pictures import astronaut, cat_elsewhere_jpeg, cat_jpeg, coffee, jpeg, rocket


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A RAP database of a cat and a cup, two labelled photos, a negative, two questions."""
    avatars = tmp_path / "avatars"
    avatars.mkdir()
    (avatars / "lala.jpg").write_bytes(cat_jpeg())
    (avatars / "mug.jpg").write_bytes(jpeg(coffee()))
    cards = {
        "<Lala>": {"name": "Lala", "image": "avatars/lala.jpg", "info": "A ginger tabby cat.", "category": "cat"},
        "<Mug>": {"name": "Mug", "image": "avatars/mug.jpg", "info": "A white cup of coffee.", "category": "cup"},
    }
    paths = {"avatars/lala.jpg": "<Lala>", "avatars/mug.jpg": "<Mug>"}
    (tmp_path / "database.json").write_text(json.dumps({"concept_dict": cards, "path_to_concept": paths}))
    (tmp_path / "both.jpg").write_bytes(cat_elsewhere_jpeg())
    (tmp_path / "mug.jpg").write_bytes(jpeg(coffee().rotate(8)))
    photos = [{"file": "both.jpg", "concepts": ["Lala", "Mug"]}, {"file": "mug.jpg", "concepts": ["Mug"]}]
    (tmp_path / "photos.jsonl").write_text("\n".join(map(json.dumps, photos)))
    (tmp_path / "negatives").mkdir()
    (tmp_path / "negatives" / "rocket.jpg").write_bytes(jpeg(rocket()))
    (tmp_path / "negatives" / "astronaut.jpg").write_bytes(jpeg(astronaut()))
    asked = {
        "concept": "Lala",
        "info": "A ginger tabby cat. She loves cheese and is afraid of thunder.",
        "question": "What does Lala love?",
        "options": ["Cheese", "Thunder", "Carrots", "Swimming"],
        "answer": "A",
    }
    other = {**asked, "question": "What is Lala afraid of?", "answer": "B"}
    shown = {"concept": "Mug", "question": "What is Mug?", "options": ["A rocket", "A cup"], "answer": "B"}
    rows = [asked, other, shown | {"file": "mug.jpg"}]
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def evaluate(files: Path, weights: Path, *more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "RAPBOT_DATA_DIR": str(files / "mine"), "RAPBOT_WEIGHTS_DIR": str(weights)}
    command = [sys.executable, "-m", "rapbot", "eval", "--database", "database.json", "--out", "report.json", *more]
    return subprocess.run(command, cwd=files, env=environment, capture_output=True, text=True, timeout=280, check=False)


def test_every_number_is_counted_and_the_own_store_is_left_alone(files: Path, weights: Path) -> None:
    more = ("--photos", "photos.jsonl", "--negatives", "negatives", "--questions", "questions.jsonl")
    done = evaluate(files, weights, *more)
    assert done.returncode == 0, done.stderr
    assert "recognition.weighted" in done.stdout
    report = json.loads((files / "report.json").read_text())
    assert report["count"] == {
        "concepts": 2,
        "photos": 2,
        "labels": 3,
        "recognition_pairs": 4,
        "negatives": 2,
        "questions": 3,
    }
    assert set(report["retrieval"]) == {"top1", "top2", "top5"}
    assert report["retrieval"]["top2"] == 1.0
    assert report["caption"]["precision"] == 1.0
    assert report["caption"]["recall"] >= 0.66
    assert report["recognition"]["negative"] == 1.0
    assert report["negatives"]["false_name_rate"] == 0.0
    assert report["questions"]["text_only"] == 1.0
    assert report["questions"]["visual"] in (0.0, 1.0)
    assert report["questions"]["accuracy"] >= 0.66
    assert 4_000 < report["cost"]["bytes_per_concept"] < 2_000_000
    assert all(seconds > 0 for seconds in report["seconds"].values())
    assert not (files / "mine").exists()


def test_a_question_about_a_photo_needs_a_concept_of_the_database(files: Path) -> None:
    row = {"concept": "Rex", "file": "mug.jpg", "question": "Who?", "options": ["a", "b"], "answer": "A"}
    (files / "questions.jsonl").write_text(json.dumps(row))
    with pytest.raises(ConceptError, match="line 1 names Rex"):
        read_questions(files / "questions.jsonl", {"Lala"})
    (files / "questions.jsonl").write_text(json.dumps(row | {"concept": "Lala", "file": "gone.jpg"}))
    with pytest.raises(ConceptError, match=r"there is no photo .*gone\.jpg"):
        read_questions(files / "questions.jsonl", {"Lala"})


def test_options_are_shuffled_and_the_right_one_is_followed() -> None:
    question = Question("Lala", "", "?", ("right", "b", "c", "d"), 0)
    dice, places = random.Random(0), set()
    for _ in range(60):
        options, right = shuffled(question, dice)
        assert options[right] == "right"
        assert sorted(options) == sorted(question.options)
        places.add(right)
    assert places == {0, 1, 2, 3}


def test_a_wrong_line_is_named(files: Path, weights: Path) -> None:
    (files / "photos.jsonl").write_text('{"file": "mug.jpg", "concepts": ["Rex"]}')
    done = evaluate(files, weights, "--photos", "photos.jsonl")
    assert done.returncode == 1
    assert "line 1 names Rex" in done.stderr
    assert "Traceback" not in done.stderr
