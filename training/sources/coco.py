"""Sources in the format of COCO: COCO itself, Objects365, TAO; and RefCOCO, which points into it.

Formats: cocodataset.org "Data format"; TAO's tao.py (tracks); lichengunc/refer (refs pickles); files of Objects365 v2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.sources.reader import About, Listing
from training.sources.records import TRAIN, Record, SourceError, Thing, plain
from training.sources.tables import corners, field, load_json, load_pickle, rows_of, there

Picture = Callable[[str], str]
"""From the "file_name" of an annotation file to a path relative to the root."""


@dataclass(frozen=True, slots=True)
class Coco:
    about: About
    splits: tuple[str, ...] = ("train2017", "val2017", "train2014", "val2014")

    def read(self, place: Path, room: Path) -> tuple[Path, Listing]:
        named = [f"annotations/instances_{split}.json" for split in self.splits]
        there(place, *named)
        found = [split for split, name in zip(self.splits, named, strict=True) if (place / name).is_file()]
        tables = {split: _Tables.load(place / f"annotations/instances_{split}.json") for split in found}

        def records() -> Iterator[Record]:
            for split, table in tables.items():
                folder = there(place, split, f"images/{split}").relative_to(place).as_posix()
                captions = _captions(place / f"annotations/captions_{split}.json")
                part = TRAIN if split.startswith("train") else "val"
                yield from table.records(self.about.name, lambda name, at=folder: f"{at}/{name}", part, captions)  # type: ignore[misc]

        return place, Listing(sum(len(table.images) for table in tables.values()), records())


@dataclass(frozen=True, slots=True)
class Objects365:
    about: About

    def read(self, place: Path, room: Path) -> tuple[Path, Listing]:
        named = {"val": "zhiyuan_objv2_val.json", TRAIN: "zhiyuan_objv2_train.json"}
        choices = [f"annotations/{name}" for name in named.values()]
        there(place, *choices)
        tables = {
            split: _Tables.load(place / "annotations" / name)
            for split, name in named.items()
            if (place / "annotations" / name).is_file()
        }

        def records() -> Iterator[Record]:
            for split, table in tables.items():
                # "images/v1/patch8/objects365_v1_00420917.jpg" is unpacked as train/patch8/objects365_v1_00420917.jpg.
                yield from table.records(
                    self.about.name,
                    lambda name, at=split: f"{at}/{'/'.join(name.split('/')[-2:])}",  # type: ignore[misc]
                    TRAIN,
                )

        return place, Listing(sum(len(table.images) for table in tables.values()), records())


@dataclass(frozen=True, slots=True)
class Tao:
    about: About

    def read(self, place: Path, room: Path) -> tuple[Path, Listing]:
        named = {TRAIN: "annotations/train.json", "val": "annotations/validation.json"}
        there(place, *named.values())
        there(place, "frames")
        tables = {split: _Tables.load(place / name) for split, name in named.items() if (place / name).is_file()}

        def records() -> Iterator[Record]:
            for split, table in tables.items():
                # Only the annotated frames (one a second) are pictures of the file.
                yield from table.records(self.about.name, lambda name: f"frames/{name}", split, thing="track_id")

        return place, Listing(sum(len(table.images) for table in tables.values()), records())


@dataclass(frozen=True, slots=True)
class RefCoco:
    """`about.name` is the folder: refcoco, refcoco+ or refcocog."""

    about: About

    def read(self, place: Path, room: Path) -> tuple[Path, Listing]:
        name = self.about.name
        file = there(place, *(f"{name}/refs({by}).p" for by in ("unc", "umd", "google")))
        table = _Tables.load(there(place, f"{name}/instances.json"))
        pictures = there(place, "train2014", "images/train2014", "images/mscoco/images/train2014", "images/mscoco")
        refs = list(rows_of(file, load_pickle(file)))
        said: dict[int, list[str]] = {}
        splits: dict[tuple[int, str], set[int]] = {}
        for where, row in refs:
            own, image = field(row, "ann_id", int, where), field(row, "image_id", int, where)
            if own not in table.annotations:
                raise SourceError(f"{where}: {table.file} has no annotation {own}. Do the two files belong together?")
            said.setdefault(own, []).extend(_sentences(row, where))
            splits.setdefault((image, field(row, "split", str, where)), set()).add(own)

        def records() -> Iterator[Record]:
            at = pictures.relative_to(place).as_posix()
            for (image, split), wanted in splits.items():
                part = TRAIN if split == TRAIN else split
                yield table.record(name, image, lambda file: f"{at}/{file}", part, (), wanted, said)

        return place, Listing(len(splits), records())


@dataclass(frozen=True, slots=True)
class _Tables:
    """One annotation file in the format of COCO, by ids."""

    file: Path
    categories: Mapping[int, str]
    images: Mapping[int, dict[str, Any]]
    annotations: Mapping[int, dict[str, Any]]
    on: Mapping[int, Sequence[int]]
    """Ids of annotations by picture."""

    @staticmethod
    def load(file: Path) -> _Tables:
        """Raises SourceError."""
        table = load_json(file)
        categories = {
            field(row, "id", int, where): plain(field(row, "name", str, where))
            for where, row in rows_of(file, table, "categories")
        }
        images = {}
        for where, row in rows_of(file, table, "images"):
            field(row, "file_name", str, where)
            field(row, "width", int, where)
            field(row, "height", int, where)
            images[field(row, "id", int, where)] = row
        annotations: dict[int, dict[str, Any]] = {}
        on: dict[int, list[int]] = {}
        for where, row in rows_of(file, table, "annotations"):
            # TAO's released files number them; its format does not promise that.
            own = row.get("id", len(annotations))
            image = field(row, "image_id", int, where)
            corners(row, where)
            if image not in images:
                raise SourceError(f"{where}: there is no picture {image}.")
            if field(row, "category_id", int, where) not in categories:
                raise SourceError(f"{where}: there is no category {row['category_id']}.")
            annotations[own] = row
            on.setdefault(image, []).append(own)
        return _Tables(file, categories, images, annotations, on)

    def records(
        self,
        source: str,
        picture: Picture,
        split: str,
        captions: Mapping[int, Sequence[str]] | None = None,
        thing: str = "id",
    ) -> Iterator[Record]:
        for image in self.images:
            told = (captions or {}).get(image, ())
            yield self.record(source, image, picture, split, told, self.on.get(image, ()), {}, thing)

    def record(
        self,
        source: str,
        image: int,
        picture: Picture,
        split: str,
        captions: Sequence[str],
        wanted: Sequence[int] | set[int],
        said: Mapping[int, Sequence[str]],
        thing: str = "id",
    ) -> Record:
        """`wanted`: the annotations that are things; crowds, drawings and mirror images are left out."""
        row = self.images[image]
        things = []
        for own in sorted(wanted):
            one = self.annotations[own]
            if one.get("iscrowd") or one.get("isfake") or one.get("isreflected"):
                continue
            outline = one.get("segmentation")
            # Four points are a box written as a polygon (TAO), not an outline.
            polygons = tuple(map(tuple, outline)) if isinstance(outline, list) and _is_outline(outline) else ()
            phrases = tuple(dict.fromkeys(said.get(own, ())))
            category = self.categories[one["category_id"]]
            key = one.get(thing, own)
            things.append(Thing(f"{source}:{key}", category, corners(one, ""), polygons, phrases))
        size = (row["width"], row["height"])
        return Record(picture(row["file_name"]), size, tuple(things), tuple(captions), split)


def _is_outline(parts: list[Any]) -> bool:
    fitting = all(isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0 for part in parts)
    return fitting and sum(len(part) for part in parts) > 8


def _sentences(row: dict[str, Any], where: str) -> list[str]:
    sentences = field(row, "sentences", list, where)
    return [said for one in sentences if isinstance(one, dict) and isinstance(said := one.get("sent"), str) and said]


def _captions(file: Path) -> dict[int, list[str]]:
    """By picture; none where the file is not there."""
    if not file.is_file():
        return {}
    captions: dict[int, list[str]] = {}
    for where, row in rows_of(file, load_json(file), "annotations"):
        said = " ".join(field(row, "caption", str, where).split())
        captions.setdefault(field(row, "image_id", int, where), []).append(said)
    return captions
