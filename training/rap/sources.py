"""Where samples come from: concepts as rapbot exports them, and photos with who is on them.

A source: a folder with `concepts/database.json` (or `database.json`, `rapbot export`) and `photos.jsonl`:

    {"file": "photos/1.jpg", "concepts": ["bo", "mug"], "boxes": {"bo": [0.1, 0.2, 0.6, 0.9]}, "caption": "<bo> naps."}

All but "file" and "concepts" may be absent. "boxes" are fractions of the upright picture: left, top, right, bottom.
"outlines" {"bo": [[x1, y1, x2, y2, ...]]} are polygons in fractions, "description" is a longer caption, "questions" are
[["What is <bo> doing?", "<bo> naps."]]. In all texts names of the photo's concepts stand in < >.

`rapbot-train annotate` writes such a folder, and may add: "concepts/outlines.json" ({"avatars/bo.jpg": polygons}),
"general.jsonl" (samples.py; LLaVA-Instruct for instance: conversations that are about no concept) and "finished.jsonl"
(samples that are ready, RAP-260K for instance).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rapbot.concepts.rap_format import DATABASE, RapEntry, read_rap_database
from rapbot.messages import Box
from training.augment.framed import Outline
from training.rap.samples import Sample, SampleError, read_samples

PHOTOS, GENERAL, FINISHED, OUTLINES = "photos.jsonl", "general.jsonl", "finished.jsonl", "concepts/outlines.json"
_PLACES = re.compile(r"\b(?:left|right|middle|cent(?:er|re)|upper|lower|top|bottom|corner)\b", re.IGNORECASE)
_NAME = re.compile(r"<([^<>]+)>")


@dataclass(frozen=True, slots=True)
class SourcePhoto:
    """A photo; `concepts` are all the known ones on it."""

    file: Path
    concepts: tuple[str, ...]
    boxes: dict[str, Box] = field(default_factory=dict)
    caption: str = ""
    outlines: dict[str, Outline] = field(default_factory=dict)
    description: str = ""
    questions: tuple[tuple[str, str], ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.caption, self.description, *(text for turn in self.questions for text in turn))


@dataclass(frozen=True, slots=True)
class Source:
    folder: Path
    concepts: dict[str, RapEntry]
    photos: tuple[SourcePhoto, ...]
    general: tuple[Sample, ...] = ()
    finished: tuple[Sample, ...] = ()
    outlines: dict[Path, Outline] = field(default_factory=dict)
    """Of avatars."""


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
    general, finished = (
        tuple(read_samples(folder / name)) if (folder / name).is_file() else () for name in (GENERAL, FINISHED)
    )
    return Source(folder, concepts, tuple(photos), general, finished, _avatar_outlines(folder))


def tells_place(text: str) -> bool:
    """Whether a text may become untrue where the photo is mirrored, turned or cropped."""
    return bool(_PLACES.search(text))


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
    outlines = row.get("outlines") or {}
    if not isinstance(outlines, dict) or set(outlines) - set(found):
        raise SampleError(f'{where}: "outlines" must be a table whose keys have boxes.')
    shapes = {name: _outline(parts, f"{where}: the outline of {name}") for name, parts in outlines.items()}
    questions = row.get("questions") or []
    if not isinstance(questions, list) or not all(_is_turn(turn) for turn in questions):
        raise SampleError(f'{where}: "questions" must be a list of [question, answer].')
    turns = tuple((asked, answer) for asked, answer in questions)
    caption, description = (str(row.get(key) or "") for key in ("caption", "description"))
    photo = SourcePhoto(path, tuple(row["concepts"]), found, caption, shapes, description, turns)
    for name in _NAME.findall(" ".join(photo.texts)):
        if name in concepts and name not in photo.concepts:
            raise SampleError(f"{where}: a text names <{name}>, which is not among the concepts of the photo.")
    return photo


def _avatar_outlines(folder: Path) -> dict[Path, Outline]:
    file = folder / OUTLINES
    if not file.is_file():
        return {}
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
        return {(file.parent / name).resolve(): _outline(parts, f"{OUTLINES}: {name}") for name, parts in table.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise SampleError(f"{file} is not a table of outlines ({error}).") from error


def _outline(parts: Any, where: str) -> Outline:
    def good(part: Any) -> bool:
        return isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0

    if not isinstance(parts, list) or not all(good(part) for part in parts):
        raise SampleError(f"{where} is not a list of polygons [x1, y1, x2, y2, x3, y3, ...].")
    if not all(isinstance(one, int | float) and 0 <= one <= 1 for part in parts for one in part):
        raise SampleError(f"{where} is not in fractions of the picture.")
    return tuple(tuple(float(one) for one in part) for part in parts)


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, list) and len(turn) == 2 and all(isinstance(one, str) and one.strip() for one in turn)


def _box(corners: Any, where: str, name: str) -> Box:
    good = isinstance(corners, list) and len(corners) == 4 and all(isinstance(one, int | float) for one in corners)
    if not good or not (0 <= corners[0] < corners[2] <= 1 and 0 <= corners[1] < corners[3] <= 1):
        raise SampleError(f"{where}: the box of {name} is not [left, top, right, bottom] in fractions of the picture.")
    return Box(*(float(one) for one in corners))
