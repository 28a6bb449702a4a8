"""The bot's side of the cluster: batches go out, progress and answers come back, lost jobs are given once more.

Behaves as `worker.Worker` does, with two differences: a job that nobody waits for any more is stopped only when that
holds for its whole batch, and other LoRAs need `rapbot cluster up`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from rapbot.config import Settings
from rapbot.errors import ConfigError, InferenceError, RapbotError, WorkerDied
from rapbot.inference.cluster.joining import APP, ClusterError, connect
from rapbot.inference.job import Answer, Job
from rapbot.inference.retrying import BROKEN, DIED, Retrying, error_of, frames, too_late
from rapbot.inference.serving import Failure, Warm, WorkerStart
from rapbot.inference.specs import AdapterSpec
from rapbot.logs import get_logger
from rapbot.messages import Stage

log = get_logger("rapbot.cluster")

_GRACE_S = 5.0
"""After the deadline, in which a replica that hangs should have ended itself."""
_SENDS = 5
"""How often a batch is given to replicas that are lost before they begin with it."""
_ABSENT = "The models do not run in the cluster at {address}. Run: rapbot cluster up"


class _NotBegun(Exception):
    """The replica went before it took the batch: no job has lost a try."""


class ClusterWorker(Retrying):
    """Fills the `Runner` seam of the queue. Use it with `async with`; it joins the cluster in the background."""

    def __init__(self, settings: Settings, start: WorkerStart, app: str = APP) -> None:
        """`start`: what this configuration would load; the replicas of `app` should have loaded the same."""
        super().__init__(log)
        self._app = app
        self._settings = settings
        self._start = start
        self._batches: dict[str, _Batch] = {}
        """By the id of each job that runs."""

    async def __aenter__(self) -> ClusterWorker:
        self._first_warm = asyncio.create_task(self._warm_quietly(), name="cluster-warm")
        return self

    async def __aexit__(self, *_: object) -> None:
        """The replicas stay: other bots use them too."""
        self._first_warm.cancel()
        with suppress(asyncio.CancelledError):
            await self._first_warm

    async def _warm_quietly(self) -> None:
        with suppress(RapbotError):  # the first request meets the same error and tells it
            await self.ready()

    async def ready(self) -> Warm:
        """Waits until a replica answers. Raises ClusterError, or ConfigError where it has another encoder."""
        async with self._warming:
            if self._warm is None:
                self._tell(tuple(self._listeners), Stage.STARTING)
                self._handle, told = await self._found()
                warm, fingerprint = told
                self._check(warm, fingerprint)
                self._warm = warm
                log.info("cluster.ready", pid=warm.pid)
            return self._warm

    async def _found(self) -> tuple[Any, tuple[Warm, str]]:
        """The handle of the replicas, and what one of them says of itself."""
        ray = await asyncio.to_thread(connect, self._settings)
        from ray import serve

        address, patience = self._settings.cluster.address, self._settings.worker.start_deadline_s
        try:
            handle = await asyncio.to_thread(serve.get_app_handle, self._app)
            async with asyncio.timeout(patience):
                return handle, await handle.warm.remote()
        except TimeoutError as error:
            raise ClusterError(f"No replica in the cluster at {address} answered within {patience:.0f} s.") from error
        except (serve.exceptions.RayServeException, ray.exceptions.RayError) as error:
            raise ClusterError(_ABSENT.format(address=address)) from error

    def _check(self, warm: Warm, fingerprint: str) -> None:
        from rapbot.inference.cluster.replica import fingerprint as fingerprint_of

        wanted = self._start.profile.encoder.name
        if wanted not in warm.encoders:
            raise ConfigError(
                f"The replicas in the cluster run {warm.encoders[0] if warm.encoders else 'no encoder'}, this"
                f" configuration names {wanted}. Run rapbot cluster up with it, so that both are the same."
            )
        if fingerprint != fingerprint_of(self._start):
            log.warning("cluster.differs", advice="versions or models are not those of this configuration")

    def stop(self, job_id: str) -> None:
        """Nobody waits for this job any more: once that holds for its whole batch, the model need not write it."""
        if batch := self._batches.get(job_id):
            batch.unwanted(job_id)

    async def swap(self, adapters: Sequence[AdapterSpec]) -> None:
        """Raises ConfigError: one bot does not decide what runs in the cluster."""
        raise ConfigError("The models run in the cluster: rapbot cluster up brings it other LoRAs.")

    async def _attempt(self, jobs: Sequence[Job], *, alone: bool) -> list[Answer | RapbotError]:
        for _send in range(_SENDS):
            await self.ready()
            batch = _Batch(self._handle, jobs, alone, self._tell)
            self._batches |= dict.fromkeys((job.id for job in jobs), batch)
            try:
                results = await batch.sent(self._settings.worker.start_deadline_s)
                return [error_of(item) if isinstance(item, Failure) else item for item in results]
            except _NotBegun:
                self._warm = None
            except WorkerDied:
                self._warm = None
                self._restarts += 1
                raise
            finally:
                for job in jobs:
                    self._batches.pop(job.id, None)
        raise WorkerDied(DIED)


class _Batch:
    """One batch on its way through a replica."""

    def __init__(self, handle: Any, jobs: Sequence[Job], alone: bool, tell: Any) -> None:
        self._handle, self._jobs, self._alone, self._tell = handle, jobs, alone, tell
        self._wanted = {job.id for job in jobs}
        self._begun = 0.0
        """When, on the loop's clock; 0: not yet."""
        self.pid = 0
        """Of the replica that has begun with it."""
        self._deadline = max(job.deadline for job in jobs)
        self._stream: Any = None

    def unwanted(self, job_id: str) -> None:
        self._wanted.discard(job_id)
        if not self._wanted and self._stream is not None:
            self._stream.cancel()

    async def sent(self, patience: float) -> list[Answer | Failure]:
        """The results. `patience` seconds for it to begin. Raises WorkerDied, JobTimeout, InferenceError, _NotBegun."""
        import ray
        from ray.serve.exceptions import RayServeException

        self._stream = self._handle.options(stream=True).answer.remote(list(self._jobs), self._alone)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(patience) as limit:
                async for events in self._stream:
                    for event in events:
                        if isinstance(event, list):
                            return event
                        if isinstance(event, tuple):
                            self._tell(*event)
                            continue
                        self.pid, self._begun, self._deadline = event.pid, loop.time(), event.deadline
                        limit.reschedule(self._begun + self._deadline + _GRACE_S)
        except TimeoutError as error:
            self._stream.cancel()
            if not self._begun:
                raise InferenceError(BROKEN) from error
            raise too_late(self._deadline) from error
        except asyncio.CancelledError:
            self._stream.cancel()
            raise
        except ray.exceptions.TaskCancelledError:
            if not self._wanted:
                raise InferenceError(BROKEN) from None  # said to nobody
            raise self._lost(loop.time()) from None
        except ray.exceptions.RayTaskError as error:  # a bug around the models; Ray's words may hold ours
            log.error("cluster.bug", error=type(error.cause).__name__, frames=frames(error))
            raise InferenceError(BROKEN) from error
        except (RayServeException, ray.exceptions.RayError) as error:
            raise self._lost(loop.time()) from error
        raise self._lost(loop.time())

    def _lost(self, now: float) -> Exception:
        if not self._begun:
            return _NotBegun()
        return too_late(self._deadline) if now - self._begun >= self._deadline else WorkerDied(DIED)
