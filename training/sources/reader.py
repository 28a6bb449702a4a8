"""The one protocol of all sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from training.sources.records import Record


@dataclass(frozen=True, slots=True)
class About:
    """What `rapbot-train sources` tells of a source. Nothing is ever downloaded by rapbot."""

    name: str
    title: str
    gives: str
    download: tuple[str, ...]
    """What to get, and where."""
    place: tuple[str, ...]
    """What has to lie in the folder."""
    licence: str


@dataclass(frozen=True, slots=True)
class Listing:
    """`total` records will come, or about so many."""

    total: int
    records: Iterator[Record]


class Reader(Protocol):
    @property
    def about(self) -> About: ...

    def read(self, place: Path, room: Path) -> tuple[Path, Listing]:
        """(root, records) of the data at `place`. Opens no picture.

        `root` is what paths of records are relative to: `place`, or `room` (a folder of the index) where pictures had
        to be unpacked. Raises SourceError, at once or while the records come.
        """
        ...
