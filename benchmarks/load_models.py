"""In the worker of a bot under load: a clock around each batch, and models that weigh nothing where those are wanted.

`RUN` in the environment (JSON): {"light": bool, "batch_s": [seconds of a batch, seconds of each message in it]}. With
`batch_s` the light models take as long as models on a GPU might: the worker sleeps, so that load generator, bot and
worker do not fight for the processors of a small machine.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence

from rapbot.inference import serving
from rapbot.inference.job import Answer, Job
from rapbot.inference.serving import Channel, Failure, WorkerStart
from tests import light_models

RUN = "BENCHMARK_RUN"
WORKER = "worker"
"""Under which an answer's timings hold the seconds of its whole batch."""


def initialise(start: WorkerStart, progress: Channel) -> None:
    """In the place of `serving.initialise`."""
    wanted = json.loads(os.environ[RUN])
    base, each = wanted["batch_s"] or (0.0, 0.0)
    run_batch = serving.run_batch

    def timed(jobs: Sequence[Job]) -> list[Answer | Failure]:
        began = time.monotonic()
        time.sleep(base + each * len(jobs))
        results = run_batch(jobs)
        for result in results:
            if isinstance(result, Answer):
                result.timings[WORKER] = time.monotonic() - began
        return results

    serving.run_batch = timed  # the pool finds it by its name
    (light_models if wanted["light"] else serving).initialise(start, progress)
