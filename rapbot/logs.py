"""Structured logs: ids and timings, never texts, names, photos or tokens."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from collections.abc import Callable, MutableMapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, TextIO, cast

import structlog

_secrets: set[str] = set()


def hide(secret: str) -> None:
    """From now on no record of any logger shows `secret`, not even in a traceback. Libraries log whole URLs."""
    if not secret:
        return
    _secrets.add(secret)
    if not isinstance(logging.getLogRecordFactory(), _HidingFactory):
        logging.setLogRecordFactory(_HidingFactory(logging.getLogRecordFactory()))


def place_of(error: BaseException) -> str:
    """File and line where an error was raised: what a log may tell of a bug, since its words may hold people's."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else "?"


def without_secrets(text: str) -> str:
    for secret in _secrets:
        text = text.replace(secret, "[hidden]")
    return text


def tell_kinds(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Handles what nobody caught in a task or callback: asyncio would write its words and arguments into the log."""
    error = context.get("exception")
    kind = type(error).__name__ if error is not None else None
    get_logger(__name__).error("not caught", error=kind, where=place_of(error) if error is not None else "?")


class _HidingFactory:
    """Makes log records whose text and traceback are cleaned before any handler sees them."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make(*args, **kwargs)
        record.msg, record.args = without_secrets(record.getMessage()), None
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = without_secrets("".join(traceback.format_exception(*record.exc_info)))
            record.exc_info = None
        return record


def _clean(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: without_secrets(value) if isinstance(value, str) else value for key, value in event.items()}


class _Patient:
    """A stream that drops what it cannot write: a full disk or a closed terminal must not end the program."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def about(**said: str) -> AbstractContextManager[object]:
    """Every line that is logged inside says this as well, also by tasks that are started there."""
    return structlog.contextvars.bound_contextvars(**said)


def configure_logs(level: str = "info", form: str = "text") -> None:
    """One line per event on stderr; colours only on a terminal. `form`: "text", or "json" for programs."""
    renderer: Any = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    if form == "json":
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _clean,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Patient(sys.stderr))),
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> Any:
    return structlog.get_logger(name)
