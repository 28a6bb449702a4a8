"""The one place where everything is put together and started."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapbot.assistant import Assistant
from rapbot.concepts.index import IndexCache
from rapbot.concepts.opening import Store, open_store
from rapbot.concepts.sqlite_errors import check_file
from rapbot.concepts.sqlite_inbox import SqliteInbox
from rapbot.config import Settings
from rapbot.conversation import Conversations
from rapbot.errors import ConfigError, RapbotError
from rapbot.inbox import Inbox
from rapbot.inference.cluster.client import ClusterWorker
from rapbot.inference.planning import plan, worker_start
from rapbot.inference.queue import JobQueue
from rapbot.inference.specs import FormerEncoder
from rapbot.inference.worker import Worker
from rapbot.logs import tell_kinds
from rapbot.observing import Observing, observing
from rapbot.reencoding import Reencoding, find_former
from rapbot.reloading import adapters_follow_config

if TYPE_CHECKING:
    from rapbot.health import Parts

Platform = Callable[[Assistant, Settings, Callable[[str], None] | None, Inbox], Coroutine[Any, Any, None]]
"""Runs one adapter until it is cancelled; tells the third argument once it listens, keeps messages in the fourth."""

Leads = Callable[[str], Awaitable[bool]]
"""Whether this is the one of several processes that does something."""
_INBOX_CONNECTIONS = 3
"""Beside those of the memory: no message waits behind a long change of it."""


@dataclass(frozen=True, slots=True)
class App:
    """The running parts."""

    settings: Settings
    assistant: Assistant
    worker: Worker | ClusterWorker
    queue: JobQueue
    store: Store
    conversations: Conversations
    reencoding: Reencoding


@asynccontextmanager
async def running(
    settings: Settings, database: Path | None = None, *, models: bool = True, background: bool = True
) -> AsyncIterator[App]:
    """Everything started; stopped in the reverse order. `database`: a SQLite file instead of the configured one.

    `background`: after a change of encoder, encode the stored avatars again beside the other work.
    """
    asyncio.get_running_loop().set_exception_handler(tell_kinds)
    conversations = Conversations(
        lifetime=settings.chat.context_minutes * 60, turns=settings.chat.turns, photos=settings.chat.photos_in_memory
    )
    async with open_store(settings, plan(settings).encoder.name, database) as store, AsyncExitStack() as started:
        worker = _worker(settings, await find_former(store, settings) if models else None)
        queue = JobQueue(
            worker,
            batch_size=settings.worker.batch_size,
            batch_wait=settings.worker.batch_wait_ms / 1000,
            size=settings.worker.queue_size,
            per_person=settings.worker.queue_per_person,
            per_chat=settings.worker.queue_per_chat,
            lanes=_lanes(settings),
        )
        if models:  # commands that only touch the store need no worker
            await started.enter_async_context(worker)
            await started.enter_async_context(queue)
        reencoding = Reencoding(store, worker, queue, settings.worker.deadline_s)
        if models and background:
            await started.enter_async_context(reencoding.in_background())
        assistant = Assistant(store, store.places, IndexCache(store), queue, conversations, settings, store.visits)
        yield App(settings, assistant, worker, queue, store, conversations, reencoding)


def settle() -> None:
    """Everything is loaded and will stay: the garbage collector need not walk over it again.

    A full collection took 20-25 ms with the libraries loaded, on the event loop.
    """
    gc.collect()
    gc.freeze()


async def serve_web(
    settings: Settings, ready: Callable[[str], None] | None = None, reload: Callable[[], Settings] | None = None
) -> None:
    """The local page, until it is cancelled. `ready` is told the address once it answers; `reload` as in `serve`."""
    from adapters.web import launch

    await _check(settings)
    async with observing(settings, ["page"]) as observed, running(settings) as app, AsyncExitStack() as serving:
        serving.enter_context(adapters_follow_config(app.worker, reload or (lambda: settings)))
        await serving.enter_async_context(observed.of(lambda: _parts(app, observed)))
        settle()
        await launch(app.assistant, settings, ready)


async def serve(
    settings: Settings,
    ready: Callable[[str], None] | None = None,
    *,
    web: bool = False,
    reload: Callable[[], Settings] | None = None,
) -> None:
    """Every platform that the configuration names (and the page, if wanted), until it is cancelled.

    `reload` reads the configuration again, for what may change without a restart (reloading.py).
    Stops in order: the platforms take nothing new and finish what runs, then the queue, the worker, the store.
    Raises ConfigError when no platform is named or a token does not work, StoreCorrupt for a damaged database.
    """
    starts = _platforms(settings)
    if web:
        from adapters.web import launch

        # The page hears nothing twice: who waits there sees that it was restarted, and asks again.
        starts.append(lambda assistant, settings, ready, _inbox: launch(assistant, settings, ready))
    if not starts:
        raise ConfigError(
            "No platform is set up yet: give [telegram] or [discord] a token_file in config.toml (docs/telegram.md and"
            " docs/discord.md explain how to get one), or run: rapbot web"
        )
    await _check(settings)
    async with (
        observing(settings, _names(settings, web=web)) as observed,
        running(settings, background=not settings.store.enabled) as app,
        inbox_of(settings, app) as (inbox, leads),
        AsyncExitStack() as serving,
    ):
        if settings.store.enabled:
            await serving.enter_async_context(app.reencoding.in_background(leads))
        serving.enter_context(adapters_follow_config(app.worker, reload or (lambda: settings)))
        figures = await serving.enter_async_context(observed.of(lambda: _parts(app, observed, inbox)))
        if figures and ready is not None:
            ready(f"Figures: {figures}")
        settle()
        if not settings.retention.days:
            await app.store.visits.clear()
        expiring = asyncio.create_task(app.assistant.retention.keep_sweeping(leads), name="retention")
        serving.push_async_callback(asyncio.wait, [expiring])
        serving.callback(expiring.cancel)
        try:
            async with asyncio.TaskGroup() as platforms:
                for start in starts:
                    platforms.create_task(start(app.assistant, settings, ready, inbox))
        except* RapbotError as errors:
            # One platform cannot run: the others were stopped; its one sentence is what the person needs.
            raise _first(errors) from None


@asynccontextmanager
async def inbox_of(settings: Settings, app: App) -> AsyncIterator[tuple[Inbox, Leads | None]]:
    """Where messages wait; and with a database of several processes whether this one leads (`PostgresInbox.leads`)."""
    if not settings.store.enabled:
        async with SqliteInbox.open(settings.inbox_file, seal=app.store.seal) as alone:
            yield alone, None
        return
    from rapbot.concepts.postgres_connection import PostgresDatabase
    from rapbot.concepts.postgres_inbox import PostgresInbox
    from rapbot.concepts.postgres_inbox_rows import Shards

    store, discord = settings.store, settings.discord
    shards = (
        Shards(discord.shard_count, tuple(discord.shard_ids)) if discord.shard_count and discord.shard_ids else None
    )
    telling: set[asyncio.Task[None]] = set()

    def tell(what: list[Any]) -> None:
        task = asyncio.create_task(inbox.tell(what), name="tell")
        telling.add(task)
        task.add_done_callback(telling.discard)

    async with (
        PostgresDatabase.open(store.address(), store.secret(), connections=_INBOX_CONNECTIONS) as database,
        PostgresInbox.open(database, seal=app.store.seal, shards=shards) as inbox,
    ):
        inbox.on_told, inbox.on_missed = app.assistant.memory.hear, app.conversations.clear
        app.conversations.tell = tell
        yield inbox, inbox.leads


async def _check(settings: Settings) -> None:
    """Better no bot than one that finds out page by page, with every person anew. Raises StoreCorrupt."""
    if not settings.store.enabled:
        await asyncio.to_thread(check_file, settings.database)


def _platforms(settings: Settings) -> list[Platform]:
    """The adapters of the platforms that have a token; imported late, each brings a large library."""
    found: list[Platform] = []
    if settings.telegram.enabled:
        from adapters.telegram import serve as telegram

        found.append(lambda assistant, settings, ready, inbox: telegram(assistant, settings, ready=ready, inbox=inbox))
    if settings.discord.enabled:
        from adapters.discord import serve as discord

        found.append(lambda assistant, settings, ready, inbox: discord(assistant, settings, ready=ready, inbox=inbox))
    return found


def _names(settings: Settings, *, web: bool) -> list[str]:
    """The platforms that `_platforms` starts, as figures call them."""
    wanted = {"telegram": settings.telegram.enabled, "discord": settings.discord.enabled, "page": web}
    return [name for name, here in wanted.items() if here]


def _parts(app: App, observed: Observing, inbox: Inbox | None = None) -> Parts:
    from rapbot.health import Parts

    return Parts(app.store, app.queue, app.worker, observed.watch.connected, inbox)


def _first(errors: BaseExceptionGroup[RapbotError]) -> RapbotError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, RapbotError)
    return error


def _worker(settings: Settings, former: FormerEncoder | None) -> Worker | ClusterWorker:
    start = replace(worker_start(settings), former=former)
    if settings.cluster.enabled:
        return ClusterWorker(settings, start)
    return Worker(
        start,
        start_deadline=settings.worker.start_deadline_s,
        backoff_first=settings.worker.backoff_first_s,
        backoff_max=settings.worker.backoff_max_s,
    )


def _lanes(settings: Settings) -> int:
    """Batches at once: one in the worker; in a cluster one in each replica, and one that it finds next."""
    return 2 * settings.cluster.replicas_max if settings.cluster.enabled else 1
