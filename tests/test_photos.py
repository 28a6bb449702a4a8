"""Photos from strangers: every good kind is read as people see it, every bad one is refused in one sentence."""

from __future__ import annotations

import contextlib
import random
import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw, PngImagePlugin

from rapbot.contact_sheet import contact_sheet
from rapbot.errors import PhotoError
from rapbot.inference.drawing import draw_numbers, draw_sightings
from rapbot.messages import Box, Sighting
from rapbot.photos import PhotoLimits, open_photo, to_avatar_jpeg, to_jpeg

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 160, 0), (0, 0, 255), (255, 255, 255)


def quarters(width: int = 96, height: int = 64) -> Image.Image:
    """Red, green / blue, white: no two turns or mirrorings of it look the same."""
    picture = Image.new("RGB", (width, height), WHITE)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, width // 2 - 1, height // 2 - 1), fill=RED)
    draw.rectangle((width // 2, 0, width - 1, height // 2 - 1), fill=GREEN)
    draw.rectangle((0, height // 2, width // 2 - 1, height - 1), fill=BLUE)
    return picture


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def corners(picture: Image.Image) -> list[str]:
    """Colours at the middle of the four quarters, row by row."""
    names = {RED: "red", GREEN: "green", BLUE: "blue", WHITE: "white"}

    def nearest(pixel: tuple[int, ...]) -> str:
        return names[min(names, key=lambda colour: sum((a - b) ** 2 for a, b in zip(colour, pixel, strict=True)))]

    width, height = picture.size
    found = []
    for y in (height // 4, height * 3 // 4):
        for x in (width // 4, width * 3 // 4):
            pixel = picture.getpixel((x, y))
            assert isinstance(pixel, tuple)
            found.append(nearest(pixel))
    return found


UPRIGHT = ["red", "green", "blue", "white"]


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def heic(picture: Image.Image, **options: object) -> bytes:
    import pillow_heif

    buffer = BytesIO()
    pillow_heif.from_pillow(picture).save(buffer, quality=90, **options)
    return buffer.getvalue()


def animation(kind: str) -> bytes:
    second = Image.new("RGB", (96, 64), BLUE)
    return encoded(quarters(), kind, save_all=True, append_images=[second], duration=100)


def palette_with_transparency() -> bytes:
    picture = quarters().quantize(8)
    white = picture.getpixel((80, 60))
    return encoded(picture, "PNG", transparency=white)


GOOD: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encoded(quarters(), "JPEG", quality=95),
    "progressive jpeg": lambda: encoded(quarters(), "JPEG", quality=95, progressive=True),
    "cmyk jpeg": lambda: encoded(quarters().convert("CMYK"), "JPEG", quality=95),
    "png": lambda: encoded(quarters(), "PNG"),
    "palette png": lambda: encoded(quarters().quantize(8), "PNG"),
    "palette png with transparency": palette_with_transparency,
    "webp": lambda: encoded(quarters(), "WEBP", lossless=True),
    "animated webp": lambda: animation("WEBP"),
    "gif": lambda: encoded(quarters(), "GIF"),
    "animated gif": lambda: animation("GIF"),
    "avif": lambda: encoded(quarters(), "AVIF"),
    "heic": lambda: heic(quarters()),
}


@pytest.mark.parametrize("kind", GOOD)
def test_every_format_that_people_send_is_read(kind: str) -> None:
    picture = open_photo(GOOD[kind]())
    assert (picture.mode, picture.size, picture.info) == ("RGB", (96, 64), {})
    assert corners(picture) == UPRIGHT


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_photo_stands_upright_whatever_the_camera_wrote(kind: str, orientation: int) -> None:
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = quarters() if undo is None else quarters().transpose(undo)
    picture = open_photo(encoded(stored, kind, exif=exif(orientation), quality=95))
    assert picture.size == (96, 64)
    assert corners(picture) == UPRIGHT


def test_a_heic_photo_is_turned_once_and_not_twice() -> None:
    turned = quarters().transpose(Image.Transpose.ROTATE_90)
    picture = open_photo(heic(turned, exif=exif(6)))
    assert corners(picture) == UPRIGHT


def test_a_motorola_ordered_exif_block_is_understood() -> None:
    block = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    stored = quarters().transpose(Image.Transpose.ROTATE_90)
    assert corners(open_photo(encoded(stored, "JPEG", exif=block, quality=95))) == UPRIGHT


@pytest.mark.parametrize(
    "block",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x01" * 40,
        b"Exif\0\0II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 77, 0, 0),
        b"Exif\0\0XX",
    ],
)
def test_broken_exif_neither_spoils_the_photo_nor_warns(block: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert corners(open_photo(encoded(quarters(), "JPEG", exif=block, quality=95))) == UPRIGHT


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(mode: str) -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert(mode)
    assert open_photo(encoded(clear, "PNG")).getpixel((4, 4)) == WHITE


def test_half_transparent_black_is_grey() -> None:
    pixel = open_photo(encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 128)), "PNG")).getpixel((4, 4))
    assert isinstance(pixel, tuple)
    assert all(120 <= channel <= 135 for channel in pixel)


def test_sixteen_bit_grey_is_scaled_and_not_cut_off() -> None:
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (4, 1))
    picture = np.asarray(open_photo(encoded(Image.fromarray(ramp), "PNG")))
    assert picture[0, :, 0].tolist() == pytest.approx(list(range(256)), abs=1)


def test_bilevel_and_grey_pictures_are_read() -> None:
    for mode in ("1", "L"):
        assert open_photo(encoded(Image.new(mode, (5, 5), 1 if mode == "1" else 255), "PNG")).getpixel((2, 2)) == WHITE


def test_one_pixel_is_a_picture_and_makes_an_avatar() -> None:
    picture = open_photo(encoded(Image.new("RGB", (1, 1), RED), "PNG"))
    assert picture.size == (1, 1)
    assert open_photo(to_avatar_jpeg(picture, Box(0.9, 0.9, 1.0, 1.0))).size == (1, 1)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(20_000, 10_000), (100_000, 100_000), (9_000, 6_000)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(
    width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[object] = []
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda self: decoded.append(self))
    with pytest.raises(PhotoError, match=f"{width * height / 1e6:.0f} megapixels; I take up to 50"):
        open_photo(png_header(width, height))
    assert not decoded


def test_two_hundred_megapixels_in_a_jpeg_are_refused_without_a_warning() -> None:
    small = encoded(quarters(), "JPEG")
    size = small.index(b"\xff\xc0") + 5
    huge = small[:size] + struct.pack(">HH", 10_000, 20_000) + small[size + 4 :]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PhotoError, match="200 megapixels"):
            open_photo(huge, max_side=512)


