"""Checks every picture of a source once and writes its records: stopped anywhere, a second call goes on.

What was looked at is kept by size and time of the file, so that only new and changed files are opened again.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from rapbot.errors import PhotoError
from rapbot.photos import open_photo
from training.sources.reader import Reader
from training.sources.records import Record, SourceError, turned

RECORDS, ABOUT = "records.jsonl", "source.json"
_INDEX = "index.db"
_ORIENTATION = 0x0112
_TOGETHER = 256
"""Records whose pictures are looked at before the index is written."""

Told = Callable[[int, int], None]
"""Is told (records that are done, all)."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a call did. `room` holds RECORDS and ABOUT."""

    room: Path
    records: int
    things: int
    pictures: int
    opened: int
    """Pictures that were opened by this call; the others were known."""
    left_out: int
    first_wrong: str = ""
    """Why the first of those was left out."""


@dataclass(frozen=True, slots=True)
class _Seen:
    bytes: int
    time: int
    """Nanoseconds."""
    width: int
    height: int
    orientation: int
    whole: bool
    """Decoded to the end, not only its head."""


def room_of(name: str, place: Path) -> Path:
    """Where the index of a source goes: inside its folder, or beside a file."""
    return place / ".rapbot" / name if place.is_dir() else place.with_name(f"{place.stem}.rapbot")


