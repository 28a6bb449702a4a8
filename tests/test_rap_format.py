"""A database of the reference implementation can be read, and what is written can be read by it and by us."""

from __future__ import annotations

import errno
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from rapbot.concepts.rap_format import RapEntry, RapFormatError, read_rap_database, write_rap_folder, write_rap_zip
from rapbot.errors import ConceptError, DiskFull

JPEG = b"\xff\xd8\xff one picture"


def database(folder: Path, concepts: object, paths: object = None, images: tuple[str, ...] = ("bo.png",)) -> Path:
    for name in images:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(JPEG + name.encode())
    file = folder / "database.json"
    tables: dict[str, object] = {"concept_dict": concepts}
    if paths is not None:
        tables["path_to_concept"] = paths
    file.write_text(json.dumps(tables), "utf-8")
    return file


def card(image: object = "bo.png", **changes: object) -> dict[str, Any]:
    return {"name": "bo", "image": image, "info": "A small dog.", "category": "dog"} | changes


def content(picture: bytes | Path) -> bytes:
    return picture if isinstance(picture, bytes) else picture.read_bytes()


# Reading


def test_the_example_of_the_reference_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "example_database"
    folder.mkdir()
    file = database(folder, {"<bo>": card("example_database/bo.png")}, {"example_database/bo.png": "<bo>"})
    assert read_rap_database(file) == [RapEntry("bo", "dog", "A small dog.", (folder / "bo.png",))]
    assert read_rap_database(folder) == read_rap_database(file)


@pytest.mark.parametrize("key", ["<bo>", "bo"])
@pytest.mark.parametrize("name", ["bo", "<bo>", None])
def test_names_are_read_with_and_without_brackets(tmp_path: Path, key: str, name: str | None) -> None:
    (entry,) = read_rap_database(database(tmp_path, {key: card(name=name)}, {"bo.png": key}))
    assert entry.name == "bo"


def test_category_info_and_the_table_of_paths_may_be_missing(tmp_path: Path) -> None:
    (entry,) = read_rap_database(database(tmp_path, {"<bo>": {"image": "bo.png"}}))
    assert (entry.name, entry.category, entry.info) == ("bo", "", "")


def test_several_pictures_are_found_in_the_table_of_paths_and_in_a_list(tmp_path: Path) -> None:
    images = ("bo.png", "b/2.png", "b/3.png", "stray.txt")
    file = database(tmp_path, {"<bo>": card(["bo.png", "b/2.png"])}, {"b/3.png": "<bo>", "bo.png": "<bo>"}, images)
    (entry,) = read_rap_database(file)
    assert entry.images == tuple(tmp_path / name for name in images[:3])


def test_absolute_and_windows_paths_inside_the_folder_are_read(tmp_path: Path) -> None:
    images = ("bo.png", "a/cat.png")
    concepts = {"<bo>": card(str(tmp_path / "bo.png")), "<cat>": card(r"a\cat.png", name="cat")}
    assert [entry.images for entry in read_rap_database(database(tmp_path, concepts, images=images))] == [
        (tmp_path / name,) for name in images
    ]


def test_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    file = database(tmp_path, {"<bo>": card()})
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert read_rap_database(file)[0].name == "bo"


@pytest.mark.parametrize("image", ["../secret.png", "/etc/passwd", "a/../../secret.png", "..\\secret.png", "link.png"])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, image: str) -> None:
    (tmp_path / "secret.png").write_bytes(JPEG)
    folder = tmp_path / "database"
    folder.mkdir()
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(RapFormatError, match="<bo> is outside of the folder"):
        read_rap_database(database(folder, {"<bo>": card(image)}))


@pytest.mark.parametrize(
    ("concepts", "sentence"),
    [
        ({"<bo>": card("none.png")}, "The image none.png of the entry <bo> is missing."),
        ({"<bo>": card("a" * 5000)}, "of the entry <bo> is not a usable path"),
        ({"<bo>": card("a\0b")}, "of the entry <bo> is not a usable path"),
        ({"<bo>": card([])}, "The entry <bo> in database.json has no image."),
        ({"<bo>": card(7)}, 'The "image" of the entry <bo> is not a path.'),
        ({"<bo>": card(info=["x"])}, 'The "info" of the entry <bo> is not a text.'),
        ({"<bo>": "bo.png"}, "The entry <bo> in database.json is not a card"),
        ({"<bo>": card(), "<BO>": card(name="Bo")}, "The entries <bo> and <BO> in database.json have the same name."),
        ([card()], 'it has no "concept_dict"'),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, concepts: object, sentence: str) -> None:
    with pytest.raises(RapFormatError) as caught:
        read_rap_database(database(tmp_path, concepts))
    assert sentence in caught.value.sentence
    assert isinstance(caught.value, ConceptError)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("\udcff", "not valid JSON"),
        ("[]", 'no "concept_dict"'),
        ("{}", 'no "concept_dict"'),
        ('{"concept_dict": {}, "path_to_concept": []}', "not a table of paths"),
        ('{"concept_dict": {"<bo>": {"info": "a"}, "<bo>": {"info": "b"}}}', "two different entries <bo>"),
    ],
)
def test_what_is_no_database_gives_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "database.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(RapFormatError, match=sentence):
        read_rap_database(file)


def test_a_missing_file_gives_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RapFormatError, match="cannot be read"):
        read_rap_database(tmp_path / "none.json")


