"""The methods with which the bot writes, edits and deletes messages, and their refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.peers.telegram.markup import read, units
from tests.peers.telegram.media import PHOTO_LIMIT
from tests.peers.telegram.wire import Call, Chat, Refusal, Wire
from tests.peers.telegram.world import Record, World, now

TEXT_LIMIT = 4096  # UTF-16 code units, after entities were parsed
CAPTION_LIMIT = 1024
DELETE_WITHIN = 48 * 3600  # seconds
_UNCHANGED = (
    "Bad Request: message is not modified: specified new message content and reply markup are exactly the same"
    " as a current content and reply markup of the message"
)


class MessageAnswers:
    """sendMessage and its kin."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.methods: dict[str, Callable[[Call], Any]] = {
            "sendMessage": self._send_message,
            "sendPhoto": self._send_photo,
            "sendDocument": self._send_document,
            "sendMediaGroup": self._send_media_group,
            "editMessageText": self._edit_text,
            "editMessageCaption": self._edit_caption,
            "editMessageMedia": self._edit_media,
            "editMessageReplyMarkup": self._edit_reply_markup,
            "deleteMessage": self._delete_message,
            "deleteMessages": self._delete_messages,
        }

    # -- sending -----------------------------------------------------------------------------------------

    def _send_message(self, call: Call) -> Wire:
        chat = self._world.reachable(call.arguments["chat_id"])
        return self._deliver(call, chat, _text(call.arguments))

    def _send_photo(self, call: Call) -> Wire:
        chat = self._world.reachable(call.arguments["chat_id"])
        content = {"photo": self._photo(call, call.arguments.get("photo", "attach://photo"))}
        return self._deliver(call, chat, content | _caption(call.arguments))

    def _send_document(self, call: Call) -> Wire:
        chat = self._world.reachable(call.arguments["chat_id"])
        content = {"document": self._document(call, call.arguments.get("document", "attach://document"))}
        return self._deliver(call, chat, content | _caption(call.arguments))

    def _send_media_group(self, call: Call) -> list[Wire]:
        chat = self._world.reachable(call.arguments["chat_id"])
        if not 2 <= len(call.arguments["media"]) <= 10:
            raise Refusal(400, "Bad Request: an album holds 2-10 items")
        contents = [self._media(call, media) for media in call.arguments["media"]]
        if len({"document" in content for content in contents}) > 1:
            raise Refusal(400, "Bad Request: documents can't be mixed with other media types")
        album = {"media_group_id": str(13_000_000 + next(self._world.numbers))}
        return [self._deliver(call, chat, content | album) for content in contents]

    def _deliver(self, call: Call, chat: Chat, content: Wire) -> Wire:
        """Write a message of the bot, with its thread, its reply and its buttons."""
        arguments = call.arguments
        thread = arguments.get("message_thread_id")
        if thread is not None and thread not in chat.threads:
            raise Refusal(400, "Bad Request: message thread not found")
        sender = {"sender_chat": chat.wire} if chat.type == "channel" else {"from": self._world.bot}
        markup = _markup(arguments)
        record = self._world.write(chat, sender, content, self._replied(chat, arguments), thread)
        record.reply_markup = markup
        record.reply_parameters = arguments.get("reply_parameters")
        if markup and "inline_keyboard" in markup:
            record.wire["reply_markup"] = markup
        self._world.changes.notify()
        return record.wire

    def _replied(self, chat: Chat, arguments: Wire) -> Record | None:
        parameters = arguments.get("reply_parameters")
        if not parameters:
            return None
        record = self._world.messages.get((parameters.get("chat_id", chat.id), parameters["message_id"]))
        if record is None and not parameters.get("allow_sending_without_reply"):
            raise Refusal(400, "Bad Request: message to be replied not found")
        return record

    # -- media -------------------------------------------------------------------------------------------

    def _photo(self, call: Call, source: str) -> list[Wire]:
        name = source.removeprefix("attach://")
        if name == source:  # the id of a file Telegram has already; photos keep their sizes
            return self._world.files.photo(self._world.files.get(source).data)
        data = _attached(call, name)
        if len(data) > PHOTO_LIMIT:
            raise Refusal(
                400, f"Bad Request: file of size {len(data)} bytes is too big for a photo; the maximum size is 10485760"
            )
        return self._world.files.photo(data)

    def _document(self, call: Call, source: str) -> Wire:
        name = source.removeprefix("attach://")
        if name == source:
            return self._world.files.document(
                self._world.files.get(source).data, "document", "application/octet-stream"
            )
        return self._world.files.document(
            _attached(call, name), call.file_names[name], call.file_types.get(name, "application/octet-stream")
        )

    def _media(self, call: Call, media: Wire) -> Wire:
        if media["type"] == "photo":
            return {"photo": self._photo(call, media["media"])} | _caption(media)
        if media["type"] == "document":
            return {"document": self._document(call, media["media"])} | _caption(media)
        raise NotImplementedError(f"the stand-in knows no InputMedia of type {media['type']!r}")

    # -- editing -----------------------------------------------------------------------------------------

    def _edit_text(self, call: Call) -> Wire:
        record = self._editable(call)
        if "text" not in record.wire:
            raise Refusal(400, "Bad Request: there is no text in the message to edit")
        return self._commit(call, record, _text(call.arguments), ("text", "entities"))

    def _edit_caption(self, call: Call) -> Wire:
        record = self._editable(call)
        if "text" in record.wire:
            raise Refusal(400, "Bad Request: there is no caption in the message to edit")
        return self._commit(call, record, _caption(call.arguments), ("caption", "caption_entities"))

    def _edit_media(self, call: Call) -> Wire:
        record = self._editable(call)
        content = self._media(call, call.arguments["media"])
        return self._commit(
            call, record, content, ("text", "entities", "photo", "document", "caption", "caption_entities")
        )

    def _edit_reply_markup(self, call: Call) -> Wire:
        return self._commit(call, self._editable(call), {}, ())

    def _editable(self, call: Call) -> Record:
        if "inline_message_id" in call.arguments:
            raise NotImplementedError("the stand-in has no inline messages")
        chat = self._world.reachable(call.arguments["chat_id"])
        record = self._world.messages.get((chat.id, call.arguments["message_id"]))
        if record is None:
            raise Refusal(400, "Bad Request: message to edit not found")
        if not self._mine(record):
            raise Refusal(400, "Bad Request: message can't be edited")
        return record

    def _commit(self, call: Call, record: Record, content: Wire, replaces: tuple[str, ...]) -> Wire:
        """Replace the content; an edit without buttons takes the buttons away, as in Telegram."""
        markup = _markup(call.arguments)
        before = {key: record.wire[key] for key in replaces if key in record.wire}
        if before == content and record.reply_markup == markup:
            raise Refusal(400, _UNCHANGED)
        for key in (*replaces, "reply_markup"):
            record.wire.pop(key, None)
        record.wire |= content | {"edit_date": now()}
        record.reply_markup = markup
        if markup:
            record.wire["reply_markup"] = markup
        record.version += 1
        self._world.changes.notify()
        return record.wire

    # -- deleting ----------------------------------------------------------------------------------------

    def _delete_message(self, call: Call) -> bool:
        chat = self._world.reachable(call.arguments["chat_id"])
        record = self._world.messages.get((chat.id, call.arguments["message_id"]))
        if record is None:
            raise Refusal(400, "Bad Request: message to delete not found")
        if not self._deletable(chat, record):
            raise Refusal(400, "Bad Request: message can't be deleted for everyone")
        del self._world.messages[chat.id, call.arguments["message_id"]]
        self._world.changes.notify()
        return True

    def _delete_messages(self, call: Call) -> bool:
        chat = self._world.reachable(call.arguments["chat_id"])
        for number in call.arguments["message_ids"]:
            record = self._world.messages.get((chat.id, number))
            if record is not None and self._deletable(chat, record):
                del self._world.messages[chat.id, number]
        self._world.changes.notify()
        return True

    def _deletable(self, chat: Chat, record: Record) -> bool:
        admin = chat.type != "private" and self._world.is_admin(chat, self._world.bot["id"])
        young = now() - record.wire["date"] < DELETE_WITHIN
        return admin or (young and (chat.type == "private" or self._mine(record)))

    def _mine(self, record: Record) -> bool:
        if record.wire["chat"]["type"] == "channel":
            return "author_signature" not in record.wire  # posts of people are signed here
        return bool(record.wire.get("from", {}).get("id") == self._world.bot["id"])


