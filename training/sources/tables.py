"""Opening the files of a source: each refusal names the file, and what to do."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.sources.records import SourceError

PICTURES = (".jpg", ".jpeg", ".png", ".webp")


def there(root: Path, *candidates: str) -> Path:
    """The first of `candidates` (relative to `root`) that is there. Raises SourceError, which names the first."""
    for one in candidates:
        if (root / one).exists():
            return root / one
    others = f" (nor is {' or '.join(candidates[1:])})" if candidates[1:] else ""
    raise SourceError(f"{root / candidates[0]} is missing{others}.")


def load_json(file: Path) -> Any:
    """Raises SourceError."""
    return _load(file, lambda: json.loads(file.read_bytes()), "is not valid JSON")


def load_pickle(file: Path) -> Any:
    """Lists, tables, texts and numbers of a pickle, also one of Python 2; anything else is refused unread.

    Raises SourceError.
    """

    def load() -> Any:
        with file.open("rb") as stream:
            return _PlainUnpickler(stream, encoding="utf-8", errors="replace").load()

    return _load(file, load, "is not a pickle of plain tables")


def rows_of(file: Path, table: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) of a list of tables: `table`, or what it has under `key`. Raises SourceError."""
    rows = table.get(key) if key and isinstance(table, dict) else table
    if not isinstance(rows, list):
        what = f'no list "{key}"' if key else "no list"
        raise SourceError(f"{file}: there is {what} in it. Is it the right file?")
    for number, row in enumerate(rows, 1):
        where = f"{file}, entry {number}{f' of {key}' if key else ''}"
        if not isinstance(row, dict):
            raise SourceError(f"{where}, is not a table.")
        yield where, row


def field(row: dict[str, Any], key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """Raises SourceError where `row` has no `key` of that kind."""
    value = row.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise SourceError(f'{where}: "{key}" is missing or of a wrong kind.')
    return value


def corners(row: dict[str, Any], where: str) -> tuple[float, float, float, float]:
    """The "bbox" of the COCO format (x, y, width, height) as left, top, right, bottom. Raises SourceError."""
    box = field(row, "bbox", list, where)
    if len(box) != 4 or not all(isinstance(one, int | float) for one in box):
        raise SourceError(f'{where}: "bbox" is not [x, y, width, height].')
    x, y, width, height = box
    return (float(x), float(y), float(x + width), float(y + height))


def pictures_in(folder: Path) -> list[Path]:
    """Sorted; not those of inner folders."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.is_file())


def _load(file: Path, load: Any, wrong: str) -> Any:
    try:
        return load()
    except FileNotFoundError:
        raise SourceError(f"{file} is missing.") from None
    except OSError as error:
        raise SourceError(f"{file} cannot be read ({error.strerror or error}).") from error
    except MemoryError:
        raise SourceError(f"{file} does not fit into this machine's memory.") from None
    except Exception as error:  # a damaged pickle raises nearly anything
        raise SourceError(f"{file} {wrong} ({error}). Was it cut off? Download it again.") from error


class _PlainUnpickler(pickle.Unpickler):
    """Finds no class and no function, so that a pickle can run nothing. Source: Python, "Restricting Globals"."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it wants to use {module}.{name}")
