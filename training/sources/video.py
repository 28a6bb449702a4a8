"""ILSVRC2015-VID: one XML file a frame. Format: readme of the ILSVRC2015 development kit, section 4.2."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from training.sources.reader import About, Listing
from training.sources.records import TRAIN, Record, SourceError, Thing
from training.sources.tables import there

WNIDS = dict(
    line.split(" ", 1)
    for line in (
        "n02691156 airplane|n02419796 antelope|n02131653 bear|n02834778 bicycle|n01503061 bird|n02924116 bus|"
        "n02958343 car|n02402425 cow|n02084071 dog|n02121808 cat|n02503517 elephant|n02118333 fox|"
        "n02510455 giant panda|n02342885 hamster|n02374451 horse|n02129165 lion|n01674464 lizard|n02484322 monkey|"
        "n03790512 motorcycle|n02324045 rabbit|n02509815 red panda|n02411705 sheep|n01726692 snake|"
        "n02355227 squirrel|n02129604 tiger|n04468005 train|n01662784 turtle|n04530566 boat|n02062744 whale|"
        "n02391049 zebra"
    ).split("|")
)
"""The 30 synsets; "domestic cat", "cattle" and "watercraft" as people say it."""


@dataclass(frozen=True, slots=True)
class Vid:
    about: About
    frames: int = 8
    """Of a snippet at most, evenly spread: neighbours look the same."""

    def read(self, place: Path, room: Path) -> tuple[Path, Listing]:
        top = there(place, "Annotations/VID")
        splits = [split for split in ("train", "val") if (top / split).is_dir()]
        if not splits:
            raise SourceError(f"{top / 'train'} is missing.")
        files: list[tuple[str, Path]] = []
        for split in splits:
            snippets: dict[Path, list[Path]] = {}
            for file in sorted((top / split).rglob("*.xml")):
                snippets.setdefault(file.parent, []).append(file)
            files += [(split, file) for found in snippets.values() for file in _spread(found, self.frames)]
        if not files:
            raise SourceError(f"There is no frame (*.xml) under {top}.")
        return place, Listing(len(files), (_record(split, file, place) for split, file in files))


def _spread(found: list[Path], most: int) -> list[Path]:
    step = max(1.0, len(found) / most)
    return [found[int(number * step)] for number in range(min(len(found), most))]


def _record(split: str, file: Path, root: Path) -> Record:
    try:
        frame = ElementTree.parse(file).getroot()  # noqa: S314 - expat itself stops entity bombs
        size = (int(_text(frame, "size/width")), int(_text(frame, "size/height")))
        things = tuple(_thing(one, file.parent.name) for one in frame.iter("object"))
    except (OSError, ElementTree.ParseError, ValueError, KeyError) as error:
        raise SourceError(f"{file} is not a frame of ILSVRC-VID ({error}).") from error
    below = file.relative_to(root / "Annotations").with_suffix(".JPEG")
    return Record((Path("Data") / below).as_posix(), size, things, (), TRAIN if split == "train" else "val")


def _thing(one: ElementTree.Element, snippet: str) -> Thing:
    left, top, right, bottom = (float(_text(one, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax"))
    return Thing(f"vid:{snippet}:{_text(one, 'trackid')}", WNIDS[_text(one, "name")], (left, top, right, bottom))


def _text(element: ElementTree.Element, path: str) -> str:
    found = element.findtext(path)
    if found is None:
        raise ValueError(f"no {path}")
    return found.strip()
