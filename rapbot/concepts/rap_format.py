"""Import and export of the database file of the RAP reference implementation. Source: RAP.md, "Database file".

    {"concept_dict": {"<bo>": {"name": "bo", "image": "avatars/bo.jpg", "info": "...", "category": "dog"}},
     "path_to_concept": {"avatars/bo.jpg": "<bo>"}}

Further pictures of a concept are more paths in `path_to_concept` with the same value (the reference indexes those too);
counterexamples are under "counterexamples" of the concept, a key that the reference does not read.
"""

from __future__ import annotations

import errno
import io
import json
import shutil
import struct
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from rapbot.concepts.concept import fold_name
from rapbot.concepts.packed import MOST_BYTES, PackedFiles, Unpackable
from rapbot.errors import ConceptError, DiskFull

DATABASE = "database.json"
_FOLDER = "avatars"


class RapFormatError(ConceptError):
    """The file is not a RAP database, or one of its entries cannot be read; says which and why."""


@dataclass(frozen=True, slots=True)
class RapEntry:
    """One concept of a file. Pictures are paths (import) or JPEG bytes (export), the first is the main one."""

    name: str
    category: str
    info: str
    images: tuple[bytes | Path, ...]
    counterexamples: tuple[bytes | Path, ...] = ()
    traits: str = ""
    """As in `Concept`: exported because it is kept; whoever imports the file writes it anew."""


def read_rap_database(source: Path) -> list[RapEntry]:
    """The concepts of a RAP database: its JSON file, the folder that holds `database.json`, or a zip of that folder.

    Pictures of a folder are given as paths, checked to exist inside of it; pictures of a zip as bytes. None is opened
    as a picture yet: that is for `open_photo`. Raises RapFormatError.
    """
    try:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                packed = PackedFiles(archive, source.stat().st_size)
                database, content = _database_in(packed)
                return _entries(source.name, content, lambda key, name: _packed_picture(packed, database, key, name))
        path = source / DATABASE if source.is_dir() else source
        folder = path.parent.resolve()
        if path.stat().st_size > MOST_BYTES:
            raise RapFormatError(f"{path} is too large.")
        return _entries(path.name, path.read_bytes(), lambda key, name: _picture(folder, key, name))
    except OSError as error:
        raise RapFormatError(f"{source} cannot be read: {error.strerror or error}.") from error
    except Unpackable as error:
        raise RapFormatError(str(error)) from error
    # Damaged, locked, packed in an unknown way, or with names that are no text.
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, struct.error) as error:
        raise RapFormatError(f"The zip file {source.name} is damaged or locked.") from error


def write_rap_folder(target: Path, entries: Iterable[RapEntry]) -> None:
    """Writes `target/database.json` and `target/avatars/*.jpg`: all of it or, on any error, nothing.

    `target` must not exist or be empty. Raises RapFormatError when it is neither, DiskFull.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RapFormatError(f"{target} is there already and is not empty. Choose another folder.")

    def write(draft: Path) -> None:
        (draft / _FOLDER).mkdir(parents=True)
        for name, data in _files(entries):
            (draft / name).write_bytes(data)
        if target.exists():
            target.rmdir()  # Windows does not replace a folder, not even an empty one

    _whole_or_nothing(target, write)


def write_rap_zip(target: Path, entries: Iterable[RapEntry]) -> None:
    """The same as one zip file; an older file of that name is replaced in one step. Raises DiskFull."""

    def write(draft: Path) -> None:
        draft.write_bytes(rap_zip(entries))

    _whole_or_nothing(target, write)


def rap_zip(entries: Iterable[RapEntry], more: Mapping[str, bytes] | None = None) -> bytes:
    """The database as the bytes of a zip; `more` are further files in it, by name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in (*_files(entries), *(more or {}).items()):
            packing = zipfile.ZIP_STORED if name.endswith(".jpg") else zipfile.ZIP_DEFLATED  # a JPEG is packed already
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # no clock: the same concepts, the same bytes
            member.external_attr = 0o600 << 16
            archive.writestr(member, data, packing)
    return file.getvalue()


def _entries(file: str, content: bytes, picture: Callable[[str, str], bytes | Path]) -> list[RapEntry]:
    """`picture` finds one picture, given the entry (for its sentence) and the name written in it."""
    concepts, paths = _parsed(file, content)
    entries: list[RapEntry] = []
    first_key: dict[str, str] = {}
    for key, fields in concepts.items():
        if not isinstance(fields, dict):
            raise RapFormatError(f"The entry {key} in {file} is not a card with name, image and info.")
        name = _bare_name(_text(fields, "name", key) or key)
        earlier = first_key.setdefault(fold_name(name), key)
        if earlier != key:
            raise RapFormatError(f"The entries {earlier} and {key} in {file} have the same name.")
        more = [image for image, owner in paths.items() if _bare_name(str(owner)) in (_bare_name(key), name)]
        # Each once, in the order given: the main picture stands in both tables.
        images = dict.fromkeys(picture(key, each) for each in [*_list(fields, "image", key), *more])
        if not images:
            raise RapFormatError(f"The entry {key} in {file} has no image.")
        others = dict.fromkeys(picture(key, each) for each in _list(fields, "counterexamples", key))
        category, info, traits = (_text(fields, field, key) for field in ("category", "info", "traits"))
        entries.append(RapEntry(name, category, info, tuple(images), tuple(others), traits))
    return entries


