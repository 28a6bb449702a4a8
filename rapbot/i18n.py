"""The interface language of the person being answered: gettext catalogues, English where a string is missing.

The language is a context variable, so whatever runs for one message (and the tasks it starts) speaks it. What people
taught is never translated, and what the models write is English.
"""

from __future__ import annotations

import gettext
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

LANGUAGES = ("en", "de", "es", "zh", "ru")
"""Codes of the catalogues in `locale/`, English first."""

_FOLDER = Path(__file__).parent / "locale"
_language: ContextVar[str] = ContextVar("language", default="en")


def pick_language(code: str | None) -> str:
    """The catalogue for a platform's language code ("de-AT", "zh-hans", None); English when there is none."""
    first = (code or "").replace("_", "-").partition("-")[0].casefold()
    return first if first in LANGUAGES else LANGUAGES[0]


@contextmanager
def speaking(code: str | None) -> Iterator[None]:
    """Everything inside speaks the language of `code`."""
    token = _language.set(pick_language(code))
    try:
        yield
    finally:
        _language.reset(token)


def _(text: str) -> str:
    """`text` in the language of the person; placeholders in braces stay."""
    return _catalogue(_language.get()).gettext(text) if text else ""  # gettext gives its header for ""


def ngettext(one: str, many: str, count: int) -> str:
    """The plural form of the person's language for `count`."""
    return _catalogue(_language.get()).ngettext(one, many, count)


def mark(text: str) -> str:
    """Marks a string for the catalogue that is translated later, by `_(variable)`."""
    return text


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    return gettext.translation("rapbot", _FOLDER, [language], fallback=True)
