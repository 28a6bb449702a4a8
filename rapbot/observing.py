"""Figures, traces and health: started where the configuration names them; else nothing is loaded and nothing runs."""

from __future__ import annotations

import asyncio
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


def _metrics(settings: Settings) -> Metrics | None:
    if settings.metrics.port is None:
        return None
    try:
        from rapbot.metrics import Metrics
    except ImportError as error:
        raise ConfigError(_MISSING.format(what="[metrics]")) from error
    return Metrics(settings.profile)


def _traces(settings: Settings) -> tuple[Watcher | None, Callable[[], None] | None]:
    by_environment = any(os.environ.get(name) for name in _ADDRESSES) and not _switched_off()
    if not settings.tracing.endpoint and not by_environment:
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


def _switched_off() -> bool:
    return (
        os.environ.get("OTEL_SDK_DISABLED", "").casefold() == "true"
        or os.environ.get("OTEL_TRACES_EXPORTER", "otlp") == "none"
    )
