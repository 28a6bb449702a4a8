"""That this process lives, as the others see it, and what they tell each other.

A process has a number, and holds the advisory lock of that number on a connection of its own. The server lets go of the
lock when the connection ends, so a killed process is missed after `MISSED_S`. One that hangs keeps its connection, but
does not say any more that it was seen: after `LEASE_S` its connection is ended by another. It finds that out before it
sends anything (`sure`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from rapbot.concepts.postgres_connection import PostgresDatabase
from rapbot.concepts.postgres_errors import InTheWay, postgres_errors
from rapbot.concepts.postgres_inbox_rows import CHANNEL
from rapbot.errors import StoreError
from rapbot.logs import get_logger

_log = get_logger(__name__)

TELLING = "rapbot_told"
"""Channel of NOTIFY for what all processes shall hear."""
_HOLDERS, _LEADERS = 0x7261_7002, 0x7261_7003
"""Classes of advisory locks: of processes by number, of tasks that only one process does."""
LEASE_S = 30.0
MISSED_S = 3.0
"""How long a lock must be free: a connection that broke is back before that."""
SURE_S = 2.5
"""Less than `MISSED_S`: who was seen so lately is nobody's prey yet."""
_TICK_S = 1.0
_PATIENCE_S = 10.0
_PRUNE_S = 60.0
LANE_S = 3600.0
"""Longer than the memory of a chat lasts: after that anybody may have it."""
REMEMBERED = 10_000
"""Digests of answered updates that are kept."""


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What happens to the presence. All are called on the event loop."""

    heard: Callable[[str], None]
    """The payload of a notice on `CHANNEL`."""
    told: Callable[[Any], None]
    """What another process told all of them."""
    missed: Callable[[], None]
    """For a while nothing could be heard."""
    reaped: Callable[[], None]
    """The others took this process for dead, and have what was its own; it has another number now."""


class Presence:
    """Made by `open`."""

    def __init__(self, database: PostgresDatabase, callbacks: Callbacks) -> None:
        self._database = database
        self._callbacks = callbacks
        self._connection: Any = None
        self._gone = asyncio.Event()
        self._seen = time.monotonic()
        self._sure = asyncio.Event()
        """Set as often as the server has confirmed that this process is known."""
        self._free_since: dict[int, float] = {}
        """Of other processes whose lock nobody holds: since when, monotonic."""
        self._pruned = 0.0
        self._using = asyncio.Lock()
        """Of the connection: one statement at a time."""
        self._leading: set[str] = set()
        self.no = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, database: PostgresDatabase, callbacks: Callbacks) -> AsyncIterator[Presence]:
        """Raises StoreError."""
        presence = cls(database, callbacks)
        await presence._connect()
        living = asyncio.create_task(presence._live(), name="presence")
        try:
            yield presence
        finally:
            living.cancel()
            await asyncio.wait([living])
            with contextlib.suppress(StoreError, TimeoutError):
                await presence._end()

    async def sure(self) -> None:
        """Returns once it is known that the others still know this process; mostly at once."""
        while self._gone.is_set() or time.monotonic() - self._seen > SURE_S:
            self._sure.clear()
            await self._sure.wait()

    async def leads(self, task: str) -> bool:
        """Whether this process is the one that does `task`; from then on it is, as long as it lives."""
        if task not in self._leading:
            try:
                async with self._using:
                    with postgres_errors():
                        got = await self._connection.fetchval(
                            f"SELECT pg_try_advisory_lock({_LEADERS}, hashtext($1))", task
                        )
            except StoreError:
                return False
            if got:
                self._leading.add(task)
        return task in self._leading

    async def tell(self, what: Any) -> None:
        """Every other process hears `what` (JSON of less than 8000 bytes). Raises StoreError."""
        payload = json.dumps([self.no, what], ensure_ascii=False)
        await self._database.fetch("SELECT pg_notify(?, ?)", (TELLING, payload))

    async def wait_until_known(self) -> None:
        """After `Reaped`: until this process has another number."""
        self._gone.set()
        self._seen = float("-inf")
        await self.sure()

    # -- inside ---------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        """A connection that listens and holds the lock of this process; a new number where the old one is gone."""
        self._connection = await self._database.own_connection()
        self._gone = gone = asyncio.Event()
        self._leading.clear()
        connection = self._connection
        connection.add_termination_listener(lambda _connection: gone.set())
        with postgres_errors():
            await connection.add_listener(CHANNEL, self._notice)
            await connection.add_listener(TELLING, self._notice)
            known = self.no and await connection.fetchval(
                "UPDATE inbox_processes SET pid = pg_backend_pid(), seen_at = clock_timestamp() WHERE no = $1"
                " RETURNING 1",
                self.no,
            )
            former = self.no
            if not known:
                self.no = await connection.fetchval(
                    "INSERT INTO inbox_processes (pid) VALUES (pg_backend_pid()) RETURNING no"
                )
            # A connection that broke may not have ended at the server yet.
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND"
                f" classid = {_HOLDERS}::bigint::oid AND objid = {self.no}::bigint::oid AND objsubid = 2 AND"
                " pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            await connection.execute(f"SELECT pg_advisory_lock({_HOLDERS}, {self.no})")
        if former and not known:
            _log.warning("taken for dead by the other processes", now=self.no)
            self._callbacks.reaped()
        self._confirm(time.monotonic())

    async def _live(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), _TICK_S)
            try:
                if self._gone.is_set():
                    await self._again()
                await asyncio.wait_for(self._tick(), _PATIENCE_S)
            except InTheWay:
                continue
            except (StoreError, TimeoutError) as error:
                _log.warning("presence not confirmed", error=type(error).__name__)
                self._gone.set()
                self._connection.terminate()
                await asyncio.sleep(_TICK_S / 4)

    async def _again(self) -> None:
        self._connection.terminate()
        self._free_since.clear()
        await self._connect()
        self._callbacks.missed()

    async def _tick(self) -> None:
        async with self._using:
            with postgres_errors():
                await self._confirm_and_look()

    async def _confirm_and_look(self) -> None:
        began = time.monotonic()
        if not await self._connection.fetchval(
            "UPDATE inbox_processes SET seen_at = clock_timestamp() WHERE no = $1 RETURNING 1", self.no
        ):
            self._gone.set()  # reaped: the next turn connects with another number
            return
        self._confirm(began)
        await self._look_after_others()
        if began - self._pruned > _PRUNE_S:
            self._pruned = began
            await self._prune()

    def _confirm(self, at: float) -> None:
        self._seen = at
        self._sure.set()

    async def _look_after_others(self) -> None:
        others = await self._connection.fetch(
            "SELECT no, pid, seen_at < clock_timestamp() - make_interval(secs => $2) AS silent, EXISTS (SELECT 1"
            " FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = $3::bigint::oid AND objsubid = 2"
            " AND objid = no::bigint::oid AND pg_locks.database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())) AS held"
            " FROM inbox_processes WHERE no <> $1",
            *(self.no, LEASE_S, _HOLDERS),
        )
        now = time.monotonic()
        self._free_since = {
            other["no"]: self._free_since.get(other["no"], now) for other in others if not other["held"]
        }
        for other in others:
            if other["held"] and other["silent"]:
                _log.warning("a process hangs: its connection is ended", no=other["no"])
                await self._connection.execute("SELECT pg_terminate_backend($1)", other["pid"])
            elif other["held"] or now - self._free_since[other["no"]] < MISSED_S:
                continue
            # In one statement with the notice. Not while it commits something; its lanes become free by that.
            if await self._connection.fetchval(
                "WITH dead AS (DELETE FROM inbox_processes WHERE no = (SELECT no FROM inbox_processes WHERE no = $1"
                f" FOR UPDATE SKIP LOCKED) RETURNING no) SELECT count(pg_notify('{CHANNEL}', '')) FROM dead",
                other["no"],
            ):
                _log.warning("a process is gone: others take over", no=other["no"])

    async def _prune(self) -> None:
        await self._connection.execute(
            "DELETE FROM inbox_lanes WHERE lane IN (SELECT lane FROM inbox_lanes"
            f" WHERE used_at < now() - interval '{LANE_S} seconds'"
            " AND NOT EXISTS (SELECT 1 FROM inbox WHERE inbox.lane = inbox_lanes.lane)"
            " ORDER BY lane LIMIT 10000 FOR UPDATE SKIP LOCKED)"
        )
        await self._connection.execute(
            "DELETE FROM answered WHERE no IN (SELECT no FROM answered"
            f" WHERE no <= (SELECT max(no) FROM answered) - {REMEMBERED}"
            " ORDER BY no LIMIT 100000 FOR UPDATE SKIP LOCKED)"
        )

    async def _end(self) -> None:
        """In order: what is left is free at once."""
        with postgres_errors():
            if not self._connection.is_closed():
                await asyncio.wait_for(
                    self._connection.execute(
                        f"DELETE FROM inbox_processes WHERE no = {self.no}; SELECT pg_notify('{CHANNEL}', '')"
                    ),
                    _PATIENCE_S,
                )
            await self._connection.close(timeout=_PATIENCE_S)

    def _notice(self, _connection: Any, _pid: int, channel: str, payload: object) -> None:
        if channel == CHANNEL:
            self._callbacks.heard(str(payload))
            return
        sender, what = json.loads(str(payload))
        if sender != self.no:
            self._callbacks.told(what)