def test_a_file_over_the_limit_is_refused_with_both_sizes() -> None:
    with pytest.raises(PhotoError, match=r"21\.0 MB; I take up to 20 MB"):
        open_photo(b"\xff\xd8\xff" + bytes(21 * 2**20))


def test_limits_are_the_callers() -> None:
    data = encoded(quarters(), "PNG")
    assert open_photo(data, PhotoLimits(max_pixels=96 * 64)).size == (96, 64)
    with pytest.raises(PhotoError, match="megapixels"):
        open_photo(data, PhotoLimits(max_pixels=96 * 64 - 1))


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "gif", "avif", "heic"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_truncated_file_is_refused(kind: str, part: float) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 96, 3), dtype=np.uint8))
    data = heic(noise) if kind == "heic" else encoded(noise, kind.upper())
    with pytest.raises(PhotoError, match="damaged or incomplete"):
        open_photo(data[: int(len(data) * part)])


@pytest.mark.parametrize(
    "data",
    [
        b"hello, I am a text",
        b"%PDF-1.7 ...",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"PK\x03\x04" + bytes(40),
        b"\0" * 100,
        b"\0\0\0\x18ftypmp42" + bytes(80),
        encoded(quarters(), "TIFF"),
        encoded(quarters(), "BMP"),
        encoded(quarters(), "ICO"),
    ],
    ids=["text", "pdf", "svg", "zip", "zeros", "mp4", "tiff", "bmp", "ico"],
)
def test_what_is_not_a_photo_is_refused(data: bytes) -> None:
    with pytest.raises(PhotoError, match="not a picture I can read"):
        open_photo(data)


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(PhotoError, match="empty"):
        open_photo(b"")


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "gif", "avif", "heic"])
def test_a_file_with_flipped_bytes_gives_a_picture_or_one_sentence_and_nothing_else(kind: str) -> None:
    dice = random.Random(kind)
    for _ in range(60):
        data = bytearray(GOOD[kind]())
        for _ in range(dice.randrange(1, 12)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        with contextlib.suppress(PhotoError):
            assert open_photo(bytes(data)).mode == "RGB"


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_large_photo_can_be_read_smaller(kind: str) -> None:
    data = encoded(quarters(3000, 2000), kind, exif=exif(6))
    picture = open_photo(data, max_side=512)
    assert picture.size == (341, 512)
    assert corners(picture) == ["blue", "red", "white", "green"]


def test_a_small_photo_is_never_enlarged() -> None:
    assert open_photo(encoded(quarters(), "JPEG"), max_side=512).size == (96, 64)
    assert open_photo(to_jpeg(quarters(), max_side=512)).size == (96, 64)


def test_an_avatar_holds_the_box_and_no_metadata_at_all() -> None:
    marker = b"GPS-52.2297-21.0122"
    photo = encoded(
        quarters(2000, 1500),
        "JPEG",
        exif=b"Exif\0\0II*\0" + struct.pack("<IHHHII", 8, 1, 0x010E, 2, 20, 26) + b"\0\0\0\0" + marker + b"\0",
        icc_profile=b"profile-" + marker,
        comment=b"comment-" + marker,
    )
    assert photo.count(marker) == 3
    avatar = to_avatar_jpeg(open_photo(photo), Box(0.5, 0.0, 1.0, 0.5))
    assert marker not in avatar
    segments = {avatar[at + 1] for at in range(avatar.index(b"\xff\xda")) if avatar[at] == 0xFF}
    assert not segments & {0xE1, 0xE2, 0xED, 0xFE}
    picture = open_photo(avatar)
    assert picture.size == (512, 384)
    assert corners(picture) == ["green"] * 4


PLACE = b"GPS-52.2297-21.0122"


def with_metadata(kind: str) -> bytes:
    """As phones and programs write it, in every way that the format has."""
    exif = Image.Exif()
    exif[0x010E] = PLACE.decode()
    exif.get_ifd(0x8825)[29] = PLACE.decode()
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", PLACE.decode())
    packet = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + PLACE + b"</x:xmpmeta>"
    ways: dict[str, dict[str, object]] = {
        "JPEG": {"exif": exif, "xmp": packet, "comment": PLACE, "icc_profile": PLACE},
        "PNG": {"exif": exif, "pnginfo": text, "icc_profile": PLACE},
        "WEBP": {"exif": exif, "xmp": packet, "icc_profile": PLACE},
        "GIF": {"comment": PLACE},
        "AVIF": {"exif": exif, "xmp": packet},
        "HEIF": {"exif": exif.tobytes(), "xmp": packet},
    }
    return heic(quarters(), **ways[kind]) if kind == "HEIF" else encoded(quarters(), kind, **ways[kind])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIF"])
def test_no_picture_that_is_made_of_a_photo_holds_its_metadata(kind: str) -> None:
    photo = with_metadata(kind)
    if kind != "PNG":  # packed there
        assert PLACE in photo
    opened = open_photo(photo)
    seen = Sighting(1, "Lala", Box(0.1, 0.1, 0.5, 0.5), 0.5, 0.9, 1, 0)
    jpeg = with_metadata("JPEG")
    for made in (
        to_jpeg(opened),
        to_avatar_jpeg(opened, Box(0.0, 0.0, 0.5, 0.5)),
        draw_sightings(opened, [seen]),
        draw_numbers(jpeg, [seen.box]),
        contact_sheet([("Lala", jpeg)]),
    ):
        assert PLACE not in made
        assert not {"exif", "xmp", "comment", "icc_profile"} & set(Image.open(BytesIO(made)).info)


def test_metadata_put_into_an_image_by_hand_is_not_written_either() -> None:
    picture = quarters()
    picture.info.update(comment=b"secret-comment", exif=b"Exif\0\0secret-exif", icc_profile=b"secret-profile")
    assert b"secret" not in to_jpeg(picture)
    assert picture.info["comment"] == b"secret-comment"


def test_many_threads_may_read_photos_at_once() -> None:
    data = [make() for make in GOOD.values()]
    results: list[list[str]] = []

    def read_all() -> None:
        results.extend(corners(open_photo(each)) for each in data)

    threads = [threading.Thread(target=read_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [UPRIGHT] * (4 * len(data))
