"""Telegram. Follow a message: `serving` (connection) -> `receiving` (update) -> `answering` -> the desk -> `channel`.

A pressed button goes `receiving` -> `pressing` -> the desk -> `channel`. Inside this package `import telegram` is
python-telegram-bot: imports are absolute.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable

from rapbot.assistant import Assistant
from rapbot.config import Settings
from rapbot.inbox import Inbox


async def serve(
    assistant: Assistant,
    settings: Settings,
    *,
    ready: Callable[[str], None] | None = None,
    inbox: Inbox | None = None,
) -> None:
    """Be the bot until cancelled; running answers then get `settings.telegram.grace_s` seconds.

    `ready` is told the name of the bot once it listens. `inbox` keeps what is not answered yet, so that a crash loses
    nothing. Raises ConfigError when the token or the webhook is refused, StoreError when the inbox cannot be read.
    """
    # The library takes a second to import: not on the event loop, where other platforms are answered already.
    serving = await asyncio.to_thread(importlib.import_module, "adapters.telegram.serving")
    await serving.serve(assistant, settings, ready, inbox)
