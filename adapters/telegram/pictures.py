"""Fetching pictures from Telegram: into memory, never onto the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from telegram import Bot
from telegram.error import BadRequest, NetworkError, TelegramError

from adapters.shares import Shares
from adapters.telegram.reading import PictureFile
from rapbot.errors import PhotoError
from rapbot.i18n import _
from rapbot.logs import get_logger
from rapbot.messages import Photo
from rapbot.watching import trouble

_log = get_logger(__name__)

GETFILE_LIMIT = 20 * 1024 * 1024
"""Bytes (https://core.telegram.org/bots/api#getfile)."""
_ATTEMPTS = 2


class Pictures:
    """Downloads, a few at a time, of one person half as many. `limit` in bytes, `patience` in seconds for a picture."""

    def __init__(self, bot: Bot, limit: int, patience: float = 60.0, at_once: int = 8) -> None:
        self._bot = bot
        self._limit = min(limit, GETFILE_LIMIT)
        self._patience = patience
        self._slots = Shares(at_once, max(1, at_once // 2))

    async def load(self, files: Sequence[PictureFile], person: str) -> tuple[Photo, ...]:
        """The pictures in the order of `files`, for this person (`Actor.id`). Raises PhotoError."""
        for file in files:
            if file.size > self._limit:
                raise self._too_big(file.size)
        return tuple(await asyncio.gather(*(self._fetch(file, person) for file in files)))

    async def _fetch(self, file: PictureFile, person: str) -> Photo:
        async with self._slots.of(person):
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    async with asyncio.timeout(self._patience):
                        return await self._download(file)
                except BadRequest as error:
                    if "too big" in error.message.casefold():
                        raise self._too_big(file.size) from None
                    _log.info("picture refused", error="BadRequest")
                    break
                except (NetworkError, TimeoutError) as error:
                    _log.info("picture not fetched", error=type(error).__name__, attempt=attempt)
                except TelegramError as error:  # a damaged answer; 404 for a file that is gone
                    _log.info("picture not fetched", error=type(error).__name__)
                    break
        # "from None" everywhere here: the address of a file holds the token
        raise PhotoError(_("I could not get that photo from Telegram. Please send it again.")) from None

    async def _download(self, file: PictureFile) -> Photo:
        found = await self._bot.get_file(file.file_id)
        try:
            return Photo(bytes(await found.download_as_bytearray()), file.name)
        except TelegramError as error:
            trouble("telegram", error)
            raise

    def _too_big(self, size: int) -> PhotoError:
        limit = self._limit / 1_000_000
        if not size:
            return PhotoError(
                _("That photo is too large: Telegram hands me files of up to {limit:.0f} MB.").format(limit=limit)
            )
        return PhotoError(
            _("That photo has {size:.0f} MB; I can take up to {limit:.0f} MB.").format(size=size / 1e6, limit=limit)
        )
