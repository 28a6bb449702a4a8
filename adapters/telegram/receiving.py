"""Updates, each one looked at exactly once and handed on: messages, edits, albums, buttons, memberships.

Nothing here waits for an answer: every update gets a task of its own, so a pressed button is acknowledged however
many photos are being looked at. Tasks start in the order in which updates came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import datetime
from typing import Any

from telegram import Bot, CallbackQuery, Message, Update
from telegram.error import Forbidden, TelegramError

from adapters.delivery import Albums, Turns, sentence
from adapters.desk import Desk
from adapters.recent import Recent
from adapters.telegram.answering import Answering, Shelf
from adapters.telegram.membership import Members
from adapters.telegram.pictures import Pictures
from adapters.telegram.pieces import Sent
from adapters.telegram.pressing import Pressing
from adapters.telegram.reading import picture_of, raw_text
from rapbot.assistant import Assistant
from rapbot.config import Settings
from rapbot.errors import RapbotError
from rapbot.logs import get_logger

_log = get_logger(__name__)

ALLOWED_UPDATES = ("message", "edited_message", "callback_query", "my_chat_member", "chat_member")


class Receiver:
    """Everything that happens to the bot."""

    def __init__(self, bot: Bot, assistant: Assistant, settings: Settings) -> None:
        desk, shelf = Desk(assistant), Shelf()
        self._turns: Turns[Sent] = Turns()
        self._members = Members(bot, assistant.groups)
        pictures = Pictures(bot, int(settings.limits.photo_megabytes * 1_000_000))
        self._answering = Answering(bot, desk, self._turns, self._members, pictures, shelf)
        self._pressing = Pressing(bot, desk, self._turns, self._members, pictures, shelf)
        self._collecting: Albums[Message] = Albums(self._album, settings.telegram.album_wait_s)
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: Recent[str, _Version] = Recent(5000)
        self._early: Recent[str, Message] = Recent(100)
        """Edits that came before what they edit."""
        self._albums: Recent[str, tuple[Message, ...]] = Recent(100)
        """Empty while it is still being collected."""
        self._pressed: Recent[str, bool] = Recent(5000)

    def receive(self, update: Update) -> None:
        """Returns at once."""
        self._start(self._handle(update))

    async def finish(self, grace: float) -> None:
        """Let what runs end for at most `grace` seconds; then cancel it. To be called when no update comes any more."""
        await self._collecting.finish()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        await self._turns.finish(0)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_safely(doing), name="update")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _handle(self, update: Update) -> None:
        if update.message is not None:
            await self._message(update.message)
        elif update.edited_message is not None:
            await self._edited(update.edited_message)
        elif update.callback_query is not None:
            await self._button(update.callback_query)
        elif update.my_chat_member is not None:
            await self._members.bot_changed(update.my_chat_member)
        elif update.chat_member is not None:
            await self._members.changed(update.chat_member)

    # -- messages -------------------------------------------------------------------------------------------

    async def _message(self, message: Message) -> None:
        key = _key(message)
        if key in self._seen:
            return  # delivered twice
        message = self._early.pop(key) or message
        self._seen.put(key, _Version(message))
        if await self._members.service(message):
            return
        if message.media_group_id is None:
            await self._answering.answer(key, [message])
            return
        album = _album_key(message)
        if album not in self._albums:
            self._albums.put(album, ())
        self._collecting.add(album, message)

    async def _edited(self, message: Message) -> None:
        key = _key(message)
        before = self._seen.get(key)
        if before is None:
            self._early.put(key, message)
            return
        version = _Version(message)
        if not version.follows(before):
            return
        self._seen.put(key, version)
        if message.media_group_id is not None:
            album = _album_key(message)
            if self._albums.get(album):
                await self._album([message])
            elif album in self._albums:
                self._collecting.add(album, message)
        elif self._turns.knows(key):
            await self._answering.answer(key, [message])

    async def _album(self, messages: Sequence[Message]) -> None:
        """A whole album; or what came late of one, or was edited in it: then the whole is answered again."""
        key = _album_key(messages[0])
        whole = {message.message_id: message for message in (*(self._albums.get(key) or ()), *messages)}
        ordered = tuple(whole[number] for number in sorted(whole))
        self._albums.put(key, ordered)
        self._start(self._answering.answer(key, ordered))

    # -- buttons --------------------------------------------------------------------------------------------

    async def _button(self, query: CallbackQuery) -> None:
        if query.id in self._pressed:
            return
        self._pressed.put(query.id, True)
        await self._pressing.answer(query)


class _Version:
    """What a message said when; keeps no words."""

    __slots__ = ("_content", "_edited")

    def __init__(self, message: Message) -> None:
        picture = picture_of(message)
        self._content = hash((raw_text(message), picture.unique_id if picture else ""))
        self._edited: datetime | None = message.edit_date

    def follows(self, before: _Version) -> bool:
        """Newer and different: Telegram also tells of edits that change no word (a preview, a reaction)."""
        if self._content == before._content:
            return False
        return before._edited is None or self._edited is None or self._edited >= before._edited


async def _safely(doing: Coroutine[Any, Any, None]) -> None:
    """The end of the line: whatever happens to one update, the others are not touched."""
    try:
        await doing
    except Forbidden:
        _log.info("not sent", error="Forbidden")  # blocked by the person, or thrown out of the group
    except TelegramError as error:
        _log.warning("not sent", error=type(error).__name__)
    except RapbotError as error:
        _log.warning("update not handled", error=type(error).__name__)
    except Exception as error:
        sentence(error)  # logs kind and place


def _key(message: Message) -> str:
    return f"{message.chat.id}:{message.message_id}"


def _album_key(message: Message) -> str:
    return f"{message.chat.id}:album:{message.media_group_id}"
