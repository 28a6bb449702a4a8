"""The one place where everything is put together and started."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapbot.assistant import Assistant
from rapbot.concepts.concept import ConceptLimits
from rapbot.concepts.index import IndexCache
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.config import Settings
from rapbot.conversation import Conversations
from rapbot.errors import ConfigError, RapbotError
from rapbot.inference.profiles import encoder_name
from rapbot.inference.queue import JobQueue
from rapbot.inference.serving import WorkerStart
from rapbot.inference.worker import Worker

Platform = Callable[[Assistant, Settings, Callable[[str], None] | None], Coroutine[Any, Any, None]]
"""Runs one adapter until it is cancelled; tells the third argument once it listens."""


@dataclass(frozen=True, slots=True)
class App:
    """The running parts."""

    settings: Settings
    assistant: Assistant
    worker: Worker
    queue: JobQueue
    store: SqliteConceptStore
    conversations: Conversations


@asynccontextmanager
async def running(settings: Settings, database: Path | None = None, *, models: bool = True) -> AsyncIterator[App]:
    """Everything started; stopped in the reverse order. `database` replaces the configured one."""
    limits = ConceptLimits.of(settings.limits)
    conversations = Conversations(
        lifetime=settings.chat.context_minutes * 60, turns=settings.chat.turns, photos=settings.chat.photos_in_memory
    )
    path = database or settings.database
    encoder = encoder_name(settings.profile)
    async with SqliteConceptStore.open(path, encoder, limits) as store, AsyncExitStack() as started:
        worker = _worker(settings)
        queue = JobQueue(
            worker,
            batch_size=settings.worker.batch_size,
            batch_wait=settings.worker.batch_wait_ms / 1000,
            size=settings.worker.queue_size,
            per_person=settings.worker.queue_per_person,
        )
        if models:  # commands that only touch the store need no worker
            await started.enter_async_context(worker)
            await started.enter_async_context(queue)
        assistant = Assistant(store, store.places, IndexCache(store), queue, conversations, settings)
        yield App(settings, assistant, worker, queue, store, conversations)


def settle() -> None:
    """Everything is loaded and will stay: the garbage collector need not walk over it again.

    A full collection took 20-25 ms with the libraries loaded, on the event loop.
    """
    gc.collect()
    gc.freeze()


async def serve_web(settings: Settings, ready: Callable[[str], None] | None = None) -> None:
    """The local page, until it is cancelled. `ready` is told the address once it answers."""
    from adapters.web import launch

    async with running(settings) as app:
        settle()
        await launch(app.assistant, settings, ready)


async def serve(settings: Settings, ready: Callable[[str], None] | None = None, *, web: bool = False) -> None:
    """Every platform that the configuration names (and the page, if wanted), until it is cancelled.

    Stops in order: the platforms take nothing new and finish what runs, then the queue, the worker, the store.
    Raises ConfigError when no platform is named or a token does not work.
    """
    starts = _platforms(settings)
    if web:
        from adapters.web import launch

        starts.append(launch)
    if not starts:
        raise ConfigError(
            "No platform is set up yet: give [telegram] or [discord] a token_file in config.toml (docs/telegram.md and"
            " docs/discord.md explain how to get one), or run: rapbot web"
        )
    async with running(settings) as app:
        settle()
        try:
            async with asyncio.TaskGroup() as platforms:
                for start in starts:
                    platforms.create_task(start(app.assistant, settings, ready))
        except* RapbotError as errors:
            # One platform cannot run: the others were stopped; its one sentence is what the person needs.
            raise _first(errors) from None


def _platforms(settings: Settings) -> list[Platform]:
    """The adapters of the platforms that have a token; imported late, each brings a large library."""
    found: list[Platform] = []
    if settings.telegram.enabled:
        from adapters.telegram import serve as telegram

        found.append(lambda assistant, settings, ready: telegram(assistant, settings, ready=ready))
    if settings.discord.enabled:
        from adapters.discord import serve as discord

        found.append(lambda assistant, settings, ready: discord(assistant, settings, ready=ready))
    return found


def _first(errors: BaseExceptionGroup[RapbotError]) -> RapbotError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, RapbotError)
    return error


def _worker(settings: Settings) -> Worker:
    start = WorkerStart(
        profile=settings.profile,
        weights_dir=settings.weights_dir.expanduser(),
        lora=settings.lora,
        threads=settings.worker.threads,
        max_bytes=int(settings.limits.photo_megabytes * 1_000_000),
        max_pixels=int(settings.limits.photo_megapixels * 1_000_000),
    )
    return Worker(
        start,
        start_deadline=settings.worker.start_deadline_s,
        backoff_first=settings.worker.backoff_first_s,
        backoff_max=settings.worker.backoff_max_s,
    )
