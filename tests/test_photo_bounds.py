"""Files that are made to hurt: to cost hours or gigabytes, to crash a decoder. They get one sentence, and soon."""

from __future__ import annotations

import io
import multiprocessing
import os
import struct
import subprocess
import sys
import textwrap
import time
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pebble import ProcessExpired, ProcessPool
from PIL import Image

from benchmarks.fuzz_photos import campaign
from benchmarks.photo_mutations import KINDS, damaged, drawn, seeds
from rapbot.errors import PhotoError
from rapbot.photos import PhotoLimits, open_photo
from rapbot.picture_files import bare_gif, bare_jpeg, bare_png
from tests.fuzz_entries import hangs_in_a_decoder

MEGABYTE = zlib.compress(bytes(1_000_000), 9)


def png(extra: bytes) -> bytes:
    data = seeds("png")[0]
    return data[:33] + extra + data[33:]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def gif(extra: bytes) -> bytes:
    data = seeds("gif")[0]
    at = 13 + (3 << ((data[10] & 7) + 1))
    return data[:at] + extra + data[at:]


def comment(blocks: int, size: int) -> bytes:
    return b"!\xfe" + (bytes([size]) + b"x" * size) * blocks + b"\0"


def jpeg_of_scans(count: int) -> bytes:
    buffer = io.BytesIO()
    drawn().save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def endless_gif() -> bytes:
    data = seeds("gif")[0]
    at = 13 + (3 << ((data[10] & 7) + 1))
    frame = data[at:-1]
    return data[:at] + frame * (10_000_000 // len(frame)) + b";"


def endless_webp() -> bytes:
    data = seeds("webp")[4]
    at = data.index(b"ANMF")
    frame = data[at : at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")]
    body = data[8:at] + frame * (10_000_000 // len(frame))
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_canvas(side: int) -> bytes:
    data = bytearray(seeds("webp")[4])
    data[24:30] = (side - 1).to_bytes(3, "little") * 2
    return bytes(data)


COSTLY: dict[str, Callable[[], bytes]] = {
    "png with a text that becomes large": lambda: png(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**26), 9))),
    "png with a thousand profiles": lambda: png(chunk(b"iCCP", b"a\0\0" + MEGABYTE) * 1000),
    "png with texts without end": lambda: png(chunk(b"zTXt", b"a\0\0" + MEGABYTE) * 1000),
    "png in empty pieces": lambda: png(chunk(b"IDAT", b"") * 800_000),
    "gif with long comments": lambda: gif(comment(40_000, 255)),
    "gif with comments of one letter": lambda: gif(comment(4_000_000, 1)),
    "gif with many comments": lambda: gif(comment(1, 1) * 2_000_000),
    "gif with thousands of frames": endless_gif,
    "webp with thousands of frames": endless_webp,
    "webp that asks for a petabyte": lambda: webp_canvas(2**24),
    "jpeg with ten thousand scans": lambda: jpeg_of_scans(10_000),
    "jpeg in tiny segments": lambda: seeds("jpeg")[0][:2] + b"\xff\xfe\0\2" * 1_000_000 + seeds("jpeg")[0][2:],
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_file_that_is_made_to_cost_work_costs_little(name: str) -> None:
    data = COSTLY[name]()
    began = time.process_time()
    with suppress(PhotoError):
        open_photo(data, PhotoLimits(), max_side=1600)
    assert time.process_time() - began < 5


def test_what_is_not_needed_is_gone_before_a_decoder_reads_it() -> None:
    """All the seeds still show what they showed."""
    for kind, bare in (("jpeg", lambda d: bare_jpeg(d)[1]), ("png", lambda d: bare_png(d)[1]), ("gif", bare_gif)):
        for data in seeds(kind):
            less = bare(data)
            assert b"hello" not in less
            with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(less)) as after:
                assert before.convert("RGBA").tobytes() == after.convert("RGBA").tobytes()
                assert not {"comment", "icc_profile", "exif"} & after.info.keys()


def test_a_photo_with_a_video_behind_it_is_a_photo() -> None:
    """As some phones write them; what follows the picture may hold any bytes."""
    assert open_photo(seeds("jpeg")[0] + b"\xff\xda" * 5000).size == (40, 28)


def in_child(code: str) -> subprocess.CompletedProcess[str]:
    program = "from rapbot.inference import decoding\nfrom rapbot import photos\n" + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)


