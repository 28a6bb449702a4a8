"""The pictures of messages: which attachments are some, and their bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import PurePath

import aiohttp
import discord

from adapters.shares import Shares
from rapbot.config import LimitSettings
from rapbot.errors import PhotoError
from rapbot.i18n import _
from rapbot.messages import Photo
from rapbot.photos import NOT_A_PICTURE

MOST = 10
_READABLE = frozenset({"jpeg", "jpg", "pjpeg", "jfif", "png", "apng", "webp", "gif", "heic", "heif", "avif"})
_PAUSES = (0.2, 1.0, 0.0)
"""Seconds after each failed try; the library itself tries files only once."""
_PATIENCE_S = 60.0


def is_picture(attachment: discord.Attachment) -> bool:
    """By what Discord says of the content, else by the file name; whether it can be decoded shows later."""
    kind = (attachment.content_type or "").partition(";")[0].strip().lower()
    if kind and kind != "application/octet-stream":
        return kind.startswith("image/") and kind.removeprefix("image/") in _READABLE
    return PurePath(attachment.filename).suffix.lower().lstrip(".") in _READABLE


def attached(message: discord.Message) -> list[discord.Attachment]:
    """The files of a message, or of the message that it forwards."""
    return message.attachments or [file for one in message.message_snapshots for file in one.attachments]


def chosen(files: Sequence[discord.Attachment], limits: LimitSettings) -> tuple[discord.Attachment, ...]:
    """The pictures among `files`, checked before anything is loaded. Raises PhotoError."""
    pictures = tuple(file for file in files if is_picture(file))[:MOST]
    if files and not pictures:
        raise PhotoError(_(NOT_A_PICTURE))
    for picture in pictures:
        if picture.size > limits.photo_megabytes * 1_000_000:
            raise PhotoError(
                _("That photo has {size:.0f} MB; I take up to {limit:g} MB.").format(
                    size=picture.size / 1e6, limit=limits.photo_megabytes
                )
            )
    return pictures


async def load(
    files: Sequence[discord.Attachment], limits: LimitSettings, downloads: Shares, person: str
) -> tuple[Photo, ...]:
    """Their bytes, never on disk, for this person (`Actor.id`). Raises PhotoError."""

    async def one(file: discord.Attachment) -> Photo:
        async with downloads.of(person):
            return await _load(file)

    return tuple(await asyncio.gather(*(one(file) for file in chosen(files, limits))))


async def _load(file: discord.Attachment) -> Photo:
    for pause in _PAUSES:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return Photo(await file.read(), file.filename)
        except (discord.NotFound, discord.Forbidden) as error:  # deleted meanwhile, or its address is a day old
            raise PhotoError(_("Discord does not have that photo any more. Please send it again.")) from error
        except (discord.HTTPException, aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(pause)
    raise PhotoError(_("Discord does not hand me that photo right now. Please try again in a moment."))
