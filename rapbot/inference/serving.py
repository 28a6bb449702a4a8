"""The inside of the worker process: it loads the models once and runs batches until it is stopped.

Nothing here keeps state between batches except the models and the perception cache of the pipeline.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from rapbot.errors import RapbotError
from rapbot.inference.job import Answer, Job
from rapbot.messages import Stage

if TYPE_CHECKING:
    from rapbot.inference.pipeline import RapPipeline


@dataclass(frozen=True, slots=True)
class WorkerStart:
    """All that a fresh worker process must know. `max_bytes` and `max_pixels` bound the photos it decodes."""

    profile: str
    weights_dir: Path
    lora: Path | None
    threads: int
    max_bytes: int
    max_pixels: int


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


class NotWarm(Exception):
    """This process is younger than the caller thinks; warm it first."""


_start: WorkerStart | None = None
_progress: Connection | None = None
_pipeline: RapPipeline | None = None


def initialise(start: WorkerStart, progress: Connection) -> None:
    """First thing in a new worker process; loads nothing, so that a failure to load is an ordinary answer of `warm`."""
    global _start, _progress
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    _start, _progress = start, progress


def warm() -> Warm | Failure:
    """Load the models and compute one answer, so that the first person does not wait."""
    global _pipeline
    assert _start is not None
    began = time.perf_counter()
    try:
        if _pipeline is None:
            from rapbot.inference.profiles import load_pipeline

            _pipeline = load_pipeline(_start)
    except RapbotError as error:
        return Failure(type(error).__name__, error.sentence)
    return Warm(os.getpid(), time.perf_counter() - began)


def run_batch(jobs: Sequence[Job]) -> list[Answer | Failure]:
    """One result per job. Raises NotWarm in a process that has not loaded its models."""
    if _pipeline is None:
        raise NotWarm
    return _pipeline.run(jobs, _report)


def _report(job_ids: Sequence[str], stage: Stage) -> None:
    if _progress is not None:
        with contextlib.suppress(OSError):  # nobody listens any more: the work goes on
            _progress.send((tuple(job_ids), stage))
