"""What people do: write, send pictures, press buttons."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from typing import Any, Literal

from tests.peers.telegram.markup import found_entities
from tests.peers.telegram.wire import BotMessage, Chat, Person, Wire
from tests.peers.telegram.world import ANONYMOUS, GONE, Query, Record, World, now

Message = Wire | BotMessage
Entities = list[Wire] | Literal["auto"]


class People:
    """Each act returns the Message object and makes the updates Telegram would."""

    def __init__(self, world: World) -> None:
        self._world = world

    def say(
        self,
        chat: Chat,
        person: Person,
        text: str,
        *,
        reply_to: Message | None = None,
        thread: int | None = None,
        entities: Entities = "auto",
    ) -> Wire:
        """A text; commands, mentions, links and hashtags are marked unless `entities` are given."""
        content = {"text": text} | _marked("entities", text, entities)
        return self.post(chat, person, reply_to=reply_to, thread=thread, **content)

    def send_photo(
        self,
        chat: Chat,
        person: Person,
        data: bytes,
        caption: str = "",
        *,
        reply_to: Message | None = None,
        thread: int | None = None,
        album: str | None = None,
        entities: Entities = "auto",
        file_size: int | None = None,
    ) -> Wire:
        """A photo in several sizes; the last is `data`. `file_size` may claim more bytes than there are."""
        content: Wire = {"photo": self._world.files.photo(data, file_size)} | _caption(caption, entities)
        if album:
            content["media_group_id"] = album
        return self.post(chat, person, reply_to=reply_to, thread=thread, **content)

    def send_album(
        self,
        chat: Chat,
        person: Person,
        pictures: Sequence[bytes],
        caption: str = "",
        *,
        gap: float = 0.0,
        reply_to: Message | None = None,
        thread: int | None = None,
    ) -> list[Wire]:
        """Photos as separate messages of one album, `gap` seconds apart, the caption on the first."""
        album = {"media_group_id": str(14_000_000 + next(self._world.numbers))}
        replied = self._world.record(reply_to) if reply_to is not None else None
        messages = []
        for i, data in enumerate(pictures):
            content = {"photo": self._world.files.photo(data)} | _caption(caption if i == 0 else "", "auto") | album
            record = self._write(chat, person, content, replied, thread)
            if gap and i:
                asyncio.get_running_loop().call_later(gap * i, self._world.announce, chat, record)
            else:
                self._world.announce(chat, record)
            messages.append(copy.deepcopy(record.wire))
        return messages

    def send_document(
        self,
        chat: Chat,
        person: Person,
        data: bytes,
        file_name: str,
        mime_type: str,
        caption: str = "",
        *,
        reply_to: Message | None = None,
        thread: int | None = None,
        album: str | None = None,
        file_size: int | None = None,
    ) -> Wire:
        """A file, such as a picture sent uncompressed. `file_size` may claim more bytes than there are."""
        document = self._world.files.document(data, file_name, mime_type, file_size)
        content: Wire = {"document": document} | _caption(caption, "auto")
        if album:
            content["media_group_id"] = album
        return self.post(chat, person, reply_to=reply_to, thread=thread, **content)

    def post(
        self, chat: Chat, person: Person, *, reply_to: Message | None = None, thread: int | None = None, **content: Any
    ) -> Wire:
        """Any message: the fields of Message as keywords (a sticker, a voice, a forward)."""
        replied = self._world.record(reply_to) if reply_to is not None else None
        return self._world.announce(chat, self._write(chat, person, content, replied, thread))

    def _write(self, chat: Chat, person: Person, content: Wire, replied: Record | None, thread: int | None) -> Record:
        assert chat.members.get(person.id, "left") not in GONE, f"{person.first_name} is not in {chat.title}"
        assert chat.migrated_to is None, f"{chat.title} is now the supergroup {chat.migrated_to}"
        assert thread is None or chat.forum, f"{chat.title} has no topics: peer.group(..., forum=True)"
        chat.started = True
        if thread is not None:
            chat.threads.add(thread)
        return self._world.write(chat, {"from": person.user}, content, replied, thread)

    def anonymous_admin_says(self, group: Chat, text: str, *, reply_to: Message | None = None) -> Wire:
        """An administrator who stays hidden: written by the group itself."""
        replied = self._world.record(reply_to) if reply_to is not None else None
        sender = {"from": ANONYMOUS, "sender_chat": group.wire}
        content = {"text": text} | _marked("entities", text, "auto")
        return self._world.announce(group, self._world.write(group, sender, content, replied, None))

    def channel_post(self, channel: Chat, text: str, **content: Any) -> Wire:
        """A post of a person in a channel, signed."""
        written = {"text": text} | _marked("entities", text, "auto") if text else {}
        sender = {"sender_chat": channel.wire, "author_signature": "Olga"}
        return self._world.announce(channel, self._world.write(channel, sender, written | content, None, None))

    def edit(self, message: Message, *, text: str | None = None, caption: str | None = None) -> Wire:
        """Change a text or a caption."""
        record = self._world.record(message)
        record.wire["edit_date"] = now()
        for name, marks, value in (("text", "entities", text), ("caption", "caption_entities", caption)):
            if value is not None:
                record.wire.pop(marks, None)
                record.wire |= {name: value} | _marked(marks, value, "auto")
        record.version += 1
        return self._world.announce(self._world.chats[record.wire["chat"]["id"]], record, edited=True)

    def delete(self, message: Message) -> None:
        """Delete a message for all. Bots are not told; a reply to it is refused from now on."""
        wire = self._world.record(message).wire
        del self._world.messages[wire["chat"]["id"], wire["message_id"]]
        self._world.changes.notify()

    def age(self, message: Message, seconds: int) -> None:
        """Make a message older: bots cannot delete theirs after 48 hours."""
        self._world.record(message).wire["date"] -= seconds

    def press(
        self,
        message: Message,
        data: str | None = None,
        person: Person | None = None,
        *,
        label: str | None = None,
        stale: bool = False,
    ) -> Wire:
        """Press a button of the bot's message, by callback data or label; the CallbackQuery object.

        `stale`: on a screen that still shows an older keyboard, or a message the bot can no longer read.
        """
        chat_id, number = _address(message)
        record = self._world.messages.get((chat_id, number))
        assert record is not None or stale, f"the message {number} is deleted"
        shown = self._world.snapshot(record).buttons if record else {}
        if label is not None:
            assert label in shown, f"no button {label!r}, but {sorted(shown)}"
            data = shown[label]
        assert stale or data in shown.values(), f"no button with the data {data!r}, but {shown}"
        chat = self._world.chats[chat_id]
        presser = person or chat.person
        assert presser is not None, "who presses?"
        at: Wire = record.wire if record else {"chat": chat.wire, "message_id": number, "date": 0}
        query: Wire = {"id": str(4_000_000 + next(self._world.numbers)), "from": presser.user, "message": at}
        query |= {"chat_instance": str(abs(chat_id) + 7), "data": data}
        self._world.queries[str(query["id"])] = Query(query)
        self._world.emit("callback_query", query)
        return copy.deepcopy(query)

    def expire(self, query: Wire) -> None:
        """Let the time pass in which a pressed button can be answered."""
        self._world.queries[query["id"]].expired = True

    def react(self, message: Message, person: Person, emoji: str | None) -> None:
        """React to a message; the bot is told if it runs the chat (or is alone with the person) and asked."""
        chat = self._world.chats[_address(message)[0]]
        if chat.type != "private" and not self._world.is_admin(chat, self._world.bot["id"]):
            return
        change: Wire = {"chat": chat.wire, "message_id": _address(message)[1], "user": person.user, "date": now()}
        new = [{"type": "emoji", "emoji": emoji}] if emoji else []
        self._world.emit("message_reaction", {**change, "old_reaction": [], "new_reaction": new})


def _address(message: Message) -> tuple[int, int]:
    if isinstance(message, BotMessage):
        return message.chat_id, message.id
    return message["chat"]["id"], message["message_id"]


def _marked(name: str, text: str, entities: Entities) -> Wire:
    marks = found_entities(text) if entities == "auto" else entities
    return {name: marks} if marks else {}


def _caption(caption: str, entities: Entities) -> Wire:
    return {"caption": caption} | _marked("caption_entities", caption, entities) if caption else {}
