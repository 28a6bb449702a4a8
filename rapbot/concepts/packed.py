"""A zip from a stranger, read without being unpacked: nothing is written, and nothing grows without end."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import PurePosixPath

MOST_BYTES = 20 * 2**20
"""Of one file: as large as a photo may be."""
_MOST_FILES = 20_000
"""A person has at most 500 concepts with 16 pictures each."""
_MOST_IN_ALL = 2**30
"""Bytes unpacked; larger collections can be imported as a folder."""
_MOST_RATIO = 100
"""Times the size of the zip. Photos hardly shrink, and they are nearly all of it."""
_PACKINGS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""The others may ask for gigabytes before they give a byte."""


class Unpackable(ValueError):
    """Says in one sentence why nothing is read from this zip."""


class PackedFiles:
    """The files of an open zip, by name. Names are only compared, never used as paths."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        """`size` of the zip in bytes. Raises Unpackable."""
        self._archive = archive
        self._left = min(_MOST_IN_ALL, _MOST_RATIO * size + 1_000_000)
        self._infos: dict[str, zipfile.ZipInfo] = {}
        entries = archive.infolist()
        if len(entries) > _MOST_FILES:
            raise Unpackable(f"The zip file holds {len(entries)} files; I take up to {_MOST_FILES}.")
        for info in entries:
            if info.is_dir():
                continue
            if info.filename in self._infos:
                raise Unpackable(f"The zip file holds {info.filename} twice.")
            if stat.S_ISLNK(info.external_attr >> 16):
                raise Unpackable(f"{info.filename} in the zip file is a link, not a file.")
            self._infos[info.filename] = info

    def named(self, name: str) -> list[str]:
        """Every file of this name in whatever folder, the shortest path first."""
        return sorted((path for path in self._infos if PurePosixPath(path).name == name), key=len)

    def __contains__(self, path: str) -> bool:
        return path in self._infos

    def read(self, path: str) -> bytes:
        """Its content. Raises Unpackable."""
        info = self._infos[path]
        if info.file_size > MOST_BYTES:
            raise Unpackable(f"{path} in the zip file is too large.")
        if info.compress_type not in _PACKINGS:
            raise Unpackable(f"{path} in the zip file is packed in a way that I do not read.")
        # What was read counts, not what the zip says: two names may mean the same bytes, and one name be asked twice.
        self._left -= info.file_size
        if self._left < 0:
            raise Unpackable("The zip file unpacks to far more than it should hold.")
        try:
            return self._archive.read(info)  # never more than `file_size`
        except (zlib.error, EOFError) as error:
            raise zipfile.BadZipFile(path) from error
