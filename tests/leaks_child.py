"""Both bots in a program of their own that says everything it can: `python -m tests.leaks_child DIR`.

Addresses and tokens of the stand-ins come in the environment, as secrets should. It prints "ready" once both listen.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import discord.gateway
import discord.http
import yarl
from pydantic import SecretStr

from rapbot.app import serve
from rapbot.config import DiscordSettings, Settings, TelegramSettings, WorkerSettings
from rapbot.logs import configure_logs


def settings_of(folder: Path) -> Settings:
    there = os.environ
    discord.http.Route.BASE = f"{there['DISCORD']}/api/v10"
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(there["DISCORD"].replace("http", "ws", 1) + "/gateway/")
    return Settings(
        data_dir=folder,
        weights_dir=Path(there["WEIGHTS"]),
        log_level="debug",
        worker=WorkerSettings(threads=2),
        telegram=TelegramSettings(
            token=SecretStr(there["TELEGRAM_TOKEN"]), api_url=there["TELEGRAM"], album_wait_s=0.3
        ),
        discord=DiscordSettings(token=SecretStr(there["DISCORD_TOKEN"]), message_content=True),
    )


async def main(folder: Path) -> None:
    settings = settings_of(folder)
    configure_logs(settings.log_level)
    listening: list[str] = []

    def ready(name: str) -> None:
        listening.append(name)
        if len(listening) == 2:
            print("ready", flush=True)

    await serve(settings, ready)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
