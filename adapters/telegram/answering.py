"""From one message (or one album) to a `Request`, and the turn that answers it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from telegram import Bot, Message

from adapters.delivery import Turns
from adapters.desk import PRIVATE_COMMANDS, Desk
from adapters.rates import Asker
from adapters.recent import Recent
from adapters.shares import Shares
from adapters.shown import Shown
from adapters.telegram.channel import Place, TelegramChannel
from adapters.telegram.membership import Members
from adapters.telegram.pictures import Pictures
from adapters.telegram.pieces import Sent
from adapters.telegram.reactions import DONE, Outcome, Reactions
from adapters.telegram.reading import (
    PictureFile,
    Sender,
    Words,
    chat_of,
    holds_something_else,
    is_group,
    picture_of,
    replies_to,
    says_something,
    sender_of,
    thread_of,
    words_of,
)
from rapbot.errors import RapbotError
from rapbot.i18n import _
from rapbot.messages import Actor, Chat, Photo, ProgressListener, Request

ALBUM_PHOTOS = 10
OWNERS_COMMANDS = PRIVATE_COMMANDS | {"remember", "addphoto", "forget", "share", "unshare"}
"""Need somebody to whom concepts can belong."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be answered."""

    message: Message
    sender: Sender
    words: Words
    pictures: tuple[PictureFile, ...]
    unreadable: bool
    unasked: bool

    @property
    def chat(self) -> Chat:
        return chat_of(self.message.chat)

    @property
    def in_group(self) -> bool:
        return is_group(self.message.chat)

    @property
    def for_private(self) -> bool:
        """Asked in a group, to be answered in the private chat."""
        return self.in_group and self.words.command in PRIVATE_COMMANDS and self.sender.user_id is not None

    @property
    def asker(self) -> Asker:
        group = self.chat.id if self.in_group else ""
        return Asker(self.sender.actor.id, group, unasked=self.unasked)

    def place(self) -> Place:
        return Place(
            self.message.chat.id,
            self.in_group,
            thread_of(self.message),
            self.message.message_id,
            self.sender.user_id,
            self.words.command or "help",
        )


class Shelf:
    """Which pictures an answer is about, by its messages: for buttons and for replies to it."""

    def __init__(self, most: int = 2000) -> None:
        self._pictures: Recent[tuple[int, int], tuple[PictureFile, ...]] = Recent(most)

    def keep(self, sent: Sent | None, pictures: tuple[PictureFile, ...]) -> None:
        for message_id in sent.message_ids if sent is not None and pictures else ():
            self._pictures.put((sent.chat_id, message_id), pictures)  # type: ignore[union-attr]

    def of(self, chat_id: int, message_id: int) -> tuple[PictureFile, ...]:
        return self._pictures.get((chat_id, message_id)) or ()


