"""Where supervisors and Prometheus look: /healthz, /readyz, /metrics, on the event loop that does the work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from rapbot.config import MetricsSettings
from rapbot.errors import ConfigError, RapbotError
from rapbot.logs import get_logger, place_of
from rapbot.metrics import Metrics, Now

_log = get_logger(__name__)
_PATIENCE = 2.0
"""Seconds that the database may take to answer; a probe of Kubernetes waits one unless it is told otherwise."""
_NOBODY = "nobody"
"""An owner whom no platform has: reading their memory reads an empty one."""


class _Queue(Protocol):
    @property
    def oldest(self) -> float: ...
    def __len__(self) -> int: ...


class _Worker(Protocol):
    @property
    def awake(self) -> bool: ...
    @property
    def restarts(self) -> int: ...
    async def ready(self) -> object: ...


class _Store(Protocol):
    async def read(self, owner: str, known_revision: int | None = None) -> object: ...


class _Inbox(Protocol):
    async def count(self) -> int: ...


@dataclass(slots=True)
class Parts:
    """What can be asked how it is."""

    store: _Store
    queue: _Queue
    worker: _Worker
    connected: Mapping[str, bool]
    inbox: _Inbox | None = None
    _waking: asyncio.Task[None] | None = None

    async def troubles(self) -> dict[str, str]:
        """Why no message could be answered now, by part; empty: ready."""
        found: dict[str, str] = {}
        if not await _works(self.store.read(_NOBODY)):
            found["database"] = "not reached"
        if self.inbox is not None and not await _works(self.inbox.count()):
            found["inbox"] = "not reached"
        if not self.worker.awake:
            found["worker"] = "starting"
            self._wake()
        found |= {platform: "not connected" for platform, there in self.connected.items() if not there}
        return found

    def _wake(self) -> None:
        """Without waiting for a message, which might not be sent here as long as it is not ready."""
        if self._waking is None or self._waking.done():
            self._waking = asyncio.create_task(_quietly(self.worker.ready), name="wake")

    async def close(self) -> None:
        if self._waking is not None:
            self._waking.cancel()
            await asyncio.wait([self._waking])

    async def now(self) -> Now:
        inbox = None
        if self.inbox is not None:
            try:
                async with asyncio.timeout(_PATIENCE):
                    inbox = await self.inbox.count()
            except (RapbotError, TimeoutError):
                inbox = None
        worker, queue = self.worker, self.queue
        return Now(len(queue), queue.oldest, worker.awake, worker.restarts, inbox, dict(self.connected))


async def _quietly(do: Callable[[], Awaitable[object]]) -> None:
    with suppress(RapbotError):  # the next message meets the same error and tells it
        await do()


async def _works(asked: Awaitable[object]) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE):
            await asked
    except (RapbotError, TimeoutError):
        return False
    except Exception as error:
        _log.error("health not asked", error=type(error).__name__, where=place_of(error))
        return False
    return True


@asynccontextmanager
async def answering(settings: MetricsSettings, parts: Parts, metrics: Metrics) -> AsyncIterator[str]:
    """While this is open, the three paths answer; yields their address. Raises ConfigError when the port is taken."""
    server = web.Application(client_max_size=1000)
    server.router.add_get("/healthz", _alive)
    server.router.add_get("/readyz", _readiness(parts))
    server.router.add_get("/metrics", _figures(parts, metrics))
    runner = web.AppRunner(server, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, settings.host, settings.port, reuse_address=True).start()
        except OSError as error:
            where = f"{settings.host}:{settings.port}"
            said = f"The figures cannot use {where}: {error.strerror}. Choose another metrics.port."
            raise ConfigError(said) from error
        host, port = runner.addresses[0][:2]
        yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        await runner.cleanup()
        await parts.close()


async def _alive(_request: web.Request) -> web.Response:
    """That this is answered tells that the event loop runs."""
    return web.json_response({"alive": True})


def _readiness(parts: Parts) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_request: web.Request) -> web.Response:
        troubles = await parts.troubles()
        return web.json_response({"ready": not troubles, **troubles}, status=503 if troubles else 200)

    return answer


def _figures(parts: Parts, metrics: Metrics) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        body, kind = metrics.page(await parts.now(), request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": kind})

    return answer
