"""A pressed button: what its message is about, who may press it, and the turn that answers."""

from __future__ import annotations

from telegram import Bot, CallbackQuery, MaybeInaccessibleMessage, Message

from adapters.delivery import Turns
from adapters.desk import Desk
from adapters.rates import Asker
from adapters.shown import Shown
from adapters.telegram.answering import Shelf
from adapters.telegram.channel import Place, TelegramChannel, quietly
from adapters.telegram.membership import Members
from adapters.telegram.pictures import Pictures
from adapters.telegram.pieces import Kind, Sent, SentPiece
from adapters.telegram.reading import PictureFile, chat_of, is_group, person_of, picture_of, thread_of
from rapbot.messages import Photo, ProgressListener


class Pressing:
    """Answers buttons, also those of an earlier run: everything they need comes with them."""

    def __init__(
        self, bot: Bot, desk: Desk, turns: Turns[Sent], members: Members, pictures: Pictures, shelf: Shelf
    ) -> None:
        self._bot = bot
        self._desk = desk
        self._turns = turns
        self._members = members
        self._pictures = pictures
        self._shelf = shelf

    async def answer(self, query: CallbackQuery) -> None:
        # At once, else the button goes on spinning; when it is too late for that, the work is still wanted.
        await quietly(query.answer())
        message, data = query.message, query.data
        if message is None or not data:
            return
        actor, chat, group = person_of(query.from_user), chat_of(message.chat), is_group(message.chat)
        pictures = self._about(message)

        async def photo() -> Photo | None:
            return (await self._pictures.load(pictures[:1], actor.id))[0] if pictures else None

        shown: list[Shown] = []

        async def work(listener: ProgressListener) -> Shown:
            admin = False
            if group:
                await self._members.check(message.chat.id)
                admin = self._desk.needs_admin(data) and await self._members.runs(message.chat.id, query.from_user.id)
            shown.append(await self._desk.press(actor, chat, data, photo, listener, admin=admin))
            return shown[-1]

        channel = TelegramChannel(self._bot, _place(message, query.from_user.id), _sent(message))
        key = f"{message.chat.id}:{message.message_id}:{query.id}"
        asker = Asker(actor.id, chat.id if group else "")
        sent = await self._turns.answer(key, channel, work, actor.language, asker)
        if shown and not shown[-1].awaits:
            self._shelf.keep(sent, pictures)

    def _about(self, message: MaybeInaccessibleMessage) -> tuple[PictureFile, ...]:
        """After a restart only what the message with the button answers is left, and not even that in an old one."""
        kept = self._shelf.of(message.chat.id, message.message_id)
        replied = message.reply_to_message if isinstance(message, Message) else None
        if kept or replied is None or (replied.from_user is not None and replied.from_user.id == self._bot.id):
            return kept
        picture = picture_of(replied)
        return (picture,) if picture is not None else ()


def _place(message: MaybeInaccessibleMessage, user_id: int) -> Place:
    """Answers to buttons answer the same question, so that its photo is found from them too."""
    group = is_group(message.chat)
    if not isinstance(message, Message):
        return Place(message.chat.id, group, person=user_id)
    replied = message.reply_to_message
    question = replied.message_id if replied is not None else message.message_id
    return Place(message.chat.id, group, thread_of(message), question, user_id)


def _sent(message: MaybeInaccessibleMessage) -> Sent:
    kind = Kind.TEXT  # of an old message Telegram tells only the number; an edit that does not fit is sent anew
    if isinstance(message, Message):
        kind = Kind.PICTURE if message.photo else Kind.FILE if message.document else Kind.TEXT
    return Sent(message.chat.id, (SentPiece(kind, message.message_id),))
