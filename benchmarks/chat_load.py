"""What the chat platforms cost: acknowledgement under load, event loop lag, overhead of the adapters.

    python -m benchmarks.chat_load [--seconds 20] [--rate 50] [--jobs 20]

The real adapters run in a process of their own, with the real worker; this process plays Telegram and Discord
(`tests/peers`) and the people there. Compare the ratios; single times depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence

from benchmarks.load_bot import Bot, started
from tests.peers.discord import DiscordPeer
from tests.peers.telegram import TelegramPeer
from tests.pictures import cat_elsewhere_jpeg, cat_jpeg


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
            keeps=False,
        )
        async with started(told) as bot:
            load = Load(telegram, discord)

            async def lags() -> tuple[list[float], list[float]]:
                """Seconds by which the probe came late, and processor seconds of the loop in between."""
                late, worked = zip(*(await bot.told()).lags, strict=True)
                return list(late), list(worked)

            await lags()
            overhead = await load.overhead(30)
            quiet, _worked = await lags()
            acknowledged = await load.acknowledgements(arguments.jobs, 20)
            await lags()
            sent = await load.mixed(arguments.seconds, arguments.rate)
            busy, worked = await lags()
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
