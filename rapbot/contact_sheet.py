"""A page of small pictures with their names, for chats that show one picture a message."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageOps

from rapbot.inference.drawing import fitting_text

_SIDE = 240
_LABEL = 34
_GAP = 8
_COLUMNS = 3


def contact_sheet(pictures: Sequence[tuple[str, bytes]]) -> bytes:
    """JPEG of (name, JPEG) in rows of three, each name under its picture."""
    columns = min(_COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    width, height = _SIDE + _GAP, _SIDE + _LABEL + _GAP
    sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (name, jpeg) in enumerate(pictures):
        left = _GAP + number % columns * width
        top = _GAP + number // columns * height
        with Image.open(io.BytesIO(jpeg)) as picture:
            sheet.paste(ImageOps.fit(picture.convert("RGB"), (_SIDE, _SIDE)), (left, top))
        fitting_text(pen, name, (left, top + _SIDE + 4), _SIDE, _LABEL - 12)
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=85)
    return file.getvalue()
