"""Conversations that are ready for training: LLaVA-Instruct, and RAP-260K (Data.md of Hoar012/RAP-MLLM)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training.rap.samples import Sample, SampleError, parse_sample
from training.sources.reader import About, Listing
from training.sources.records import Record, SourceError
from training.sources.tables import load_json, rows_of


@dataclass(frozen=True, slots=True)
class LlavaInstruct:
    about: About

    def read(self, place: Path, room: Path) -> tuple[Path, Listing]:
        file = _only(place, "llava_*.json", "llava_instruct_150k.json")
        rows = list(rows_of(file, load_json(file)))

        def records() -> Iterator[Record]:
            for where, row in rows:
                sample = replace(_sample(row, where), kind="general", crops=())
                image = _under(place, sample.image, ("", "train2017", "coco/train2017")) if sample.image else ""
                sample = replace(sample, image=image)
                yield Record(sample.image, sample=sample)

        return place, Listing(len(rows), records())


@dataclass(frozen=True, slots=True)
class Rap260K:
    about: About

    def read(self, place: Path, room: Path) -> tuple[Path, Listing]:
        file = _only(place, "rap_*.json", "rap_train_260k.json")
        rows = list(rows_of(file, load_json(file)))

        def records() -> Iterator[Record]:
            for where, row in rows:
                sample = _sample(row, where)
                yield Record(sample.image, sample=sample)

        return place, Listing(len(rows), records())


def _only(place: Path, pattern: str, usual: str) -> Path:
    """`place` itself where it is a file; the usual one of several. Raises SourceError."""
    if place.is_file():
        raise SourceError(f"{place} is a file: give the folder in which it lies, with its pictures.")
    found = sorted(place.glob(pattern))
    if not found:
        raise SourceError(f"{place / usual} is missing (nor is there another {pattern}).")
    return next((file for file in found if file.name == usual), found[0])


def _sample(row: dict[str, Any], where: str) -> Sample:
    try:
        return parse_sample(row, where)
    except SampleError as error:
        raise SourceError(str(error)) from error


def _under(place: Path, image: str, folders: tuple[str, ...]) -> str:
    """The path at which a picture is; where it is at none, the last but one, which the check will then miss."""
    paths = [f"{folder}/{image}".strip("/") for folder in folders]
    return next((path for path in paths if (place / path).is_file()), paths[1])
