"""What the chat platforms cost: acknowledgement under load, event loop lag, overhead of the adapters.

    python -m benchmarks.chat_load [--seconds 20] [--rate 50] [--jobs 20]

The real adapters run in a process of their own, with the real worker; this process plays Telegram and Discord
(`tests/peers`) and the people there. Compare the ratios; single times depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from tests.peers.discord import DiscordPeer
from tests.peers.telegram import TelegramPeer
from tests.pictures import cat_elsewhere_jpeg, cat_jpeg

PROBE_S = 0.005


@dataclass(slots=True)
class Bot:
    """What the process of the bot is told, and what it tells."""

    telegram: tuple[str, str]
    """(token, address)"""
    discord: tuple[str, str, str]
    """(token, address of the REST interface, of the gateway)"""
    folder: str
    lags: list[float] = field(default_factory=list)


def run_bot(told: Bot, pipe: Connection) -> None:
    """In its own process: the bot as `rapbot serve` runs it, and a probe of its event loop."""
    asyncio.run(_bot(told, pipe))


async def _bot(told: Bot, pipe: Connection) -> None:
    import discord
    import yarl
    from pydantic import SecretStr

    from adapters.discord import serve as serve_discord
    from adapters.telegram import serve as serve_telegram
    from rapbot.app import running, settle
    from rapbot.config import DiscordSettings, Settings, TelegramSettings

    discord.http.Route.BASE = told.discord[1]
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(told.discord[2])
    settings = Settings(
        data_dir=Path(told.folder),
        telegram=TelegramSettings(token=SecretStr(told.telegram[0]), api_url=told.telegram[1], grace_s=0),
        discord=DiscordSettings(token=SecretStr(told.discord[0]), message_content=True, grace_s=0),
    )
    async with running(settings) as app:
        await app.worker.ready()
        settle()
        ready: asyncio.Queue[str] = asyncio.Queue()
        bots = [
            asyncio.create_task(serve(app.assistant, settings, ready=ready.put_nowait))
            for serve in (serve_telegram, serve_discord)
        ]
        for _ in bots:
            await ready.get()
        pipe.send("ready")
        lags: list[tuple[float, float]] = []
        while True:  # a call that comes later than asked: something held the loop, or the processors were taken
            began, worked = time.perf_counter(), time.thread_time()
            await asyncio.sleep(PROBE_S)
            lags.append((time.perf_counter() - began - PROBE_S, time.thread_time() - worked))
            if pipe.poll():
                if pipe.recv() == "stop":
                    break
                pipe.send(lags)
                lags = []
        for bot in bots:
            bot.cancel()
        await asyncio.gather(*bots, return_exceptions=True)


class Load:
    """People on both platforms and what they do."""

    def __init__(self, telegram: TelegramPeer, discord: DiscordPeer) -> None:
        self.telegram = telegram
        self.discord = discord
        self.random = random.Random(0)
        self.number = 0

    async def overhead(self, count: int) -> dict[str, float]:
        """Median seconds from a message that needs no model to its answer, one after the other."""
        ann = self.telegram.person("Ann")
        chat = self.telegram.private(ann)
        bob = self.discord.person("Bob")
        channel = self.discord.dm(bob)

        async def on_telegram() -> None:
            self.telegram.say(chat, ann, "/privacy")
            await self.telegram.next_message(chat)

        async def on_discord() -> None:
            await self.discord.slash(channel, bob, "privacy").answer()

        return {
            "telegram": statistics.median(await _times(on_telegram, count)),
            "discord": statistics.median(await _times(on_discord, count)),
        }

    async def acknowledgements(self, jobs: int, count: int) -> list[float]:
        """Seconds until a slash command is acknowledged while the worker has `jobs` photos to look at."""
        for _ in range(jobs):
            self._photo()
        bob = self.discord.person("Bob")
        channel = self.discord.dm(bob)
        taken = []
        for _ in range(count):
            asked = self.discord.slash(channel, bob, "ask", question="what does Lala eat?")
            await asked.acknowledged()
            assert asked.acknowledged_after is not None
            taken.append(asked.acknowledged_after)
        return taken

    async def mixed(self, seconds: float, rate: float) -> int:
        """Messages of all kinds from many people, evenly spread over the time."""
        end = time.perf_counter() + seconds
        sent = 0
        while (now := time.perf_counter()) < end:
            due = int((now - end + seconds) * rate)
            for _ in range(due - sent):
                self.random.choice((self._photo, self._text, self._text, self._command, self._group, self._slash))()
            sent = max(sent, due)
            await asyncio.sleep(0.005)
        return sent

    def _name(self) -> str:
        self.number += 1
        return f"Person {self.number}"

    def _photo(self) -> None:
        person = self.telegram.person(self._name())
        # another file with the same picture each time: no cached perception
        data = cat_elsewhere_jpeg() + self.number.to_bytes(4, "big")
        self.telegram.send_photo(self.telegram.private(person), person, data)

    def _text(self) -> None:
        person = self.telegram.person(self._name())
        self.telegram.say(self.telegram.private(person), person, "what does Lala eat?")

    def _command(self) -> None:
        person = self.telegram.person(self._name())
        self.telegram.say(self.telegram.private(person), person, "/concepts")

    def _group(self) -> None:
        person = self.discord.person(self._name())
        guild = self.discord.guild("Home", members=[person])
        self.discord.say(guild.channel, person, "nobody asked the bot")

    def _slash(self) -> None:
        person = self.discord.person(self._name())
        self.discord.slash(self.discord.dm(person), person, "privacy")


async def _times(work: Callable[[], Awaitable[object]], count: int) -> list[float]:
    await work()
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - began)
    return taken


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


async def measure(arguments: argparse.Namespace, folder: str) -> dict[str, float]:
    cat_jpeg()
    async with TelegramPeer.start() as telegram, DiscordPeer.start() as discord:
        told = Bot(
            (telegram.token, telegram.address),
            (discord.token, discord.world.base + "/api/v10", str(discord.gateway.url)),
            folder,
        )
        here, there = multiprocessing.get_context("spawn").Pipe()
        bot = multiprocessing.get_context("spawn").Process(target=run_bot, args=(told, there))
        bot.start()
        try:
            await asyncio.to_thread(here.recv)
            load = Load(telegram, discord)

            async def lags() -> tuple[list[float], list[float]]:
                """Seconds by which the probe came late, and processor seconds of the loop in between."""
                here.send("lags")
                late, worked = zip(*await asyncio.to_thread(here.recv), strict=True)
                return list(late), list(worked)

            await lags()
            overhead = await load.overhead(30)
            quiet, _worked = await lags()
            acknowledged = await load.acknowledgements(arguments.jobs, 20)
            await lags()
            sent = await load.mixed(arguments.seconds, arguments.rate)
            busy, worked = await lags()
            here.send("stop")
            await asyncio.to_thread(bot.join, 60)
        finally:
            bot.kill()
        telegram.violations.clear()
    return {
        "overhead_telegram_p50_s": overhead["telegram"],
        "overhead_discord_p50_s": overhead["discord"],
        "acknowledged_while_busy_max_s": max(acknowledged),
        "loop_lag_quiet_p99_s": _percentile(quiet, 99),
        "messages_per_s": sent / arguments.seconds,
        "loop_lag_loaded_p50_s": statistics.median(busy),
        "loop_lag_loaded_p99_s": _percentile(busy, 99),
        "loop_lag_loaded_max_s": max(busy),
        "loop_work_loaded_p99_s": _percentile(worked, 99),
        "loop_work_loaded_max_s": max(worked),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=50, help="messages a second")
    parser.add_argument("--jobs", type=int, default=20, help="photos before the acknowledgements are measured")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = asyncio.run(measure(arguments, folder))
    print(json.dumps({name: round(value, 4) for name, value in results.items()}, indent=2))


if __name__ == "__main__":
    main()
