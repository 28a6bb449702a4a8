"""What Telegram knows: users, chats with their members, messages; each change may become an update."""

from __future__ import annotations

import asyncio
import copy
import itertools
import time
from dataclasses import dataclass

from tests.peers.bot_api import BotApi
from tests.peers.telegram.changes import Changes
from tests.peers.telegram.markup import entity_text
from tests.peers.telegram.media import Files
from tests.peers.telegram.updates import Updates
from tests.peers.telegram.wire import BotMessage, Call, Chat, Refusal, Wire

ADMINS = ("creator", "administrator")
GONE = ("left", "kicked")
ANONYMOUS: Wire = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
_SERVICE = (
    "new_chat_members left_chat_member migrate_to_chat_id migrate_from_chat_id group_chat_created new_chat_title"
    " pinned_message forum_topic_created"
).split()
_RIGHTS = (
    "can_manage_chat can_delete_messages can_manage_video_chats can_restrict_members can_promote_members"
    " can_change_info can_invite_users can_post_stories can_edit_stories can_delete_stories"
).split()


@dataclass(eq=False, slots=True)
class Record:
    """A message as it is now, with what the wire does not tell."""

    wire: Wire
    at: float
    version: int = 0
    reply_markup: Wire | None = None
    reply_parameters: Wire | None = None
    reaction: list[str] | None = None


@dataclass(eq=False, slots=True)
class Query:
    """A pressed button and how the bot answered it."""

    wire: Wire
    answer: Wire | None = None
    expired: bool = False


