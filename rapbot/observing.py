"""Figures, traces and health: started where the configuration names them; else nothing is loaded and nothing runs."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from rapbot.config import Settings
from rapbot.errors import ConfigError
from rapbot.logs import get_logger
from rapbot.watching import Watch, Watcher, watched_by

if TYPE_CHECKING:
    from rapbot.health import Parts
    from rapbot.metrics import Metrics

_log = get_logger(__name__)
_ADDRESSES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_MISSING = "{what} needs more packages: pip install -e '.[scale]'. Or leave it out of the configuration."


class Observing:
    """What watches this run."""

    def __init__(self, settings: Settings, watch: Watch, metrics: Metrics | None) -> None:
        self._settings = settings
        self._metrics = metrics
        self.watch = watch

    @asynccontextmanager
    async def of(self, parts: Callable[[], Parts]) -> AsyncIterator[str]:
        """Answers how these parts are, where that is configured; yields the address, empty where it is not."""
        if self._metrics is None:
            yield ""
            return
        from rapbot.health import answering

        async with answering(self._settings.metrics, parts(), self._metrics) as address:
            _log.info("figures and health", address=address)
            yield address


@asynccontextmanager
async def observing(settings: Settings, platforms: Collection[str]) -> AsyncIterator[Observing]:
    """Everything that is started inside is watched, as configured. Raises ConfigError where a package is missing."""
    metrics = _metrics(settings)
    watchers: list[Watcher] = [metrics] if metrics is not None else []
    traces, close = _traces(settings)
    watchers += [traces] if traces is not None else []
    watch = Watch(tuple(watchers), dict.fromkeys(platforms, False))
    with watched_by(watch):
        try:
            yield Observing(settings, watch, metrics)
        finally:
            if close is not None:
                await asyncio.to_thread(close)


def described(settings: Settings) -> str:
    """What is watched, in words; nothing is started. Raises ConfigError where a package is missing."""
    chosen, told = settings.metrics, []
    if chosen.port is not None:
        _need("prometheus_client", "[metrics]")
        told.append(f"figures and health at {chosen.host}:{chosen.port or 'any free port'}")
    if _traced(settings):
        _need("opentelemetry.exporter.otlp.proto.http", "[tracing]")
        told.append(f"traces to {settings.tracing.endpoint or 'where OTEL_EXPORTER_OTLP_ENDPOINT says'}")
    return ", ".join(told) or "off (docs/observability.md)"


def _need(package: str, what: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(_MISSING.format(what=what)) from error


def _metrics(settings: Settings) -> Metrics | None:
    if settings.metrics.port is None:
        return None
    try:
        from rapbot.metrics import Metrics
    except ImportError as error:
        raise ConfigError(_MISSING.format(what="[metrics]")) from error
    return Metrics(settings.profile)


def _traces(settings: Settings) -> tuple[Watcher | None, Callable[[], None] | None]:
    if not _traced(settings):
        return None, None
    try:
        from rapbot.tracing import Traces
    except ImportError as error:
        if settings.tracing.endpoint:
            raise ConfigError(_MISSING.format(what="[tracing]")) from error
        _log.warning("no traces: pip install -e '.[scale]'")  # the variable may be meant for other programs
        return None, None
    traces = Traces(settings.tracing)
    return traces, traces.close


def _traced(settings: Settings) -> bool:
    off = os.environ.get("OTEL_SDK_DISABLED", "").casefold() == "true"
    by_environment = os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "none" and any(map(os.environ.get, _ADDRESSES))
    return not off and bool(settings.tracing.endpoint or by_environment)
