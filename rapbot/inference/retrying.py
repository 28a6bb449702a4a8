"""What is done with jobs whose process was lost: each is tried once more, alone, so that a poisonous one takes nobody
along. The same in a worker process of this machine and in a cluster."""

from __future__ import annotations

import asyncio
import re
import traceback
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from rapbot import errors
from rapbot.errors import InferenceError, JobTimeout, RapbotError, WorkerDied
from rapbot.i18n import mark
from rapbot.inference.job import Answer, Job, requests_of
from rapbot.inference.serving import Failure, Warm
from rapbot.messages import Progress, ProgressListener, Stage

DIED = mark("My model process stopped twice on this message, so I gave up on it. Please try another photo.")
BROKEN = mark("Something broke inside me while I looked at that. Sorry!")

_FRAME = re.compile(r'File "[^"]*?([\w.-]+\.py)", line (\d+), in (\w+)')


class Retrying(ABC):
    """What is the same in both: in the supervision of a worker process and in the bot's side of a cluster."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._warm: Warm | None = None
        self._warming = asyncio.Lock()
        self._listeners: dict[str, ProgressListener] = {}
        self._restarts = 0

    @property
    def pid(self) -> int | None:
        """Process id, on its own machine, of a process whose models are loaded; None while none is known."""
        return self._warm.pid if self._warm else None

    @property
    def restarts(self) -> int:
        """Processes that were lost; in a cluster: in the middle of a batch of ours."""
        return self._restarts

    @property
    def awake(self) -> bool:
        """Whether there is a process whose models are loaded, as far as is known."""
        return self._warm is not None

    async def run(self, jobs: Sequence[Job], listeners: dict[str, ProgressListener]) -> list[Answer | RapbotError]:
        """One answer or error per job, in order; never raises for what a job or a process did."""
        self._listeners.update(listeners)
        try:
            return await self._run_twice(jobs)
        finally:
            for job in jobs:
                self._listeners.pop(job.id, None)

    async def _run_twice(self, jobs: Sequence[Job]) -> list[Answer | RapbotError]:
        try:
            return await self._attempt(jobs, alone=False)
        except (WorkerDied, JobTimeout) as lost:
            self._log.warning("worker.lost", requests=requests_of(jobs), reason=type(lost).__name__)
        except RapbotError as error:
            return [error for _ in jobs]
        results: list[Answer | RapbotError] = []
        for job in jobs:
            try:
                results += await self._attempt([job], alone=True)
            except RapbotError as error:
                results.append(error)
        return results

    @abstractmethod
    async def _attempt(self, jobs: Sequence[Job], *, alone: bool) -> list[Answer | RapbotError]:
        """Runs a batch. `alone`: it may share its process with no other job. Raises WorkerDied, JobTimeout where the
        process was lost, another RapbotError where no job of the batch can be done."""

    def _tell(self, job_ids: tuple[str, ...], stage: Stage, text: str = "") -> None:
        for job_id in job_ids:
            if listener := self._listeners.get(job_id):
                listener(Progress(stage, text=text))


def too_late(deadline: float) -> JobTimeout:
    return JobTimeout(f"That took longer than {deadline:.0f} seconds, so I stopped. Please try a smaller photo.")


def error_of(failure: Failure) -> RapbotError:
    """The exception that it was before it travelled."""
    kind = getattr(errors, failure.kind, InferenceError)
    error = kind.__new__(kind)
    RapbotError.__init__(error, failure.sentence)
    return error if isinstance(error, RapbotError) else InferenceError(failure.sentence)


def frames(error: BaseException) -> list[str]:
    """Where it happened, also inside the worker: file, line and function, without any value of a variable."""
    told = str(error.__cause__ or "") + "".join(traceback.format_tb(error.__traceback__))
    return [":".join(found) for found in _FRAME.findall(told)[-6:]]
