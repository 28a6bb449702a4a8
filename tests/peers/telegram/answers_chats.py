"""The methods about chats, members, commands, files, reactions and pressed buttons."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.peers.telegram.markup import units
from tests.peers.telegram.wire import Call, Chat, Refusal, Wire
from tests.peers.telegram.world import ADMINS, World

_ACTIONS = frozenset(
    "typing upload_photo record_video upload_video record_voice upload_voice upload_document choose_sticker"
    " find_location record_video_note upload_video_note".split()
)
_COMMAND = re.compile(r"[a-z0-9_]{1,32}")
_EXPIRED = "Bad Request: query is too old and response timeout expired or query ID is invalid"


class ChatAnswers:
    """Everything but messages and updates."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.methods: dict[str, Callable[[Call], Any]] = {
            "getMe": self._get_me,
            "logOut": lambda call: True,
            "close": lambda call: True,
            "getFile": lambda call: world.files.describe(call.arguments["file_id"]),
            "getChat": self._get_chat,
            "getChatMember": self._get_chat_member,
            "getChatMemberCount": self._get_chat_member_count,
            "getChatAdministrators": self._get_chat_administrators,
            "leaveChat": self._leave_chat,
            "sendChatAction": self._send_chat_action,
            "setMessageReaction": self._set_message_reaction,
            "answerCallbackQuery": self._answer_callback_query,
            "setMyCommands": self._set_my_commands,
            "deleteMyCommands": self._delete_my_commands,
            "getMyCommands": lambda call: world.commands.get(_commands_of(call), []),
            "setMyDescription": self._set_my_description,
            "getMyDescription": lambda call: {"description": world.descriptions.get(_language(call), "")},
            "setMyShortDescription": self._set_my_short_description,
            "getMyShortDescription": self._get_my_short_description,
        }

    def _get_me(self, call: Call) -> Wire:
        return {
            **self._world.bot,
            "can_join_groups": True,
            "can_read_all_group_messages": not self._world.privacy,
            "supports_inline_queries": False,
        }

    # -- chats -------------------------------------------------------------------------------------------

    def _get_chat(self, call: Call) -> Wire:
        chat = self._world.reachable(call.arguments["chat_id"])
        gifts = "unlimited_gifts limited_gifts unique_gifts premium_subscription gifts_from_channels".split()
        accepted = {"accepted_gift_types": dict.fromkeys(gifts, False)}
        return {**chat.wire, "accent_color_id": 1, "max_reaction_count": 11, **accepted}

    def _get_chat_member(self, call: Call) -> Wire:
        chat, user_id = self._world.reachable(call.arguments["chat_id"]), call.arguments["user_id"]
        if user_id not in self._world.users:
            raise Refusal(400, "Bad Request: user not found")
        return self._world.member(chat, user_id)

    def _get_chat_member_count(self, call: Call) -> int:
        chat = self._world.reachable(call.arguments["chat_id"])
        return sum(status not in ("left", "kicked") for status in chat.members.values())

    def _get_chat_administrators(self, call: Call) -> list[Wire]:
        chat = self._world.reachable(call.arguments["chat_id"])
        if chat.type == "private":
            raise Refusal(400, "Bad Request: there are no administrators in the private chat")
        return [self._world.member(chat, user) for user, status in chat.members.items() if status in ADMINS]

    def _leave_chat(self, call: Call) -> bool:
        chat = self._world.reachable(call.arguments["chat_id"])
        if chat.type == "private":
            raise Refusal(400, "Bad Request: chat member status can't be changed in private chats")
        self._world.set_status(chat, self._world.bot["id"], "left", self._world.bot)
        return True

    # -- small signs -------------------------------------------------------------------------------------

    def _send_chat_action(self, call: Call) -> bool:
        chat: Chat = self._world.reachable(call.arguments["chat_id"])
        if call.arguments["action"] not in _ACTIONS:
            raise Refusal(400, "Bad Request: wrong parameter action in request")
        thread = call.arguments.get("message_thread_id")
        if thread is not None and thread not in chat.threads:
            raise Refusal(400, "Bad Request: message thread not found")
        return True

    def _set_message_reaction(self, call: Call) -> bool:
        chat = self._world.reachable(call.arguments["chat_id"])
        record = self._world.messages.get((chat.id, call.arguments["message_id"]))
        if record is None:
            raise Refusal(400, "Bad Request: message to react not found")
        emoji = [reaction.get("emoji", "") for reaction in call.arguments.get("reaction", [])]
        if len(emoji) > 1:
            raise Refusal(400, "Bad Request: REACTIONS_TOO_MANY")
        known = self._world.api.reactions() if self._world.api else None
        if known is not None and any(f'"{one}"' not in known for one in emoji):
            raise Refusal(400, "Bad Request: REACTION_INVALID")
        record.reaction = emoji
        self._world.changes.notify()
        return True

    def _answer_callback_query(self, call: Call) -> bool:
        query = self._world.queries.get(call.arguments["callback_query_id"])
        if query is None or query.expired:
            raise Refusal(400, _EXPIRED)
        if units(call.arguments.get("text", "")) > 200:
            raise Refusal(400, "Bad Request: MESSAGE_TOO_LONG")
        query.answer = {k: v for k, v in call.arguments.items() if k != "callback_query_id"}
        self._world.changes.notify()
        return True

    # -- what the bot says of itself ---------------------------------------------------------------------

    def _set_my_commands(self, call: Call) -> bool:
        commands = call.arguments["commands"]
        if len(commands) > 100:
            raise Refusal(400, "Bad Request: BOT_COMMANDS_TOO_MUCH")
        for command in commands:
            if not _COMMAND.fullmatch(command["command"].removeprefix("/")):
                raise Refusal(400, "Bad Request: BOT_COMMAND_INVALID")
            if not 1 <= len(command["description"]) <= 256:
                raise Refusal(400, "Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
        self._world.commands[_commands_of(call)] = commands
        self._world.changes.notify()
        return True

    def _delete_my_commands(self, call: Call) -> bool:
        self._world.commands.pop(_commands_of(call), None)
        self._world.changes.notify()
        return True

    def _set_my_description(self, call: Call) -> bool:
        return self._describe(self._world.descriptions, call, call.arguments.get("description", ""), 512)

    def _set_my_short_description(self, call: Call) -> bool:
        return self._describe(self._world.short_descriptions, call, call.arguments.get("short_description", ""), 120)

    def _get_my_short_description(self, call: Call) -> Wire:
        return {"short_description": self._world.short_descriptions.get(_language(call), "")}

    def _describe(self, kept: dict[str, str], call: Call, text: str, limit: int) -> bool:
        if units(text) > limit:
            raise Refusal(400, "Bad Request: DESCRIPTION_TOO_LONG")
        kept[_language(call)] = text
        self._world.changes.notify()
        return True


def _language(call: Call) -> str:
    return str(call.arguments.get("language_code", ""))


def _commands_of(call: Call) -> tuple[str, str]:
    """The scope, such as "default" or "chat:5", and the language of a list of commands."""
    scope = call.arguments.get("scope", {"type": "default"})
    parts = [scope["type"], *(str(scope[key]) for key in ("chat_id", "user_id") if key in scope)]
    return ":".join(parts), _language(call)
