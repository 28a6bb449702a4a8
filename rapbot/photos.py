"""Photos from strangers: decoded safely, upright, RGB; and written again without anything but the picture.

Nothing here changes process-wide settings of Pillow, so any number of threads may call it.
"""

from __future__ import annotations

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
from rapbot.picture_files import bare_gif, bare_jpeg, bare_png, orientation, webp_canvas


@dataclass(frozen=True, slots=True)
class PhotoLimits:
    """Bytes of the file, and width times height of the picture. Source: DESIGN, "Concepts"."""

    max_bytes: int = 20 * 2**20
    max_pixels: int = 50_000_000


NOT_A_PICTURE = mark("That is not a picture I can read. Send a JPEG, PNG, WebP, GIF, HEIC or AVIF file.")
DAMAGED = mark("That picture is damaged or incomplete. Please send it again.")
TOO_MUCH = mark("That picture needs more memory than I have. Please send a smaller one.")

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
        picture, turn = _header(data, limits)
    _check_pixels(*picture.size, limits)
    with _damaged():
        if max_side is not None:
            picture.draft(None, (max_side, max_side))  # JPEG only: decodes at 1/2, 1/4 or 1/8 of the size
        picture.load()
        plain = _rgb(picture)
        if max_side is not None:
            plain.thumbnail((max_side, max_side), Resampling.LANCZOS, reducing_gap=2.0)
        plain = plain if turn not in _UPRIGHT else plain.transpose(_UPRIGHT[turn])
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
    except MemoryError as error:
        raise PhotoError(TOO_MUCH) from error
    # Decoders raise anything for a damaged file: OSError, SyntaxError, ValueError, struct.error, KeyError, ...
    except Exception as error:
        raise PhotoError(DAMAGED) from error


def _check_pixels(width: int, height: int, limits: PhotoLimits) -> None:
    pixels = width * height
    if pixels > limits.max_pixels:
        raise PhotoError(
            f"That picture has {pixels / 1e6:.0f} megapixels; I take up to {limits.max_pixels / 1e6:g}. "
            "Please send a smaller one."
        )


def _header(data: bytes, limits: PhotoLimits) -> tuple[ImageFile.ImageFile, int]:
    """(the picture, not decoded yet; its EXIF orientation).

    The reader is chosen by the first bytes and called directly: `Image.open` would warn about large pictures through
    the process-wide `warnings` module before the size can be checked, and may pick one of forty other formats.
    """
    if data.startswith(b"\xff\xd8\xff"):
        exif, bare = bare_jpeg(data)
        return JpegImagePlugin.JpegImageFile(BytesIO(bare)), orientation(exif)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        exif, bare = bare_png(data)
        return PngImagePlugin.PngImageFile(BytesIO(bare)), orientation(exif)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return GifImagePlugin.GifImageFile(BytesIO(bare_gif(data))), 1
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        _check_pixels(*webp_canvas(data), limits)
        webp = WebPImagePlugin.WebPImageFile(BytesIO(data))
        return webp, orientation(webp.info.get("exif", b""))
    if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis"):
        avif = AvifImagePlugin.AvifImageFile(BytesIO(data))
        return avif, orientation(avif.info.get("exif", b""))
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        from pillow_heif import HeifImageFile

        # libheif turns the picture upright itself; the EXIF tag is only a copy.
        return HeifImageFile(BytesIO(data)), 1  # type: ignore[no-untyped-call]
    raise PhotoError(NOT_A_PICTURE)


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
