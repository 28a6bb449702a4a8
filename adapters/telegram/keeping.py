"""Updates and answers as the inbox keeps them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from telegram import Message, Update
from telegram.error import NetworkError
from telegram.ext import ExtBot

from adapters.telegram.pieces import Kind, Sent, SentPiece
from adapters.telegram.reading import is_group, picture_of, replies_to, sender_of, words_of
from rapbot.errors import StoreError
from rapbot.inbox import Arrived
from rapbot.watching import connected

Keep = Callable[[tuple[Update, ...]], Awaitable[None]]
"""Returns once these are on disk. Raises StoreError."""


def platform_of(bot_id: int) -> str:
    """Numbers of updates belong to one bot: with another token nothing is mixed up."""
    return f"telegram:{bot_id}"


class KeepingBot(ExtBot[Any]):
    """Hands on updates only when they are kept: the call that follows tells Telegram to forget them."""

    _keep: Keep | None = None
    _failed = False

    def keep_by(self, keep: Keep) -> None:
        self._keep = keep

    async def get_updates(self, *args: Any, **options: Any) -> tuple[Update, ...]:
        """As in the library. Raises NetworkError as well when the updates cannot be kept: they come again."""
        if self._failed and "timeout" in options:
            options["timeout"] = 0  # an answer at once tells that Telegram is back
        self._failed = True
        updates = await super().get_updates(*args, **options)
        self._failed = False
        connected("telegram", True)
        if self._keep is not None and updates:
            try:
                await self._keep(updates)
            except StoreError as error:
                raise NetworkError("not kept") from error
        return updates


class KeepingQueue(asyncio.Queue[object]):
    """As the queue of the library; a webhook says "taken" once `put` returns. Raises StoreError: it comes again."""

    _keep: Keep | None = None

    def keep_by(self, keep: Keep) -> None:
        self._keep = keep

    async def put(self, item: object) -> None:
        if self._keep is not None and isinstance(item, Update):
            await self._keep((item,))
        await super().put(item)


def arrival(update: Update, bot: tuple[int, str], expires_at: float) -> Arrived | None:
    """None for what nobody wants an answer to: talk of others in a group. `bot`: id and username."""
    kept: dict[str, Any] = {
        "platform": platform_of(bot[0]),
        "key": str(update.update_id),
        "update": _as_json(update),
        "expires_at": expires_at,
    }
    message = update.message or update.edited_message
    if message is not None:
        if not _concerns(message, *bot):
            return None
        work = question_of(message) if message.media_group_id and update.message else ""
        place = str(message.chat.id)
        return Arrived(**kept, question=question_of(message), person=_person(message), work=work, place=place)
    query = update.callback_query
    if query is not None:
        if query.message is None or not query.data:
            return None
        question = f"{query.message.chat.id}:{query.message.message_id}:{query.id}"
        place = str(query.message.chat.id)
        return Arrived(**kept, question=question, person=str(query.from_user.id), place=place)
    change = update.my_chat_member or update.chat_member
    if change is None:
        return None
    question, place = f"update:{update.update_id}", str(change.chat.id)
    return Arrived(**kept, question=question, person=f"chat:{place}", place=place)


def message_key(message: Message) -> str:
    return f"{message.chat.id}:{message.message_id}"


def album_key(message: Message) -> str:
    return f"{message.chat.id}:album:{message.media_group_id}"


def question_of(message: Message) -> str:
    return album_key(message) if message.media_group_id is not None else message_key(message)


def described(sent: Sent) -> Any:
    return [sent.chat_id, [[piece.kind, piece.message_id] for piece in sent.pieces]]


def read(told: Any) -> Sent:
    """What `described` gave."""
    chat_id, pieces = told
    return Sent(chat_id, tuple(SentPiece(Kind(kind), number) for kind, number in pieces))


def _as_json(update: Update) -> str:
    """As Telegram sent it. (`Update.to_json` fails on messages that the bot may not read: it keeps their date.)"""
    return json.dumps(update.to_dict(), default=_seconds)


def _seconds(value: object) -> int:
    if isinstance(value, datetime):
        return int(value.timestamp())
    raise TypeError(type(value).__name__)


def _person(message: Message) -> str:
    if message.sender_chat is not None or message.from_user is None:
        return f"chat:{message.chat.id}"
    return str(message.from_user.id)


def _concerns(message: Message, bot_id: int, username: str) -> bool:
    if not is_group(message.chat):
        return sender_of(message) is not None
    if message.migrate_to_chat_id or message.migrate_from_chat_id or message.left_chat_member:
        return True
    if sender_of(message) is None:
        return False
    return words_of(message, username).addressed or replies_to(message, bot_id) or picture_of(message) is not None