class Answering:
    """Answers messages."""

    def __init__(
        self,
        bot: Bot,
        desk: Desk,
        turns: Turns[Sent],
        members: Members,
        pictures: Pictures,
        shelf: Shelf,
        under_way: Shares,
    ) -> None:
        """`under_way`: of the photos that may be in memory at once, until they are answered."""
        self._bot = bot
        self._desk = desk
        self._turns = turns
        self._members = members
        self._pictures = pictures
        self._shelf = shelf
        self._under_way = under_way
        self._reactions = Reactions(bot)
        self._asked: Recent[str, bool] = Recent(2000)

    def restore(self, key: str) -> None:
        """An earlier run has begun to answer this, so somebody asked."""
        self._asked.put(key, True)

    async def answer(self, key: str, messages: Sequence[Message]) -> None:
        """Answer the messages of one album, or the one message; nothing where nobody asked. `key` asked before
        (then this is an edit) edits the first answer."""
        question = await self._question(messages, asked=self._asked.get(key) or False)
        if question is None:
            return
        self._asked.put(key, not question.unasked)
        if question.for_private:
            await self._answer_in_private(key, question)
        else:
            await self._answer_here(key, question)

    async def _question(self, messages: Sequence[Message], *, asked: bool) -> Question | None:
        first = messages[0]
        sender = sender_of(first)
        said = [words_of(message, self._bot.username) for message in messages]
        words = next((words for words in said if words.text), said[0])
        if sender is None or words.foreign or not any(map(says_something, messages)):
            return None
        pictures = tuple(picture for picture in map(picture_of, messages[:ALBUM_PHOTOS]) if picture is not None)
        asked = asked or not is_group(first.chat) or any(words.addressed for words in said)
        asked = asked or any(replies_to(message, self._bot.id) for message in messages)
        if not asked and (not pictures or await self._desk.photo_mode(chat_of(first.chat)) == "addressed"):
            return None
        unreadable = not pictures and any(holds_something_else(message) for message in messages)
        return Question(first, sender, words, pictures or self._replied_pictures(first), unreadable, not asked)

    def _replied_pictures(self, message: Message) -> tuple[PictureFile, ...]:
        """ "Who is this?" in reply to somebody's photo, or to an answer of ours about one."""
        replied = message.reply_to_message
        if replied is None:
            return ()
        if replied.from_user is not None and replied.from_user.id == self._bot.id:
            return self._shelf.of(message.chat.id, replied.message_id)  # never our drawing on it
        picture = picture_of(replied)
        return (picture,) if picture is not None else ()

    async def _answer_here(self, key: str, question: Question) -> None:
        channel = TelegramChannel(self._bot, question.place())
        outcome = Outcome()
        shown: list[Shown] = []

        async def work(listener: ProgressListener) -> Shown | None:
            outcome.good = False
            answer = await self._work(question, None if question.unasked else listener)
            outcome.good = True
            shown.extend([answer] if answer is not None else [])
            return answer

        if question.unasked:
            channel = _Silent(self._bot, question.place())
        message = question.message
        acknowledged = bool(question.pictures) and not question.unasked and not self._turns.rates.full(question.asker)
        reaction = self._reactions.while_answering(message.chat.id, message.message_id, outcome)
        async with reaction if acknowledged else nullcontext():
            sent = await self._turns.answer(key, channel, work, question.sender.actor.language, question.asker)
        if shown and not shown[-1].awaits:  # the next words answer this prompt: they are not about the picture
            self._shelf.keep(sent, question.pictures)

    async def _work(self, question: Question, listener: ProgressListener | None) -> Shown | None:
        if question.unreadable:
            return Shown(
                _("I can read texts and photos (also photos sent as files). Please send me one of those instead.")
            )
        if question.sender.user_id is None and question.words.command in OWNERS_COMMANDS:
            return Shown(
                _("Who writes anonymously owns nothing here. Please write under your own name, or to me in private.")
            )
        try:
            async with self._under_way.of(question.sender.actor.id, len(question.pictures)):
                request = await self._request(question)
                return await self._desk.message(request, listener, unasked=question.unasked)
        except RapbotError:
            if question.unasked:  # nobody asked, so nobody is told that it failed
                return None
            raise

    async def _request(self, question: Question) -> Request:
        message = question.message
        if question.in_group:
            await self._members.check(message.chat.id)
        admin = await self._is_admin(question)
        photos = await self._pictures.load(question.pictures, question.sender.actor.id)
        return _request(question.sender.actor, question.chat, question, photos, admin=admin)

    async def _is_admin(self, question: Question) -> bool:
        if not question.in_group or not self._desk.needs_admin(question.words.text):
            return False
        user_id = question.sender.user_id
        # Only administrators can write in the name of their group.
        return user_id is None or await self._members.runs(question.message.chat.id, user_id)

    # -- what is for one person alone -----------------------------------------------------------------------

    async def _answer_in_private(self, key: str, question: Question) -> None:
        """The answer goes to the private chat; the group sees a reaction, or the way there."""
        actor, user_id = question.sender.actor, question.sender.user_id
        here = TelegramChannel(self._bot, question.place())
        if user_id is None or not await here.reaches_person():

            async def show_the_way(listener: ProgressListener) -> Shown:
                return here.way_to_private()

            await self._turns.answer(key, here, show_the_way, actor.language, question.asker)
            return

        async def work(listener: ProgressListener) -> Shown | None:
            async with self._under_way.of(actor.id, len(question.pictures)):
                photos = await self._pictures.load(question.pictures, actor.id)
                return await self._desk.message(_request(actor, Chat(actor.id), question, photos), listener)

        there = TelegramChannel(self._bot, Place(user_id))
        await self._turns.answer(key, there, work, actor.language, question.asker)
        await self._reactions.show(question.message.chat.id, question.message.message_id, DONE)


class _Silent(TelegramChannel):
    """For photos that nobody asked about: no typing, which would announce an answer that may never come."""

    async def typing(self) -> None:
        return None


def _request(
    actor: Actor, chat: Chat, question: Question, photos: tuple[Photo, ...], *, admin: bool = False
) -> Request:
    replied = question.message.reply_to_message
    reply_to = str(replied.message_id) if replied is not None else None
    return Request(actor, chat, question.words.text, photos, reply_to, admin)
