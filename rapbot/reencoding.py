"""After a change of encoder: all stored avatars are encoded again, while the old keys serve until it is done.

Beside the other work (`running`) or in the foreground (`rapbot reencode`). Everything it knows is in the store, so it
goes on where it was after a kill at any moment.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import groupby
from typing import Protocol

import numpy as np

from rapbot.concepts.concept import Key
from rapbot.concepts.opening import Store
from rapbot.concepts.sql_encodings import Pending as Pending
from rapbot.concepts.sql_encodings import Place, StaleAvatar
from rapbot.concepts.store import ReplaceKeys
from rapbot.config import Settings
from rapbot.errors import Busy, InferenceError, PhotoError, RapbotError
from rapbot.inference.job import Job, Task
from rapbot.inference.loading import ENCODERS
from rapbot.inference.profiles import rules_of
from rapbot.inference.queue import JobQueue
from rapbot.inference.serving import Warm
from rapbot.inference.specs import EncoderSpec, FormerEncoder
from rapbot.logs import get_logger, place_of
from rapbot.photos import open_photo

log = get_logger("rapbot.reencoding")

_PERSON = "rapbot:reencoding"
"""Its own line in the fair queue, with one job at a time: a message waits for one of them at most."""
_JOB_SECONDS = 0.25
"""As much work as one job should be."""
_MOST = 64
_LOG_EVERY = 5.0
"""Seconds between two lines of the log about the progress."""
_LEADS_AGAIN_S = 30.0
_LONGEST_WAIT = 600.0
"""Seconds between two attempts, where the models cannot be loaded or the disk is full."""

Show = Callable[[Pending], None]
"""Told how far the change is."""


async def find_former(store: Store, settings: Settings) -> FormerEncoder | None:
    """The encoder whose keys serve until all avatars are encoded again; the store reads its keys from now on."""
    for name in await store.encodings.others():
        spec = EncoderSpec.from_name(name)
        if spec is not None and spec.kind in ENCODERS:
            store.serve_also(name)
            return FormerEncoder(spec, rules_of(spec, settings.data_dir.expanduser() / "calibration"))
    return None


def in_words(pending: Pending) -> str:
    """One sentence for the operator."""
    if not pending.under_way:
        return f"the keys of all {pending.total} avatars are of the configured encoder"
    return (
        f"{pending.done} of {pending.total} avatars are encoded with the configured encoder; until all are, the keys of"
        f" {' and '.join(pending.others)} serve (rapbot reencode does the rest at once)"
    )


class Warming(Protocol):
    """Whoever runs the models."""

    async def ready(self) -> Warm:
        """Waits until they are loaded."""
        ...


class Reencoding:
    """The change of encoder of one store."""

    def __init__(self, store: Store, worker: Warming, queue: JobQueue, deadline: float) -> None:
        """`deadline` is seconds of work after which a job is stopped."""
        self._store = store
        self._encodings = store.encodings
        self._worker = worker
        self._queue = queue
        self._deadline = deadline
        self._place = Place()
        self._count = 1
        self._unreadable: set[int] = set()

    @asynccontextmanager
    async def in_background(self, leads: Callable[[str], Awaitable[bool]] | None = None) -> AsyncIterator[None]:
        """Runs beside the other work; whatever is not done at the end is done after the next start.

        `leads`: whether this is the one of several processes that does it; asked again until it is.
        """
        task = asyncio.create_task(self._quietly(leads), name="reencoding")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def run(self, show: Show | None = None, *, patient: bool = False) -> Pending:
        """Encode all that is stale, then delete the keys of other encoders. What could not be encoded stays stale.

        Raises RapbotError when the models or the database cannot be used; `patient`: waits and tries again instead.
        """
        pending = await self._encodings.pending()
        if not pending.under_way:
            return pending
        encoder = self._store.encoders[0]
        log.info("reencoding.begins", encoder=encoder, done=pending.done, total=pending.total)
        told, wait = time.monotonic(), 1.0
        while True:
            before, failed = pending.done, False
            try:
                await self._check_former()
                while (done := await self.step()) is not None:
                    pending = Pending(pending.total, min(pending.done + done, pending.total), pending.others)
                    if show is not None:
                        show(pending)
                    if time.monotonic() - told >= _LOG_EVERY:
                        told = time.monotonic()
                        log.info("reencoding.progress", done=pending.done, total=pending.total)
                if await self._encodings.finish(self._unreadable):
                    break
            except RapbotError as error:
                if not patient:
                    raise
                failed = True
                log.warning("reencoding.waits", reason=type(error).__name__)
            pending = await self._encodings.pending()
            wait = 1.0 if pending.done > before else min(2 * wait, _LONGEST_WAIT)
            if failed or pending.done == before:
                if not patient:
                    log.warning("reencoding.incomplete", done=pending.done, total=pending.total)
                    return pending
                await asyncio.sleep(wait)
        if self._unreadable:
            log.warning("reencoding.unreadable", avatars=sorted(self._unreadable))
        log.info("reencoding.done", encoder=encoder, total=pending.total, unreadable=len(self._unreadable))
        return await self._encodings.pending()

    async def step(self) -> int | None:
        """The next few avatars: how many have their new key now. None at the end of the walk over all of them."""
        batch = await self._encodings.stale(self._place, self._count)
        if not batch:
            self._place = Place()
            return None
        todo = [avatar for avatar in batch if avatar.place.avatar_id not in self._unreadable]
        keys = await self._keys([avatar.jpeg for avatar in todo])
        made = [(avatar, key) for avatar, key in zip(todo, keys, strict=True) if key is not None]
        for avatar, key in zip(todo, keys, strict=True):
            if key is None and not await asyncio.to_thread(_readable, avatar):
                self._unreadable.add(avatar.place.avatar_id)
        written = 0
        for owner, theirs in groupby(made, key=lambda pair: pair[0].owner):
            pairs = tuple((avatar.place.avatar_id, key) for avatar, key in theirs)
            changed = await self._store.write(owner, ReplaceKeys(self._store.encoders[0], pairs))
            written += len(changed.avatar_ids)
        self._place = batch[-1].place
        return written

    async def _keys(self, jpegs: Sequence[bytes]) -> list[Key | None]:
        """A key of each, None where there is none: one that brings the worker down takes no other along."""
        if not jpegs:
            return []
        job = Job(uuid.uuid4().hex, _PERSON, Task.KEYS, stored=tuple(jpegs), picture=False, deadline=self._deadline)
        try:
            answer = await self._queue.submit(job)
        except Busy:
            raise
        except InferenceError as error:
            if len(jpegs) > 1:
                self._count = 1
                return [key for jpeg in jpegs for key in await self._keys([jpeg])]
            log.warning("reencoding.failed", reason=type(error).__name__)
            return [None]
        seconds = answer.timings.get("encode", _JOB_SECONDS)
        wanted = len(jpegs) * _JOB_SECONDS / max(seconds, 1e-3)
        self._count = max(1, min(int(wanted), 2 * self._count, _MOST))
        rows = np.frombuffer(answer.keys, np.float32).reshape(len(jpegs), -1)
        return [row if np.isfinite(row).all() and row.any() else None for row in rows]

    async def _check_former(self) -> None:
        """Whether the keys that serve meanwhile can be compared with anything here."""
        warm = await self._worker.ready()
        others = await self._encodings.others()
        unusable = [name for name in others if name not in warm.encoders]
        if set(self._store.encoders[1:]) & set(unusable):
            await self._encodings.serve_current_only()
        if unusable:
            log.warning(
                "reencoding.old_keys_unused", encoders=unusable, reason=warm.former_missing or "unknown encoder"
            )

    async def _quietly(self, leads: Callable[[str], Awaitable[bool]] | None) -> None:
        try:
            while leads is not None and not await leads("reencoding"):  # noqa: ASYNC110 - the other may end any time
                await asyncio.sleep(_LEADS_AGAIN_S)
            await self.run(patient=True)
        except Exception as error:  # a bug here must not take the assistant along; the next start tries again
            log.error("reencoding.bug", error=type(error).__name__, place=place_of(error))


def _readable(avatar: StaleAvatar) -> bool:
    """Only a picture that nothing can open is given up; any other failure may be the encoder's."""
    try:
        open_photo(avatar.jpeg)
    except PhotoError:
        return False
    return True
