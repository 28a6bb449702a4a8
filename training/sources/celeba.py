"""CelebA: the same person on several pictures. Format: its README, "Anno" and "Img"."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.sources.reader import About, Listing
from training.sources.records import Record, SourceError, Thing
from training.sources.tables import there

SAID = {
    "Bald": "is bald",
    "Bangs": "wears a fringe",
    "Black_Hair": "has black hair",
    "Blond_Hair": "has blond hair",
    "Brown_Hair": "has brown hair",
    "Gray_Hair": "has grey hair",
    "Straight_Hair": "has straight hair",
    "Wavy_Hair": "has wavy hair",
    "Goatee": "has a goatee",
    "Mustache": "has a moustache",
    "Sideburns": "has sideburns",
    "Eyeglasses": "wears glasses",
    "Wearing_Hat": "wears a hat",
    "Wearing_Earrings": "wears earrings",
    "Wearing_Lipstick": "wears lipstick",
    "Wearing_Necklace": "wears a necklace",
    "Wearing_Necktie": "wears a tie",
    "Smiling": "is smiling",
}
"""Attributes that one would write on a card. Those that judge somebody (Attractive, Chubby, Big_Nose) are not read."""


@dataclass(frozen=True, slots=True)
class CelebA:
    about: About

    def read(self, place: Path, room: Path) -> tuple[Path, Listing]:
        people = _rows(there(place, "Anno/identity_CelebA.txt", "identity_CelebA.txt"), 2, heading=False)[1]
        names, attributes = _rows(there(place, "Anno/list_attr_celeba.txt", "list_attr_celeba.txt"), None)
        wild = [folder for folder in ("Img/img_celeba", "img_celeba") if (place / folder).is_dir()]
        boxes: dict[str, list[str]] = {}
        if wild:
            # Boxes belong to the pictures "in the wild"; on the aligned ones the face is all there is.
            boxes = _rows(there(place, "Anno/list_bbox_celeba.txt", "list_bbox_celeba.txt"), 5)[1]
            folder = place / wild[0]
        else:
            folder = there(place, "Img/img_align_celeba", "img_align_celeba", "Img/img_celeba")
        at = folder.relative_to(place).as_posix()

        def records() -> Iterator[Record]:
            for file, (person,) in people.items():
                if file not in attributes:
                    raise SourceError(f"{file} is in identity_CelebA.txt and not in list_attr_celeba.txt.")
                has = {name for name, value in zip(names, attributes[file], strict=True) if value == "1"}
                sex = "a man" if "Male" in has else "a woman"
                phrases = (sex, *(said for name, said in SAID.items() if name in has))
                thing = Thing(f"celeba:{person}", "person", _corners(boxes.get(file)), phrases=phrases)
                yield Record(f"{at}/{file}", things=(thing,))

        return place, Listing(len(people), records())


def _rows(file: Path, columns: int | None, heading: bool = True) -> tuple[list[str], dict[str, list[str]]]:
    """(names of the columns, the others by the first). `columns` None: as many as names, and one for the file."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{file} cannot be read ({error}).") from error
    names: list[str] = []
    if heading:
        if len(lines) < 3 or not lines[0].strip().isdecimal():
            raise SourceError(f"{file} does not begin with the number of its rows and a line of names.")
        names = lines[1].split()
    rows = {}
    wanted = columns or len(names) + 1
    for number, line in enumerate(lines[2:] if heading else lines, 3 if heading else 1):
        values = line.split()
        if not values:
            continue
        if len(values) != wanted:
            raise SourceError(f"{file}, line {number}, has {len(values)} columns instead of {wanted}.")
        rows[values[0]] = values[1:]
    if heading and len(rows) != int(lines[0]):
        raise SourceError(f"{file} announces {int(lines[0])} rows and has {len(rows)}: it was cut off.")
    return names, rows


def _corners(box: list[str] | None) -> tuple[float, float, float, float] | None:
    if box is None:
        return None
    left, top, width, height = map(float, box)
    # Some faces have no size in the published list.
    return (left, top, left + width, top + height) if width > 0 and height > 0 else None
