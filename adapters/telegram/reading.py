"""What a Telegram message says: who writes and where, whether the bot is meant, which words and which pictures."""

from __future__ import annotations

import mimetypes
import re
from dataclasses import dataclass

import telegram
from telegram import Message

from rapbot.commands import COMMANDS
from rapbot.messages import Actor, Chat, ChatKind

_COMMAND = re.compile(r"/([A-Za-z0-9_]{1,32})(?:@(\w{3,32}))?(?:\s+(.*))?", re.S)
_UNSEEN = "\u2060"


@dataclass(frozen=True, slots=True)
class Sender:
    """Who writes. Hidden administrators are one actor of their group and own nothing."""

    actor: Actor
    user_id: int | None
    """None for a hidden administrator, who has no private chat."""


@dataclass(frozen=True, slots=True)
class Words:
    """The text without the name of the bot. `command` is its name without slash, empty when there is none."""

    text: str
    command: str = ""
    addressed: bool = False
    """The bot is called by command or by name."""
    foreign: bool = False
    """A command for another bot."""


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture that lies at Telegram."""

    file_id: str
    unique_id: str
    size: int
    """Bytes; 0 when Telegram does not say."""
    name: str


def chat_of(chat: telegram.Chat) -> Chat:
    return group_of(chat.id) if is_group(chat) else Chat(f"telegram:{chat.id}")


def group_of(chat_id: int) -> Chat:
    return Chat(f"telegram:{chat_id}", ChatKind.GROUP)


def is_group(chat: telegram.Chat) -> bool:
    return chat.type in (telegram.Chat.GROUP, telegram.Chat.SUPERGROUP)


def person_of(user: telegram.User) -> Actor:
    return Actor(f"telegram:{user.id}", user.full_name, user.language_code)


def sender_of(message: Message) -> Sender | None:
    """None for everybody who is not to be answered: channels, posts forwarded from them, other bots."""
    if message.chat.type == telegram.Chat.CHANNEL or message.is_automatic_forward:
        return None
    if message.sender_chat is not None:
        if message.sender_chat.id != message.chat.id:
            return None  # somebody writes in the name of a channel
        return Sender(Actor(f"telegram:{message.chat.id}:admin", message.chat.title or ""), None)
    if message.from_user is None or message.from_user.is_bot:
        return None
    return Sender(person_of(message.from_user), message.from_user.id)


def thread_of(message: Message) -> int | None:
    """The forum topic. Outside of topics replies carry a thread id too, which Telegram refuses to take back."""
    return message.message_thread_id if message.is_topic_message else None


def raw_text(message: Message) -> str:
    return message.text or message.caption or ""


def words_of(message: Message, bot: str) -> Words:
    """The words of one message to the bot of the username `bot`."""
    raw = raw_text(message)
    text = re.sub(rf"(?<![\w/@])@{re.escape(bot)}\b", "", raw, flags=re.IGNORECASE)
    named = text != raw
    if named:
        text = re.sub(r"[ \t]{2,}", " ", text).strip(" \t\n,:;")
    found = _COMMAND.fullmatch(text.strip())
    if found is None:
        return Words(text, addressed=named)
    command, target, rest = found[1].casefold(), found[2] or "", (found[3] or "").strip()
    foreign = bool(target) and target.casefold() != bot.casefold()
    # In a group an unknown command without a name is most likely meant for another bot.
    addressed = named or bool(target) or command in COMMANDS or command == "start"
    if command == "start":  # Telegram's own: also the way in from a link t.me/<bot>?start=<command>
        command, rest = (rest.casefold() if rest.casefold() in COMMANDS else "help"), ""
    return Words(f"/{command} {rest}".strip(), command, addressed and not foreign, foreign)


def replies_to(message: Message, bot_id: int) -> bool:
    """Whether this answers a message of the bot (the first message of a topic counts for every message in it)."""
    replied = message.reply_to_message
    return (
        replied is not None
        and replied.from_user is not None
        and replied.from_user.id == bot_id
        and replied.forum_topic_created is None
    )


def picture_of(message: Message | None) -> PictureFile | None:
    """The photo in its largest size, or a picture sent as a file."""
    if message is None:
        return None
    if message.photo:
        largest = max(message.photo, key=lambda size: size.width * size.height)
        return PictureFile(largest.file_id, largest.file_unique_id, largest.file_size or 0, "photo.jpg")
    document = message.document
    if document is None or message.animation is not None:  # Telegram turns an animated GIF into a silent film
        return None
    kind = document.mime_type or mimetypes.guess_type(document.file_name or "")[0] or ""
    if not kind.startswith("image/"):
        return None
    return PictureFile(document.file_id, document.file_unique_id, document.file_size or 0, document.file_name or "")


def says_something(message: Message) -> bool:
    """Not so a service message: somebody pinned, joined, changed the title."""
    return bool(raw_text(message) or message.effective_attachment)


def holds_something_else(message: Message) -> bool:
    """A film, a voice message, a sticker …: something that is not read here."""
    return bool(message.effective_attachment) and picture_of(message) is None


def without_mentions(text: str) -> str:
    """`text` in which no name notifies anybody or is a link: Telegram finds both even in plain text."""
    text = re.sub(r"(?<![\w@])@(?=\w)", "@" + _UNSEEN, text)
    return re.sub(r"(?<=\w)\.(?=[^\W\d_]{2})", "." + _UNSEEN, text)
