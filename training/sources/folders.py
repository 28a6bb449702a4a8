"""Folders of pictures of one thing each: CustomConcept101, anybody's own folders, and what `rapbot export` writes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rapbot.concepts.rap_format import RapEntry, RapFormatError, read_rap_database
from training.sources.reader import About, Listing
from training.sources.records import Record, SourceError, Thing, plain
from training.sources.tables import field, load_json, pictures_in, rows_of, there


@dataclass(frozen=True, slots=True)
class CustomConcept101:
    about: About

    def read(self, place: Path, room: Path) -> tuple[Path, Listing]:
        file = there(place, "dataset.json", "customconcept101/dataset.json")
        found: dict[Path, Thing] = {}
        for where, row in rows_of(file, load_json(file)):
            # "./benchmark_dataset/scene_barn"
            folder = place / "benchmark_dataset" / Path(field(row, "instance_data_dir", str, where)).name
            if not folder.is_dir():
                raise SourceError(f"{folder} is missing ({where}).")
            category = plain(field(row, "class_prompt", str, where))
            found.setdefault(folder, Thing(f"{self.about.name}:{folder.name}", category))
        return place, _listing(place, found)


@dataclass(frozen=True, slots=True)
class Folders:
    """`concept/*.jpg`; beside the pictures may lie card.json: {"name": ..., "category": ..., "info": ...}."""

    about: About

    def read(self, place: Path, room: Path) -> tuple[Path, Listing]:
        if not place.is_dir():
            raise SourceError(f"{place} is not a folder.")
        found = {}
        for folder in sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith(".")):
            file = folder / "card.json"
            card = load_json(file) if file.is_file() else {}
            if not isinstance(card, dict) or not all(isinstance(card.get(key, ""), str) for key in _CARD):
                raise SourceError(f'{file} is not {{"name": ..., "category": ..., "info": ...}}.')
            name, category, info = (card.get(key, "").strip() for key in _CARD)
            found[folder] = Thing(f"folder:{folder.name}", category, name=name or folder.name, info=info)
        if not found:
            raise SourceError(f"There is no folder of pictures in {place}: one folder a concept is needed.")
        return place, _listing(place, found)


_CARD = ("name", "category", "info")


@dataclass(frozen=True, slots=True)
class OwnStore:
    """The zip, or folder, of `rapbot export`: only with the consent of everybody in it."""

    about: About
    consent: bool = False

    def read(self, place: Path, room: Path) -> tuple[Path, Listing]:
        if not self.consent:
            raise SourceError(
                f"{place} is what people taught, their faces and homes may be on it: it is read only with --consent, "
                "by which you say that everybody concerned agreed to a model being trained on it."
            )
        try:
            entries = read_rap_database(place)
        except RapFormatError as error:
            raise SourceError(str(error)) from error
        if not entries:
            raise SourceError(f"{place} teaches no concept.")
        pictures = room / "pictures"
        pictures.mkdir(parents=True, exist_ok=True)
        return room, Listing(sum(len(entry.images) for entry in entries), _unpacked(entries, room))


def _listing(root: Path, found: dict[Path, Thing]) -> Listing:
    pictures = [(path, thing) for folder, thing in found.items() for path in _some_in(folder)]
    records = (Record(path.relative_to(root).as_posix(), things=(thing,)) for path, thing in pictures)
    return Listing(len(pictures), records)


def _some_in(folder: Path) -> list[Path]:
    pictures = pictures_in(folder)
    if not pictures:
        raise SourceError(f"There is no picture in {folder}.")
    return pictures


def _unpacked(entries: list[RapEntry], room: Path) -> Iterator[Record]:
    for entry in entries:
        thing = Thing(f"own:{entry.name}", entry.category, name=entry.name, info=entry.info)
        for image in entry.images:
            data = image if isinstance(image, bytes) else image.read_bytes()
            # By content: a second call finds the same file, and no name from a zip becomes a path.
            file = room / "pictures" / f"{hashlib.sha256(data).hexdigest()[:24]}.jpg"
            if not file.is_file() or file.stat().st_size != len(data):
                part = file.with_suffix(".part")
                part.write_bytes(data)
                part.replace(file)
            yield Record(file.relative_to(room).as_posix(), things=(thing,))
