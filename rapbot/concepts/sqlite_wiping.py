"""Bytes that were deleted leave the SQLite file and its WAL, whatever becomes of the task or the process that deleted.

The transaction that deletes counts up `counters.traces` (`sql.LEAVE_TRACES`): the debt is as durable as the deletion.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3

import aiosqlite

_log = logging.getLogger(__name__)

_AGAIN_S = 60.0
"""Where something was in the way: another program that reads (a backup is made), a full disk."""


class Wiping:
    """The wiping of one file. `writing` is held by whoever uses `writer`."""

    def __init__(self, writer: aiosqlite.Connection, writing: asyncio.Lock) -> None:
        self._writer = writer
        self._writing = writing
        self._tasks: set[asyncio.Task[None]] = set()
        self._again: asyncio.TimerHandle | None = None

    async def owed(self) -> int:
        """0: nothing is left to wipe. Asked by whoever holds `writing`."""
        ((owed,),) = await self._writer.execute_fetchall("SELECT value FROM counters WHERE name = 'traces'")
        return int(owed)

    def begin(self) -> asyncio.Task[None]:
        """Wipe what is owed, after the changes that wait already: several deletions are wiped at once.

        A task of its own: whoever waits for it (shielded) may be cancelled.
        """
        task = asyncio.create_task(self._wipe(), name="wipe")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self) -> None:
        """Before the connection is closed. What could not be wiped, the next start wipes."""
        async with self._writing:  # whoever changes something just now begins to wipe after it
            pass
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._again is not None:
            self._again.cancel()

    async def _wipe(self) -> None:
        """`secure_delete` zeroes deleted rows, but not the copies of rows that SQLite leaves in the unused part of a
        page when it moves them to another page (measured: about one row in a thousand). VACUUM writes every page
        anew: about 0.4 s per 100 MB.
        """
        async with self._writing:
            db = self._writer
            try:
                owed = await self.owed()
                if not owed:
                    return
                await db.execute("VACUUM")
                ((busy, _, _),) = await db.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
                if not busy:
                    # Another process may have deleted something meanwhile: that is still owed.
                    await db.execute("UPDATE counters SET value = 0 WHERE name = 'traces' AND value = ?", (owed,))
                    return
            except sqlite3.Error as error:  # what the person asked for is done and committed
                _log.warning("Deleted rows are not wiped from the file yet: %s", error)
        if self._again is not None:
            self._again.cancel()
        self._again = asyncio.get_running_loop().call_later(_AGAIN_S, self.begin)
