"""Updates, each one looked at exactly once and handed on: messages, edits, albums, buttons, memberships.

Nothing here waits for an answer: every update gets a task of its own, so a pressed button is acknowledged however
many photos are being looked at. Tasks start in the order in which updates came.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from telegram import Bot, CallbackQuery, Message, Update
from telegram.error import Forbidden, TelegramError

from adapters.delivery import Turns
from adapters.desk import Desk
from adapters.intake import Intake, Replaying, Undelivered
from adapters.rates import Rates
from adapters.recent import Recent
from adapters.sentences import sentence
from adapters.shares import Shares
from adapters.shown import Shown
from adapters.telegram.albums import Albums
from adapters.telegram.answering import Answering, Shelf
from adapters.telegram.channel import Place, TelegramChannel
from adapters.telegram.keeping import album_key, arrival, described, message_key, platform_of, read
from adapters.telegram.membership import Members
from adapters.telegram.pacing import may_work_later
from adapters.telegram.pictures import Pictures
from adapters.telegram.pieces import Sent
from adapters.telegram.pressing import Pressing
from adapters.telegram.reading import picture_of, raw_text
from rapbot.assistant import Assistant
from rapbot.config import LimitSettings, Settings
from rapbot.errors import RapbotError
from rapbot.i18n import _, speaking
from rapbot.inbox import Arrived, Handling, Inbox, Kept
from rapbot.logs import get_logger, place_of

_log = get_logger(__name__)

ALLOWED_UPDATES = ("message", "edited_message", "callback_query", "my_chat_member", "chat_member")


class Receiver:
    """Everything that happens to the bot."""

    def __init__(self, bot: Bot, assistant: Assistant, settings: Settings, inbox: Inbox | None = None) -> None:
        desk, shelf = Desk(assistant), Shelf()
        self._bot = bot
        self._intake = Intake(platform_of(bot.id), inbox, settings.inbox.hours * 3600)
        self._kept: dict[int, Handling] = {}
        """Updates of the inbox on their way to `receive`."""
        self._turns: Turns[Sent] = Turns(described=described, rates=Rates(_takes(settings.limits)))
        self._members = Members(bot, assistant.groups)
        pictures = Pictures(bot, int(settings.limits.photo_megabytes * 1_000_000))
        under_way = Shares(settings.worker.queue_size, settings.worker.queue_per_person)
        self._answering = Answering(bot, desk, self._turns, self._members, pictures, shelf, under_way)
        self._pressing = Pressing(bot, desk, self._turns, self._members, pictures, shelf)
        self._collecting: Albums[Message] = Albums(self._album, settings.telegram.album_wait_s)
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen: Recent[str, _Version] = Recent(5000)
        self._early: Recent[str, Message] = Recent(100)
        """Edits that came before what they edit."""
        self._albums: Recent[str, tuple[Message, ...]] = Recent(100)
        """Empty while it is still being collected."""
        self._album_answers: dict[str, asyncio.Future[None]] = {}
        self._pressed: Recent[str, bool] = Recent(5000)
        self._repeated: Recent[int, bool] = Recent(1000)
        """Updates that Telegram hands out once more, and those that the inbox hands over."""

    async def keep(self, updates: Sequence[Update]) -> None:
        """On disk, before Telegram hears that they were taken. Raises StoreError."""
        found = [self._arrival(update) for update in updates if update.update_id not in self._kept]
        arrived = [
            replace(one, answer=self._turns.noted(one.question)) if "edited_message" in one.update else one
            for one in found
            if one is not None
        ]
        for one, handling in zip(arrived, await self._intake.accept(arrived), strict=False):
            if handling is not None:
                self._kept[int(one.key)] = handling
            else:
                self._repeated.put(int(one.key), True)

    def _arrival(self, update: Update) -> Arrived | None:
        """None as well for one that cannot be written down: it is handled without, and holds up no other."""
        try:
            return arrival(update, (self._bot.id, self._bot.username), self._intake.expiry())
        except Exception as error:
            _log.error("update not kept", error=type(error).__name__, where=place_of(error))
            return None

    def receive(self, update: Update) -> None:
        """Returns at once."""
        number = update.update_id
        kept = self._kept.pop(number, None)
        if kept is None and self._repeated.pop(number):
            return  # delivered again: it is answered, or being answered; or the inbox hands it over

        async def handle(again: bool) -> None:
            await _delivered(self._handle(update, again))

        self._start(self._intake.run(kept, handle))

    async def replay(self) -> None:
        """Begin with what the last run left unanswered, and with what other processes hand over."""

        async def handle(kept: Kept, again: bool) -> None:
            update = Update.de_json(json.loads(kept.update), self._bot)
            task = self._start(_delivered(self._handle(update, again)))
            await _ended(task)

        def restore(question: str, note: str) -> None:
            self._turns.restore(question, note, read)
            self._answering.restore(question)

        await self._intake.replay(Replaying(handle, restore, self._apologise))

    async def _apologise(self, kept: Kept, words: str) -> None:
        update = Update.de_json(json.loads(kept.update), self._bot)
        message, person = update.message, update.effective_user
        if message is None or person is None:
            return
        with speaking(person.language_code):
            channel = TelegramChannel(self._bot, Place(message.chat.id, question=message.message_id))
            await channel.send(Shown(_(words)))

    async def look_around(self) -> None:
        """What changed while the bot was away, and Telegram does not tell any more."""
        try:
            await self._members.look_around()
        except RapbotError as error:
            _log.warning("groups not checked", error=type(error).__name__)

    async def finish(self, grace: float) -> None:
        """Let what runs end for at most `grace` seconds; then cancel it. To be called when no update comes any more."""
        end = asyncio.get_running_loop().time() + grace
        if self._intake.shares:
            await self._intake.drain(grace)  # albums may still be completed by what other processes receive
        else:
            await self._collecting.finish()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(0.0, end - asyncio.get_running_loop().time()))
        await self._turns.finish(0)
        await self._intake.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self, doing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(doing, name="update")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _handle(self, update: Update, again: bool) -> None:
        """Until it is answered. `again`: it was begun before."""
        if update.message is not None:
            await self._message(update.message, again)
        elif update.edited_message is not None:
            await self._edited(update.edited_message, again)
        elif update.callback_query is not None:
            await self._button(update.callback_query, again)
        elif update.my_chat_member is not None:
            await self._members.bot_changed(update.my_chat_member)
        elif update.chat_member is not None:
            await self._members.changed(update.chat_member)

    # -- messages -------------------------------------------------------------------------------------------

    async def _message(self, message: Message, again: bool) -> None:
        key = message_key(message)
        if key in self._seen and not again:
            return  # delivered twice
        message = self._early.pop(key) or message
        self._seen.put(key, _Version(message))
        if await self._members.service(message):
            return
        if message.media_group_id is None:
            await self._answering.answer(key, [message])
            return
        await self._collect(album_key(message), message)

    async def _edited(self, message: Message, again: bool) -> None:
        key = message_key(message)
        before = self._seen.get(key)
        if before is None and not (again and self._turns.knows(key)):
            self._early.put(key, message)
            return
        version = _Version(message)
        if before is not None and not again and not version.follows(before):
            return
        self._seen.put(key, version)
        if message.media_group_id is not None:
            album = album_key(message)
            if self._albums.get(album):
                await _ended(self._answer_album([message]))
            elif album in self._albums:
                await self._collect(album, message)
        elif self._turns.knows(key):
            await self._answering.answer(key, [message])

    async def _collect(self, album: str, message: Message) -> None:
        """Wait for the rest of the album, and for its answer."""
        if album not in self._albums:
            self._albums.put(album, ())
        answered = self._album_answers.setdefault(album, asyncio.get_running_loop().create_future())
        self._collecting.add(album, message)
        await answered

    async def _album(self, messages: Sequence[Message]) -> None:
        """A whole album; or what came late of one, or was edited in it: then the whole is answered again."""
        answered = self._album_answers.pop(album_key(messages[0]))
        self._answer_album(messages).add_done_callback(lambda task: _tell(answered, task))

    def _answer_album(self, messages: Sequence[Message]) -> asyncio.Task[None]:
        key = album_key(messages[0])
        whole = {message.message_id: message for message in (*(self._albums.get(key) or ()), *messages)}
        ordered = tuple(whole[number] for number in sorted(whole))
        self._albums.put(key, ordered)
        return self._start(self._answering.answer(key, ordered))

    # -- buttons --------------------------------------------------------------------------------------------

    async def _button(self, query: CallbackQuery, again: bool) -> None:
        if query.id in self._pressed and not again:
            return
        self._pressed.put(query.id, True)
        await self._pressing.answer(query)


def _takes(limits: LimitSettings) -> LimitSettings:
    """Telegram takes 20 messages a minute in one group: more questions there would wait ever longer."""
    return limits.model_copy(update={"group_messages_per_minute": min(20.0, limits.group_messages_per_minute)})


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


async def _ended(task: asyncio.Task[None]) -> None:
    """As `await task`, but a task that waits for this one may be cancelled without it."""
    await asyncio.wait([task])
    task.result()


def _tell(waiting: asyncio.Future[None], task: asyncio.Task[None]) -> None:
    """Everybody who waits for the answer to an album learns how it went."""
    if waiting.done():
        return
    if task.cancelled():
        waiting.cancel()
    elif (error := task.exception()) is not None:
        waiting.set_exception(error)
    else:
        waiting.set_result(None)


async def _delivered(doing: Coroutine[Any, Any, None]) -> None:
    """The end of the line: whatever happens to one update, the others are not touched. Raises Undelivered."""
    try:
        await doing
    except Forbidden:
        _log.info("not sent", error="Forbidden")  # blocked by the person, or thrown out of the group
    except TelegramError as error:
        _log.warning("not sent", error=type(error).__name__)
        if may_work_later(error):
            raise Undelivered from error
    except RapbotError as error:
        _log.warning("update not handled", error=type(error).__name__)
    except Exception as error:
        sentence(error)  # logs kind and place
