"""What a request to the page may carry: how much, and files only by the names that uploads got here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
_MOST_PHOTOS = 20
"""Of one upload."""
_MOST_JSON = 1_000_000
_MOST_FORM = 2000
_PATIENCE = 30.0
"""Seconds for such a body to arrive."""
LOGIN = "/login"
UPLOAD = "/gradio_api/upload"
FILE = "/gradio_api/file="


@dataclass(frozen=True, slots=True)
class Bodies:
    """`photo_bytes`: of one photo. `uploads`: the only folder whose files the page may be asked about."""

    photo_bytes: int
    uploads: Path

    def most(self, path: str) -> int:
        """Bytes of a body for this path."""
        if path == LOGIN:
            return _MOST_FORM
        return _MOST_PHOTOS * (self.photo_bytes + 1000) if path.rstrip("/") == UPLOAD else _MOST_JSON

    def names_foreign_file(self, body: bytes) -> bool:
        """Whether a call of an event means a file that was not uploaded here.

        gradio fetches addresses and opens paths that it finds in the place of an uploaded file. Its own checks come
        later and are its own; here the rule is one line. What is no JSON is left to gradio, which refuses it.
        """
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            return False
        return any(not self.is_upload(path) for path in _files_in(told))

    def is_upload(self, path: str) -> bool:
        """Whether the path is one of an uploaded file (which need not be there any more)."""
        try:
            return Path(path).is_absolute() and Path(path).resolve().is_relative_to(self.uploads.resolve())
        except (OSError, ValueError, RuntimeError):
            return False


async def whole(receive: Receive) -> bytes:
    """The body; its length was checked, for it was announced. Raises TimeoutError."""
    parts = []
    more = True
    async with asyncio.timeout(_PATIENCE):
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message["type"] == "http.request" and message.get("more_body", False)
    return b"".join(parts)


def again(body: bytes, receive: Receive) -> Receive:
    """`receive` as if the body had not been read yet."""
    first = True

    async def receive_again() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return receive_again


def _files_in(told: Any) -> list[str]:
    """Every value of a key "path" in a JSON value, however deep."""
    found: list[str] = []
    waiting = [told]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            found += [str(value["path"])] if value.get("path") is not None else []
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return found
