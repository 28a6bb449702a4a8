"""Supervision of the worker process (pebble): warm it, run batches, restart it on death or hang with back-off.

A job is tried at most twice. When a batch is lost, its jobs are tried again one by one, so that a poisonous
job takes nobody along. Source of the two kinds of failure: DESIGN, "Inference".
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from pebble import ProcessExpired, ProcessPool

from rapbot.errors import InferenceError, RapbotError, WorkerDied
from rapbot.inference.job import Answer, Job
from rapbot.inference.retrying import BROKEN, DIED, Retrying, error_of, frames, too_late
from rapbot.inference.serving import (
    Failure,
    NotWarm,
    Warm,
    WorkerStart,
    done_in_turn,
    initialise,
    run_batch,
    swap,
    warm,
)
from rapbot.inference.specs import AdapterSpec
from rapbot.logs import get_logger
from rapbot.messages import Stage

log = get_logger("rapbot.worker")

_GRACE_S = 3.0
"""After the deadline, in which a process that hangs should have been ended by the pool."""
_LOOK_EVERY_S = 0.5
"""At an idle process: whether it lives."""


class _TaskLost(Exception):
    """A process ended after it took a task and before it said so."""


class Worker(Retrying):
    """Fills the `Runner` seam of the queue. Use it with `async with`; the models load in the background."""

    def __init__(
        self,
        start: WorkerStart,
        *,
        start_deadline: float = 180.0,
        backoff_first: float = 0.2,
        backoff_max: float = 30.0,
    ) -> None:
        """Deadlines and back-off in seconds."""
        super().__init__(log)
        self._start = start
        self._start_deadline = start_deadline
        self._backoff_first = backoff_first
        self._backoff_max = backoff_max
        self._failures = 0
        self._under_way = 0
        """What the process was asked and has not answered: its death is told by that."""

    async def __aenter__(self) -> Worker:
        context = multiprocessing.get_context("spawn")  # a fork of a threaded process can hang
        self._reader, self._writer = context.Pipe(duplex=True)
        self._pool = self._new_pool()
        listen = _progress_reader(self._reader, asyncio.get_running_loop(), self._tell)
        self._thread = threading.Thread(target=listen, name="worker-progress", daemon=True)
        self._thread.start()
        self._warming_up = asyncio.create_task(self._keep_warm(), name="worker-warm")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._warming_up.cancel()
        with suppress(asyncio.CancelledError):
            await self._warming_up
        self._pool.stop()
        await asyncio.to_thread(self._pool.join)
        self._writer.send(None)
        await asyncio.to_thread(self._thread.join)
        self._reader.close()
        self._writer.close()

    def _new_pool(self) -> Any:
        return ProcessPool(
            max_workers=1,
            context=multiprocessing.get_context("spawn"),
            initializer=initialise,
            initargs=(self._start, self._writer),
        )

    async def ready(self) -> Warm:
        """Waits until the models are loaded. Raises WeightsError or another RapbotError when they cannot be."""
        async with self._warming:
            while self._warm is None:
                self._tell(tuple(self._listeners), Stage.STARTING)
                await asyncio.sleep(self._backoff())
                try:
                    result = await self._schedule(warm, (self._start,), self._start_deadline)
                except WorkerDied:
                    if self._failures > 3:
                        raise
                    continue
                if isinstance(result, Failure):
                    self._failures += 1
                    raise error_of(result)
                self._warm = result
                log.info("worker.ready", pid=result.pid, seconds=round(result.seconds, 2))
            return self._warm

    def _backoff(self) -> float:
        """Seconds to wait after this many failures in a row."""
        if not self._failures:
            return 0.0
        return float(min(self._backoff_max, self._backoff_first * 2 ** (self._failures - 1)))

    async def _keep_warm(self) -> None:
        """Loads the models at the start, and again whenever a process that had loaded them was lost."""
        lost = True
        while True:
            if lost:
                with suppress(RapbotError):  # the next request meets the same error and tells it
                    await self.ready()
            before = self._warm
            await asyncio.sleep(_LOOK_EVERY_S)
            if self._warm is not None and not self._under_way and not _lives(self._warm.pid):
                log.warning("worker.lost", reason="died idle")
                self._lost()
            lost = before is not None and self._warm is None

    async def _attempt(self, jobs: Sequence[Job], *, alone: bool) -> list[Answer | RapbotError]:
        raw = await self._asked(run_batch, (list(jobs),), max(job.deadline for job in jobs))
        self._failures = 0
        return [error_of(item) if isinstance(item, Failure) else item for item in raw]

    async def _asked(self, function: Callable[..., Any], args: tuple[Any, ...], deadline: float) -> Any:
        """What a process with its models loaded says to that."""
        while True:
            await self.ready()
            try:
                return await self._schedule(function, args, deadline)
            except NotWarm:  # it died while idle and there is a fresh one in its place already
                self._lost()

    async def _schedule(self, function: Callable[..., Any], args: tuple[Any, ...], deadline: float) -> Any:
        self._under_way += 1
        try:
            if not self._pool.active:
                self._pool = self._new_pool()
            return await self._result(function, args, deadline)
        except NotWarm:
            raise
        except BrokenProcessPool as error:  # pebble gives a pool up whose only process died between two tasks
            self._lost()
            self._pool = self._new_pool()
            raise WorkerDied(DIED) from error
        except (TimeoutError, FutureTimeout) as error:
            self._lost()
            raise too_late(deadline) from error
        except (ProcessExpired, _TaskLost) as error:
            self._lost()
            raise WorkerDied(DIED) from error
        except Exception as error:
            log.error("worker.bug", error=type(error).__name__, frames=frames(error))
            raise InferenceError(BROKEN) from error
        finally:
            self._under_way -= 1

    async def _result(self, function: Callable[..., Any], args: tuple[Any, ...], deadline: float) -> Any:
        """What the process gives back; where pebble would wait for ever, it is not waited for.

        A process that is killed after it took a task and before it said so takes the task along. A second task, which
        is done in turn after the first, tells of that.
        """
        future = asyncio.wrap_future(self._pool.schedule(function, args=args, timeout=deadline))
        after = asyncio.wrap_future(self._pool.schedule(done_in_turn))
        for task in (future, after):  # a pool that ends gives every task an error, also where nobody waits any more
            task.add_done_callback(lambda told: told.cancelled() or told.exception())
        try:
            await asyncio.wait([future, after], timeout=deadline + _GRACE_S, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            future.cancel()
            after.cancel()
            raise
        if after.done():
            await asyncio.wait([future], timeout=_GRACE_S)
        if future.done():
            return future.result()
        future.cancel()
        if after.done():
            raise _TaskLost
        await self._end_pool()  # pebble counts from the moment when the process takes a task, and this one never did
        raise TimeoutError

    async def _end_pool(self) -> None:
        """With its process, whatever that is doing."""
        if self._warm is not None:
            with suppress(ProcessLookupError):
                os.kill(self._warm.pid, signal.SIGKILL)
        pool, self._pool = self._pool, self._new_pool()
        pool.stop()
        await asyncio.to_thread(pool.join)

    def _lost(self) -> None:
        self._warm = None
        self._failures += 1
        self._restarts += 1

    def stop(self, job_id: str) -> None:
        """Nobody waits for this job any more: the model need not write it to the end."""
        with suppress(OSError):
            self._reader.send(job_id)

    async def swap(self, adapters: Sequence[AdapterSpec]) -> None:
        """Other LoRAs from the next batch on; the models stay loaded, and answers being written are finished.

        Raises ConfigError, WeightsError; the LoRAs then stay as they were.
        """
        result = await self._asked(swap, (tuple(adapters),), self._start_deadline)
        if isinstance(result, Failure):
            raise error_of(result)
        generator = replace(self._start.profile.generator, adapters=tuple(adapters))
        profile = replace(self._start.profile, generator=generator)
        self._start = replace(self._start, profile=profile)  # a process started later loads them too


def _lives(pid: int) -> bool:
    return any(process.pid == pid for process in multiprocessing.active_children())


def _progress_reader(
    reader: Connection, loop: asyncio.AbstractEventLoop, tell: Callable[[tuple[str, ...], Stage, str], None]
) -> Callable[[], None]:
    """A loop for a thread: from the worker's pipe to the event loop, until None arrives."""

    def read() -> None:
        while True:
            try:
                message = reader.recv()
            except (EOFError, OSError):
                return
            if message is None:
                return
            with suppress(RuntimeError):  # the loop is closing
                loop.call_soon_threadsafe(tell, *message)

    return read
