"""The inside of the worker process: it loads the models once and runs batches until it is stopped.

Nothing here keeps state between batches except the models and the perception cache of the pipeline.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rapbot.errors import RapbotError
from rapbot.inference.job import Answer, Job, requests_of
from rapbot.inference.specs import AdapterSpec, FormerEncoder, Profile, Runtime
from rapbot.logs import about, configure_logs, get_logger, hide
from rapbot.messages import Stage

if TYPE_CHECKING:
    from rapbot.inference.pipeline import RapPipeline

_log = get_logger("rapbot.worker")


@dataclass(frozen=True, slots=True)
class WorkerStart:
    """All that a fresh worker process must know. `max_bytes` and `max_pixels` bound the photos it decodes."""

    profile: Profile
    weights_dir: Path
    max_bytes: int
    max_pixels: int
    runtime: Runtime = field(default_factory=Runtime)
    former: FormerEncoder | None = None
    """Loaded as well while a change of encoder is under way; without it the worker starts all the same."""
    log_level: str = "info"
    log_format: str = "text"


@dataclass(frozen=True, slots=True)
class Failure:
    """An error on its way back: exception classes with own constructors do not survive pickling."""

    kind: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Warm:
    """A worker process whose models are loaded."""

    pid: int
    seconds: float
    encoders: tuple[str, ...] = ()
    """Names of the encoders that could be loaded, the current one first."""
    former_missing: str = ""
    """Why the encoder that was configured before could not be loaded, where it should have been."""


class Channel(Protocol):
    """To the supervisor: how far jobs are; from it: the ids of jobs that nobody waits for any more."""

    def send(self, message: tuple[tuple[str, ...], Stage, str], /) -> None: ...

    def poll(self) -> bool: ...

    def recv(self) -> Any: ...


class NotWarm(Exception):
    """This process is younger than the caller thinks; warm it first."""


_start: WorkerStart | None = None
_progress: Channel | None = None
_pipeline: RapPipeline | None = None
_stopped: set[str] = set()
_TEXT_EVERY = 0.25
"""Seconds between two messages about the text of a job: a person reads no faster, and the pipe is shared."""


def initialise(start: WorkerStart, progress: Channel) -> None:
    """First thing in a new worker process; loads nothing, so that a failure to load is an ordinary answer of `warm`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    attach(start, progress)


def attach(start: WorkerStart, progress: Channel) -> None:
    """Tell this process what to load and whom to report to."""
    global _start, _progress
    _start, _progress = start, progress
    configure_logs(start.log_level, start.log_format)
    hide(start.profile.generator.key)


def warm(start: WorkerStart | None = None) -> Warm | Failure:
    """Load the models of `start` (at first: those that the process was started with) and compute one answer."""
    global _pipeline
    start = start or _start
    assert start is not None
    began = time.perf_counter()
    try:
        if _pipeline is None:
            from rapbot.inference.profiles import load_pipeline

            _pipeline = load_pipeline(start)
    except RapbotError as error:
        return Failure(type(error).__name__, error.sentence)
    return Warm(os.getpid(), time.perf_counter() - began, _pipeline.encoders, _pipeline.former_missing)


def run_batch(jobs: Sequence[Job]) -> list[Answer | Failure]:
    """One result per job. Raises NotWarm in a process that has not loaded its models."""
    if _pipeline is None:
        raise NotWarm
    _stops().intersection_update(job.id for job in jobs)
    began = time.perf_counter()
    with about(request=requests_of(jobs)):
        results = _pipeline.run(jobs, _report, _Follower())
        _log.debug("batch", jobs=len(jobs), ms=round(1000 * (time.perf_counter() - began)))
    return results


def done_in_turn() -> None:
    """Nothing: that it is done tells that what was asked before it is done, or lost."""


def swap(adapters: Sequence[AdapterSpec]) -> Failure | None:
    """Other LoRAs from the next batch on, without loading the models again. Raises NotWarm as `run_batch` does."""
    if _pipeline is None:
        raise NotWarm
    try:
        _pipeline.swap(adapters)
    except RapbotError as error:
        return Failure(type(error).__name__, error.sentence)
    return None


class _Follower:
    """Sends texts on while they are written, at most one in `_TEXT_EVERY` seconds of each job."""

    def __init__(self) -> None:
        self._sent: dict[str, float] = {}

    def __call__(self, job_id: str, text: str) -> bool:
        now = time.monotonic()
        if text and now - self._sent.get(job_id, -_TEXT_EVERY) >= _TEXT_EVERY:
            self._sent[job_id] = now
            _report((job_id,), Stage.WRITING, text)
        return job_id not in _stops()


def _stops() -> set[str]:
    """Jobs of this batch that nobody waits for any more."""
    with contextlib.suppress(OSError, EOFError):
        while _progress is not None and _progress.poll():
            _stopped.add(_progress.recv())
    return _stopped


def _report(job_ids: Sequence[str], stage: Stage, text: str = "") -> None:
    if _progress is not None:
        with contextlib.suppress(OSError):  # nobody listens any more: the work goes on
            _progress.send((tuple(job_ids), stage, text))
