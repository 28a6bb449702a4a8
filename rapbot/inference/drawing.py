"""Boxes and names drawn on a photo, readable on light and dark pictures and for colour-blind people."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from rapbot.inference.job import Scene
from rapbot.messages import Box, Sighting

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colours, which differ for every kind of colour vision."""
_FONTS = ("NotoSans-Regular.ttf", "DejaVuSans.ttf", "Arial.ttf", "Helvetica.ttc", "segoeui.ttf")
_WIDE_FONTS = ("NotoSansCJK-Regular.ttc", "PingFang.ttc", "msyh.ttc", "Arial Unicode.ttf", "wqy-microhei.ttc")
_LONGEST_SIDE = 1280


def draw_sightings(picture: Image.Image, sightings: Sequence[Sighting]) -> bytes:
    """JPEG of the photo with each sighting's box and name."""
    boxes = [
        (s.box, f"{s.name}?" if s.unsure else s.name, _COLOURS[number % len(_COLOURS)])
        for number, s in enumerate(sightings)
    ]
    return _draw(picture, boxes)


def draw_candidates(picture: Image.Image, scene: Scene) -> bytes:
    """JPEG with the numbers of the regions that were compared; accepted ones are coloured, others grey."""
    regions: dict[int, str] = {}
    for candidate in scene.candidates:
        colour = _COLOURS[len(regions) % len(_COLOURS)] if candidate.accepted else "#777777"
        regions.setdefault(candidate.region, colour)
    return _draw(picture, [(scene.regions[r].box, str(r), colour) for r, colour in regions.items()])


def draw_numbers(jpeg: bytes, boxes: Sequence[Box]) -> bytes:
    """JPEG with the boxes numbered from 1, to choose from."""
    with Image.open(io.BytesIO(jpeg)) as picture:
        return _draw(picture, [(box, str(n), _COLOURS[n % len(_COLOURS)]) for n, box in enumerate(boxes, 1)])


def _draw(picture: Image.Image, boxes: Sequence[tuple[Box, str, str]]) -> bytes:
    canvas = picture.convert("RGB")
    canvas.info = {}  # Pillow writes a comment found here into the file
    canvas.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), reducing_gap=2.0)
    pen = ImageDraw.Draw(canvas)
    stroke = max(2, max(canvas.size) // 240)
    size = max(14, max(canvas.size) // 36)
    for box, _, colour in reversed(boxes):  # the best is drawn last, on top
        left, top, right, bottom = box.pixels(*canvas.size)
        pen.rectangle((left, top, right - 1, bottom - 1), outline="white", width=stroke + 2)
        pen.rectangle((left + 1, top + 1, right - 2, bottom - 2), outline=colour, width=stroke)
    for box, label, colour in reversed(boxes):
        _label(pen, canvas.size, box, label, colour, size)
    file = io.BytesIO()
    canvas.save(file, "JPEG", quality=88)
    return file.getvalue()


def _label(pen: ImageDraw.ImageDraw, size: tuple[int, int], box: Box, text: str, colour: str, height: int) -> None:
    left, top, _, _ = box.pixels(*size)
    pieces = _pieces(text, height)
    width = int(sum(font.getlength(part) for part, font in pieces))
    pad = max(3, height // 5)
    x = max(0, min(left, size[0] - width - 2 * pad))
    y = top - height - 2 * pad if top - height - 2 * pad >= 0 else top
    pen.rectangle((x, y, x + width + 2 * pad, y + height + 2 * pad), fill=colour)
    _write(pen, pieces, (x + pad, y + pad + height // 2), "white")


def fitting_text(pen: ImageDraw.ImageDraw, text: str, at: tuple[int, int], width: int, height: int) -> None:
    """One line of `height` pixels in black with its top left `at`, shortened to `width` pixels."""
    pieces = _pieces(text, height)
    while len(text) > 1 and sum(font.getlength(part) for part, font in pieces) > width:
        text = text.rstrip("…")[:-1] + "…"
        pieces = _pieces(text, height)
    _write(pen, pieces, (at[0], at[1] + height // 2), "black")


def _write(
    pen: ImageDraw.ImageDraw, pieces: list[tuple[str, ImageFont.FreeTypeFont]], at: tuple[int, int], colour: str
) -> None:
    """`at` is the left end of the line's middle."""
    across = float(at[0])
    for part, font in pieces:
        pen.text((across, at[1]), part, fill=colour, font=font, anchor="lm")
        across += font.getlength(part)


def _pieces(text: str, height: int) -> list[tuple[str, ImageFont.FreeTypeFont]]:
    """The text cut into runs, each with a font that has its letters; letters no font has are left out."""
    pieces: list[tuple[str, ImageFont.FreeTypeFont]] = []
    for letter in text:
        font = next((font for font in _fonts(height) if _has(font, letter)), None)
        if font is None:
            continue
        if pieces and pieces[-1][1] is font:
            pieces[-1] = (pieces[-1][0] + letter, font)
        else:
            pieces.append((letter, font))
    return pieces or [("?", _fonts(height)[-1])]


@functools.lru_cache(maxsize=32)
def _fonts(height: int) -> tuple[ImageFont.FreeTypeFont, ...]:
    """Fonts of this system that could be opened, then Pillow's own, which every installation has."""
    found = [font for name in (*_FONTS, *_WIDE_FONTS) if (font := _open(name, height)) is not None]
    own = ImageFont.load_default(height)
    return (*found, own) if isinstance(own, ImageFont.FreeTypeFont) else tuple(found)


def _open(name: str, height: int) -> ImageFont.FreeTypeFont | None:
    try:
        return ImageFont.truetype(name, height)
    except OSError:
        return None


@functools.lru_cache(maxsize=4096)
def _has(font: ImageFont.FreeTypeFont, letter: str) -> bool:
    """A font draws every letter that it lacks alike: as the letter that no font has."""
    return letter.isspace() or bytes(font.getmask(letter)) != bytes(font.getmask("\U0010fffe"))
