"""The whole program with light models, to be watched from outside: `python -m tests.watched_child`.

Configured by RAPBOT_* variables; DISCORD is the address of the stand-in. It prints what is ready, line by line.
"""

from __future__ import annotations

import asyncio
import os
import signal

import discord.gateway
import discord.http
import yarl

import rapbot.inference.worker
from rapbot.app import serve
from rapbot.cli_session import configured
from tests import light_models


async def main() -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await serve(configured(), lambda what: print(f"ready: {what}", flush=True))


if __name__ == "__main__":
    there = os.environ["DISCORD"]
    discord.http.Route.BASE = f"{there}/api/v10"
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(there.replace("http", "ws", 1) + "/gateway/")
    rapbot.inference.worker.initialise = light_models.initialise  # type: ignore[attr-defined]
    asyncio.run(main())
