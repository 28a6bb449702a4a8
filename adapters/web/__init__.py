"""The local web page: chat, gallery of what was taught, corrections. Nothing is loaded from another host.

Follow a message: `serving` (socket, gate, routes) -> `page` (events) -> `chat` -> the assistant -> `markup`.
"""

from __future__ import annotations

from collections.abc import Callable

from rapbot.assistant import Assistant
from rapbot.config import Settings


async def launch(assistant: Assistant, settings: Settings, ready: Callable[[str], None] | None = None) -> None:
    """Serve the page on the running event loop until cancelled. `ready` is told the address once it answers.

    Raises ConfigError when the address cannot be used.
    """
    from adapters.web.serving import serve

    await serve(assistant, settings, ready)
