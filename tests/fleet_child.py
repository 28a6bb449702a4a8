"""One of several processes of the bot, with light models: `python -m tests.fleet_child FILE`, a JSON of `Member`.

It prints "ready" once the bot listens, and ends in order at SIGTERM, as under systemd.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class Member:
    """What one process is told."""

    address: str
    token: str
    folder: str
    store: str
    """URL of the PostgreSQL database."""
    hook: str
    """Where Telegram calls: the balancer."""
    port: int
    """Where this process listens behind it."""
    album_wait_s: float = 0.3


async def main(member: Member) -> None:
    from rapbot.app import serve
    from rapbot.config import Settings, StoreSettings, TelegramSettings, WorkerSettings

    telegram = TelegramSettings(
        token=SecretStr(member.token),
        api_url=member.address,
        album_wait_s=member.album_wait_s,
        webhook_url=member.hook,
        webhook_port=member.port,
    )
    worker = WorkerSettings(threads=1, start_deadline_s=60.0)
    settings = Settings(
        data_dir=Path(member.folder),
        people="off",
        telegram=telegram,
        worker=worker,
        store=StoreSettings(url=member.store),
    )
    serving = asyncio.create_task(serve(settings, lambda _name: print("ready", flush=True)))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    await asyncio.wait([serving])
    if not serving.cancelled():
        serving.result()


if __name__ == "__main__":
    import rapbot.inference.worker
    from rapbot.logs import configure_logs
    from tests import light_models

    configure_logs("info")
    rapbot.inference.worker.initialise = light_models.initialise  # type: ignore[attr-defined]
    asyncio.run(main(Member(**json.loads(Path(sys.argv[1]).read_text()))))