# Writing

ENTRIES = [
    RapEntry("Lala", "dog", "White\nand grey.", (JPEG + b"1", JPEG + b"2"), (JPEG + b"not",)),
    RapEntry("Łatek/Bo:*?", "cat", "", (JPEG + b"3",)),
    RapEntry("小白", "", "中文", (JPEG + b"4",)),
    RapEntry("🐶", "dog", "", (JPEG + b"5",)),
    RapEntry("🐱", "cat", "", (JPEG + b"6",)),
    RapEntry("CON", "thing", "", (JPEG + b"7",)),
    RapEntry("..", "thing", "", (JPEG + b"8",)),
    RapEntry("Lala-2", "thing", "", (JPEG + b"9",)),
    RapEntry("lala not", "thing", "", (JPEG + b"10",)),
]


def plain(entries: list[RapEntry]) -> list[tuple[object, ...]]:
    return [
        (e.name, e.category, e.info, [content(i) for i in e.images], [content(i) for i in e.counterexamples])
        for e in entries
    ]


def test_what_is_exported_to_a_folder_is_imported_again(tmp_path: Path) -> None:
    write_rap_folder(tmp_path / "out", ENTRIES)
    assert plain(read_rap_database(tmp_path / "out")) == plain(ENTRIES)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_exported_to_a_zip_is_imported_again(tmp_path: Path) -> None:
    write_rap_zip(tmp_path / "out.zip", ENTRIES)
    assert plain(read_rap_database(tmp_path / "out.zip")) == plain(ENTRIES)
    assert [path.name for path in tmp_path.iterdir()] == ["out.zip"]


def test_a_zip_packed_with_its_folder_is_read(tmp_path: Path) -> None:
    write_rap_folder(tmp_path / "mine", ENTRIES)
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for path in (tmp_path / "mine").rglob("*"):
            archive.write(path, path.relative_to(tmp_path))
    assert plain(read_rap_database(tmp_path / "mine.zip")) == plain(ENTRIES)


def test_the_reference_finds_every_picture_and_name(tmp_path: Path) -> None:
    """It loads the JSON, indexes each path of `path_to_concept` and looks its value up in `concept_dict`."""
    write_rap_folder(tmp_path / "out", ENTRIES)
    tables = json.loads((tmp_path / "out" / "database.json").read_text("utf-8"))
    assert list(tables["concept_dict"]) == [f"<{entry.name}>" for entry in ENTRIES]
    for path, key in tables["path_to_concept"].items():
        assert (tmp_path / "out" / path).is_file()
        assert set(tables["concept_dict"][key]) >= {"name", "image", "info", "category"}
    assert len(tables["path_to_concept"]) == 10
    assert "not" not in " ".join(path for path, key in tables["path_to_concept"].items() if key == "<Lala>")


def test_file_names_are_safe_on_every_system(tmp_path: Path) -> None:
    write_rap_folder(tmp_path / "out", ENTRIES)
    names = [path.name for path in (tmp_path / "out" / "avatars").iterdir()]
    assert len({name.lower() for name in names}) == 11
    assert all(
        name.isascii() and name.removesuffix(".jpg").replace("-", "").replace("_", "").isalnum() for name in names
    )
    assert "con.jpg" not in names


def test_an_export_that_fails_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    write_rap_zip(tmp_path / "out.zip", ENTRIES)
    before = (tmp_path / "out.zip").read_bytes()
    broken = [*ENTRIES, RapEntry("gone", "", "", (tmp_path / "no such picture.jpg",))]
    with pytest.raises(RapFormatError, match="cannot be written"):
        write_rap_zip(tmp_path / "out.zip", broken)
    with pytest.raises(RapFormatError, match="cannot be written"):
        write_rap_folder(tmp_path / "out", broken)
    assert [path.name for path in tmp_path.iterdir()] == ["out.zip"]
    assert (tmp_path / "out.zip").read_bytes() == before


def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskFull):
        write_rap_folder(tmp_path / "out", ENTRIES)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_rap_folder(tmp_path / "out", ENTRIES[:1])
    with pytest.raises(RapFormatError, match="not empty"):
        write_rap_folder(tmp_path / "out", ENTRIES)
    assert len(read_rap_database(tmp_path / "out")) == 1


@pytest.mark.parametrize("image", ["../secret.png", "/etc/passwd", "none.png"])
def test_a_zip_names_only_its_own_pictures(tmp_path: Path, image: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("database.json", json.dumps({"concept_dict": {"<bo>": card(image)}}))
    with pytest.raises(RapFormatError, match="of the entry <bo> is missing"):
        read_rap_database(tmp_path / "a.zip")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("database.json", json.dumps({"concept_dict": {"<bo>": card()}}))
        archive.writestr("bo.png", bytes(30 * 2**20))
    with pytest.raises(RapFormatError, match="too large"):
        read_rap_database(tmp_path / "a.zip")


def test_a_damaged_or_foreign_zip_gives_one_sentence(tmp_path: Path) -> None:
    write_rap_zip(tmp_path / "a.zip", ENTRIES)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[60:64] = b"\0\0\0\0"
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(RapFormatError, match="damaged or locked"):
        read_rap_database(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("holiday.txt", "sun")
    with pytest.raises(RapFormatError, match=r"no database\.json"):
        read_rap_database(tmp_path / "b.zip")
