"""The bot that a load generator talks to, in a process of its own: `rapbot serve` with a clock at each hop.

All times are seconds of the machine's monotonic clock, which the processes share.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import load_models
from tests.pictures import cat_jpeg

PROBE_S = 0.005
CAT = ("Lala", "A ginger cat. She loves tuna and sleeps on the piano.")


@dataclass(frozen=True, slots=True)
class Bot:
    """What the process of the bot is told."""

    telegram: tuple[str, str]
    """(token, address)"""
    discord: tuple[str, str, str]
    """(token, address of the REST interface, of the gateway)"""
    folder: str
    models: str = "real"
    batch_s: tuple[float, float] | None = None
    """As in `load_models`, for the light ones."""
    unlimited: bool = False
    """A person may send as much as they like: the load is made of fewer people than it stands for."""
    know: tuple[str, ...] = ()
    """Who knows a cat."""
    keeps: bool = True
    """Whether messages wait on disk, as in `rapbot serve`."""


@dataclass(slots=True)
class Hops:
    """One message on its way through the bot. Seconds; the moments by which it is found again are the clock's."""

    person: str
    entered: float
    """When the desk got it from the adapter."""
    left: float = 0.0
    """When the adapter got the answer."""
    assistant: float = 0.0
    """Desk and assistant, before and after the models."""
    queue: float = 0.0
    carry: float = 0.0
    """To the worker and back."""
    worker: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)


class Batch(NamedTuple):
    """Seconds of one batch: in the worker, and until the next one could begin."""

    kinds: tuple[str, ...]
    """"photo" or "text", of each message."""
    worker: float
    whole: float


@dataclass(slots=True)
class Told:
    """What the bot has measured since it was asked last."""

    lags: list[tuple[float, float]] = field(default_factory=list)
    """(by how much the event loop was late, processor seconds of its own in between), every 5 ms."""
    hops: list[Hops] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)


_now: ContextVar[Hops | None] = ContextVar("_now", default=None)


def clock_hops(told: list[Told]) -> None:
    """Puts clocks at the desk, the queue and the worker; they write into `told[0]`."""
    from adapters.desk import Desk
    from rapbot.inference.queue import JobQueue
    from rapbot.inference.worker import Worker

    runs: dict[str, tuple[float, float]] = {}
    message, submit, run = Desk.message, JobQueue.submit, Worker.run

    async def clocked_message(self: Desk, request: Any, *more: Any, **named: Any) -> Any:
        if _now.get() is not None:  # the desk asks itself
            return await message(self, request, *more, **named)
        hops = Hops(request.actor.id, time.monotonic())
        token = _now.set(hops)
        try:
            return await message(self, request, *more, **named)
        finally:
            _now.reset(token)
            hops.left = time.monotonic()
            hops.assistant = hops.left - hops.entered - hops.queue - hops.carry - hops.worker
            told[0].hops.append(hops)

    async def clocked_submit(self: JobQueue, job: Any, *more: Any, **named: Any) -> Any:
        hops, began = _now.get(), time.monotonic()
        try:
            answer = await submit(self, job, *more, **named)
        finally:
            ran = runs.pop(job.id, None)
        if hops is not None and ran is not None:
            worker = answer.timings.get(load_models.WORKER, 0.0)
            hops.queue += ran[0] - began
            hops.worker += worker
            hops.carry += ran[1] - ran[0] - worker
            for stage, seconds in answer.timings.items():
                hops.stages[stage] = hops.stages.get(stage, 0.0) + seconds
        return answer

    async def clocked_run(self: Any, jobs: Sequence[Any], listeners: Any) -> Any:
        began = time.monotonic()
        results = await run(self, jobs, listeners)
        ended = time.monotonic()
        runs.update((job.id, (began, ended)) for job in jobs)
        seconds = [one.timings[load_models.WORKER] for one in results if hasattr(one, "timings")]
        if seconds:
            kinds = tuple("photo" if job.photo else "text" for job in jobs)
            told[0].batches.append(Batch(kinds, max(seconds), ended - began))
        return results

    Desk.message = clocked_message  # type: ignore[method-assign]
    JobQueue.submit = clocked_submit  # type: ignore[method-assign]
    Worker.run = clocked_run  # type: ignore[method-assign]


def run_bot(told: Bot, pipe: Connection) -> None:
    """In its own process: the bot as `rapbot serve` runs it, and a probe of its event loop."""
    os.environ[load_models.RUN] = json.dumps({"light": told.models == "light", "batch_s": told.batch_s})
    asyncio.run(_bot(told, pipe))


