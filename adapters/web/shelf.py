"""Pictures on their way to the browser. They stand in memory only, under names nobody can guess."""

from __future__ import annotations

import contextlib
import secrets
from collections import OrderedDict
from pathlib import Path

from rapbot.errors import PhotoError
from rapbot.messages import Photo

_SIGNATURES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def media_type(data: bytes) -> str | None:
    """The type of a picture that every browser shows; None for anything else, markup (SVG) in particular."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _SIGNATURES if data.startswith(start)), None)


class PictureShelf:
    """Holds so many bytes of pictures; the ones that were put there first make room."""

    def __init__(self, capacity: int = 128_000_000) -> None:
        """`capacity` in bytes."""
        self._capacity = capacity
        self._held = 0
        self._pictures: OrderedDict[str, bytes] = OrderedDict()

    def put(self, data: bytes) -> str | None:
        """The token of a picture, or None when no browser can show it (HEIC)."""
        if media_type(data) is None or len(data) > self._capacity:
            return None
        token = secrets.token_urlsafe(16)
        self._pictures[token] = data
        self._held += len(data)
        while self._held > self._capacity:
            _, oldest = self._pictures.popitem(last=False)
            self._held -= len(oldest)
        return token

    def get(self, token: str) -> bytes | None:
        return self._pictures.get(token)

    def drop(self, token: str) -> None:
        self._held -= len(self._pictures.pop(token, b""))

    def __len__(self) -> int:
        return len(self._pictures)


def take_upload(path: Path, folder: Path) -> Photo:
    """Read an uploaded file and delete it at once: photos sent for a caption are never kept.

    Only files inside `folder` are touched. Raises PhotoError when the file is not there (any more).
    """
    if not path.resolve().is_relative_to(folder.resolve()):
        raise PhotoError("I only read photos that were sent to this page.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PhotoError("That photo did not arrive. Please send it again.") from error
    finally:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another file of the same upload may still lie there
            path.parent.rmdir()
    return Photo(data, path.name)