def check(
    reader: Reader,
    place: Path,
    room: Path,
    told: Told = lambda done, total: None,
    *,
    thorough: bool = False,
    skip: bool = False,
) -> Checked:
    """Write `room`/records.jsonl of all that is at `place`. `thorough`: decode each picture to its end.

    `skip` leaves out and counts records whose picture is missing or wrong. Raises SourceError: the first wrong file.
    """
    if not place.exists():
        raise SourceError(f"{place} is not there.")
    root, listing = reader.read(place, room)
    room.mkdir(parents=True, exist_ok=True)
    part = (room / RECORDS).with_suffix(".part")
    done = written = things = left_out = 0
    first_wrong = ""
    with _Index(room / _INDEX, root.resolve(), thorough) as index, part.open("w", encoding="utf-8") as lines:
        while batch := list(islice(listing.records, _TOGETHER)):
            for record, wrong in zip(batch, index.look(batch), strict=True):
                wrong = wrong or _mismatch(record, index)
                if wrong and not skip:
                    raise SourceError(wrong)
                if wrong:
                    left_out, first_wrong = left_out + 1, first_wrong or wrong
                    continue
                known = _sized(record, index)
                lines.write(json.dumps(known.as_row(), ensure_ascii=False) + "\n")
                written, things = written + 1, things + len(known.things)
            done += len(batch)
            told(done, max(done, listing.total))
        opened, pictures = index.opened, len(index.known)
    if not written:
        raise SourceError(f"{place} has no picture that can be used. {first_wrong}".strip())
    part.replace(room / RECORDS)
    checked = Checked(room, written, things, pictures, opened, left_out, first_wrong)
    about: dict[str, Any] = {"source": reader.about.name, "title": reader.about.title, "licence": reader.about.licence}
    # Relative where that works (not across drives of Windows), so that both may move together.
    about |= {"root": _relative(root, room), "records": written, "things": things, "left_out": left_out}
    (room / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return checked


def read_about(room: Path) -> dict[str, Any]:
    """What ABOUT says; "root" as a path that can be opened. Raises SourceError."""
    try:
        about: dict[str, Any] = json.loads((room / ABOUT).read_text(encoding="utf-8"))
        return about | {"root": (room / about["root"]).resolve()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{room} holds no checked source: run rapbot-train sources NAME DIR first.") from error


class _Index:
    """The pictures that were looked at. Not thread-safe; opens pictures in threads."""

    def __init__(self, file: Path, root: Path, thorough: bool) -> None:
        self._root = root
        self._thorough = thorough
        self._file = file
        self.opened = 0
        self.known: dict[str, _Seen] = {}
        """Of the records of this call."""

    def __enter__(self) -> _Index:
        try:
            self._base = sqlite3.connect(self._file)
            self._base.execute(
                "CREATE TABLE IF NOT EXISTS seen (file TEXT PRIMARY KEY, bytes INTEGER, time INTEGER,"
                " width INTEGER, height INTEGER, orientation INTEGER, whole INTEGER)"
            )
        except sqlite3.DatabaseError as error:
            raise SourceError(f"{self._file} is damaged ({error}): delete it, then all is checked anew.") from error
        self._pool = ThreadPoolExecutor(max_workers=min(16, 2 * (os.cpu_count() or 1)))
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._base.close()

    def look(self, records: list[Record]) -> list[str]:
        """What is wrong with each, or "", in order; what is right is remembered, also if something else is wrong."""
        names = list(dict.fromkeys(name for record in records for name in record.pictures if name not in self.known))
        before = dict(self._before(names))
        found = dict(zip(names, self._pool.map(lambda name: self._one(name, before.get(name)), names), strict=True))
        fresh = {name: seen for name, seen in found.items() if isinstance(seen, _Seen) and seen != before.get(name)}
        with self._base:
            self._base.executemany(
                "INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (name, one.bytes, one.time, one.width, one.height, one.orientation, one.whole)
                    for name, one in fresh.items()
                ],
            )
        self.opened += len(fresh)
        self.known |= {name: seen for name, seen in found.items() if isinstance(seen, _Seen)}
        wrong = {name: one for name, one in found.items() if isinstance(one, str)}
        return [next((wrong[name] for name in record.pictures if name in wrong), "") for record in records]

    def _before(self, names: list[str]) -> Iterator[tuple[str, _Seen]]:
        for start in range(0, len(names), 500):
            some = names[start : start + 500]
            marks = ",".join("?" * len(some))
            with closing(self._base.execute(f"SELECT * FROM seen WHERE file IN ({marks})", some)) as rows:  # noqa: S608
                for name, size, time, width, height, orientation, whole in rows:
                    yield name, _Seen(size, time, width, height, orientation, bool(whole))

    def _one(self, name: str, before: _Seen | None) -> _Seen | str:
        path = self._root / name
        try:
            # Lexically: a picture behind a link of the operator's own is fine, a "../" in a downloaded file is not.
            if not Path(os.path.normpath(path)).is_relative_to(self._root):
                return f"{name} is outside of {self._root}."
            state = path.stat()
            same = before is not None and (before.bytes, before.time) == (state.st_size, state.st_mtime_ns)
            if before is not None and same and (before.whole or not self._thorough):
                return before
            with Image.open(path) as picture:
                orientation = int(picture.getexif().get(_ORIENTATION, 1))
                width, height = picture.size
            if self._thorough:
                open_photo(path.read_bytes(), max_side=64)
        except FileNotFoundError:
            return f"{path} is missing."
        except (OSError, PhotoError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            return f"{path} is not a picture that can be read ({error})."
        turn = orientation if orientation in range(1, 9) else 1
        return _Seen(state.st_size, state.st_mtime_ns, width, height, turn, self._thorough)


def _mismatch(record: Record, index: _Index) -> str:
    """What is wrong where the annotations mean another picture than the one that is there."""
    if not record.file or not all(record.size):
        return ""
    stored = (index.known[record.file].width, index.known[record.file].height)
    if record.size in (stored, stored[::-1]):
        return ""
    said, real = (f"{one} x {two}" for one, two in (record.size, stored))
    return f"{record.file} is {real} pixels, and the annotations say {said}: it is another picture."


def _sized(record: Record, index: _Index) -> Record:
    """With the size of the upright picture, and only things that are on it."""
    if not record.file:
        return record
    seen = index.known[record.file]
    whole = turned(record, (seen.width, seen.height), seen.orientation)
    for thing in whole.things:
        if thing.corners is not None and whole.box(thing) is None:
            # A box without a size, or beside the picture: known faults of several of these sets.
            whole = replace(whole, things=tuple(one for one in whole.things if one is not thing))
    return whole


def _relative(root: Path, room: Path) -> str:
    try:
        return os.path.relpath(root.resolve(), room.resolve())
    except ValueError:
        return str(root.resolve())
