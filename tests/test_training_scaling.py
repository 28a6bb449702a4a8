"""Recall against the size of the database: with the real worker on pictures that packages ship."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rapbot.config import Settings
from rapbot.errors import ConceptError
from tests.pictures import cat_elsewhere_jpeg, cat_jpeg, coffee, jpeg, rocket
from training.scaling import Scaling, measure, things_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A database with a cat, a photo of it elsewhere, and two photos with three other things and a person."""
    files = {"cat.jpg": cat_jpeg(), "seen.jpg": cat_elsewhere_jpeg(), "a.jpg": jpeg(coffee()), "b.jpg": jpeg(rocket())}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    card = {"name": "Lala", "image": "cat.jpg", "info": "A ginger cat.", "category": "cat"}
    (tmp_path / "database.json").write_text(json.dumps({"concept_dict": {"<Lala>": card}}))
    (tmp_path / "photos.jsonl").write_text(json.dumps({"file": "seen.jpg", "concepts": ["Lala"]}) + "\n")
    cup = [{"category": "cup", "box_xywh": [100, 50, 300, 300]}, {"category": "table", "box_xywh": [0, 0, 5000, 5000]}]
    tiny = [{"category": "spoon", "box_xywh": [0, 0, 4, 4]}, {"category": "woman", "box_xywh": [0, 0, 200, 200]}]
    lines = [{"file": "a.jpg", "objects": cup + tiny}, {"file": "b.jpg", "objects": cup[:1]}]
    (tmp_path / "others.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_other_things_are_large_enough_inside_the_picture_and_no_people(folder: Path) -> None:
    things = things_in(folder / "others.jsonl")
    assert [(thing.photo.name, thing.category) for thing in things] == [
        ("a.jpg", "cup"), ("a.jpg", "table"), ("b.jpg", "cup")
    ]  # fmt: skip
    assert (things[1].box.right, things[1].box.bottom) == (1.0, 1.0)
    (folder / "others.jsonl").write_text(json.dumps({"file": "a.jpg"}) + "\n")
    with pytest.raises(ConceptError, match=r"a\.jpg needs objects"):
        things_in(folder / "others.jsonl")


async def test_a_concept_is_found_among_others(folder: Path, weights: Path) -> None:
    settings = Settings(data_dir=folder / "data", weights_dir=weights)
    found = await measure(
        settings, folder / "database.json", folder / "photos.jsonl", folder / "others.jsonl", [3, 4, 9]
    )
    assert {size: row[5] for size, row in found.recall.items()} == {1: 1.0, 3: 1.0, 4: 1.0}  # there are only four
    assert (found.photos, found.labels) == (1, 1)
    assert found.teach_seconds > 0
    assert found.bytes_per_concept > 1000
    found.write(folder / "out")
    assert json.loads((folder / "out" / "scaling.json").read_text())["labels"] == 1
    assert (folder / "out" / "scaling.png").read_bytes().startswith(b"\x89PNG")
    assert "| 4 | " in found.table()
    assert not (folder / "data").exists()  # nobody's own store


def test_the_table_has_a_row_for_each_size() -> None:
    made = Scaling({16: {1: 0.9, 2: 1.0, 5: 1.0}}, {16: 0.002}, 0.2, 2048, 70, 70)
    assert "| 16 | 0.900 | 1.000 | 1.000 | 2.0 ms |" in made.table()
