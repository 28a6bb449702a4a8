"""A stand-in for the Telegram Bot API that the unmodified python-telegram-bot talks to over sockets."""

from tests.peers.telegram.peer import TelegramPeer
from tests.peers.telegram.wire import BotMessage, Call, Chat, Person

__all__ = ["BotMessage", "Call", "Chat", "Person", "TelegramPeer"]
