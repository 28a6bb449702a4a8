"""Where samples come from: concepts as rapbot exports them, and photos with who is on them.

A source: a folder with `concepts/database.json` (or `database.json`, `rapbot export`) and `photos.jsonl`:

    {"file": "photos/1.jpg", "concepts": ["bo", "mug"], "boxes": {"bo": [0.1, 0.2, 0.6, 0.9]}, "caption": "<bo> naps."}

"boxes" (fractions of the upright picture: left, top, right, bottom) and "caption" (names in < >) may be absent.
"general.jsonl" (samples.py; LLaVA-Instruct for instance) may lie beside it: conversations that are about no concept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rapbot.concepts.rap_format import DATABASE, RapEntry, read_rap_database
from rapbot.messages import Box
from training.rap.samples import Sample, SampleError, read_samples

PHOTOS, GENERAL = "photos.jsonl", "general.jsonl"


@dataclass(frozen=True, slots=True)
class SourcePhoto:
    """A photo; `concepts` are all the known ones on it."""

    file: Path
    concepts: tuple[str, ...]
    boxes: dict[str, Box] = field(default_factory=dict)
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    folder: Path
    concepts: dict[str, RapEntry]
    photos: tuple[SourcePhoto, ...]
    general: tuple[Sample, ...] = ()


def read_source(folder: Path) -> Source:
    """Raises SampleError, or RapFormatError of the database, for the first wrong file, line or field."""
    inner = folder / "concepts"
    entries = read_rap_database(inner if (inner / DATABASE).is_file() else folder)
    concepts = {entry.name: entry for entry in entries}
    if not concepts:
        raise SampleError(f"{folder} teaches no concept.")
    file = folder / PHOTOS
    photos = []
    try:
        for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), 1):
            if line.strip():
                photos.append(_photo(line, f"{PHOTOS}, line {number}", folder.resolve(), concepts))
    except (OSError, UnicodeDecodeError) as error:
        raise SampleError(f"{file} cannot be read ({error}).") from error
    if not photos:
        raise SampleError(f"{file} names no photo.")
    general = read_samples(folder / GENERAL) if (folder / GENERAL).is_file() else []
    return Source(folder, concepts, tuple(photos), tuple(general))


def _photo(line: str, where: str, folder: Path, concepts: dict[str, RapEntry]) -> SourcePhoto:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise SampleError(f"{where}: not valid JSON ({error}).") from error
    if not isinstance(row, dict) or not isinstance(row.get("file"), str) or not isinstance(row.get("concepts"), list):
        raise SampleError(f'{where}: a photo has a "file" and a list of "concepts".')
    path = (folder / row["file"]).resolve()
    if not path.is_relative_to(folder):
        raise SampleError(f"{where}: the photo {row['file']} is outside of the source.")
    if not path.is_file():
        raise SampleError(f"{where}: the photo {row['file']} is missing.")
    unknown = [name for name in row["concepts"] if name not in concepts]
    if unknown:
        raise SampleError(f"{where}: there is no concept {unknown[0]} in the database.")
    boxes = row.get("boxes") or {}
    if not isinstance(boxes, dict) or set(boxes) - set(row["concepts"]):
        raise SampleError(f'{where}: "boxes" must be a table whose keys are concepts of the photo.')
    found = {name: _box(corners, where, name) for name, corners in boxes.items()}
    return SourcePhoto(path, tuple(row["concepts"]), found, str(row.get("caption") or ""))


def _box(corners: Any, where: str, name: str) -> Box:
    good = isinstance(corners, list) and len(corners) == 4 and all(isinstance(one, int | float) for one in corners)
    if not good or not (0 <= corners[0] < corners[2] <= 1 and 0 <= corners[1] < corners[3] <= 1):
        raise SampleError(f"{where}: the box of {name} is not [left, top, right, bottom] in fractions of the picture.")
    return Box(*(float(one) for one in corners))
