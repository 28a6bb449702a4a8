"""Who is still in a group, and who runs it.

A person who leaves takes what they shared along at once. Telegram tells of that by `chat_member` only when the bot is
an administrator, by a service message in most other groups, and not at all while the bot was away: so it is asked.
"""

from __future__ import annotations

import asyncio
import time

from telegram import Bot, ChatMember, ChatMemberUpdated, Message
from telegram.error import BadRequest, ChatMigrated, Forbidden, TelegramError

from adapters.recent import Recent
from adapters.telegram.reading import group_of, is_group
from rapbot.errors import RapbotError
from rapbot.groups import Groups
from rapbot.i18n import _
from rapbot.inbox import handled
from rapbot.logs import get_logger

_log = get_logger(__name__)

FRESH = 600.0
"""Seconds for which an answer about a member is believed."""
_GONE = ("user not found", "participant_id_invalid", "user_id_invalid", "member not found")


class Members:
    """The memberships of all groups the bot is in."""

    def __init__(self, bot: Bot, groups: Groups) -> None:
        self._bot = bot
        self._groups = groups
        self._checked: Recent[tuple[int, int], float] = Recent(10_000)
        self._slots = asyncio.Semaphore(8)

    async def check(self, chat_id: int) -> None:
        """Before anything is recognised in a group: who is no member any more shares nothing there.

        Raises RapbotError when Telegram cannot be asked: then nothing of others may be shown.
        """
        sharers = await self._groups.sharers(group_of(chat_id))
        people = [int(person) for person in (id_.removeprefix("telegram:") for id_ in sharers) if person.isdecimal()]
        stale = [person for person in people if not self._is_fresh(chat_id, person)]
        await asyncio.gather(*(self._check(chat_id, person) for person in stale))

    async def runs(self, chat_id: int, user_id: int) -> bool:
        """Whether the person is an administrator now: asked every time."""
        try:
            member = await self._bot.get_chat_member(chat_id, user_id)
        except TelegramError as error:
            _log.info("administrator not confirmed", error=type(error).__name__)
            return False
        return member.status in (ChatMember.OWNER, ChatMember.ADMINISTRATOR)

    async def left(self, chat_id: int, user_id: int) -> None:
        self._checked.pop((chat_id, user_id))
        with handled(None):  # found out while somebody asks for something else, which is not done by that
            await self._groups.leave(f"telegram:{user_id}", group_of(chat_id))
        _log.info("member left", chat=chat_id)

    async def changed(self, change: ChatMemberUpdated) -> None:
        """`chat_member`: somebody came, went, was restricted or promoted."""
        user = change.new_chat_member.user
        if not _is_in(change.new_chat_member):
            await self.left(change.chat.id, user.id)
        elif (change.chat.id, user.id) in self._checked:
            self._checked.pop((change.chat.id, user.id))

    async def bot_changed(self, change: ChatMemberUpdated) -> None:
        """`my_chat_member`: out of a group, nothing is kept about it."""
        if not is_group(change.chat) or _is_in(change.new_chat_member):
            return
        try:
            # A basic group that becomes a supergroup also loses its members, the bot among them.
            await self._bot.get_chat_member(change.chat.id, self._bot.id)
        except ChatMigrated as moved:
            await self.moved(change.chat.id, moved.new_chat_id)
            return
        except TelegramError as error:
            _log.debug("out of a group", error=type(error).__name__)
        await self._groups.close(group_of(change.chat.id))
        _log.info("group closed", chat=change.chat.id)

    async def look_around(self) -> None:
        """At the start: of groups that the bot was thrown out of while it was away, nothing is kept."""
        inside, outside = False, []
        for chat_id in await self._groups.known("telegram"):
            number = int(chat_id.removeprefix("telegram:"))
            try:
                if await self._is_here(number):
                    inside = True
                else:
                    outside.append(number)
            except ChatMigrated as moved:
                inside = True
                await self.moved(number, moved.new_chat_id)
            except TelegramError as error:
                _log.info("group not checked", error=type(error).__name__)
        if await self._groups.are_of("telegram", self._bot.id, inside=inside):
            for number in outside:
                await self._groups.close(group_of(number))
                _log.info("group closed while away", chat=number)

    async def _is_here(self, chat_id: int) -> bool:
        try:
            return _is_in(await self._bot.get_chat_member(chat_id, self._bot.id))
        except Forbidden:
            return False
        except BadRequest as error:
            return "chat not found" not in error.message.casefold()

    async def moved(self, old: int, new: int) -> None:
        await self._groups.move(group_of(old), group_of(new))
        _log.info("group moved", chat=new)

    async def service(self, message: Message) -> bool:
        """A message by which Telegram tells of such a change; False for every other message."""
        if message.migrate_to_chat_id is not None:
            await self.moved(message.chat.id, message.migrate_to_chat_id)
        elif message.migrate_from_chat_id is not None:
            await self.moved(message.migrate_from_chat_id, message.chat.id)
        elif message.left_chat_member is not None:
            if message.left_chat_member.id == self._bot.id:
                await self._groups.close(group_of(message.chat.id))
            else:
                await self.left(message.chat.id, message.left_chat_member.id)
        else:
            return False
        return True

    def _is_fresh(self, chat_id: int, user_id: int) -> bool:
        checked = self._checked.get((chat_id, user_id))
        return checked is not None and time.monotonic() - checked < FRESH

    async def _check(self, chat_id: int, user_id: int) -> None:
        try:
            async with self._slots:
                inside = _is_in(await self._bot.get_chat_member(chat_id, user_id))
        except BadRequest as error:
            inside = not any(words in error.message.casefold() for words in _GONE)
            if inside:  # a group that hides its members from bots that do not run it: service messages must do
                _log.info("members hidden", chat=chat_id)
        except Forbidden:
            raise
        except TelegramError as error:
            _log.info("member not checked", error=type(error).__name__)
            raise RapbotError(
                _("I cannot ask Telegram who is in this group right now. Please try again in a moment.")
            ) from None
        if inside:
            self._checked.put((chat_id, user_id), time.monotonic())
        else:
            await self.left(chat_id, user_id)


def _is_in(member: ChatMember) -> bool:
    """A restricted member may be in or out."""
    if member.status == ChatMember.RESTRICTED:
        return bool(getattr(member, "is_member", False))
    return member.status not in (ChatMember.LEFT, ChatMember.BANNED)
