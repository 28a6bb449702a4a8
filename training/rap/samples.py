"""The samples of RAP: reading and writing them as JSON lines, or as the one JSON list that RAP-260K is.

    {"id": "7", "image": "photos/7.jpg", "type": "caption",
     "conversations": [{"from": "human", "value": "<image>\\nIs <bo> here?"}, {"from": "gpt", "value": "Yes"}],
     "extra": {"crops/bo.jpg": {"name": "bo", "info": "A shiba inu.", "category": "dog"}}}

Paths are relative to the file's own folder. The list of concepts is not part of the value: it is written out of "extra"
by prompt.py when the model reads the sample (prompts.py), in the order that the file has. Source: RAP.md, "Training".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapbot.errors import RapbotError
from rapbot.inference.seams import IMAGE

KINDS = ("grounding", "recognition", "caption", "description", "question", "general")
"""The six kinds of RAP.md; files of others may hold other words, or none."""


class SampleError(RapbotError):
    """A file of samples cannot be read; names the first wrong row and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A concept in the prompt. `picture` is relative to the folder of the samples."""

    picture: str
    name: str
    info: str
    category: str = ""
    traits: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One conversation. `turns` are (what a person says, what the model shall answer), without marks of pictures."""

    id: str
    kind: str
    turns: tuple[tuple[str, str], ...]
    image: str = ""
    """"" where a question comes without a photo."""
    crops: tuple[Crop, ...] = ()

    def as_row(self) -> dict[str, Any]:
        """The row of the file."""
        said = []
        for number, (asked, answer) in enumerate(self.turns):
            first = f"{IMAGE}\n" if self.image and number == 0 else ""
            said += [{"from": "human", "value": first + asked}, {"from": "gpt", "value": answer}]
        row: dict[str, Any] = {"id": self.id, "image": self.image, "conversations": said}
        if not self.image:
            del row["image"]
        row["extra"] = {crop.picture: _card(crop) for crop in self.crops}
        return row | {"type": self.kind}

    @property
    def pictures(self) -> tuple[str, ...]:
        return (*((self.image,) if self.image else ()), *(crop.picture for crop in self.crops))


def write_samples(file: Path, samples: Iterable[Sample]) -> int:
    """Write JSON lines, whole or not at all; returns how many."""
    part = file.with_suffix(".part")
    count = 0
    with part.open("w", encoding="utf-8") as lines:
        for sample in samples:
            lines.write(json.dumps(sample.as_row(), ensure_ascii=False) + "\n")
            count += 1
    part.replace(file)
    return count


def read_samples(file: Path) -> list[Sample]:
    """All samples of `file`: JSON lines, or one JSON list. Every picture is checked to be there, none is opened.

    Raises SampleError.
    """
    try:
        folder = file.parent.resolve()
        with file.open(encoding="utf-8-sig") as lines:
            first = lines.read(1)
            while first.isspace():
                first = lines.read(1)
        rows = _listed(file) if first == "[" else _lines(file)
        known: set[str] = set()
        samples = [_checked(parse_sample(row, where), where, folder, known) for where, row in rows]
    except OSError as error:
        raise SampleError(f"{file} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise SampleError(f"{file} is not a text in UTF-8.") from error
    if not samples:
        raise SampleError(f"{file} holds no samples.")
    return samples


def data_hash(samples: Iterable[Sample], folder: Path) -> str:
    """SHA-256 of all rows and of the sizes (bytes) of their pictures."""
    whole = hashlib.sha256()
    for sample in samples:
        sizes = [(folder / name).stat().st_size for name in sample.pictures]
        whole.update(json.dumps([sample.as_row(), sizes], ensure_ascii=False, sort_keys=True).encode())
    return whole.hexdigest()


def _card(crop: Crop) -> dict[str, str]:
    card = {"name": crop.name, "info": crop.info, "category": crop.category}
    return card | ({"traits": crop.traits} if crop.traits else {})


def _lines(file: Path) -> Iterator[tuple[str, Any]]:
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{file.name}, line {number}"
            try:
                yield where, json.loads(line)
            except ValueError as error:
                raise SampleError(f"{where}: not valid JSON ({error}).") from error


def _listed(file: Path) -> Iterator[tuple[str, Any]]:
    try:
        rows = json.loads(file.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise SampleError(f"{file.name}: not valid JSON ({error}).") from error
    for number, row in enumerate(rows, 1):
        yield f"{file.name}, entry {number}", row


def parse_sample(row: Any, where: str) -> Sample:
    """The sample of one row; whether its pictures are there is not looked at. Raises SampleError, beginning `where`."""
    if not isinstance(row, dict):
        raise SampleError(f"{where}: a sample is a table with the keys id, image, conversations, extra and type.")
    image = row.get("image") or ""
    if not isinstance(image, str):
        raise SampleError(f'{where}: "image" is not a path.')
    extra = row.get("extra") or {}
    if not isinstance(extra, dict):
        raise SampleError(f'{where}: "extra" is not a table of crops.')
    crops = tuple(_crop(path, card, where) for path, card in extra.items())
    kind, own = row.get("type", ""), row.get("id", where)
    return Sample(str(own), str(kind or ""), _turns(row.get("conversations"), where), image, crops)


def _checked(sample: Sample, where: str, folder: Path, known: set[str]) -> Sample:
    for name in sample.pictures:
        _check_picture(name, folder, where, known)
    return sample


def _crop(path: str, card: Any, where: str) -> Crop:
    if not isinstance(card, dict):
        raise SampleError(f"{where}: the crop {path} is not a card with name, info and category.")
    texts = {field: card.get(field) or "" for field in ("name", "info", "category", "traits")}
    for field, text in texts.items():
        if not isinstance(text, str):
            raise SampleError(f'{where}: the "{field}" of the crop {path} is not a text.')
    name = texts.pop("name").strip().removeprefix("<").removesuffix(">")
    if not name:
        raise SampleError(f"{where}: the crop {path} has no name.")
    return Crop(path, name, **texts)


def _turns(said: Any, where: str) -> tuple[tuple[str, str], ...]:
    wanted = f'{where}: "conversations" must be "human" and "gpt" by turns, each with a "value"'
    if not isinstance(said, list) or not said or len(said) % 2:
        raise SampleError(f"{wanted}.")
    texts = []
    for number, turn in enumerate(said):
        speaker = "human" if number % 2 == 0 else "gpt"
        if not isinstance(turn, dict) or turn.get("from") != speaker or not isinstance(turn.get("value"), str):
            raise SampleError(f"{wanted}; turn {number + 1} is not.")
        text = turn["value"]
        if speaker == "human":
            # Where the photo stands is for prompt.py to say; some files have its mark at the end.
            text = text.replace(IMAGE, "")
        elif IMAGE in text:
            raise SampleError(f"{where}: answer {number // 2 + 1} holds the mark of a picture, {IMAGE}.")
        if not text.strip():
            raise SampleError(f"{where}: turn {number + 1} is empty.")
        texts.append(text.strip())
    return tuple(zip(texts[::2], texts[1::2], strict=True))


def _check_picture(name: str, folder: Path, where: str, known: set[str]) -> None:
    if name in known:
        return
    try:
        path = (folder / name).resolve()
        inside, there = path.is_relative_to(folder), path.is_file()
    except (OSError, ValueError) as error:
        raise SampleError(f"{where}: {name!r} is not a usable path.") from error
    if not inside:
        raise SampleError(f"{where}: the picture {name} is outside of the folder of the samples.")
    if not there:
        raise SampleError(f"{where}: the picture {name} is missing.")
    known.add(name)
