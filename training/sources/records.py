"""What every source comes down to: pictures, the things on them, and words about both.

A thing that is the same on several pictures (a track of a video, a person, somebody's mug) has one id everywhere.
Written as JSON lines by index.py, read by annotate and from there by the composer of training/rap.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rapbot.errors import RapbotError
from rapbot.messages import Box
from training.rap.samples import Sample, parse_sample

TRAIN = "train"


class SourceError(RapbotError):
    """A source cannot be read; names the first wrong file, or line, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing on one picture. `corners` (left, top, right, bottom) and `outline` are in pixels of the picture."""

    id: str
    category: str = ""
    corners: tuple[float, float, float, float] | None = None
    """None: somewhere on the picture, or all of it."""
    outline: tuple[tuple[float, ...], ...] = ()
    """Polygons x1, y1, x2, y2, ...: what belongs to it."""
    phrases: tuple[str, ...] = ()
    """What people, or labels, say of it on this picture: "the lady with the blue shirt", "has black hair"."""
    name: str = ""
    info: str = ""
    """Name and card, where somebody taught them."""


@dataclass(frozen=True, slots=True)
class Record:
    """One picture, or a conversation without one. Paths are relative to the root of the source."""

    file: str
    size: tuple[int, int] = (0, 0)
    """Width and height of the upright picture, pixels; zeros as long as nobody looked."""
    things: tuple[Thing, ...] = ()
    captions: tuple[str, ...] = ()
    split: str = TRAIN
    sample: Sample | None = None
    """A conversation that is ready for training."""

    @property
    def pictures(self) -> tuple[str, ...]:
        """Every file that must be there."""
        own = (self.file,) if self.file else ()
        return own + tuple(crop.picture for crop in self.sample.crops) if self.sample else own

    def box(self, thing: Thing) -> Box | None:
        """Its place in fractions, inside the picture; None where that is not known, or nothing is left of it."""
        if thing.corners is None or not all(self.size):
            return None
        (width, height), (left, top, right, bottom) = self.size, thing.corners
        box = Box(max(0.0, left / width), max(0.0, top / height), min(1.0, right / width), min(1.0, bottom / height))
        return box if box.left < box.right and box.top < box.bottom else None

    def as_row(self) -> dict[str, Any]:
        row: dict[str, Any] = {"file": self.file, "size": list(self.size), "split": self.split}
        row["things"] = [_filled(thing) for thing in self.things]
        row |= {"captions": list(self.captions)} if self.captions else {}
        return row | ({"sample": self.sample.as_row()} if self.sample else {})

    @staticmethod
    def from_row(row: dict[str, Any]) -> Record:
        """Of what `as_row` wrote."""
        sample = parse_sample(row["sample"], "sample") if "sample" in row else None
        things = tuple(_thing(one) for one in row["things"])
        width, height = row["size"]
        return Record(row["file"], (width, height), things, tuple(row.get("captions", ())), row["split"], sample)


def read_records(file: Path) -> Iterator[Record]:
    """The records that index.py wrote, one by one. Raises SourceError."""
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield Record.from_row(json.loads(line))
                except (ValueError, KeyError, TypeError) as error:
                    raise SourceError(f"{file}, line {number}, is not a record: run rapbot-train sources.") from error
    except OSError as error:
        raise SourceError(f"{file} cannot be read ({error.strerror or error}).") from error


def turned(record: Record, stored: tuple[int, int], orientation: int) -> Record:
    """The record of the upright picture, where the file is turned by its EXIF `orientation` (1 to 8).

    `stored`: the size in the file. Annotations mean the file as it is stored, unless their size says otherwise.
    """
    width, height = stored
    upright = (height, width) if orientation >= 5 else stored
    if orientation == 1 or (record.size == upright and upright != stored):
        return replace(record, size=upright)

    def point(x: float, y: float) -> tuple[float, float]:
        x, y = {2: (width - x, y), 3: (width - x, height - y), 4: (x, height - y), 5: (y, x)}.get(orientation, (x, y))
        return {6: (height - y, x), 7: (height - y, width - x), 8: (y, width - x)}.get(orientation, (x, y))

    def turn(thing: Thing) -> Thing:
        corners = None
        if thing.corners is not None:
            (a, b), (c, d) = point(*thing.corners[:2]), point(*thing.corners[2:])
            corners = (min(a, c), min(b, d), max(a, c), max(b, d))
        outline = tuple(
            tuple(one for x, y in zip(part[::2], part[1::2], strict=True) for one in point(x, y))
            for part in thing.outline
        )
        return replace(thing, corners=corners, outline=outline)

    return replace(record, size=upright, things=tuple(turn(thing) for thing in record.things))


def plain(category: str) -> str:
    """A label as people say it: "Cabinet/shelf" is "cabinet", "car_(automobile)" is "car"."""
    bare = re.sub(r"\(.*?\)", "", category).split("/")[0]
    return " ".join(bare.replace("_", " ").lower().split())


def _filled(thing: Thing) -> dict[str, Any]:
    row: dict[str, Any] = {"id": thing.id, "category": thing.category, "name": thing.name, "info": thing.info}
    row |= {"corners": thing.corners, "outline": thing.outline, "phrases": thing.phrases}
    return {key: value for key, value in row.items() if value}


def _thing(row: dict[str, Any]) -> Thing:
    corners = row.get("corners")
    return Thing(
        row["id"],
        row.get("category", ""),
        (corners[0], corners[1], corners[2], corners[3]) if corners else None,
        tuple(tuple(part) for part in row.get("outline", ())),
        tuple(row.get("phrases", ())),
        row.get("name", ""),
        row.get("info", ""),
    )