class World:
    """The state both sides see: people act on it, the methods of the Bot API answer from it."""

    def __init__(self, token: str, api: BotApi | None, privacy: bool) -> None:
        self.token = token
        self.api = api
        self.bot: Wire = {"id": int(token.split(":")[0]), "is_bot": True, "first_name": "Rapbot"}
        self.bot["username"] = "rapbot_test_bot"
        self.privacy = privacy
        self.violations: list[str] = []
        self.calls: list[Call] = []
        self.users: dict[int, Wire] = {self.bot["id"]: self.bot, ANONYMOUS["id"]: ANONYMOUS}
        self.chats: dict[int, Chat] = {}
        self.messages: dict[tuple[int, int], Record] = {}
        self.queries: dict[str, Query] = {}
        self.files = Files()
        self.changes = Changes()
        self.updates = Updates(self.changes)
        self.commands: dict[tuple[str, str], list[Wire]] = {}
        self.descriptions: dict[str, str] = {}
        self.short_descriptions: dict[str, str] = {}
        self.numbers = itertools.count(1)
        self._private_messages = itertools.count(1)
        self._group_messages: dict[int, itertools.count[int]] = {}

    # -- chats and members -------------------------------------------------------------------------------

    def chat(self, chat_id: int | str) -> Chat:
        """The chat of an id. Raises Refusal for an unknown or migrated one."""
        chat = self.chats.get(chat_id) if isinstance(chat_id, int) else None
        if chat is None:
            raise Refusal(400, "Bad Request: chat not found")
        if chat.migrated_to is not None:
            words = "Bad Request: group chat was upgraded to a supergroup chat"
            raise Refusal(400, words, migrate_to_chat_id=chat.migrated_to)
        return chat

    def reachable(self, chat_id: int | str) -> Chat:
        """The chat, if the bot may write there. Raises Refusal with Telegram's words if not."""
        chat = self.chat(chat_id)
        status = chat.members.get(self.bot["id"], "left")
        if chat.type == "private":
            if status == "kicked":
                raise Refusal(403, "Forbidden: bot was blocked by the user")
            if not chat.started:
                raise Refusal(403, "Forbidden: bot can't initiate conversation with a user")
        elif status == "kicked":
            raise Refusal(403, f"Forbidden: bot was kicked from the {chat.type} chat")
        elif status == "left":
            raise Refusal(403, f"Forbidden: bot is not a member of the {chat.type} chat")
        elif chat.type == "channel" and status not in ADMINS:
            raise Refusal(400, "Bad Request: need administrator rights in the channel chat")
        return chat

    def is_admin(self, chat: Chat, user_id: int) -> bool:
        """Whether this user runs the chat."""
        return chat.members.get(user_id) in ADMINS

    def member(self, chat: Chat, user_id: int) -> Wire:
        """The ChatMember object of a user, who may be out."""
        status = chat.members.get(user_id, "left")
        member: Wire = {"status": status, "user": self.users[user_id]}
        if status == "creator":
            return {**member, "is_anonymous": False}
        if status == "administrator":
            return {**member, "can_be_edited": False, "is_anonymous": False, **dict.fromkeys(_RIGHTS, True)}
        return {**member, "until_date": 0} if status == "kicked" else member

    def set_status(self, chat: Chat, user_id: int, status: str, actor: Wire) -> None:
        """Change a membership; the bot hears of its own, as an administrator of everybody's."""
        before = self.member(chat, user_id)
        if before["status"] == status:
            return
        chat.members[user_id] = status
        change = {"chat": chat.wire, "from": actor, "date": now(), "old_chat_member": before}
        change["new_chat_member"] = self.member(chat, user_id)
        if user_id == self.bot["id"]:
            self.emit("my_chat_member", change)
        elif self.is_admin(chat, self.bot["id"]):
            self.emit("chat_member", change)

    # -- messages ----------------------------------------------------------------------------------------

    def write(self, chat: Chat, sender: Wire, content: Wire, reply_to: Record | None, thread: int | None) -> Record:
        """Put a message into a chat; nobody is told yet."""
        number = next(self._private_messages)
        if chat.type in ("supergroup", "channel"):  # these number their messages by themselves, so ids repeat
            number = next(self._group_messages.setdefault(chat.id, itertools.count(1)))
        wire: Wire = {"message_id": number, "date": now(), "chat": chat.wire, **sender}
        if chat.forum and thread is not None:
            wire |= {"message_thread_id": thread, "is_topic_message": True}
        elif chat.type == "supergroup" and reply_to is not None:
            # Outside of forums a reply carries its chain's root here, which must not be sent back.
            wire["message_thread_id"] = reply_to.wire.get("message_thread_id", reply_to.wire["message_id"])
        if reply_to is not None:
            wire["reply_to_message"] = {k: v for k, v in reply_to.wire.items() if k != "reply_to_message"}
        record = Record(copy.deepcopy({**wire, **content}), asyncio.get_running_loop().time())
        self.messages[chat.id, number] = record
        return record

    def announce(self, chat: Chat, record: Record, edited: bool = False) -> Wire:
        """Tell the bot of a message, if it may see it. The Message object."""
        kind = "channel_post" if chat.type == "channel" else "message"
        if self._sees(chat, record.wire):
            self.emit(f"edited_{kind}" if edited else kind, record.wire)
        self.changes.notify()
        return copy.deepcopy(record.wire)

    def emit(self, kind: str, payload: Wire) -> Wire:
        """Make an update and check it against the Bot API."""
        update = self.updates.push({kind: payload})
        if self.api is not None:
            self.violations += self.api.faults_of("Update", update)
        return update

    def _sees(self, chat: Chat, wire: Wire) -> bool:
        """Privacy mode: commands, mentions, replies to the bot and service messages only."""
        status = chat.members.get(self.bot["id"], "left")
        if status in GONE:
            return False
        if chat.type in ("private", "channel") or status in ADMINS or not chat.privacy:
            return True
        replied = wire.get("reply_to_message", {}).get("from", {}).get("id") == self.bot["id"]
        return replied or any(key in wire for key in _SERVICE) or self._addressed(wire)

    def _addressed(self, wire: Wire) -> bool:
        name = f"@{self.bot['username']}".casefold()
        text, entities = marked_text(wire)
        for entity in entities:
            words = entity_text(text, entity).casefold()
            if entity["type"] == "mention" and words == name:
                return True
            if entity["type"] == "bot_command" and words.partition("@")[2] in ("", name[1:]):
                return True
        return False

    def record(self, message: Wire | BotMessage) -> Record:
        """The stored message that a test speaks of. Raises KeyError once it is deleted."""
        if isinstance(message, BotMessage):
            return self.messages[message.chat_id, message.id]
        return self.messages[message["chat"]["id"], message["message_id"]]

    def snapshot(self, record: Record) -> BotMessage:
        """The message as tests see it."""
        wire = copy.deepcopy(record.wire)
        document = wire.get("document", {})
        return BotMessage(
            id=wire["message_id"],
            chat_id=wire["chat"]["id"],
            text=wire.get("text", ""),
            caption=wire.get("caption", ""),
            photo=self.files.get(wire["photo"][-1]["file_id"]).data if "photo" in wire else None,
            document=self.files.get(document["file_id"]).data if document else None,
            file_name=document.get("file_name"),
            entities=marked_text(wire)[1],
            reply_markup=copy.deepcopy(record.reply_markup),
            reply_parameters=copy.deepcopy(record.reply_parameters),
            thread=wire.get("message_thread_id"),
            album=wire.get("media_group_id"),
            version=record.version,
            at=record.at,
            wire=wire,
        )


def marked_text(wire: Wire) -> tuple[str, list[Wire]]:
    """What a message says, be it text or caption, and its entities."""
    if "text" in wire:
        return wire["text"], wire.get("entities", [])
    return wire.get("caption", ""), wire.get("caption_entities", [])


def now() -> int:
    """The date of what happens now, Unix time in seconds."""
    return int(time.time())
