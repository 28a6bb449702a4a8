"""What travels: the people, the chats, a call of the bot, a message of the bot, and a refusal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Wire = dict[str, Any]


class Refusal(Exception):
    """An answer with "ok": false, with the words Telegram uses."""

    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who writes to the bot."""

    id: int
    first_name: str
    username: str
    language: str

    @property
    def user(self) -> Wire:
        """The User object of this person."""
        user = {"id": self.id, "is_bot": False, "first_name": self.first_name, "username": self.username}
        return {**user, "language_code": self.language} if self.language else user

    @property
    def mention(self) -> str:
        """How others address this person."""
        return f"@{self.username}"


@dataclass(eq=False, slots=True)
class Chat:
    """A chat and who is in it. `members` maps a user id to its status, the bot's own included."""

    id: int
    type: str
    title: str
    person: Person | None = None
    members: dict[int, str] = field(default_factory=dict)
    privacy: bool = True
    forum: bool = False
    threads: set[int] = field(default_factory=set)
    migrated_to: int | None = None
    started: bool = True

    @property
    def wire(self) -> Wire:
        """The Chat object."""
        if self.person is not None:
            names = {"first_name": self.person.first_name, "username": self.person.username}
            return {"id": self.id, "type": self.type, **names}
        chat = {"id": self.id, "type": self.type, "title": self.title}
        return {**chat, "is_forum": True} if self.forum else chat


@dataclass(slots=True)
class Call:
    """One request of the bot: its arguments decoded, its files by field name, and what it was told.

    `at` is the time on the event loop's clock, in seconds; `answer` is None until it was answered.
    """

    method: str
    arguments: Wire
    files: dict[str, bytes]
    file_names: dict[str, str]
    file_types: dict[str, str]
    at: float
    answer: Wire | None = None

    @property
    def ok(self) -> bool:
        """Whether the call was answered, and not refused."""
        return self.answer is not None and bool(self.answer["ok"])


@dataclass(frozen=True, slots=True)
class BotMessage:
    """A message of the bot as it stood when asked for; `version` counts its edits.

    `photo` and `document` hold the uploaded bytes; `reply_to` the id of the message answered;
    `wire` is the Message object as the bot got it.
    """

    id: int
    chat_id: int
    text: str
    caption: str
    photo: bytes | None
    document: bytes | None
    file_name: str | None
    entities: list[Wire]
    reply_markup: Wire | None
    reply_parameters: Wire | None
    thread: int | None
    album: str | None
    version: int
    at: float
    wire: Wire

    @property
    def reply_to(self) -> int | None:
        """The id of the message this one answers."""
        replied = self.wire.get("reply_to_message")
        return replied["message_id"] if replied else None

    @property
    def buttons(self) -> dict[str, str]:
        """Each inline button: its label and its callback data (its address, for a link)."""
        rows = (self.reply_markup or {}).get("inline_keyboard", [])
        return {b["text"]: b.get("callback_data", b.get("url", "")) for row in rows for b in row}

    @property
    def message_thread_id(self) -> int | None:
        """The thread, by the name it has on the wire."""
        return self.thread
