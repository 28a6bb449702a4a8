"""Where Telegram calls: one path, one method, one secret, small bodies.

The library's own server reads up to 100 MB before it looks at the secret, and compares that letter by letter.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from telegram import Update
from telegram.ext import Application

from rapbot.errors import RapbotError
from rapbot.logs import get_logger

_log = get_logger(__name__)
_MOST_BYTES = 1_000_000
"""An update holds texts and names of files, never the files."""
_PATIENCE = 10.0
"""Seconds for the body of a call."""
_LINGER = 1.0
"""Seconds that the rest of a refused call is read and thrown away, so that the caller hears why."""
_SECRET = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the name of a header


class Webhook:
    """Hands on the updates of calls that know the secret. "200" is answered once the queue has kept the update."""

    def __init__(self, app: Application[Any, Any, Any, Any, Any, Any], secret: str) -> None:
        self._app = app
        self._secret = secret.encode()

    async def call(self, request: web.Request) -> web.Response:
        given = request.headers.get(_SECRET, "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._secret):
            return web.Response(status=403)
        if request.content_type != "application/json":
            return web.Response(status=415)
        if (request.content_length or 0) > _MOST_BYTES:  # else found out only after reading that much
            return web.Response(status=413)
        try:
            async with asyncio.timeout(_PATIENCE):
                data = await request.json()
            update = Update.de_json(data, self._app.bot)
        except TimeoutError:
            return web.Response(status=408)
        except web.HTTPException:  # 413
            raise
        except Exception as error:  # no JSON, or not as the library expects it
            _log.warning("webhook: damaged update", error=type(error).__name__)
            return web.Response(status=400)
        try:
            await self._app.update_queue.put(update)
        except RapbotError as error:  # it could not be kept: Telegram sends it again
            _log.warning("webhook: update not kept", error=type(error).__name__)
            return web.Response(status=503)
        return web.Response()


@asynccontextmanager
async def taking_calls(hook: Webhook, listening: socket.socket, path: str) -> AsyncIterator[None]:
    """While this is open, calls of `path` are answered on the socket, which is closed at the end."""
    server = web.Application(client_max_size=_MOST_BYTES)
    server.router.add_post(path or "/", hook.call)
    runner = web.AppRunner(server, access_log=None, handle_signals=False, lingering_time=_LINGER)
    try:
        await runner.setup()
        await web.SockSite(runner, listening).start()
        yield
    finally:
        await runner.cleanup()
        listening.close()