def test_a_decoder_that_hangs_and_holds_the_interpreter_ends_the_worker_process() -> None:
    done = in_child("""
        import re, time
        def stuck(*_):
            print("stuck", flush=True)
            re.match("(a+)+$", "a" * 60 + "b")  # some thousand years, in C
        decoding.open_photo = stuck
        decoding.Decoder(photos.PhotoLimits(), 0.5).open(b"")
        print("went on")
    """)
    assert (done.returncode, done.stdout, done.stderr) == (1, "stuck\n", "")


def test_the_supervisor_of_the_worker_sees_that_process_end_and_starts_another() -> None:
    """As `Worker` does, which tries the message once more and then tells the person."""
    with ProcessPool(max_workers=1, context=multiprocessing.get_context("spawn")) as pool:
        with pytest.raises(ProcessExpired):
            pool.schedule(hangs_in_a_decoder, timeout=120).result()
        assert pool.schedule(os.getpid, timeout=120).result() != os.getpid()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bound memory so")
def test_a_decoder_that_eats_memory_is_refused_and_the_worker_goes_on() -> None:
    done = in_child("""
        import io, numpy
        from PIL import Image
        from rapbot.errors import PhotoError
        def greedy(picture):
            return numpy.ones(1_000_000_000, numpy.uint8)
        data = io.BytesIO()
        Image.new("RGB", (9, 9)).save(data, "PNG")
        decoder, whole = decoding.Decoder(photos.PhotoLimits(max_pixels=1000), 60), photos._rgb
        photos._rgb = greedy
        try:
            decoder.open(data.getvalue())
        except PhotoError as error:
            print(error.sentence)
        photos._rgb = whole
        print(decoder.open(data.getvalue()).size, len(bytearray(500_000_000)))
    """)
    told = "That picture needs more memory than I have. Please send a smaller one."
    assert (done.stdout, done.stderr) == (f"{told}\n(9, 9) 500000000\n", "")


def test_the_largest_photos_fit_into_the_memory_that_they_get() -> None:
    """16 bits and transparency are the dearest."""
    done = in_child("""
        import io, numpy
        from PIL import Image
        for mode, name in (("I;16", "PNG"), ("RGBA", "PNG"), ("RGBA", "WEBP")):
            data = io.BytesIO()
            Image.new(mode, (3000, 3000)).save(data, name)
            decoding._SPARE = 40 * 2**20
            print(decoding.Decoder(photos.PhotoLimits(max_pixels=9_000_000), 60).open(data.getvalue(), 1600).size)
    """)
    assert (done.stdout, done.stderr) == ("(1600, 1600)\n" * 3, "")


@given(st.sampled_from(KINDS), st.integers(0, 5), st.data())
@settings(max_examples=250, deadline=None, derandomize=True, database=None)
def test_any_change_of_a_file_gives_a_picture_or_one_sentence(kind: str, which: int, draw: st.DataObject) -> None:
    original = seeds(kind)[which % len(seeds(kind))]
    data = bytearray(original)
    for at, piece in draw.draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.binary(max_size=6)), max_size=5)):
        data[at : at + len(piece)] = piece
    del data[draw.draw(st.integers(0, len(data)) | st.just(len(data))) :]
    with suppress(PhotoError):
        assert open_photo(bytes(data), PhotoLimits(max_pixels=4_000_000)).mode == "RGB"


@given(st.sampled_from([seeds(kind)[0][:12] for kind in KINDS]), st.binary(max_size=300))
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
def test_anything_behind_the_first_bytes_of_a_picture_gives_one_sentence(start: bytes, rest: bytes) -> None:
    with suppress(PhotoError):
        open_photo(start + rest, PhotoLimits(max_pixels=4_000_000))


def test_a_slice_of_the_campaign_finds_nothing() -> None:
    for kind in KINDS:
        found = campaign(kind, range(150))
        assert (found.files, found.faults) == (150, [])
        assert found.read > 15
        assert found.refused > 15


def test_the_campaign_finds_a_crash_a_hang_and_an_error_and_goes_on() -> None:
    found = campaign("gif", range(10), entry="tests.fuzz_entries:faulty", deadline=5)
    assert (found.crashes, found.hangs, found.errors) == ([3], [5], [(7, "KeyError")])
    assert (found.files, found.read) == (10, 7)
    assert damaged("gif", 3) == damaged("gif", 3) != damaged("gif", 3, seed=2)
