"""Photos from strangers: decoded safely, upright, RGB; and written again without anything but the picture.

Nothing here changes process-wide settings of Pillow, so any number of threads may call it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import AvifImagePlugin, GifImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin
from PIL.Image import Image, Resampling, Transpose, fromarray, new

from rapbot.errors import PhotoError
from rapbot.i18n import mark
from rapbot.messages import Box


@dataclass(frozen=True, slots=True)
class PhotoLimits:
    """Bytes of the file, and width times height of the picture. Source: DESIGN, "Concepts"."""

    max_bytes: int = 20 * 2**20
    max_pixels: int = 50_000_000


NOT_A_PICTURE = mark("That is not a picture I can read. Send a JPEG, PNG, WebP, GIF, HEIC or AVIF file.")
DAMAGED = mark("That picture is damaged or incomplete. Please send it again.")

_WHITE = (255, 255, 255)
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
# EXIF orientation (CIPA DC-008, tag 0x0112): what turns the stored picture upright.
_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


def open_photo(data: bytes, limits: PhotoLimits | None = None, max_side: int | None = None) -> Image:
    """The upright RGB picture in `data`, without any metadata; the first frame of an animation.

    Transparency is laid on white. With `max_side` the longer side has at most that many pixels, which is also much
    quicker for large JPEGs. Raises PhotoError: not a picture, damaged, or over the limits (checked before decoding).
    """
    limits = limits or PhotoLimits()
    if not data:
        raise PhotoError(mark("That file is empty."))
    if len(data) > limits.max_bytes:
        raise PhotoError(f"That file has {len(data) / 2**20:.1f} MB; I take up to {limits.max_bytes / 2**20:g} MB.")
    with _damaged():
        picture, orientation = _header(data)
    _check_pixels(picture, limits)
    with _damaged():
        if max_side is not None:
            picture.draft(None, (max_side, max_side))  # JPEG only: decodes at 1/2, 1/4 or 1/8 of the size
        picture.load()
        plain = _rgb(picture)
        if max_side is not None:
            plain.thumbnail((max_side, max_side), Resampling.LANCZOS, reducing_gap=2.0)
        turn = _UPRIGHT.get(orientation)
        plain = plain if turn is None else plain.transpose(turn)
    plain.info = {}
    return plain


def to_jpeg(image: Image, max_side: int | None = None, quality: int = 90) -> bytes:
    """JPEG of an RGB image, at most `max_side` pixels long, without EXIF, profile, thumbnail or comment."""
    picture = image.copy()
    if max_side is not None:
        picture.thumbnail((max_side, max_side), Resampling.LANCZOS, reducing_gap=2.0)
    picture.info = {}  # Pillow writes a comment found here into the file
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def to_avatar_jpeg(image: Image, box: Box, max_side: int = 512) -> bytes:
    """JPEG of the part of `image` inside `box`, as it is kept with a concept."""
    return to_jpeg(image.crop(box.pixels(image.width, image.height)), max_side)


@contextmanager
def _damaged() -> Iterator[None]:
    try:
        yield
    except PhotoError:
        raise
    # Decoders raise anything for a damaged file: OSError, SyntaxError, ValueError, struct.error, KeyError, ...
    except Exception as error:
        raise PhotoError(DAMAGED) from error


def _check_pixels(picture: Image, limits: PhotoLimits) -> None:
    pixels = picture.width * picture.height
    if pixels > limits.max_pixels:
        raise PhotoError(
            f"That picture has {pixels / 1e6:.0f} megapixels; I take up to {limits.max_pixels / 1e6:g}. "
            "Please send a smaller one."
        )


def _header(data: bytes) -> tuple[ImageFile.ImageFile, int]:
    """(the picture, not decoded yet; its EXIF orientation).

    The reader is chosen by the first bytes and called directly: `Image.open` would warn about large pictures through
    the process-wide `warnings` module before the size can be checked, and may pick one of forty other formats.
    """
    picture: ImageFile.ImageFile
    if data.startswith(b"\xff\xd8\xff"):
        exif, bare = _without_app1(data)
        return JpegImagePlugin.JpegImageFile(BytesIO(bare)), _orientation(exif)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        picture = PngImagePlugin.PngImageFile(BytesIO(data))
    elif data.startswith((b"GIF87a", b"GIF89a")):
        return GifImagePlugin.GifImageFile(BytesIO(data)), 1
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        picture = WebPImagePlugin.WebPImageFile(BytesIO(data))
    elif data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis"):
        picture = AvifImagePlugin.AvifImageFile(BytesIO(data))
    elif data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        from pillow_heif import HeifImageFile

        # libheif turns the picture upright itself; the EXIF tag is only a copy.
        return HeifImageFile(BytesIO(data)), 1  # type: ignore[no-untyped-call]
    else:
        raise PhotoError(NOT_A_PICTURE)
    return picture, _orientation(picture.info.get("exif", b""))


def _without_app1(data: bytes) -> tuple[bytes, bytes]:
    """(EXIF, the JPEG without its APP1 segments): Pillow would parse EXIF on opening and warn about every oddity.

    Source: ITU T.81, B.1.1.4: marker 0xFF 0xE1, two bytes of length (counting themselves), content.
    """
    exif = b""
    kept = [data[:2]]
    at = 2
    # Up to start of scan (0xDA); whatever is not a plain segment is left to the decoder to judge.
    while data[at : at + 1] == b"\xff" and at + 4 <= len(data) and 0xC0 <= data[at + 1] < 0xFF and data[at + 1] != 0xDA:
        end = at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
        if data[at + 1] != 0xE1:
            kept.append(data[at:end])
        elif data[at + 4 : at + 10] == b"Exif\0\0":
            exif = exif or data[at + 4 : end]
        at = end
    kept.append(data[at:])
    return exif, b"".join(kept)


def _orientation(exif: bytes) -> int:
    """The orientation 1..8 in a block of EXIF; 1 (upright) when there is none or it makes no sense."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, at)
        for entry in range(count):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, at + 2 + 12 * entry)
            if tag == 0x0112 and kind == 3:
                return int(value)
    except struct.error:  # it points outside of itself
        pass
    return 1


def _rgb(picture: Image) -> Image:
    if picture.mode.startswith("I"):
        # 16 bits a pixel: Pillow's own conversion would cut everything above 255 off instead of scaling it.
        levels = np.asarray(picture).astype(np.uint32).clip(0, 0xFFFF)
        return fromarray(((levels * 255 + 0x7FFF) // 0xFFFF).astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        layered = picture.convert("RGBA")
        paper = new("RGB", picture.size, _WHITE)
        paper.paste(layered, mask=layered.getchannel("A"))
        return paper
    return picture.convert("RGB") if picture.mode != "RGB" else picture.copy()
