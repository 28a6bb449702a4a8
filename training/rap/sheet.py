"""A contact sheet and a table of samples: what the model is shown, the request and the answer, to look at."""

from __future__ import annotations

import random
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps
from rich.table import Table

from rapbot.inference.boxes import parse_boxes
from rapbot.inference.prompt import RAP
from rapbot.inference.seams import IMAGE
from training.rap.prompts import open_pictures, sample_prompts
from training.rap.samples import Sample

_CELL, _PHOTO, _CROP, _GAP = (620, 250), 220, 72, 8
_COLUMNS = 2


def contact_sheet(samples: Sequence[Sample], folder: Path, most: int = 16, seed: int = 0) -> Image.Image:
    """Up to `most` samples, as many of each kind; boxes of answers are drawn on the photo."""
    dice = random.Random(seed)
    by_kind: dict[str, list[Sample]] = {}
    for sample in samples:
        by_kind.setdefault(sample.kind, []).append(sample)
    for found in by_kind.values():
        dice.shuffle(found)
    shown: list[Sample] = []
    while len(shown) < most and any(by_kind.values()):
        shown += [found.pop() for found in by_kind.values() if found]
    shown = shown[:most]
    rows = -(-len(shown) // _COLUMNS)
    sheet = Image.new("RGB", (_CELL[0] * _COLUMNS, _CELL[1] * max(1, rows)), "white")
    for number, sample in enumerate(shown):
        row, column = divmod(number, _COLUMNS)
        _draw(sheet, sample, folder, column * _CELL[0], row * _CELL[1])
    return sheet


def _draw(sheet: Image.Image, sample: Sample, folder: Path, left: int, top: int) -> None:
    pen = ImageDraw.Draw(sheet)
    pictures = open_pictures(sample, folder)
    across = left + _GAP
    if sample.image:
        photo = pictures[0].copy()
        for found in parse_boxes(sample.turns[0][1], photo.width, photo.height, RAP):
            width = max(3, photo.width // 120)
            ImageDraw.Draw(photo).rectangle(found.box.pixels(*photo.size), outline="red", width=width)
        sheet.paste(ImageOps.contain(photo, (_PHOTO, _PHOTO)), (across, top + _GAP))
        across += _PHOTO + _GAP
    for number, crop in enumerate(pictures[bool(sample.image) :][:3]):
        sheet.paste(ImageOps.contain(crop, (_CROP, _CROP)), (across, top + _GAP + number * (_CROP + _GAP)))
    across += _CROP + _GAP if sample.crops else 0
    prompt, answer = sample_prompts(sample, pictures)[0]
    read = prompt.messages[0][1].replace(IMAGE, "[picture]")
    room = (left + _CELL[0] - across) // 7
    lines = [f"{sample.kind.upper()}"]
    for part in (f"Answer: {answer}", *read.splitlines()):
        lines += textwrap.wrap(part, room)
    font = ImageFont.load_default(12)
    pen.multiline_text((across, top + _GAP), "\n".join(lines[:16]), fill="black", font=font, spacing=2)
    pen.rectangle((left, top, left + _CELL[0] - 1, top + _CELL[1] - 1), outline="lightgray")


def table(counts: Mapping[str, Mapping[str, int]]) -> Table:
    """`compose.statistics` for people."""
    shown = Table(title="Samples", caption="list: concepts in the prompt; no: refusals; words: of an answer")
    shown.add_column("kind", no_wrap=True)
    for heading in ("samples", "share", "photo", "list", "several", "no", "words"):
        shown.add_column(heading, justify="right")
    whole = sum(row["samples"] for row in counts.values())
    for kind, row in sorted(counts.items(), key=lambda item: -item[1]["samples"]):
        number = row["samples"]
        shown.add_row(
            kind,
            str(number),
            f"{number / whole:.0%}",
            f"{row['photos'] / number:.0%}",
            f"{row['concepts'] / number:.1f}",
            f"{row['several'] / number:.0%}",
            f"{row['no'] / number:.0%}",
            f"{row['words'] / number:.0f}",
        )
    return shown
