"""What runs in each replica: the inside of the worker process (serving.py), with Ray's event loop around it.

One request is a batch as a bot's queue made it. `serve.batch` puts batches of several bots together up to `max_batch`
jobs; a batch that must be alone stays alone. The models work in a thread of their own, so that the replica answers
health checks meanwhile. Only Ray imports this, or who deploys it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from ray import serve

from rapbot import __version__
from rapbot.inference import serving
from rapbot.inference.job import Answer, Job
from rapbot.inference.retrying import BROKEN, frames
from rapbot.inference.serving import Failure, Warm, WorkerStart
from rapbot.logs import get_logger
from rapbot.messages import Stage

log = get_logger("rapbot.replica")

Told = tuple[tuple[str, ...], Stage, str]
"""Which jobs reached which stage, and the text so far."""
Results = list[Answer | Failure]
Attach = Callable[[WorkerStart, serving.Channel], None]


@dataclass(frozen=True, slots=True)
class Begun:
    """The models have taken the batch: whoever loses it now has lost one try. `deadline` seconds from here."""

    pid: int
    deadline: float


@dataclass(frozen=True, slots=True)
class Batching:
    """`wait` in seconds: how long a batch that is not full waits for others."""

    most: int
    wait: float

    def size(self, requests: Sequence[_Request]) -> int:
        """In jobs. One that must be alone fills a batch, and none is too large for one."""
        if len(requests) == 1 and not requests[0].alone:
            return min(len(requests[0].jobs), self.most)
        return sum(self.most if request.alone else len(request.jobs) for request in requests)


@dataclass(frozen=True, slots=True)
class _Request:
    jobs: Sequence[Job]
    alone: bool
    events: asyncio.Queue[Begun | Told | None] = field(default_factory=asyncio.Queue)
    """None: there will be no more."""


class _Channel:
    """Fills `serving.Channel` between the thread of the models and the event loop."""

    def __init__(self, deliver: Callable[[Told], None]) -> None:
        self._deliver = deliver
        self.loop: asyncio.AbstractEventLoop | None = None
        self.stopped: deque[str] = deque()

    def send(self, message: Told) -> None:
        if self.loop is not None:
            self.loop.call_soon_threadsafe(self._deliver, message)

    def poll(self) -> bool:
        return bool(self.stopped)

    def recv(self) -> str:
        return self.stopped.popleft()


class Replica:
    """Loads the models once and answers batches until Serve takes it away. Raises RuntimeError where it cannot."""

    def __init__(self, start: WorkerStart, batching: Batching, attach: Attach = serving.attach) -> None:
        self._channel = _Channel(self._deliver)
        attach(start, self._channel)
        warm = serving.warm()
        if isinstance(warm, Failure):
            raise RuntimeError(warm.sentence)
        self._ready, self._fingerprint = warm, fingerprint(start)
        self._models = ThreadPoolExecutor(1, "models")
        self._requests: dict[str, _Request] = {}
        """By the id of each of their jobs."""
        self._until = float("inf")
        self._together = serve.batch(
            max_batch_size=batching.most, batch_wait_timeout_s=batching.wait, batch_size_fn=batching.size
        )(self._run)

    async def warm(self) -> tuple[Warm, str]:
        """That the models are loaded, and which (`fingerprint`)."""
        return self._ready, self._fingerprint

    async def answer(self, jobs: Sequence[Job], alone: bool) -> AsyncIterator[list[Begun | Told | Results]]:
        """Everything that happens to the batch, as it happens; at the end one result per job.

        Who stops listening before the end wants none of its answers any more.
        """
        self._channel.loop = asyncio.get_running_loop()
        request = _Request(jobs, alone)
        self._requests |= {job.id: request for job in jobs}
        work = asyncio.ensure_future(self._together(request))
        work.add_done_callback(lambda _done: request.events.put_nowait(None))
        try:
            while (event := await request.events.get()) is not None:
                events: list[Begun | Told | Results] = [event]
                while not request.events.empty() and (event := request.events.get_nowait()) is not None:
                    events.append(event)
                if event is None:
                    yield [*events, await work]
                    return
                yield events
            yield [await work]
        finally:
            for job in jobs:
                self._requests.pop(job.id, None)
            if not work.done():
                self._channel.stopped.extend(job.id for job in jobs)
                work.cancel()

    def check_health(self) -> None:
        """Serve puts another in the place of a replica that raises here, or does not come to it."""
        if time.monotonic() > self._until:
            raise RuntimeError("a batch is past its deadline")

    async def _run(self, requests: list[_Request]) -> list[Results]:
        jobs = [job for request in requests for job in request.jobs]
        deadline = max(job.deadline for job in jobs)
        for request in requests:
            request.events.put_nowait(Begun(os.getpid(), deadline))
        end = threading.Timer(deadline, os.kill, (os.getpid(), signal.SIGKILL))  # a hang ends in no other way
        end.daemon = True
        end.start()
        self._until = time.monotonic() + deadline
        try:
            results = await asyncio.get_running_loop().run_in_executor(self._models, serving.run_batch, jobs)
        except Exception as error:  # its words may hold people's, and Serve would log them
            log.error("replica.bug", error=type(error).__name__, frames=frames(error))
            results = [Failure("InferenceError", BROKEN) for _ in jobs]
        finally:
            end.cancel()
            self._until = float("inf")
        left = iter(results)
        return [[next(left) for _ in request.jobs] for request in requests]

    def _deliver(self, told: Told) -> None:
        """To each request what concerns its jobs."""
        ids, stage, text = told
        wanted: dict[int, tuple[_Request, list[str]]] = {}
        for job_id in ids:
            if request := self._requests.get(job_id):
                wanted.setdefault(id(request), (request, []))[1].append(job_id)
        for request, own in wanted.values():
            request.events.put_nowait((tuple(own), stage, text))


def fingerprint(start: WorkerStart) -> str:
    """Of the version and the models, without the key of a server: bots and replicas should have the same."""
    profile: Any = replace(start.profile, generator=replace(start.profile.generator, key=""))
    return hashlib.sha256(f"{__version__} {profile!r}".encode()).hexdigest()[:16]
