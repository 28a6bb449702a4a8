"""Answers of a service, on disk: by what was asked (model, words, picture), so that nothing is paid for twice."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rapbot.errors import ConfigError


def key_of(request: Mapping[str, Any]) -> str:
    """SHA-256 of a whole request: model, messages with the picture in them, options."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class Kept:
    """Not thread-safe. Every answer is on disk before the next is asked for."""

    def __init__(self, base: sqlite3.Connection) -> None:
        self._base = base

    def answer(self, key: str) -> str | None:
        row = self._base.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def failure(self, key: str) -> str | None:
        """Why a request was set aside by an earlier run."""
        row = self._base.execute("SELECT reason FROM failures WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def keep(self, key: str, answer: str) -> None:
        with self._base:
            self._base.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, answer))
            self._base.execute("DELETE FROM failures WHERE key = ?", (key,))

    def set_aside(self, key: str, reason: str) -> None:
        with self._base:
            self._base.execute("INSERT OR REPLACE INTO failures VALUES (?, ?)", (key, reason))

    def forget_failures(self) -> None:
        with self._base:
            self._base.execute("DELETE FROM failures")

    def spend(self, read: int, written: int) -> None:
        """Tokens that a request has cost, usable or not."""
        with self._base:
            self._base.execute("INSERT INTO spent VALUES (?, ?)", (read, written))

    def spent(self) -> tuple[int, int]:
        """Tokens read and written, by all runs."""
        read, written = self._base.execute("SELECT TOTAL(read), TOTAL(written) FROM spent").fetchone()
        return int(read), int(written)


@contextmanager
def open_kept(file: Path) -> Iterator[Kept]:
    """Raises ConfigError where the file is none of ours."""
    file.parent.mkdir(parents=True, exist_ok=True)
    base = sqlite3.connect(file)
    try:
        with base:
            base.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT)")
            base.execute("CREATE TABLE IF NOT EXISTS failures (key TEXT PRIMARY KEY, reason TEXT)")
            base.execute("CREATE TABLE IF NOT EXISTS spent (read INTEGER, written INTEGER)")
        yield Kept(base)
    except sqlite3.DatabaseError as error:
        raise ConfigError(f"{file} is damaged ({error}). Delete it, and everything is asked anew.") from error
    finally:
        base.close()
