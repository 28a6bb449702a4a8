"""How an answer appears in a Telegram chat.

No text is ever sent with a parse mode: what people taught can hold anything, and none of it becomes markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from telegram import (
    Bot,
    InlineKeyboardMarkup,
    InputMediaDocument,
    InputMediaPhoto,
    LinkPreviewOptions,
    Message,
    ReplyParameters,
)
from telegram.constants import ChatAction
from telegram.error import BadRequest, ChatMigrated, Forbidden, TelegramError

from adapters.shown import Button, Shown
from adapters.telegram.pieces import Kind, Piece, Sent, SentPiece, keyboard_of, markup_of, pieces_of, runs_of
from rapbot.i18n import _
from rapbot.logs import get_logger

_log = get_logger(__name__)
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


@dataclass(frozen=True, slots=True)
class Place:
    """Where to answer, and what."""

    chat_id: int
    group: bool = False
    thread: int | None = None
    """The topic of a forum."""
    question: int | None = None
    """The message that is answered."""
    person: int | None = None
    """Who gets, in the private chat, what is for one person alone; None for a hidden administrator."""
    way_in: str = "help"
    """The command that the link to the private chat carries."""


class TelegramChannel:
    """The `Channel` of one question. `pressed`: the message whose button was pressed."""

    def __init__(self, bot: Bot, place: Place, pressed: Sent | None = None) -> None:
        self._bot = bot
        self._place = place
        self._pressed = pressed

    async def typing(self) -> None:
        place = self._place
        await self._bot.send_chat_action(place.chat_id, ChatAction.TYPING, message_thread_id=place.thread)

    async def send(self, shown: Shown) -> Sent:
        if shown.private and self._place.group:
            return await self._send_in_private(shown)
        if shown.replaces and self._pressed is not None:
            return await self.edit(self._pressed, shown)
        try:
            return await self._send(pieces_of(shown, group=self._place.group), shown)
        except ChatMigrated as moved:  # the group became a supergroup while it waited
            self._place = replace(self._place, chat_id=moved.new_chat_id, question=None)
            return await self._send(pieces_of(shown, group=self._place.group), shown)

    async def edit(self, sent: Sent, shown: Shown) -> Sent:
        """Edits message by message; from the first one that cannot become what it should, all are sent anew."""
        if shown.private and self._place.group and sent.chat_id == self._place.chat_id:
            await self.delete(sent)
            return await self._send_in_private(shown)
        if shown.replaces and self._pressed is not None and sent != self._pressed:
            await self.delete(sent)  # the placeholder
            sent = self._pressed
        pieces = pieces_of(shown, group=self._place.group)
        done: list[SentPiece] = []
        for old, piece in zip(sent.pieces, pieces, strict=False):
            last = len(done) == len(pieces) - 1
            if not await self._edit(sent.chat_id, old, piece, keyboard_of(shown) if last else None):
                break
            done.append(SentPiece(piece.kind, old.message_id))
        await self.delete(Sent(sent.chat_id, sent.pieces[len(done) :]))
        added = await self._send(pieces[len(done) :], shown) if len(done) < len(pieces) else None
        return Sent(sent.chat_id, (*done, *(added.pieces if added else ())))

    async def delete(self, sent: Sent) -> None:
        if not sent.pieces:
            return
        try:
            await self._bot.delete_messages(sent.chat_id, sent.message_ids)
        except BadRequest:
            _log.info("answer not deleted", error="BadRequest")  # older than 48 hours, or gone

    async def reaches_person(self) -> bool:
        """Whether the person has opened the private chat: a bot may not write first."""
        if self._place.person is None:
            return False
        try:
            return await self._bot.send_chat_action(self._place.person, ChatAction.TYPING)
        except (Forbidden, BadRequest):
            return False

    def way_to_private(self) -> Shown:
        """Says nothing but where to go on."""
        url = f"https://t.me/{self._bot.username}?start={self._place.way_in}"
        button = Button(_("Open our private chat"), url=url)
        return Shown(_("That is between you and me. Please open our private chat."), buttons=((button,),))

    # -- inside ---------------------------------------------------------------------------------------------

    async def _send_in_private(self, shown: Shown) -> Sent:
        shown = replace(shown, private=False)
        if self._place.person is not None:
            try:
                return await TelegramChannel(self._bot, Place(self._place.person)).send(shown)
            except (Forbidden, BadRequest):
                _log.info("private chat not open")
        return await self.send(self.way_to_private())

    async def _send(self, pieces: list[Piece], shown: Shown) -> Sent:
        sent: list[SentPiece] = []
        runs = runs_of(pieces)
        for number, run in enumerate(runs):
            last = number == len(runs) - 1
            options: dict[str, Any] = {"message_thread_id": self._place.thread}
            # The message with the buttons answers the question too: that is how its photo is found after a restart.
            if self._place.question is not None and (number == 0 or (last and shown.buttons)):
                options["reply_parameters"] = ReplyParameters(self._place.question, allow_sending_without_reply=True)
            if len(run) > 1:
                sent += await self._send_album(run, options)
                continue
            if last:
                options["reply_markup"] = markup_of(shown, group=self._place.group)
            sent.append(await self._send_one(run[0], options))
        return Sent(self._place.chat_id, tuple(sent))

    async def _send_album(self, run: list[Piece], options: dict[str, Any]) -> list[SentPiece]:
        media = [InputMediaPhoto(piece.data, filename=piece.name) for piece in run]
        messages: Sequence[Message] = await self._bot.send_media_group(self._place.chat_id, media, **options)
        return [SentPiece(Kind.PICTURE, message.message_id) for message in messages]

    async def _send_one(self, piece: Piece, options: dict[str, Any]) -> SentPiece:
        if piece.kind is Kind.PICTURE:
            return await self._send_picture(piece, options)
        if piece.kind is Kind.FILE:
            message = await self._bot.send_document(
                self._place.chat_id, piece.data, caption=piece.text or None, filename=piece.name, **options
            )
        else:
            message = await self._bot.send_message(
                self._place.chat_id, piece.text, link_preview_options=_NO_PREVIEW, **options
            )
        return SentPiece(piece.kind, message.message_id)

    async def _send_picture(self, piece: Piece, options: dict[str, Any]) -> SentPiece:
        try:
            message = await self._bot.send_photo(
                self._place.chat_id, piece.data, caption=piece.text or None, filename=piece.name, **options
            )
        except BadRequest as error:
            # A group may forbid pictures; and Telegram takes no very long or flat ones as photos.
            if "rights" not in error.message.casefold():
                return await self._send_one(replace(piece, kind=Kind.FILE), options)
            if not piece.text:
                raise
            return await self._send_one(Piece(Kind.TEXT, piece.text), options)
        return SentPiece(Kind.PICTURE, message.message_id)

    async def _edit(self, chat_id: int, old: SentPiece, piece: Piece, keyboard: InlineKeyboardMarkup | None) -> bool:
        """False when the old message cannot become the new one."""
        if piece.kind is Kind.TEXT and old.kind is not Kind.TEXT:
            return False
        where: dict[str, Any] = {"chat_id": chat_id, "message_id": old.message_id, "reply_markup": keyboard}
        try:
            if piece.kind is Kind.TEXT:
                await self._bot.edit_message_text(piece.text, link_preview_options=_NO_PREVIEW, **where)
            else:
                kind = InputMediaPhoto if piece.kind is Kind.PICTURE else InputMediaDocument
                media = kind(piece.data, caption=piece.text or None, filename=piece.name)
                await self._bot.edit_message_media(media, **where)
        except BadRequest as error:
            return "not modified" in error.message.casefold()
        return True


async def quietly(doing: Any) -> bool:
    """Await something that only decorates; True when it worked."""
    try:
        await doing
    except TelegramError as error:
        _log.info("not shown", error=type(error).__name__)
        return False
    return True
