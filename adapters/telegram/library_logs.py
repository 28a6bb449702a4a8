"""What the libraries below log, in our words: kind and place only.

Their records hold addresses (with the token in them) and whole updates (with people's texts).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rapbot.logs import get_logger

_log = get_logger(__name__)
_LIBRARIES = ("telegram", "aiohttp")


class _KindAndPlace(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say = _log.warning if record.levelno >= logging.WARNING else _log.debug
        say("library", logger=record.name, at=f"{record.module}:{record.lineno}", error=_kind(record))


def _kind(record: logging.LogRecord) -> str | None:
    """The class of the error; `rapbot.logs.hide` leaves only its text, whose last line begins with the class."""
    if record.exc_info and record.exc_info[0] is not None:
        return record.exc_info[0].__name__
    lines = (record.exc_text or "").strip().splitlines()
    return lines[-1].partition(":")[0].rpartition(".")[2] if lines else None


@contextmanager
def only_kind_and_place() -> Iterator[None]:
    """While the bot runs."""
    handler = _KindAndPlace()
    before = [(name, logging.getLogger(name).propagate, logging.getLogger(name).level) for name in _LIBRARIES]
    for name in _LIBRARIES:
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for name, propagate, level in before:
            logger = logging.getLogger(name)
            logger.removeHandler(handler)
            logger.propagate = propagate
            logger.setLevel(level)
