"""What watches a running bot: the program with its platforms, a collector of traces, and somebody who reads figures.

The models are light (tests/light_models.py); processes, queue, inbox, adapters and sockets are real.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from tests import light_models
from tests.peers.discord import DiscordPeer
from tests.peers.otlp import OtlpPeer, Span
from tests.peers.telegram import Chat, Person, TelegramPeer
from tests.pictures import jpeg

SLOW = 60.0
MARK = "Zyxmark"
"""In every word and name: it must not be in figures, traces or logs."""
RED, GREY = ((200, 40, 40), (128, 128, 128))

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Bot:
    """A running program and those around it."""

    telegram: TelegramPeer
    discord: DiscordPeer
    collector: OtlpPeer
    client: aiohttp.ClientSession
    process: asyncio.subprocess.Process
    log: Path
    address: str = ""

    def somebody(self) -> tuple[Chat, Person]:
        person = self.telegram.person(f"{MARK}ann")
        return self.telegram.private(person), person

    async def asks(self, there: tuple[Chat, Person], text: str, photo: bytes | None = None) -> str:
        """On Telegram; the answer."""
        chat, person = there
        before = len(self.telegram.sent(chat))
        if photo is None:
            self.telegram.say(chat, person, text)
        else:
            self.telegram.send_photo(chat, person, photo, text)

        def told() -> str:
            words = (one.text or one.caption for one in self.telegram.sent(chat)[before:])
            return next((one for one in words if not one.endswith("…")), "")

        return await self.telegram.wait_for(told, SLOW)

    async def get(self, path: str) -> tuple[int, str]:
        async with self.client.get(self.address + path) as response:
            return response.status, await response.text()

    async def figures(self) -> dict[str, float]:
        """Sample with its labels, as Prometheus writes it -> value."""
        _status, text = await self.get("/metrics")
        assert MARK not in text
        return samples(text)

    async def readiness(self, wanted: int) -> dict[str, Any]:
        """What /readyz says once it says this."""
        async with asyncio.timeout(SLOW):
            while True:
                async with self.client.get(self.address + "/readyz") as response:
                    told: dict[str, Any] = await response.json()
                    if response.status == wanted:
                        return told

    async def traced(self, doing: Awaitable[object]) -> list[Span]:
        """The trace of this message, not one of an earlier message that is sent only now."""
        asked = time.time()
        await doing

        def whole() -> list[str]:
            return [one.trace for one in self.collector.spans if one.began >= asked and one.name == "message"]

        await self.collector.until(lambda: bool(whole()), SLOW)
        return self.collector.trace(whole()[0])

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()


def samples(text: str) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def picture(colour: tuple[int, int, int], width: int = 64) -> bytes:
    return jpeg(Image.new("RGB", (width, 64), colour))


@asynccontextmanager
async def running(bot: Bot, folder: Path, **environment: str) -> AsyncIterator[Bot]:
    options = {
        "DISCORD": bot.discord.world.base,
        "RAPBOT_DATA_DIR": str(folder),
        "RAPBOT_DISCORD__TOKEN": bot.discord.token,
        "RAPBOT_LIMITS__MESSAGES_AT_ONCE": "5",
        "RAPBOT_LOG_LEVEL": "debug",
        "RAPBOT_METRICS__PORT": "0",
        "RAPBOT_PEOPLE": "off",
        "RAPBOT_TELEGRAM__API_URL": bot.telegram.address,
        "RAPBOT_TELEGRAM__TOKEN": bot.telegram.token,
        "RAPBOT_WORKER__BACKOFF_FIRST_S": "0.01",
        "RAPBOT_WORKER__THREADS": "1",
    }
    there = {key: value for key, value in os.environ.items() if not key.startswith(("RAPBOT_", "OTEL_"))}
    with bot.log.open("wb") as log:
        bot.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.watched_child"),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=there | options | environment,
        )
    assert bot.process.stdout is not None
    try:
        async with asyncio.timeout(SLOW):
            said = [(await bot.process.stdout.readline()).decode() for _ in range(3)]
        assert all(said), bot.log.read_text()
        bot.address = next(line.split()[-1] for line in said if "Figures" in line)
        yield bot
    finally:
        if bot.process.returncode is None:
            bot.process.terminate()
            await asyncio.wait_for(bot.process.wait(), SLOW)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bot(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bot]:
    folder = tmp_path_factory.mktemp("watched")
    async with (
        TelegramPeer.start() as telegram,
        DiscordPeer.start() as house,
        OtlpPeer.start() as collector,
        aiohttp.ClientSession() as client,
    ):
        made = Bot(telegram, house, collector, client, None, folder / "log")  # type: ignore[arg-type]
        variables = {
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.address,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-key=marker-of-the-collector",
        }
        async with running(made, folder, **variables):
            yield made


async def test_it_lives_and_is_ready(bot: Bot) -> None:
    assert await bot.get("/healthz") == (200, '{"alive": true}')
    assert await bot.readiness(200) == {"ready": True}
    figures = await bot.figures()
    assert figures["rapbot_worker_up"] == 1
    for platform in ("telegram", "discord"):
        assert figures[f"rapbot_platform_connected{{platform={platform}}}"] == 1


async def test_the_trip_of_a_photo_is_one_trace(bot: Bot) -> None:
    spans = await bot.traced(bot.asks(bot.somebody(), f"/remember {MARK}cup A thing. {MARK}", picture(RED)))
    by_name = {span.name: span for span in spans}
    whole, work = by_name["message"], by_name["worker"]
    assert whole.parent == ""
    assert whole.attributes == {"rapbot.platform": "telegram", "rapbot.outcome": "answered"}
    assert work.attributes == {"rapbot.task": "encode", "rapbot.batch": "1"}
    way = [by_name[name] for name in ("receive", "queue", "worker", "deliver")]
    for step in way:
        assert step.parent == whole.number
    for earlier, later in pairwise(way):
        assert earlier.ended <= later.began + 1e-3
    stages = [span for span in spans if span.parent == work.number]
    assert {"decode", "encode"} <= {stage.name for stage in stages}
    for stage in stages:
        assert work.began - 1e-3 <= stage.began <= stage.ended <= work.ended + 1e-3
    assert bot.collector.resource["service.name"] == "rapbot"
    assert bot.collector.headers[-1]["x-key"] == "marker-of-the-collector"


async def test_the_number_of_a_message_is_in_every_line_about_it_and_names_its_trace(bot: Bot) -> None:
    before = len(bot.lines())
    [first, *_rest] = await bot.traced(bot.asks(bot.somebody(), "what is this?", picture(GREY)))
    number = first.trace
    async with asyncio.timeout(SLOW):
        while not (lines := [line for line in bot.lines()[before:] if f"request={number}" in line]):
            await asyncio.to_thread(os.sched_yield)
    said = "\n".join(lines)
    assert re.search(r"batch .*jobs=1", said), "the line of the worker's process"
    assert re.search(r"message .*outcome=answered.*platform=telegram", said)


async def test_figures_count_what_happened(bot: Bot) -> None:
    there = bot.somebody()
    before = await bot.figures()
    await bot.asks(there, f"/remember {MARK}bowl A thing", picture(RED))
    await bot.asks(there, "", picture(RED, width=80))
    await bot.asks(there, f"/show {MARK}nobody")
    after = await bot.figures()
    grown = {name: after[name] - before.get(name, 0.0) for name in after if after[name] != before.get(name, 0.0)}
    assert grown["rapbot_messages_total{outcome=answered,platform=telegram}"] == 2
    assert grown["rapbot_messages_total{outcome=refused,platform=telegram}"] == 1
    assert grown["rapbot_refused_total{error=NameUnknown,platform=telegram}"] == 1
    assert grown["rapbot_message_seconds_count{platform=telegram}"] == 3
    assert grown["rapbot_jobs_total{result=ok,task=encode}"] == 1
    assert grown["rapbot_jobs_total{result=ok,task=caption}"] == 1
    assert grown["rapbot_stage_seconds_count{stage=decode}"] == 2
    assert grown["rapbot_batch_size_count"] == 2
    assert grown["rapbot_batch_size_bucket{le=1.0}"] == 2
    assert grown["rapbot_queue_wait_seconds_count"] == 2
    assert grown["rapbot_retrieval_candidates_total{accepted=yes}"] >= 1
    assert grown["rapbot_delivery_seconds_count"] == 3
    assert after["rapbot_queue_jobs"] == 0
    assert after["rapbot_inbox_messages"] == 0


async def test_a_message_of_discord_is_told_apart(bot: Bot) -> None:
    person = bot.discord.person(f"{MARK}ben", "en-US")
    asked = bot.discord.slash(bot.discord.dm(person), person, "concepts")
    await bot.discord.wait_for(lambda: asked.messages, SLOW, "an answer")
    async with asyncio.timeout(SLOW):
        while "rapbot_messages_total{outcome=answered,platform=discord}" not in await bot.figures():
            pass


async def test_failures_of_a_platform_are_counted_by_their_kind(bot: Bot) -> None:
    bot.telegram.fail_next("sendMessage", 502)
    await bot.asks(bot.somebody(), "/concepts")
    assert (await bot.figures())["rapbot_platform_errors_total{error=NetworkError,platform=telegram}"] >= 1


async def test_who_asks_too_much_at_once_is_counted_as_left_out(bot: Bot) -> None:
    there = bot.somebody()
    for _ in range(5):
        await bot.asks(there, "/concepts")
    assert "rapbot_shed_total{reason=rate}" not in await bot.figures()
    await bot.asks(there, "/concepts")
    assert (await bot.figures())["rapbot_shed_total{reason=rate}"] == 1


async def test_a_worker_that_dies_is_not_ready_and_comes_back_without_a_message(bot: Bot) -> None:
    await bot.readiness(200)
    before = (await bot.figures())["rapbot_worker_restarts_total"]
    unready = asyncio.create_task(bot.readiness(503))
    chat, person = bot.somebody()
    spans = await bot.traced(bot.asks((chat, person), "", picture(light_models.TROUBLE["death"])))
    assert "stopped twice" in bot.telegram.sent(chat)[-1].text
    assert await unready == {"ready": False, "worker": "starting"}
    assert (await bot.figures())["rapbot_worker_restarts_total"] == before + 2
    assert {span.name for span in spans if span.failed} == {"worker"}
    [whole] = [span for span in spans if span.name == "message"]
    assert whole.attributes["rapbot.refused"] == "WorkerDied"
    await bot.readiness(200)


async def test_a_worker_that_dies_while_nobody_asks_is_counted_and_started_again(bot: Bot) -> None:
    """Nor does /readyz ask."""
    await bot.readiness(200)
    before = (await bot.figures())["rapbot_worker_restarts_total"]
    os.kill(int(re.findall(r"worker.ready .*pid=(\d+)", bot.log.read_text())[-1]), signal.SIGKILL)
    async with asyncio.timeout(SLOW):
        figures: dict[str, float] = {}
        while (figures.get("rapbot_worker_restarts_total"), figures.get("rapbot_worker_up")) != (before + 1, 1):
            figures = await bot.figures()


async def test_it_is_not_ready_while_a_platform_is_away_but_lives(bot: Bot) -> None:
    bot.telegram.fail_next("getUpdates", 502, times=3)
    await bot.asks(bot.somebody(), "/concepts")  # ends the question for updates that is open
    assert (await bot.readiness(503))["telegram"] == "not connected"
    assert (await bot.get("/healthz"))[0] == 200
    await bot.readiness(200)


async def test_a_broken_connection_to_discord_is_told_until_it_is_back(bot: Bot) -> None:
    await bot.readiness(200)
    stopped = asyncio.Event()

    async def refuse() -> None:
        while not stopped.is_set():
            await bot.discord.drop_connections(resumable=False)
            await asyncio.to_thread(os.sched_yield)

    breaking = asyncio.create_task(refuse())
    try:
        assert (await bot.readiness(503))["discord"] == "not connected"
    finally:
        stopped.set()
        await breaking
    await bot.readiness(200)


async def test_nothing_that_was_said_is_in_traces_or_logs(bot: Bot) -> None:
    assert bot.collector.bodies
    assert not [body for body in bot.collector.bodies if MARK.lower().encode() in body.lower()]
    log = bot.log.read_text()
    assert "request=" in log
    assert MARK.lower() not in log.lower()
    assert "marker-of-the-collector" not in log
    assert bot.telegram.token not in log
