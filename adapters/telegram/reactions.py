"""The bot's reaction to a photo: eyes while it looks, a sign when it is done, where the chat allows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from telegram import Bot
from telegram.error import BadRequest, Forbidden, TelegramError

from adapters.recent import Recent
from rapbot.logs import get_logger

_log = get_logger(__name__)

LOOKING = "👀"
DONE = "👌"


@dataclass(slots=True)
class Outcome:
    """How it went; the one who answers writes it down."""

    good: bool = True


class Reactions:
    """Decorates only: no failure of it reaches the answer."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self._refused: Recent[int, bool] = Recent(1000)
        """Chats that allow no reactions, or not these."""

    @asynccontextmanager
    async def while_answering(self, chat_id: int, message_id: int, outcome: Outcome) -> AsyncIterator[None]:
        """Shown beside the work, never before it; `outcome` is read at the end."""
        looking = asyncio.create_task(self.show(chat_id, message_id, LOOKING), name="reaction")
        try:
            yield
        except BaseException:
            outcome.good = False
            raise
        finally:
            await asyncio.wait([looking])
            await self.show(chat_id, message_id, DONE if outcome.good else None)

    async def show(self, chat_id: int, message_id: int, emoji: str | None) -> bool:
        """Replace the bot's reaction; None takes it away."""
        if chat_id in self._refused:
            return False
        try:
            await self._bot.set_message_reaction(chat_id, message_id, emoji)
        except (BadRequest, Forbidden) as error:
            if "not found" not in error.message.casefold():  # else only this message is gone
                self._refused.put(chat_id, True)
            return False
        except TelegramError as error:
            _log.info("no reaction", error=type(error).__name__)
            return False
        return True