def _parsed(file: str, content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        tables = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_each_key_once)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or nested without end
        raise RapFormatError(f"{file} is not a RAP database: it is not valid JSON.") from error
    concepts = tables.get("concept_dict") if isinstance(tables, dict) else None
    if not isinstance(concepts, dict):
        raise RapFormatError(f'{file} is not a RAP database: it has no "concept_dict".')
    paths = tables.get("path_to_concept", {})
    if not isinstance(paths, dict):
        raise RapFormatError(f'{file} is not a RAP database: its "path_to_concept" is not a table of paths.')
    return concepts, paths


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in pairs:
        # JSON readers keep the last one silently: a concept would be lost.
        if table.setdefault(key, value) != value:
            raise RapFormatError(f"The database has two different entries {key}.")
    return table


def _bare_name(name: str) -> str:
    return name.strip().removeprefix("<").removesuffix(">").strip()


def _text(fields: dict[str, Any], field: str, key: str) -> str:
    value = fields.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RapFormatError(f'The "{field}" of the entry {key} is not a text.')
    return value


def _list(fields: dict[str, Any], field: str, key: str) -> list[str]:
    value = fields.get(field, [])
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str) and each for each in values):
        raise RapFormatError(f'The "{field}" of the entry {key} is not a path.')
    return values


def _picture(folder: Path, key: str, name: str) -> Path:
    name = name.replace("\\", "/")  # written on Windows
    try:
        # The reference's own file names its folder as well ("example_database/bo.png"): paths from one level higher.
        candidates = [(folder / name).resolve(), (folder.parent / name).resolve()]
        inside = [path for path in candidates if path.is_relative_to(folder)]
        found = next((path for path in inside if path.is_file()), None)
    except (OSError, ValueError) as error:  # a name no file system takes
        raise RapFormatError(f"The image {name!r} of the entry {key} is not a usable path.") from error
    if not inside:
        raise RapFormatError(f"The image {name} of the entry {key} is outside of the folder of the database.")
    if found is None:
        raise RapFormatError(f"The image {name} of the entry {key} is missing.")
    if found.stat().st_size > MOST_BYTES:
        raise RapFormatError(f"The image {name} of the entry {key} is too large.")
    return found


def _database_in(packed: PackedFiles) -> tuple[str, bytes]:
    """(name of the database in the zip, its content); it may lie in one folder, as packers make it."""
    names = packed.named(DATABASE)
    if not names:
        raise RapFormatError(f"The zip file has no {DATABASE} in it.")
    return names[0], packed.read(names[0])


def _packed_picture(packed: PackedFiles, database: str, key: str, name: str) -> bytes:
    folder = PurePosixPath(database).parent
    plain = name.replace("\\", "/")
    for candidate in (folder / plain, folder.parent / plain):
        if str(candidate) in packed:
            return packed.read(str(candidate))
    raise RapFormatError(f"The image {name} of the entry {key} is missing.")


def _files(entries: Iterable[RapEntry]) -> Iterable[tuple[str, bytes]]:
    """(name, content) of all files; the database itself is last, so that it never names what is not there."""
    concepts: dict[str, dict[str, Any]] = {}
    paths: dict[str, str] = {}
    used: set[str] = set()
    for entry in entries:
        stem = _file_stem(entry.name, used)
        key = f"<{entry.name}>"
        images: list[str] = []
        others: list[str] = []
        for kind, pictures, written in (("", entry.images, images), ("-not", entry.counterexamples, others)):
            for number, picture in enumerate(pictures, start=1):
                name = f"{_FOLDER}/{stem}{kind}{'' if number == 1 else f'-{number}'}.jpg"
                yield name, picture if isinstance(picture, bytes) else picture.read_bytes()
                written.append(name)
        card: dict[str, Any] = {"name": entry.name, "image": images[0], "info": entry.info, "category": entry.category}
        card |= {"traits": entry.traits} if entry.traits else {}
        concepts[key] = card | ({"counterexamples": others} if others else {})
        paths |= dict.fromkeys(images, key)
    database = {"concept_dict": concepts, "path_to_concept": paths}
    yield DATABASE, (json.dumps(database, ensure_ascii=False, indent=1) + "\n").encode()


def _file_stem(name: str, used: set[str]) -> str:
    """A file name for a concept that every system takes (ASCII letters, digits, _), different from all in `used`."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    safe = "".join(character if character.isalnum() else "_" for character in ascii_name.lower()).strip("_")[:40]
    # Never a "-": "x-2" and "x-not" are further pictures of x.
    stem = safe or "concept"
    number = 1
    while stem in used or stem in _DEVICES:
        number += 1
        stem = f"{safe or 'concept'}_{number}"
    used.add(stem)
    return stem


_DEVICES = frozenset(["con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(10))])


def _whole_or_nothing(target: Path, write: Callable[[Path], None]) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=".rapbot-export-", dir=target.parent))
        try:
            write(room / "draft")
            (room / "draft").replace(target)
        finally:
            shutil.rmtree(room, ignore_errors=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull from error
        raise RapFormatError(f"{target} cannot be written: {error.strerror or error}.") from error
