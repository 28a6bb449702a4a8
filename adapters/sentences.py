"""What people read about work that goes on, and about work that failed."""

from __future__ import annotations

import re

from rapbot.errors import ConfigError, RapbotError, StoreError, WeightsError
from rapbot.i18n import _, ngettext
from rapbot.logs import get_logger, place_of
from rapbot.messages import Progress, Stage

_log = get_logger(__name__)

_MOST_WORDS = 1500
"""Characters of an unfinished answer: every platform takes that many in one message."""


def progress_sentence(progress: Progress) -> str:
    """What a waiting person reads."""
    if progress.text:
        return progress.text[:_MOST_WORDS] + " …"
    match progress.stage:
        case Stage.STARTING:
            return _("My models are just starting. Your message waits here; I answer as soon as they are ready …")
        case Stage.QUEUED if progress.position:
            return ngettext(
                "Waiting: {count} message before yours …", "Waiting: {count} messages before yours …", progress.position
            ).format(count=progress.position)
        case Stage.QUEUED:
            return _("You are next …")
        case Stage.LOOKING:
            return _("Looking at the photo …")
        case Stage.RECALLING:
            return _("Remembering what you taught me …")
        case Stage.WRITING:
            return _("Writing …")


_PATH = re.compile(r"(?<!\w)[~.]?/[^\s/]+/\S|\b[A-Za-z]:\\|https?://")
"""Files and servers are the business of whoever runs rapbot, who reads of them in the terminal and from the doctor."""


def sentence(error: Exception) -> str:
    """What a person reads about a failure: never a traceback, nor a path of the machine.

    The log gets the kind of a bug and its place, no text.
    """
    of_machine = isinstance(error, StoreError | ConfigError | WeightsError) and _PATH.search(error.sentence)
    if isinstance(error, RapbotError) and not of_machine:
        return _(error.sentence)  # what the worker said comes untranslated; the rest is as it was
    _log.error("turn failed", error=type(error).__name__, where=place_of(error))
    return _("Something broke inside me. Sorry! Please try that again.")
