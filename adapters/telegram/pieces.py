"""What is shown, cut into what Telegram takes: texts, pictures with captions, files."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from telegram import ForceReply, InlineKeyboardButton, InlineKeyboardMarkup

from adapters.shown import Button, Shown
from adapters.splitting import split_text, utf16_length
from adapters.telegram.reading import without_mentions
from rapbot.i18n import _

TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024
"""UTF-16 code units (https://core.telegram.org/bots/api#sendmessage, #sendphoto)."""
ALBUM_LIMIT = 10
PHOTO_BYTES = 10_000_000
"""Larger pictures go as files (https://core.telegram.org/bots/api#sendphoto)."""
FILE_BYTES = 50_000_000
"""https://core.telegram.org/bots/api#senddocument"""


class Kind(StrEnum):
    TEXT = "text"
    PICTURE = "picture"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Piece:
    """One message to be. `text` is the caption of a picture or file."""

    kind: Kind
    text: str = ""
    data: bytes = b""
    name: str = ""


@dataclass(frozen=True, slots=True)
class SentPiece:
    kind: Kind
    message_id: int


@dataclass(frozen=True, slots=True)
class Sent:
    """An answer in a chat: the messages it consists of, in order."""

    chat_id: int
    pieces: tuple[SentPiece, ...]

    @property
    def message_ids(self) -> list[int]:
        return [piece.message_id for piece in self.pieces]


def pieces_of(shown: Shown, *, group: bool) -> list[Piece]:
    """The messages for `shown`, in order; the last one may have buttons."""
    text = shown.text.strip()
    pieces = [Piece(_kind(picture), data=picture, name="picture.jpg") for picture in shown.pictures]
    for name, data in shown.files:
        if len(data) > FILE_BYTES:
            text = _("That file has {size:.0f} MB, and Telegram takes up to {limit:.0f} MB from me.").format(
                size=len(data) / 1e6, limit=FILE_BYTES / 1e6
            )
        else:
            pieces.append(Piece(Kind.FILE, data=data, name=name))
    if group:
        text = without_mentions(text)
    if len(pieces) == 1 and utf16_length(text) <= CAPTION_LIMIT:
        return [Piece(pieces[0].kind, text, pieces[0].data, pieces[0].name)]
    if text:
        pieces += [Piece(Kind.TEXT, part) for part in split_text(text, TEXT_LIMIT, utf16_length)]
    elif shown.buttons:  # an album cannot have buttons
        pieces.append(Piece(Kind.TEXT, "…"))
    return pieces


def runs_of(pieces: list[Piece]) -> list[list[Piece]]:
    """Pictures that follow each other make an album; everything else goes alone."""
    runs: list[list[Piece]] = []
    for piece in pieces:
        last = runs[-1] if runs else []
        if piece.kind is Kind.PICTURE and last and last[0].kind is Kind.PICTURE and len(last) < ALBUM_LIMIT:
            last.append(piece)
        else:
            runs.append([piece])
    return runs


def keyboard_of(shown: Shown) -> InlineKeyboardMarkup | None:
    if not shown.buttons:
        return None
    return InlineKeyboardMarkup([[_button(button) for button in row] for row in shown.buttons if row])


def markup_of(shown: Shown, *, group: bool) -> InlineKeyboardMarkup | ForceReply | None:
    """Buttons; else, where an answer is awaited in a group, the opened reply field (the bot hears only replies)."""
    return keyboard_of(shown) or (ForceReply(selective=True) if shown.awaits and group else None)


def _button(button: Button) -> InlineKeyboardButton:
    if button.url:
        return InlineKeyboardButton(button.label, url=button.url)
    return InlineKeyboardButton(button.label, callback_data=button.data)


def _kind(picture: bytes) -> Kind:
    return Kind.PICTURE if len(picture) <= PHOTO_BYTES else Kind.FILE