async def _bot(told: Bot, pipe: Connection) -> None:
    import rapbot.inference.worker
    from adapters.discord import serve as serve_discord
    from adapters.telegram import serve as serve_telegram
    from rapbot.app import running, settle
    from rapbot.concepts.sqlite_inbox import SqliteInbox
    from rapbot.logs import configure_logs

    configure_logs("warning")
    rapbot.inference.worker.initialise = load_models.initialise  # type: ignore[attr-defined]
    found = [Told()]
    clock_hops(found)
    settings = _settings(told)
    async with running(settings) as app, SqliteInbox.open(settings.inbox_file) as inbox:
        await app.worker.ready()
        await _teach(app, told.know)
        settle()
        ready: asyncio.Queue[str] = asyncio.Queue()
        bots = [
            asyncio.create_task(
                serve(app.assistant, settings, ready=ready.put_nowait, inbox=inbox if told.keeps else None)
            )
            for serve in (serve_telegram, serve_discord)
        ]
        for _ in bots:
            await ready.get()
        found[0] = Told()
        pipe.send(app.worker.pid)
        while True:  # a call that comes later than asked: something held the loop, or the processors were taken
            began, worked = time.perf_counter(), time.thread_time()
            await asyncio.sleep(PROBE_S)
            found[0].lags.append((time.perf_counter() - began - PROBE_S, time.thread_time() - worked))
            if pipe.poll():
                if pipe.recv() == "stop":
                    break
                measured, found[0] = found[0], Told()
                pipe.send(measured)
        for bot in bots:
            bot.cancel()
        await asyncio.gather(*bots, return_exceptions=True)


def _settings(told: Bot) -> Any:
    import discord
    import yarl
    from pydantic import SecretStr

    from rapbot.config import DiscordSettings, LimitSettings, Settings, TelegramSettings

    discord.http.Route.BASE = told.discord[1]
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(told.discord[2])
    many = 1_000_000
    limits = LimitSettings(messages_at_once=many, group_messages_at_once=many) if told.unlimited else LimitSettings()
    return Settings(
        data_dir=Path(told.folder),
        limits=limits,
        telegram=TelegramSettings(token=SecretStr(told.telegram[0]), api_url=told.telegram[1], grace_s=0),
        discord=DiscordSettings(token=SecretStr(told.discord[0]), message_content=True, grace_s=0),
    )


async def _teach(app: Any, people: Sequence[str]) -> None:
    """The cat, looked at once and given to everybody."""
    from rapbot.concepts.concept import NewAvatar
    from rapbot.concepts.store import Remember
    from rapbot.inference.planning import plan
    from rapbot.messages import WHOLE, Actor, Chat, Photo

    if not people:
        return
    teacher = Actor("bench:teacher")
    await app.assistant.teaching.remember(teacher, Chat("bench"), *CAT, photo=Photo(cat_jpeg()))
    collection = await app.store.read(teacher.id)
    jpeg = await app.store.photo(teacher.id, collection.keys.rows[0].avatar_id)
    avatar = NewAvatar(jpeg, collection.keys.keys[0], plan(app.settings).encoder.name, WHOLE)
    for person in people:
        await app.store.write(person, Remember(CAT[0], "cat", CAT[1], avatar))


@dataclass(slots=True)
class Running:
    """The process, as the load generator sees it."""

    pid: int
    worker: int
    _pipe: Connection

    async def told(self) -> Told:
        """What was measured since the last call."""
        self._pipe.send("told")
        found = await asyncio.to_thread(self._pipe.recv)
        assert isinstance(found, Told)
        return found

    def cpu(self) -> tuple[float, float]:
        """Processor seconds so far: (bot, worker)."""
        return _cpu(self.pid), _cpu(self.worker)

    def memory_mb(self) -> tuple[float, float]:
        """Private memory: (bot, worker)."""
        return _private_mb(self.pid), _private_mb(self.worker)


@asynccontextmanager
async def started(told: Bot) -> AsyncIterator[Running]:
    """The bot, listening on both platforms."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=run_bot, args=(told, there))
    process.start()
    there.close()
    try:
        worker = await asyncio.to_thread(here.recv)
        assert process.pid is not None
        yield Running(process.pid, worker, here)
        here.send("stop")
        await asyncio.to_thread(process.join, 60)
    finally:
        process.kill()


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _private_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024
