"""Writing first, to somebody who has not just written: only where they have opened the private chat."""

from __future__ import annotations

from telegram import Bot
from telegram.error import BadRequest, Forbidden, TelegramError

from adapters.telegram.reading import without_mentions
from rapbot.retention import NotNow, Send


def reaching(bot: Bot) -> Send:
    async def send(person: str, words: str) -> bool:
        number = person.removeprefix("telegram:")
        if not number.isdecimal():  # a hidden administrator
            return False
        try:
            await bot.send_message(int(number), without_mentions(words))
        except (Forbidden, BadRequest):
            return False
        except TelegramError as error:
            raise NotNow from error
        return True

    return send
