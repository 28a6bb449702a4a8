"""Encryption at rest of what people taught and wrote: cell by cell, where rows are written and read.

AES-256-GCM with a nonce of its own for every cell (NIST SP 800-38D: at most 2**32 cells for one key, more than anybody
teaches). The kind of cell is authenticated, so that none can be put in the place of another kind. Without a key
everything stays as it is, which is the default.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rapbot.errors import ConfigError, ExtraMissing, StoreCorrupt, StoreError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE = 12
_KEY = 32


@dataclass(frozen=True, slots=True)
class Seal:
    """Closes and opens cells; made by `seal_of`. `what` is the kind of a cell: the name of its column.

    Opening raises StoreCorrupt for what was not closed with this key, or as another kind. Any thread may use it.
    """

    key_id: str = ""
    """Recognises the key without giving anything of it away; empty: nothing is encrypted."""
    _aead: AESGCM | None = field(default=None, repr=False)
    _digests: bytes = field(default=b"", repr=False)
    _damaged: tuple[type[Exception], ...] = field(default=(), repr=False)
    """What opening raises; importing it for each of thousands of cells would take as long as opening it."""

    def blob(self, data: bytes, what: str) -> bytes:
        if self._aead is None:
            return data
        nonce = os.urandom(_NONCE)
        return nonce + self._aead.encrypt(nonce, data, what.encode())

    def open_blob(self, cell: bytes, what: str) -> bytes:
        if self._aead is None:
            return cell
        try:
            return self._aead.decrypt(cell[:_NONCE], cell[_NONCE:], what.encode())
        except self._damaged as error:
            raise StoreCorrupt(f"A cell ({what}) of the database is damaged: it cannot be decrypted.") from error

    def text(self, words: str, what: str) -> str:
        """In base64; no words stay no words."""
        return words if self._aead is None or not words else base64.b64encode(self.blob(words.encode(), what)).decode()

    def open_text(self, cell: str, what: str) -> str:
        if self._aead is None or not cell:
            return cell
        try:
            closed = base64.b64decode(cell, validate=True)
        except binascii.Error as error:
            raise StoreCorrupt(f"A cell ({what}) of the database is damaged: it cannot be decrypted.") from error
        return self.open_blob(closed, what).decode()

    def digest(self, words: str, owner_no: int) -> str:
        """The same for the same words of one owner, so that they can be found; without the key it tells nothing."""
        if self._aead is None:
            return words
        return hashlib.blake2b(f"{owner_no}:{words}".encode(), key=self._digests, digest_size=20).hexdigest()


PLAIN = Seal()


def seal_of(secret: str) -> Seal:
    """The seal of a key as `new_key` writes it; of none: `PLAIN`. Raises ConfigError, ExtraMissing."""
    if not secret:
        return PLAIN
    key = b""
    with suppress(ValueError):
        key = base64.urlsafe_b64decode(secret)
    if len(key) != _KEY:
        raise ConfigError(
            "The key of [encryption] is none: 32 bytes in base64 are wanted. rapbot key new FILE makes one."
        )
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise ExtraMissing("Encryption", "encryption", "cryptography") from error
    cells, digests = AESGCM(_derived(key, b"cells", 32)), _derived(key, b"digests", 32)
    return Seal(_derived(key, b"id", 8).hex(), cells, digests, (InvalidTag, ValueError))


def new_key(file: Path) -> None:
    """Write a new key that only this account may read. Raises StoreError; an existing file is never touched."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as opened:
            opened.write(base64.urlsafe_b64encode(secrets.token_bytes(_KEY)) + b"\n")
    except FileExistsError as error:
        raise StoreError(f"{file} is there already, and I overwrite no key.") from error
    except OSError as error:
        raise StoreError(f"I cannot write {file}: {error.strerror}.") from error


def fits(stored: str, seal: Seal, what: Path) -> None:
    """Raises StoreError, with the way out, where a file whose key is called `stored` is not opened by `seal`."""
    if stored == seal.key_id:
        return
    if not stored:
        raise StoreError(f"{what} is not encrypted, but [encryption] has a key. Stop rapbot and run: rapbot key use")
    if not seal.key_id:
        raise StoreError(
            f"{what} is encrypted with the key {stored}, and [encryption] has none. Nothing was changed. "
            "Set encryption.key_file; to end the encryption: rapbot key use --former KEY_FILE"
        )
    raise StoreError(
        f"{what} is encrypted with the key {stored}, and [encryption] has the key {seal.key_id}. Nothing was changed. "
        "If this one shall take its place: rapbot key use --former KEY_FILE"
    )


def _derived(key: bytes, use: bytes, size: int) -> bytes:
    """Keys of their own for each use."""
    return hashlib.blake2b(key=key, person=b"rapbot " + use, digest_size=size).digest()
