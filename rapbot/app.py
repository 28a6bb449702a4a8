"""The one place where everything is put together and started."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rapbot.assistant import Assistant
from rapbot.concepts.concept import ConceptLimits
from rapbot.concepts.index import IndexCache
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.config import Settings
from rapbot.conversation import Conversations
from rapbot.inference.profiles import encoder_name
from rapbot.inference.queue import JobQueue
from rapbot.inference.serving import WorkerStart
from rapbot.inference.worker import Worker


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
        assistant = Assistant(store, IndexCache(store), queue, conversations, settings)
        yield App(settings, assistant, worker, queue, store, conversations)


async def serve_web(settings: Settings, ready: Callable[[str], None] | None = None) -> None:
    """The local page, until it is cancelled. `ready` is told the address once it answers."""
    from adapters.web import launch

    async with running(settings) as app:
        await launch(app.assistant, settings, ready)


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
