"""The Telegram bot in a process of its own, measuring its loop: `python -m tests.telegram_child ADDRESS TOKEN DIR`.

The stand-in of Telegram draws photos; on the same loop it would be measured too.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from pydantic import SecretStr

from adapters.telegram import serve
from rapbot.app import running
from rapbot.config import Settings, TelegramSettings, WorkerSettings


async def main(address: str, token: str, folder: str) -> None:
    telegram = TelegramSettings(token=SecretStr(token), api_url=address, album_wait_s=0.3)
    settings = Settings(
        data_dir=Path(folder), worker=WorkerSettings(threads=1, queue_per_person=200), telegram=telegram
    )
    steps: list[float] = []

    async def measure() -> None:
        """How long the loop's thread was busy before we had our turn again; what other processes take is not ours."""
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.005)
            steps.append(time.thread_time() - before)

    async with running(settings) as app:
        await app.worker.ready()
        ready = asyncio.Event()
        serving = asyncio.create_task(serve(app.assistant, settings, ready=lambda name: ready.set()))
        await ready.wait()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)  # "measure"
        measuring = asyncio.create_task(measure())
        await asyncio.to_thread(sys.stdin.readline)  # "stop"
        measuring.cancel()
        serving.cancel()
        await asyncio.wait([serving])
    steps.sort()
    print(json.dumps({"p99": steps[int(len(steps) * 0.99)], "steps": len(steps)}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
