"""The files Telegram keeps: photos in several sizes, documents, and what getFile says of them."""

from __future__ import annotations

import contextlib
import io
import itertools
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from PIL import Image

from tests.peers.telegram.wire import Refusal

Wire = dict[str, Any]

DOWNLOAD_LIMIT = 20 * 1024 * 1024  # getFile, bytes
PHOTO_LIMIT = 10 * 1024 * 1024  # sendPhoto, bytes
_SIZES = (90, 320, 800)  # the longer sides of the smaller copies Telegram makes, pixels


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file and its addresses; `size` may claim more bytes than `data` holds."""

    file_id: str
    unique_id: str
    path: str
    data: bytes
    size: int

    @property
    def wire(self) -> Wire:
        """The fields every file-like object has."""
        return {"file_id": self.file_id, "file_unique_id": self.unique_id, "file_size": self.size}


class Files:
    """Every file that people or the bot sent."""

    def __init__(self) -> None:
        self._files: dict[str, StoredFile] = {}
        self._numbers = itertools.count(1)

    def photo(self, data: bytes, file_size: int | None = None) -> list[Wire]:
        """The PhotoSize list of a picture, smallest first; the last one is `data` itself.

        Raises Refusal for what is not a picture.
        """
        try:
            with Image.open(io.BytesIO(data)) as opened:
                picture = opened.convert("RGB")
        except (OSError, ValueError) as error:
            raise Refusal(400, "Bad Request: IMAGE_PROCESS_FAILED") from error
        width, height = picture.size
        sides = [side for side in _SIZES if side < max(width, height)] or [max(1, max(width, height) // 2)]
        sizes = []
        for side in sides:
            copy = picture.copy()
            copy.thumbnail((side, side))
            buffer = io.BytesIO()
            copy.save(buffer, "JPEG", quality=80)
            stored = self._keep(buffer.getvalue(), "photos", ".jpg")
            sizes.append({**stored.wire, "width": copy.width, "height": copy.height})
        largest = self._keep(data, "photos", ".jpg", file_size)
        return [*sizes, {**largest.wire, "width": width, "height": height}]

    def document(self, data: bytes, file_name: str, mime_type: str, file_size: int | None = None) -> Wire:
        """The Document object of a file."""
        stored = self._keep(data, "documents", PurePosixPath(file_name).suffix, file_size)
        document = {**stored.wire, "file_name": file_name, "mime_type": mime_type}
        if mime_type.startswith("image/"):
            with contextlib.suppress(Refusal):  # a broken picture sent as a file arrives all the same
                document["thumbnail"] = self.photo(data)[0]
        return document

    def get(self, file_id: str) -> StoredFile:
        """The file of an id. Raises Refusal for an unknown one."""
        if file_id not in self._files:
            raise Refusal(400, "Bad Request: wrong file identifier/HTTP URL specified")
        return self._files[file_id]

    def describe(self, file_id: str) -> Wire:
        """The File object getFile answers. Raises Refusal when unknown or above 20 MB."""
        if file_id not in self._files:
            raise Refusal(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
        stored = self._files[file_id]
        if stored.size > DOWNLOAD_LIMIT:
            raise Refusal(400, "Bad Request: file is too big")
        return {**stored.wire, "file_path": stored.path}

    def at(self, path: str) -> bytes | None:
        """What a download of this path gives."""
        return next((f.data for f in self._files.values() if f.path == path), None)

    def _keep(self, data: bytes, folder: str, suffix: str, size: int | None = None) -> StoredFile:
        number = next(self._numbers)
        file_id = f"AgACAgIAAxkBAAI{number:06d}-rapbot"
        path = f"{folder}/file_{number}{suffix}"
        stored = StoredFile(file_id, f"AQADuniq{number:06d}", path, data, len(data) if size is None else size)
        self._files[file_id] = stored
        return stored
