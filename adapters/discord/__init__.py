"""The Discord bot: what people write or press there becomes a request, and what is shown becomes messages.

Follow a message: `serving` (connection, order of shutdown) -> `client` (events) -> `receiving`, `commands`, `menus` or
`presses` (a request) -> `reception` (one turn) -> the desk -> `channel` and `showing` (messages).
"""

from __future__ import annotations

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
    """Run the bot on the running event loop until cancelled; `ready` is told its name once it is online.

    `inbox` keeps what is not answered yet, so that a crash loses nothing. Raises ConfigError: Discord refuses the token
    or an intent.
    """
    from adapters.discord.serving import serve

    await serve(assistant, settings, ready, inbox)