def _text(arguments: Wire) -> Wire:
    text, entities = read(arguments["text"], arguments.get("parse_mode"), arguments.get("entities"))
    if not text:
        raise Refusal(400, "Bad Request: message text is empty")
    if units(text) > TEXT_LIMIT:
        raise Refusal(400, "Bad Request: message is too long")
    return {"text": text, "entities": entities} if entities else {"text": text}


def _caption(arguments: Wire) -> Wire:
    text, entities = read(arguments.get("caption", ""), arguments.get("parse_mode"), arguments.get("caption_entities"))
    if units(text) > CAPTION_LIMIT:
        raise Refusal(400, "Bad Request: message caption is too long")
    if not text:
        return {}
    return {"caption": text, "caption_entities": entities} if entities else {"caption": text}


def _markup(arguments: Wire) -> Wire | None:
    markup: Wire | None = arguments.get("reply_markup")
    rows = (markup or {}).get("inline_keyboard", [])
    for button in (button for row in rows for button in row):
        if not button["text"].strip():
            raise Refusal(400, "Bad Request: inline keyboard button text is empty")
        if not 1 <= len(button.get("callback_data", "-").encode()) <= 64:
            raise Refusal(400, "Bad Request: BUTTON_DATA_INVALID")
    return None if markup and "inline_keyboard" in markup and not any(rows) else markup


def _attached(call: Call, name: str) -> bytes:
    if name not in call.files:
        raise Refusal(400, "Bad Request: wrong file identifier/HTTP URL specified")
    if not call.files[name]:
        raise Refusal(400, "Bad Request: file must be non-empty")
    return call.files[name]
