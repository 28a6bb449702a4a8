"""Picture files of every format that rapbot reads, drawn here, and damaged versions of them without end.

Number n of a format is the same file in every run: what a fuzzer finds can be made again from two words.
"""

from __future__ import annotations

import functools
import io
import random
import struct
import zlib
from typing import Any

from PIL import Image, ImageDraw

KINDS = ("jpeg", "png", "webp", "gif", "avif", "heic")
_EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_CHANGES = (1, 1, 1, 2, 2, 3, 5, 8)
"""How many, one of these: few leave most of a file to be read, many find the refusals."""


def drawn(mode: str = "RGB", width: int = 40, height: int = 28) -> Image.Image:
    """Lines and areas, so that every decoder has something to do."""
    picture = Image.radial_gradient("L").resize((width, height)).convert("RGB")
    pen = ImageDraw.Draw(picture)
    pen.ellipse((4, 4, width // 2, height - 4), fill=(200, 30, 60), outline=(0, 90, 255))
    pen.line((0, height, width, 0), fill=(20, 220, 90), width=3)
    if mode in ("RGBA", "LA"):
        picture.putalpha(Image.linear_gradient("L").resize((width, height)))
    return picture if mode == picture.mode else picture.convert(mode)


@functools.cache
def seeds(kind: str) -> tuple[bytes, ...]:
    """Good files of one format that together use most of what it can do."""
    block = Image.Exif()
    block[0x0112] = 6
    exif = block.tobytes()
    frames = [drawn(width=24, height=20), drawn("L", 24, 20).convert("RGB"), drawn(width=24, height=20).rotate(90)]
    if kind == "jpeg":
        plain = [_saved(drawn(mode), "JPEG", quality=70) for mode in ("RGB", "L", "CMYK")]
        ways: list[dict[str, Any]] = [
            {"progressive": True}, {"subsampling": 0}, {"subsampling": 2, "exif": exif}, {"restart_marker_rows": 1},
            {"icc_profile": bytes(300), "comment": b"hello"}, {"optimize": True, "quality": 5},
        ]  # fmt: skip
        return (*plain, *(_saved(drawn(), "JPEG", **way) for way in ways))
    if kind == "png":
        modes = ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")
        plain = [_saved(drawn("L").convert("I;16") if mode == "I;16" else drawn(mode), "PNG") for mode in modes]
        more = [_saved(drawn("P"), "PNG", transparency=3), _saved(drawn(), "PNG", exif=exif, icc_profile=bytes(300))]
        return (*plain, *more, _saved(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=50))
    if kind == "gif":
        plain = [_saved(drawn("P"), "GIF", interlace=n) for n in (0, 1)]
        more = [_saved(drawn("P"), "GIF", transparency=2, comment=b"hello"), _saved(drawn("L"), "GIF")]
        return (*plain, *more, _saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50))
    if kind == "heic":
        return _heics(exif)
    name = kind.upper()
    still = [_saved(drawn(mode), name, quality=60) for mode in ("RGB", "RGBA")]
    special = {"lossless": True} if kind == "webp" else {"subsampling": "4:4:4", "quality": 95}
    still += [_saved(drawn("RGBA"), name, **special), _saved(drawn(), name, exif=exif, icc_profile=bytes(300))]
    return (*still, _saved(frames[0], name, save_all=True, append_images=frames[1:], duration=50))


def damaged(kind: str, number: int, seed: int = 1) -> bytes:
    """File `number` of the endless series of damaged files of one format."""
    dice = random.Random(f"{kind} {seed} {number}")
    originals = seeds(kind)
    if kind == "png" and dice.random() < 0.6:
        return _damaged_png(dice, originals)
    data = bytearray(dice.choice(originals))
    for _ in range(dice.choice(_CHANGES)):
        _change(data, dice, originals)
    return bytes(data)


def _change(data: bytearray, dice: random.Random, originals: tuple[bytes, ...]) -> None:
    if not data:
        return
    at = dice.randrange(min(len(data), 64)) if dice.random() < 0.3 else dice.randrange(len(data))
    length = min(dice.choice((1, 2, 4, 16, 100)), len(data) - at)
    what = dice.randrange(8)
    if what == 0:
        data[at] ^= 1 << dice.randrange(8)
    elif what == 1:
        data[at : at + length] = dice.randbytes(length)
    elif what in (2, 3):
        size = dice.choice((1, 2, 4))
        order: Any = dice.choice(("big", "little"))
        data[at : at + size] = (dice.choice(_EXTREMES) & (256**size - 1)).to_bytes(size, order)
    elif what == 4:
        del data[at : at + length]
    elif what == 5:
        data[at:at] = data[at : at + length] * dice.choice((1, 1, 3, 50))
    elif what == 6:
        other = dice.choice(originals)
        begin = dice.randrange(len(other))
        data[at : at + length] = other[begin : begin + length]
    elif dice.random() < 0.5:
        del data[at:]
    else:
        data[at:at] = dice.randbytes(length)


def _damaged_png(dice: random.Random, originals: tuple[bytes, ...]) -> bytes:
    """Damage below the packing and the check sums, which would find most of any other before a decoder meets it."""
    original = dice.choice(originals)
    parts: list[tuple[bytes, bytearray]] = []
    at = 8
    while at < len(original):
        (length,) = struct.unpack_from(">I", original, at)
        parts.append((original[at + 4 : at + 8], bytearray(original[at + 8 : at + 8 + length])))
        at += 12 + length
    first = next(n for n, (kind, _) in enumerate(parts) if kind == b"IDAT")
    pixels = bytearray(zlib.decompress(b"".join(content for kind, content in parts if kind == b"IDAT")))
    for _ in range(dice.choice(_CHANGES)):
        _change(dice.choice([pixels, *(content for _, content in parts)]), dice, originals)
    parts[first] = (b"IDAT", bytearray(zlib.compress(pixels)))
    made = bytearray(original[:8])
    for n, (kind, content) in enumerate(parts):
        if n == first or kind != b"IDAT":
            body = kind + content
            made += struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
    return bytes(made)


def _saved(picture: Image.Image, name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, name, **options)
    return file.getvalue()


def _heics(exif: bytes) -> tuple[bytes, ...]:
    import pillow_heif

    def packed(*pictures: Image.Image, **options: Any) -> bytes:
        file = io.BytesIO()
        holder = pillow_heif.from_pillow(pictures[0])
        for picture in pictures[1:]:
            holder.add_from_pillow(picture)
        holder.save(file, quality=50, **options)
        return file.getvalue()

    return (
        packed(drawn()),
        packed(drawn("RGBA")),
        packed(drawn("L")),
        packed(drawn(), exif=exif),
        packed(drawn(), drawn("L"), drawn(width=64, height=48)),
        packed(drawn(width=160, height=130), tile_size=64),
    )
