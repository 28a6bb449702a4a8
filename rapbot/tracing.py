"""Traces from message to answer, by OpenTelemetry. Imported only where they are wanted: needs the extra "scale".

All spans of a trip are made when it is over, out of the times that were noted on the way: nothing waits for them. The
worker's stages come from the times that it reports, one after the other from the start of its batch, so that the
worker needs no exporter. A trace has the number of its message, as in the log.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate, pairwise
from urllib.parse import unquote

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context

from rapbot import __version__
from rapbot.config import TracingSettings
from rapbot.logs import get_logger, hide
from rapbot.watching import Event, Outcome, Trip, Worked

_log = get_logger(__name__)
_PATH = "/v1/traces"
_PATIENCE = 3
"""Seconds for one delivery, repetitions included: the end of the program waits for the last one."""
_TIMEOUTS = ("OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
_SECRET = 8
"""Characters: a shorter value is the name of something, and would be cut out of half the log."""
_HEADERS = ("OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")


class Traces:
    """A watcher. `close` sends what is left."""

    def __init__(self, settings: TracingSettings) -> None:
        for name in _HEADERS:
            for pair in os.environ.get(name, "").split(","):
                value = unquote(pair.partition("=")[2].strip())
                if len(value) >= _SECRET:
                    hide(value)
        self._words = _KindOnly()
        logger = logging.getLogger("opentelemetry")
        logger.addHandler(self._words)
        logger.propagate = False
        self._numbers = _Numbers()
        # Without a part of ours the standard variables decide (OTEL_TRACES_SAMPLER).
        sampler = ParentBased(TraceIdRatioBased(settings.sample)) if settings.sample < 1 else None
        named = {SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME", "rapbot"), SERVICE_VERSION: __version__}
        self._provider = TracerProvider(
            sampler, Resource.create(named), shutdown_on_exit=False, id_generator=self._numbers
        )
        patience = None if any(map(os.environ.get, _TIMEOUTS)) else _PATIENCE
        exporter = OTLPSpanExporter(_address(settings.endpoint), timeout=patience)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("rapbot", __version__)

    def __call__(self, event: Event) -> None:
        if isinstance(event, Trip) and event.steps:  # else it was nobody's question
            self._trace(event)

    def flush(self) -> None:
        """Send now what is waiting to be sent; returns once it is."""
        self._provider.force_flush()

    def close(self) -> None:
        """Takes as long as the collector does, at most some seconds."""
        self._provider.shutdown()
        logging.getLogger("opentelemetry").removeHandler(self._words)

    def _trace(self, trip: Trip) -> None:
        self._numbers.trace = int(trip.number, 16)
        spans = _Spans(self, trip)
        about = {"rapbot.platform": trip.platform, "rapbot.outcome": trip.outcome.value}
        if trip.refused:
            about["rapbot.refused"] = trip.refused
        # A sentence of refusal is an answer: what failed is a step.
        failed = trip.steps[-1].error if trip.outcome is Outcome.UNDELIVERED else ""
        with spans.span("message", trip.began, trip.ended, failed, about, SpanKind.CONSUMER) as whole:
            first = min(step.since if isinstance(step, Worked) else step.began for step in trip.steps)
            with spans.span("receive", trip.began, first, parent=whole):
                pass
            for step in trip.steps:
                if isinstance(step, Worked):
                    spans.job(step, whole)
                    continue
                with spans.span("deliver", step.began, step.ended, step.error, parent=whole):
                    pass


class _Spans:
    """Of one trip."""

    def __init__(self, traces: Traces, trip: Trip) -> None:
        self._tracer = traces._tracer
        self._wall = trip.wall

    @contextmanager
    def span(
        self,
        name: str,
        began: float,
        ended: float,
        error: str = "",
        about: Mapping[str, str | int] | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: Span | None = None,
    ) -> Iterator[Span]:
        """Times of the event loop."""
        context = set_span_in_context(parent) if parent is not None else None
        span = self._tracer.start_span(name, context, kind, about, start_time=self._nanoseconds(began))
        yield span
        if error:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(self._nanoseconds(ended))

    def job(self, job: Worked, parent: Span) -> None:
        """Its wait, its work and the stages of that."""
        began = job.ended if job.began is None else job.began
        with self.span("queue", job.since, began, "" if job.began is not None else job.error, parent=parent):
            pass
        if job.began is None:
            return
        about: Mapping[str, str | int] = {"rapbot.task": str(job.task), "rapbot.batch": job.batch}
        with self.span("worker", began, job.ended, job.error, about, parent=parent) as work:
            times = list(accumulate(job.stages.values(), initial=began))
            for stage, (since, until) in zip(job.stages, pairwise(times), strict=True):
                with self.span(stage, since, min(until, job.ended), parent=work):
                    pass

    def _nanoseconds(self, moment: float) -> int:
        return int((moment + self._wall) * 1e9)


class _Numbers(RandomIdGenerator):
    """The next trace has the number of its message."""

    trace = 0

    def generate_trace_id(self) -> int:
        return self.trace or super().generate_trace_id()

    def is_trace_id_random(self) -> bool:
        return False


def _address(endpoint: str) -> str | None:
    """None: as the standard variables say."""
    if not endpoint or endpoint.endswith(_PATH):
        return endpoint or None
    return endpoint.rstrip("/") + _PATH


class _KindOnly(logging.Handler):
    """A collector that is away is a short line each time, not a traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            _log.warning("traces", at=f"{record.module}:{record.lineno}")
