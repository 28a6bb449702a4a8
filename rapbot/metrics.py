"""Figures for Prometheus. Imported only where [metrics] asks for them: needs prometheus-client (extra "scale").

Labels are platforms, stages, tasks and classes of errors: few, and never a person, a name or a word.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rapbot import __version__
from rapbot.watching import Batch, Delivered, Event, Refused, Shed, Trip, Trouble, Worked

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class Now:
    """What is so at the moment when Prometheus asks."""

    waiting: int = 0
    oldest: float = 0.0
    """Seconds."""
    awake: bool = False
    restarts: int = 0
    inbox: int | None = None
    """None where there is none, or it cannot be read."""
    connected: dict[str, bool] = field(default_factory=dict)


class Metrics:
    """A watcher; `page` is what Prometheus reads. With a registry of its own, so that several can be in a process."""

    def __init__(self, profile: str) -> None:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Info("rapbot", "What runs here.", registry=registry).info({"version": __version__, "profile": profile})
        self._registry = registry
        self._now = _Now()
        registry.register(self._now)
        self._messages = Counter(
            "rapbot_messages", "Messages that came to an end.", ("platform", "outcome"), registry=registry
        )
        self._message = Histogram(
            "rapbot_message_seconds",
            "From the arrival of a message to its answer.",
            ("platform",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._jobs = Counter("rapbot_jobs", "Jobs that left the queue.", ("task", "result"), registry=registry)
        self._wait = Histogram(
            "rapbot_queue_wait_seconds", "What a job waited for the worker.", buckets=_SECONDS, registry=registry
        )
        self._work = Histogram(
            "rapbot_work_seconds", "From the worker's taking a job to its answer.", buckets=_SECONDS, registry=registry
        )
        self._stages = Histogram(
            "rapbot_stage_seconds", "A job's share of each stage.", ("stage",), buckets=_SECONDS, registry=registry
        )
        self._batch = Histogram(
            "rapbot_batch_size", "Jobs that the worker takes together.", buckets=_SIZES, registry=registry
        )
        self._candidates = Counter(
            "rapbot_retrieval_candidates", "Regions compared with avatars.", ("accepted",), registry=registry
        )
        self._delivery = Histogram(
            "rapbot_delivery_seconds", "Giving an answer to the platform.", buckets=_SECONDS, registry=registry
        )
        self._shed = Counter("rapbot_shed", "Requests that were left out.", ("reason",), registry=registry)
        self._refused = Counter(
            "rapbot_refused",
            "Messages answered with an error's sentence.",
            ("platform", "error"),
            registry=registry,
        )
        self._trouble = Counter(
            "rapbot_platform_errors", "Calls of a platform that failed.", ("platform", "error"), registry=registry
        )

    def __call__(self, event: Event) -> None:
        match event:
            case Trip():
                self._messages.labels(event.platform, event.outcome.value).inc()
                self._message.labels(event.platform).observe(event.ended - event.began)
            case Worked():
                self._count(event)
            case Batch(size):
                self._batch.observe(size)
            case Delivered():
                self._delivery.observe(event.ended - event.began)
            case Shed(reason):
                self._shed.labels(reason.value).inc()
            case Refused():
                self._refused.labels(event.platform, event.error).inc()
            case Trouble():
                self._trouble.labels(event.platform, event.error).inc()

    def _count(self, job: Worked) -> None:
        self._jobs.labels(str(job.task), job.error or "ok").inc()
        self._wait.observe((job.ended if job.began is None else job.began) - job.since)
        if job.began is not None:
            self._work.observe(job.ended - job.began)
        for stage, seconds in job.stages.items():
            self._stages.labels(stage).observe(seconds)
        if job.accepted:
            self._candidates.labels("yes").inc(job.accepted)
        if job.rejected:
            self._candidates.labels("no").inc(job.rejected)

    def page(self, now: Now, accept: str = "") -> tuple[bytes, str]:
        """(body, content type) in the form that `accept` asks for."""
        self._now.now = now
        encode, kind = choose_encoder(accept)
        return encode(self._registry), kind


class _Now(Collector):
    """What is read, not counted."""

    now = Now()

    def collect(self) -> Iterable[Metric]:
        now = self.now
        yield GaugeMetricFamily("rapbot_queue_jobs", "Jobs that wait for the worker.", now.waiting)
        yield GaugeMetricFamily("rapbot_queue_oldest_seconds", "For how long the first of a line waits.", now.oldest)
        yield GaugeMetricFamily("rapbot_worker_up", "Whether the models are loaded.", float(now.awake))
        yield CounterMetricFamily("rapbot_worker_restarts", "Worker processes that died or hung.", now.restarts)
        if now.inbox is not None:
            yield GaugeMetricFamily("rapbot_inbox_messages", "Messages that are not answered yet.", now.inbox)
        reached = GaugeMetricFamily("rapbot_platform_connected", "Whether it can be reached.", labels=["platform"])
        for platform, connected in now.connected.items():
            reached.add_metric([platform], float(connected))
        yield reached
