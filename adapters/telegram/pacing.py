"""How often calls are made, and which failed ones are made again.

Telegram takes about 30 messages a second, and 20 a minute in one group. A call is repeated only where it cannot make
a second message: after "429, try again later", after a refusal by the server (5xx), and when it never left us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
from telegram.error import NetworkError, RetryAfter, TelegramError, TimedOut
from telegram.ext import AIORateLimiter

from adapters.telegram.requests import NEVER_SENT
from rapbot.logs import get_logger
from rapbot.watching import trouble

_log = get_logger(__name__)

_RETRIES = 3
_FIRST_WAIT = 0.3
"""Seconds before a failed call is made again; doubles."""
_PROMPT = frozenset({"sendChatAction", "answerCallbackQuery"})
"""Of use only at once: not repeated."""

_DECORATION = frozenset({"sendChatAction", "setMessageReaction"})
"""Left out while other calls wait: answers come first."""

_Callback = Callable[..., Coroutine[Any, Any, Any]]


class Pacing(AIORateLimiter):
    """The library's rate limiter, for messages only; typing, reactions and questions about members pass freely."""

    def __init__(self, connections: int) -> None:
        """`connections`: calls on their way at once."""
        super().__init__(max_retries=_RETRIES)
        self._slots = asyncio.Semaphore(connections)

    async def process_request(
        self,
        callback: _Callback,
        args: Any,
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: int | None,
    ) -> Any:
        """Raises what the last attempt raised."""
        if endpoint in _DECORATION and self._slots.locked():
            return True
        limited = data if _makes_message(endpoint) or endpoint.startswith("edit") else {}

        async def call(*args: Any, **kwargs: Any) -> Any:
            async with self._slots:
                try:
                    return await callback(*args, **kwargs)
                except TelegramError as error:
                    trouble("telegram", error)
                    raise

        for attempt in range(_RETRIES + 1):
            try:
                return await super().process_request(call, args, kwargs, endpoint, limited, rate_limit_args)
            except NetworkError as error:
                if attempt == _RETRIES or endpoint in _PROMPT or not _repeatable(endpoint, error):
                    raise
                _log.info("call repeated", method=endpoint, error=type(error.__cause__ or error).__name__)
            await asyncio.sleep(_FIRST_WAIT * 2**attempt)
        raise AssertionError("the last attempt returns or raises")


def _makes_message(endpoint: str) -> bool:
    return endpoint.startswith(("send", "copy", "forward")) and endpoint != "sendChatAction"


def may_work_later(error: TelegramError) -> bool:
    """Whether a message that was not sent for this reason may be taken later.

    Where the line broke before Telegram's answer it may be there all the same: twice is better than never.
    """
    return isinstance(error, RetryAfter) or (
        type(error) in (NetworkError, TimedOut) and "too large" not in error.message.casefold()
    )


def _repeatable(endpoint: str, error: NetworkError) -> bool:
    if type(error) not in (NetworkError, TimedOut) or "too large" in error.message.casefold():
        return False  # BadRequest is a NetworkError too; and 413 stays 413
    if isinstance(error.__cause__, NEVER_SENT):
        return True
    refused = type(error) is NetworkError and not isinstance(error.__cause__, aiohttp.ClientError)
    return refused or not _makes_message(endpoint)
