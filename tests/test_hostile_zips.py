"""Zip files from strangers: each is read without anything being written, or refused in one sentence, and soon."""

from __future__ import annotations

import io
import json
import random
import stat
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rapbot.concepts.rap_format import RapFormatError, read_rap_database

PICTURE = b"\xff\xd8\xff a picture"
CARD = {"name": "bo", "image": "bo.png", "info": "A small dog.", "category": "dog"}


def database(*images: str) -> str:
    return json.dumps({"concept_dict": {"<bo>": {**CARD, "image": list(images) or "bo.png"}}})


def packed(*files: tuple[str, bytes | str], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return file.getvalue()


def twice(name: str) -> bytes:
    """Two files of one name: readers differ in which they take."""
    other = "#" + name[1:]
    data = packed(("database.json", database()), ("bo.png", PICTURE), (other, b"other"))
    return data.replace(other.encode(), name.encode())


def link(target: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("database.json", database())
        member = zipfile.ZipInfo("bo.png")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, target)
    return file.getvalue()


def overlapping() -> bytes:
    """Many names for the same bytes: a small file that unpacks to any size."""
    data = packed(("database.json", database(*(f"{n:04}.png" for n in range(400)))), ("0000.png", bytes(10_000_000)))
    end = data.rindex(b"PK\5\6")
    (where,) = struct.unpack_from("<I", data, end + 16)
    directory = data[where:end]
    last = directory.rindex(b"PK\1\2")
    entry = directory[last:]
    copies = b"".join(entry.replace(b"0000.png", f"{n:04}.png".encode()) for n in range(1, 400))
    tail = bytearray(data[end:])
    struct.pack_into("<HHI", tail, 8, 401, 401, len(directory) + len(copies))
    return data[:end] + copies + bytes(tail)


def lying() -> bytes:
    """It says that the picture is small; what is packed is 50 MB."""
    data = bytearray(packed(("database.json", database()), ("bo.png", bytes(50_000_000))))
    for start in (b"PK\1\2", b"PK\3\4"):
        at = data.index(b"bo.png", data.index(start)) if start == b"PK\3\4" else data.rindex(b"bo.png")
        offset = 24 if start == b"PK\1\2" else 22
        struct.pack_into("<I", data, at - (46 if start == b"PK\1\2" else 30) + offset, 100)
    return bytes(data)


def nested(depth: int) -> bytes:
    inner = packed(("database.json", database()), ("bo.png", bytes(1_000_000)))
    for _ in range(depth):
        inner = packed(("database.json", database()), ("bo.png", PICTURE), ("inner.zip", inner))
    return inner


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a picture too large": (lambda: packed(("database.json", database()), ("bo.png", bytes(2**26))), "too large"),
    "a database too large": (lambda: packed(("database.json", b" " * 2**26)), "too large"),
    "thousands of names for the same bytes": (overlapping, "far more|damaged"),
    "one picture named a thousand times": (
        lambda: packed(("database.json", database(*["bo.png"] * 3000)), ("bo.png", bytes(10_000_000))),
        "far more",
    ),
    "a size that is a lie": (lying, "damaged"),
    "two databases of one name": (lambda: twice("database.json"), "twice"),
    "two pictures of one name": (lambda: twice("bo.png"), "twice"),
    "a link to a file": (lambda: link("/etc/passwd"), "is a link"),
    "a link upwards": (lambda: link("../../secret"), "is a link"),
    "too many files": (lambda: packed(*((f"{n}.png", b"") for n in range(20_001))), "20001 files"),
    "a packing that asks for gigabytes": (
        lambda: packed(("database.json", database()), ("bo.png", PICTURE), packing=zipfile.ZIP_LZMA),
        "packed in a way",
    ),
    "another packing": (
        lambda: packed(("database.json", database()), ("bo.png", PICTURE), packing=zipfile.ZIP_BZIP2),
        "packed in a way",
    ),
    "a database that is nested without end": (
        lambda: packed(("database.json", "[" * 500_000), packing=0),
        "not valid JSON",
    ),
    "a database of one long number": (lambda: packed(("database.json", "9" * 500_000), packing=0), "not valid JSON"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_zip_that_is_made_to_hurt_is_refused_and_soon(tmp_path: Path, name: str) -> None:
    make, sentence = HOSTILE[name]
    source = tmp_path / "a.zip"
    source.write_bytes(make())
    began = time.process_time()
    with pytest.raises(RapFormatError, match=sentence):
        read_rap_database(source)
    assert time.process_time() - began < 10
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize(
    "name",
    [
        "../../evil.png", "/etc/passwd", "..\\..\\evil.png", "C:\\Windows\\win.ini", "a/../../../evil.png", "con",
        "bo\0.png", "\\\\server\\share\\x", "file:///etc/passwd", "~/.ssh/id_rsa",
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere_lead_nowhere(tmp_path: Path, name: str) -> None:
    """Neither in the zip nor in the database: the only bytes that come are those that the zip holds."""
    folder = tmp_path / "deep" / "deeper"
    folder.mkdir(parents=True)
    (tmp_path / "evil.png").write_bytes(b"SECRET")
    source = folder / "a.zip"
    for files in (
        (("database.json", database(name)),),
        (("database.json", database(name)), (name, PICTURE)),
        (("x/database.json", database(name)), (f"x/{name}", PICTURE)),
    ):
        source.write_bytes(packed(*files))
        try:
            [entry] = read_rap_database(source)
        except RapFormatError:
            continue
        assert entry.images == (PICTURE,)
    assert sorted(tmp_path.rglob("*")) == sorted([tmp_path / "deep", folder, source, tmp_path / "evil.png"])


def test_a_zip_in_a_zip_is_not_opened(tmp_path: Path) -> None:
    source = tmp_path / "a.zip"
    source.write_bytes(nested(5))
    [entry] = read_rap_database(source)
    assert entry.images == (PICTURE,)


def test_a_folder_with_links_gives_only_what_lies_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"SECRET")
    (folder / "bo.png").symlink_to(tmp_path / "secret")
    (folder / "database.json").write_text(database())
    with pytest.raises(RapFormatError, match="outside of the folder"):
        read_rap_database(folder)
    (folder / "bo.png").unlink()
    with (folder / "bo.png").open("wb") as file:
        file.truncate(30 * 2**20)
    with pytest.raises(RapFormatError, match="too large"):
        read_rap_database(folder)
    with (folder / "database.json").open("wb") as file:
        file.truncate(30 * 2**20)
    with pytest.raises(RapFormatError, match="too large"):
        read_rap_database(folder)


def test_a_zip_with_changed_bytes_is_read_or_refused_and_nothing_else(tmp_path: Path) -> None:
    good = packed(("x/database.json", database()), ("x/bo.png", PICTURE), ("x/more.txt", b"more" * 50))
    source = tmp_path / "a.zip"
    dice = random.Random(7)
    refused = 0
    for _ in range(1000):
        data = bytearray(good)
        for _ in range(dice.choice((1, 1, 2, 5))):
            data[dice.randrange(len(data))] = dice.randrange(256)
        if dice.random() < 0.1:
            del data[dice.randrange(len(data)) :]
        source.write_bytes(data)
        try:
            read_rap_database(source)
        except RapFormatError:
            refused += 1
    assert 250 < refused < 1000
