"""The connection: long polling or a webhook, on the running event loop, and the orderly end."""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from telegram import Update
from telegram.error import BadRequest, InvalidToken, NetworkError, TelegramError
from telegram.ext import Application, ApplicationBuilder, CallbackContext, TypeHandler

from adapters.listening import listen
from adapters.telegram.keeping import KeepingBot, KeepingQueue
from adapters.telegram.library_logs import only_kind_and_place
from adapters.telegram.menu import publish
from adapters.telegram.pacing import Pacing
from adapters.telegram.reaching import reaching
from adapters.telegram.receiving import ALLOWED_UPDATES, Receiver
from adapters.telegram.requests import AiohttpRequest
from adapters.telegram.webhook import Webhook, taking_calls
from rapbot.assistant import Assistant
from rapbot.config import Settings, TelegramSettings
from rapbot.errors import ConfigError
from rapbot.inbox import Inbox
from rapbot.logs import get_logger, hide
from rapbot.watching import connected, trouble

_log = get_logger(__name__)

_POLL = 25
"""Seconds that one question for updates stays open."""
_CONNECTIONS = 16
"""Calls on their way at once; Telegram takes some 30 a second."""
_DOWNLOADS = 8
"""Connections beside them for photos."""
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0
"""Seconds between attempts to reach Telegram at the start; the first doubles."""
_WRONG_TOKEN = "Telegram does not accept the token in [telegram]: copy it again from @BotFather."  # noqa: S105 - a sentence

App = Application[Any, Any, Any, Any, Any, Any]


async def serve(
    assistant: Assistant, settings: Settings, ready: Callable[[str], None] | None, inbox: Inbox | None = None
) -> None:
    token = settings.telegram.secret()
    hide(token)
    # Else the library warns, at each "try again in n seconds", that n will be of another type in the future.
    os.environ.setdefault("PTB_TIMEDELTA", "true")
    with only_kind_and_place():
        app = await asyncio.to_thread(_application, token, settings.telegram)  # reads certificates: not on the loop
        try:
            await _connect(app)
            receiver = Receiver(app.bot, assistant, settings, inbox)
            if settings.telegram.webhook_url:
                assert isinstance(app.update_queue, KeepingQueue)
                app.update_queue.keep_by(receiver.keep)
            else:
                app.bot.keep_by(receiver.keep)
            await receiver.replay()
            app.add_handler(TypeHandler(Update, _handler(receiver)))
            beside = [
                asyncio.create_task(publish(app.bot), name="telegram menu"),
                asyncio.create_task(receiver.look_around(), name="telegram groups"),
            ]
            try:
                with assistant.retention.reaching("telegram", reaching(app.bot)):
                    async with _listening(app, settings) as lost:
                        if ready is not None:
                            ready(f"Telegram: @{app.bot.username}")
                        await asyncio.wait([lost])
                        raise ConfigError(_WRONG_TOKEN)
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.wait(beside)
                await receiver.finish(settings.telegram.grace_s)
        finally:
            if not app.running:  # else it was cut off while it stopped
                await app.shutdown()
            await app.bot.shutdown()  # also after a start that failed half-way


def _application(token: str, settings: TelegramSettings) -> App:
    if not token:
        raise ConfigError("The token in [telegram] is empty.")
    api = settings.api_url.rstrip("/")
    bot = KeepingBot(
        token,
        f"{api}/bot",
        f"{api}/file/bot",
        request=AiohttpRequest(_CONNECTIONS + _DOWNLOADS, 30),
        get_updates_request=AiohttpRequest(2, 10),
        rate_limiter=Pacing(_CONNECTIONS),
    )
    builder: Any = ApplicationBuilder()  # its type changes with every call
    app: App = builder.bot(bot).update_queue(KeepingQueue()).job_queue(None).build()
    return app


def _handler(receiver: Receiver) -> Callable[[Update, CallbackContext[Any, Any, Any, Any]], Any]:
    async def handle(update: Update, context: CallbackContext[Any, Any, Any, Any]) -> None:
        receiver.receive(update)

    return handle


async def _connect(app: App) -> None:
    """Wait for Telegram: a machine that has just started may have no network yet. Raises ConfigError."""
    wait = _FIRST_WAIT
    while True:
        try:
            await app.initialize()
        except InvalidToken:
            raise ConfigError(_WRONG_TOKEN) from None  # the library's words hold the token
        except BadRequest as error:
            raise ConfigError(f"Telegram refuses to talk: {error.message}.") from None
        except NetworkError as error:
            trouble("telegram", error)
            _log.warning("Telegram not reached", error=type(error.__cause__ or error).__name__, again_in=wait)
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
        else:
            return


@asynccontextmanager
async def _listening(app: App, settings: Settings) -> AsyncIterator[asyncio.Task[Any]]:
    """Updates arrive. The task that is given ends only when Telegram takes the token no more."""
    await app.start()
    try:
        async with _webhook(app, settings) if settings.telegram.webhook_url else _polling(app) as lost:
            connected("telegram", True)
            yield lost
    finally:
        connected("telegram", False)
        await app.stop()  # hands on what is already here


@asynccontextmanager
async def _polling(app: App) -> AsyncIterator[asyncio.Task[Any]]:
    assert app.updater is not None
    try:
        try:
            lost = await _start_polling(app)
        except InvalidToken:
            raise ConfigError(_WRONG_TOKEN) from None
        yield lost
    finally:
        if app.updater.running:
            with suppress(InvalidToken):  # what polling ended with
                await app.updater.stop()


async def _start_polling(app: App) -> asyncio.Task[Any]:
    assert app.updater is not None
    before = asyncio.all_tasks()
    await app.updater.start_polling(
        timeout=_POLL, bootstrap_retries=-1, allowed_updates=ALLOWED_UPDATES, error_callback=_poll_failed
    )
    # The library does not tell when polling ends for good, which it does when the token is revoked.
    return next(
        task for task in asyncio.all_tasks() - before if task.get_name() == "Updater:start_polling:polling_task"
    )


def _poll_failed(error: TelegramError) -> None:
    connected("telegram", False)
    trouble("telegram", error)
    _log.warning("no updates", error=type(error.__cause__ or error).__name__)


def _secret(settings: Settings) -> str:
    """By which Telegram is known. The processes behind one address must know the same one."""
    if settings.telegram.webhook_secret is not None:
        return settings.telegram.webhook_secret.get_secret_value()
    if settings.store.enabled:
        return hmac.digest(settings.telegram.secret().encode(), b"webhook", "sha256").hex()
    return secrets.token_urlsafe(32)


@asynccontextmanager
async def _webhook(app: App, all_settings: Settings) -> AsyncIterator[asyncio.Task[Any]]:
    settings, secret = all_settings.telegram, _secret(all_settings)
    hide(secret)
    listening = listen(
        settings.webhook_listen, settings.webhook_port, "The webhook", "Choose another telegram.webhook_port."
    )
    async with taking_calls(Webhook(app, secret), listening, urlsplit(settings.webhook_url).path):
        try:
            await app.bot.set_webhook(settings.webhook_url, secret_token=secret, allowed_updates=ALLOWED_UPDATES)
        except InvalidToken:
            raise ConfigError(_WRONG_TOKEN) from None
        except BadRequest as error:
            raise ConfigError(f"Telegram does not accept telegram.webhook_url: {error.message}.") from None
        never = asyncio.create_task(asyncio.Event().wait(), name="webhook")
        try:
            yield never
        finally:
            never.cancel()
