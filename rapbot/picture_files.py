"""What a picture file is made of: cut down to the parts that its picture needs, before any decoder reads it.

Everything else in a file (comments, profiles, texts, thumbnails, further frames) is only work, and no small one:
decoders unpack and join it while they open the file: 5 MB of it can cost 10 s. The orientation is read here.
"""

from __future__ import annotations

import struct

_MOST_PARTS = 100_000
"""Segments, chunks or blocks of a file. 20 MB in the smallest pieces that encoders make are some 20,000."""
_MOST_SCANS = 100
"""Passes over the picture of one JPEG. Encoders make up to 20; each costs as much as decoding the whole picture."""
_KEPT_SEGMENTS = frozenset({0xC4, 0xDB, 0xDD, 0xE0, 0xEE, *range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xD0)})
"""Tables, frame headers, JFIF, and Adobe's word about the colours (ITU T.81, table B.1)."""
_KEPT_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


class TooManyParts(ValueError):
    """The file is made to cost work."""


def bare_jpeg(data: bytes) -> tuple[bytes, bytes]:
    """(EXIF, the JPEG without texts, profiles, thumbnails and what follows its end). Raises TooManyParts.

    Source: ITU T.81, B.1.1: marker 0xFF (repeated at will) and a code, two bytes of length (counting themselves).
    """
    exif = b""
    kept = [data[:2]]
    at, parts = 2, 0
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 <= len(data) and data[at + 1] != 0xDA:
        code = data[at + 1]
        if code < 0xC0 or 0xD0 <= code <= 0xD9 or code == 0xFF:  # nothing that belongs here; decoders pass over it
            at += 1
            continue
        parts += 1
        if parts > _MOST_PARTS:
            raise TooManyParts
        end = at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
        if code in _KEPT_SEGMENTS:
            kept.append(data[at:end])
        elif code == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            exif = exif or data[at + 4 : end]
        at = end
    # In packed picture data a 0xFF is always followed by 0 or a restart marker, so these are true markers.
    over = data.find(b"\xff\xd9", max(at, 0))
    kept.append(data[at : over + 2 if over >= 0 else None] if at >= 0 else b"")
    if kept[-1].count(b"\xff\xda") > _MOST_SCANS:
        raise TooManyParts
    return exif, b"".join(kept)


def bare_png(data: bytes) -> tuple[bytes, bytes]:
    """(EXIF, the PNG with nothing but its first picture). Raises TooManyParts.

    Source: W3C PNG, 5.3: length, kind, content, CRC.
    """
    exif = b""
    kept = [data[:8]]
    at, parts = 8, 0
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind in _KEPT_CHUNKS and (length or kind == b"IEND"):
            kept.append(data[at:end])
        elif kind == b"eXIf":
            exif = exif or data[at + 8 : end - 4]
        if kind == b"IEND":
            break
        at, parts = end, parts + 1
        if parts > _MOST_PARTS:
            raise TooManyParts
    return exif, b"".join(kept)


def bare_gif(data: bytes) -> bytes:
    """The GIF from its header right on to its first picture, with the transparency of that. Raises TooManyParts.

    What follows the picture stays: decoders stop before it. Source: GIF89a, 17-24.
    """
    at = 13 + _colours(data[10:11])
    head, control = data[:at], b""
    parts = 0
    while data[at : at + 1] == b"!":
        first, at = at, at + 2
        size = 1
        while size and at < len(data):  # the block of no size closes the extension
            size = data[at]
            at, parts = at + 1 + size, parts + 1
            if parts > _MOST_PARTS:
                raise TooManyParts
        if data[first + 1 : first + 2] == b"\xf9":
            control = data[first:at]
    return head + control + data[at:]


def webp_canvas(data: bytes) -> tuple[int, int]:
    """Width and height of the canvas that an extended WebP asks for; (0, 0) for a simple one, of at most 16383 x 16383.

    The decoder would take the memory for it before anybody could ask for its size. Source: RFC 9649, 2.7.
    """
    if data[12:16] != b"VP8X" or len(data) < 30:
        return 0, 0
    return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")


def orientation(exif: bytes) -> int:
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


def _colours(flags: bytes) -> int:
    """Bytes of a table of colours, by the byte that announces it."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0
