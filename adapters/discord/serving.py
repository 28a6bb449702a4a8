"""The connection to Discord: begun with patience, ended in order."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable

import aiohttp
import discord
from discord.backoff import ExponentialBackoff

from adapters.discord.client import Client
from adapters.discord.reaching import reaching
from rapbot.assistant import Assistant
from rapbot.config import Settings
from rapbot.errors import ConfigError
from rapbot.inbox import Inbox
from rapbot.logs import get_logger, hide
from rapbot.watching import trouble

_log = get_logger(__name__)
_REFUSED = 4004
"""The gateway's close code for a token that it does not know (any more)."""
_UNREACHED = (discord.DiscordServerError, discord.GatewayNotFound, aiohttp.ClientError, OSError)
_WRONG_TOKEN = "Discord does not accept the token of the bot. Copy it again from the developer portal, page Bot."  # noqa: S105 - a sentence
_NO_INTENT = (
    "Discord does not let this bot read messages that do not mention it. Switch on Message Content Intent in the "
    "developer portal, page Bot, or set discord.message_content = false."
)
_SECRETS = re.compile(r"(/(?:webhooks|interactions)/\d+/)[\w-]+")


async def serve(
    assistant: Assistant, settings: Settings, ready: Callable[[str], None] | None, inbox: Inbox | None = None
) -> None:
    token = settings.discord.secret()
    hide(token)
    discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False  # a bot without a voice
    logging.getLogger("discord.http").addFilter(_without_secrets)
    client = await _logged_in(assistant, settings, token, inbox)
    await _connected(client, settings, ready)


async def _logged_in(assistant: Assistant, settings: Settings, token: str, inbox: Inbox | None) -> Client:
    """Raises ConfigError; waits, ever longer, for a Discord that cannot be reached."""
    backoff: ExponentialBackoff[bool] = ExponentialBackoff()
    while True:
        client = Client(assistant, settings, inbox)  # a client whose login failed cannot log in again
        try:
            await client.login(token)
        except BaseException as error:
            await client.close()
            if isinstance(error, discord.LoginFailure):
                raise ConfigError(_WRONG_TOKEN) from error
            if not isinstance(error, _UNREACHED):
                raise
            await _wait(backoff, error)
        else:
            return client


async def _connect(client: Client) -> None:
    """The library reconnects by itself, except for the very first connection."""
    backoff: ExponentialBackoff[bool] = ExponentialBackoff()
    while True:
        try:
            await client.connect()
        except _UNREACHED as error:
            if client.is_closed():
                raise
            await _wait(backoff, error)
        except discord.ConnectionClosed as error:
            raise ConfigError(_WRONG_TOKEN) if error.code == _REFUSED else error from error
        except discord.PrivilegedIntentsRequired as error:
            raise ConfigError(_NO_INTENT) from error
        else:
            return


async def _wait(backoff: ExponentialBackoff[bool], error: Exception) -> None:
    delay = backoff.delay()
    trouble("discord", error)
    _log.warning("discord not reached", error=type(error).__name__, again_in_s=round(delay, 1))
    await asyncio.sleep(delay)


async def _connected(client: Client, settings: Settings, ready: Callable[[str], None] | None) -> None:
    """Until cancelled; then nothing new begins, what runs may end, and the connection is closed."""
    connecting = asyncio.create_task(_connect(client), name="discord")
    telling = asyncio.create_task(_tell(client, ready), name="discord ready")
    try:
        with client.reception.assistant.retention.reaching("discord", reaching(client)):
            await asyncio.shield(connecting)
    except asyncio.CancelledError:
        await client.stop_taking(settings.discord.grace_s)
        raise
    finally:
        telling.cancel()
        await client.close()
        await asyncio.wait([telling, connecting])


async def _tell(client: Client, ready: Callable[[str], None] | None) -> None:
    await client.wait_until_ready()
    _log.info("discord ready", servers=len(client.guilds), shards=client.shard_count)
    if ready is not None and client.user is not None:
        ready(f"Discord: {client.user}")


def _without_secrets(record: logging.LogRecord) -> bool:
    """The address of an answer holds a token that is valid for 15 minutes."""
    if isinstance(record.args, tuple):
        record.args = tuple(_SECRETS.sub(r"\1…", arg) if isinstance(arg, str) else arg for arg in record.args)
    return True
