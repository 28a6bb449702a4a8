"""Import and export of the database file of the RAP reference implementation. Source: RAP.md, "Database file".

    {"concept_dict": {"<bo>": {"name": "bo", "image": "avatars/bo.jpg", "info": "...", "category": "dog"}},
     "path_to_concept": {"avatars/bo.jpg": "<bo>"}}

Further pictures of a concept are more paths in `path_to_concept` with the same value (the reference indexes those too);
counterexamples are under "counterexamples" of the concept, a key that the reference does not read.
"""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapbot.concepts.concept import fold_name
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


def read_rap_database(source: Path) -> list[RapEntry]:
    """The concepts of a RAP database: a JSON file, or the folder that holds it as `database.json`.

    Pictures are checked to exist and to lie in that folder, but not opened. Raises RapFormatError.
    """
    path = source / DATABASE if source.is_dir() else source
    concepts, paths = _parsed(path)
    folder = path.parent.resolve()
    entries: list[RapEntry] = []
    first_key: dict[str, str] = {}
    for key, fields in concepts.items():
        if not isinstance(fields, dict):
            raise RapFormatError(f"The entry {key} in {path.name} is not a card with name, image and info.")
        name = _bare_name(_text(fields, "name", key) or key)
        earlier = first_key.setdefault(fold_name(name), key)
        if earlier != key:
            raise RapFormatError(f"The entries {earlier} and {key} in {path.name} have the same name.")
        more = [image for image, owner in paths.items() if _bare_name(str(owner)) in (_bare_name(key), name)]
        images = _pictures(folder, key, [*_list(fields, "image", key), *more])
        if not images:
            raise RapFormatError(f"The entry {key} in {path.name} has no image.")
        entries.append(
            RapEntry(
                name,
                _text(fields, "category", key),
                _text(fields, "info", key),
                images,
                _pictures(folder, key, _list(fields, "counterexamples", key)),
            )
        )
    return entries


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

    _whole_or_nothing(target, write)


def write_rap_zip(target: Path, entries: Iterable[RapEntry]) -> None:
    """The same as one zip file; an older file of that name is replaced in one step. Raises DiskFull."""

    def write(draft: Path) -> None:
        with zipfile.ZipFile(draft, "w") as archive:
            for name, data in _files(entries):
                packing = zipfile.ZIP_DEFLATED if name == DATABASE else zipfile.ZIP_STORED  # a JPEG is packed already
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, packing)

    _whole_or_nothing(target, write)


def _parsed(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise RapFormatError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or nested without end
        raise RapFormatError(f"{path.name} is not a RAP database: it is not valid JSON.") from error
    concepts = content.get("concept_dict") if isinstance(content, dict) else None
    if not isinstance(concepts, dict):
        raise RapFormatError(f'{path.name} is not a RAP database: it has no "concept_dict".')
    paths = content.get("path_to_concept", {})
    if not isinstance(paths, dict):
        raise RapFormatError(f'{path.name} is not a RAP database: its "path_to_concept" is not a table of paths.')
    return concepts, paths


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


def _pictures(folder: Path, key: str, names: Iterable[str]) -> tuple[Path, ...]:
    """Resolved paths, each once, in the order given."""
    return tuple(dict.fromkeys(_picture(folder, key, name) for name in names))


def _picture(folder: Path, key: str, name: str) -> Path:
    try:
        # Files written on Windows have backslashes.
        candidates = [folder / name, folder / name.replace("\\", "/")]
        path = next((each.resolve() for each in candidates if each.is_file()), candidates[1].resolve())
        if not path.is_relative_to(folder):
            raise RapFormatError(f"The image {name} of the entry {key} is outside of the folder of the database.")
        if not path.is_file():
            raise RapFormatError(f"The image {name} of the entry {key} is missing.")
    except (OSError, ValueError) as error:  # a name no file system takes
        raise RapFormatError(f"The image {name!r} of the entry {key} is not a usable path.") from error
    return path


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
        concepts[key] = card | ({"counterexamples": others} if others else {})
        paths |= dict.fromkeys(images, key)
    database = {"concept_dict": concepts, "path_to_concept": paths}
    yield DATABASE, (json.dumps(database, ensure_ascii=False, indent=1) + "\n").encode()


def _file_stem(name: str, used: set[str]) -> str:
    """A file name for a concept that every system takes: ASCII letters, digits, _ and -, and different from all others."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    safe = "".join(character if character.isalnum() else "_" for character in ascii_name.lower()).strip("_")[:40]
    # "x-2" and "x-not" are endings of further pictures; the mark keeps stems apart from them and from CON, NUL, ...
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
