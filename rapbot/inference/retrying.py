"""What is done with jobs whose process was lost: each is tried once more, alone, so that a poisonous one takes nobody
along. The same in a worker process of this machine and in a cluster."""

from __future__ import annotations

import re
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from rapbot import errors
from rapbot.errors import InferenceError, JobTimeout, RapbotError, WorkerDied
from rapbot.i18n import mark
from rapbot.inference.job import Answer, Job, requests_of
from rapbot.inference.serving import Failure

DIED = mark("My model process stopped twice on this message, so I gave up on it. Please try another photo.")
BROKEN = mark("Something broke inside me while I looked at that. Sorry!")

_FRAME = re.compile(r'File "[^"]*?([\w.-]+\.py)", line (\d+), in (\w+)')

Attempt = Callable[[Sequence[Job], bool], Awaitable[list[Answer | RapbotError]]]
"""Runs a batch; the second argument: it may share its process with no other job. Raises WorkerDied, JobTimeout where
the process was lost, another RapbotError where no job of the batch can be done."""


async def run_twice(attempt: Attempt, jobs: Sequence[Job], log: Any) -> list[Answer | RapbotError]:
    """One answer or error per job, in order."""
    try:
        return await attempt(jobs, False)
    except (WorkerDied, JobTimeout) as lost:
        log.warning("worker.lost", requests=requests_of(jobs), reason=type(lost).__name__)
    except RapbotError as error:
        return [error for _ in jobs]
    results: list[Answer | RapbotError] = []
    for job in jobs:
        try:
            results += await attempt([job], True)
        except RapbotError as error:
            results.append(error)
    return results


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
