"""The connections to one PostgreSQL database: a pool that outlives a killed server, and transactions.

asyncpg is imported only when a database is opened. Whoever opens one brings its tables up to date, so that every user
of a `PostgresDatabase` finds them (postgres_migrations.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from rapbot.concepts.postgres_errors import LOST, InTheWay, Unreachable, postgres_errors
from rapbot.concepts.postgres_migrations import migrate
from rapbot.concepts.postgres_statements import PostgresStatements, Row, learn_vectors
from rapbot.errors import ExtraMissing, StoreError
from rapbot.logs import get_logger

T = TypeVar("T")

EVERYBODY = "*"
"""Value of the session setting `rapbot.owner` that lets every row be seen; else it is the number of an owner."""
_CHANGES = 0x7261_7001
"""Advisory lock of a transaction: shared by all that change something, taken alone by those that need to be alone."""
_TRIES = 5
"""Of a transaction that others were in the way of."""
_SESSION = (
    f"SELECT set_config('rapbot.owner', '{EVERYBODY}', false), set_config('lock_timeout', '10s', false),"
    " set_config('statement_timeout', '60s', false), set_config('idle_in_transaction_session_timeout', '60s', false)"
)

log = get_logger("rapbot.postgres")


class PostgresDatabase:
    """A pool of connections; made by `open`. Every method raises StoreError when the database cannot be used.

    What finds the server away waits for it for `patience` seconds (a restart is not noticed but for that), unless
    something may have been changed already: then `Unreachable` says that nothing was.
    """

    def __init__(self, pool: Any, connect: Callable[[], Awaitable[Any]], patience: float) -> None:
        self._pool = pool
        self._connect = connect
        self._patience = patience

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, password: str = "", *, connections: int = 8, patience: float = 10.0, give_up: float = 60.0
    ) -> AsyncIterator[PostgresDatabase]:
        """`url` as in `store.url`; `give_up`: seconds after which a statement is given up.

        Raises StoreError, also for a database of a newer program; ExtraMissing without asyncpg.
        """
        try:
            import asyncpg
        except ImportError as error:
            raise ExtraMissing("The PostgreSQL store", "scale", "asyncpg") from error
        options = {"password": password or None, "timeout": 10.0, "command_timeout": give_up}

        async def connect() -> Any:
            with postgres_errors(), _readable_url():
                connection = await asyncpg.connect(url, **options)
                await _prepare(connection)
            return connection

        first = await _patiently(connect, patience)
        try:
            with postgres_errors():
                await migrate(first)
        finally:
            await first.close()
        async with AsyncExitStack() as open_:
            pool = asyncpg.create_pool(
                url,
                min_size=0,
                max_size=connections,
                init=_prepare,
                reset=_as_it_is,
                max_cached_statement_lifetime=0,
                **options,
            )
            open_.callback(pool.terminate)
            with postgres_errors():
                await pool
            yield cls(pool, connect, patience)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(pool.close(), 5.0)

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Rows of one reading statement, of the committed state."""

        async def once() -> list[Row]:
            with postgres_errors():
                async with self._pool.acquire(timeout=10.0) as connection:
                    return await PostgresStatements(connection).fetch(statement, parameters)

        return await _patiently(once, self._patience)

    async def run(self, work: Callable[[PostgresStatements], Awaitable[T]], *, alone: bool = False) -> T:
        """`work` in a transaction of its own, again and again where others were in its way or the server went away.

        So `work` must leave nothing behind but what it does with its statements.
        """
        deadline, tries = time.monotonic() + self._patience, 0
        while True:
            try:
                async with self.transaction(alone=alone) as db:
                    return await work(db)
            except (InTheWay, Unreachable) as error:
                tries += 1
                if time.monotonic() > deadline or (isinstance(error, InTheWay) and tries >= _TRIES):
                    raise
                await asyncio.sleep(0.01 * 2 ** min(tries, 6))

    @asynccontextmanager
    async def transaction(self, *, alone: bool = False) -> AsyncIterator[PostgresStatements]:
        """All of it or nothing; READ COMMITTED. `alone`: while no other transaction of this kind runs."""
        async with AsyncExitStack() as held:
            with postgres_errors():
                lock = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
                begin = f"BEGIN; SELECT {lock}({_CHANGES})"
                connection = await _patiently(lambda: self._start(held, begin), self._patience)
                db = PostgresStatements(connection)
                try:
                    yield db
                    number = db.number or await connection.fetchval("SELECT pg_current_xact_id_if_assigned()::text")
                except BaseException:  # also when the waiting task was cancelled
                    await _roll_back(connection)
                    raise
                await self._commit(connection, number)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[PostgresStatements]:
        """For reading: everything as of one moment."""
        async with AsyncExitStack() as held:
            with postgres_errors():
                connection = await _patiently(
                    lambda: self._start(held, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"), self._patience
                )
                try:
                    yield PostgresStatements(connection)
                finally:
                    await _roll_back(connection)

    async def own_connection(self) -> Any:
        """An asyncpg connection outside the pool (to LISTEN on); the caller closes it."""
        return await _patiently(self._connect, self._patience)

    async def _start(self, held: AsyncExitStack, begin: str) -> Any:
        """A connection with an open transaction, in one trip; one that was lost while it was idle is replaced."""
        with postgres_errors():
            connection = await self._pool.acquire(timeout=10.0)
            try:
                await connection.execute(begin)
            except BaseException:
                await self._release(connection)
                raise
        held.push_async_callback(self._release, connection)
        return connection

    async def _commit(self, connection: Any, number: str | None) -> None:
        try:
            with postgres_errors():
                await connection.execute("COMMIT")
        except Unreachable:
            if number is not None and not await self._committed(number):
                raise

    async def _committed(self, number: str) -> bool:
        """Whether a transaction arrived of which nobody said so. Raises StoreError where that stays unknown."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                ((state,),) = await self.fetch("SELECT pg_xact_status(?::text::xid8)", (number,))
            except Unreachable:
                raise StoreError(f"{LOST} I do not know whether that is saved: please look.") from None
            if state != "in progress":
                return bool(state == "committed")
            if time.monotonic() > deadline:
                raise StoreError(f"{LOST} I do not know whether that is saved: please look.")
            await asyncio.sleep(0.05)

    async def _release(self, connection: Any) -> None:
        with contextlib.suppress(StoreError), postgres_errors():
            await self._pool.release(connection)


async def _patiently(work: Callable[[], Awaitable[T]], patience: float) -> T:
    """`work` until the server is there, for `patience` seconds at most; it must have changed nothing when it fails."""
    deadline, pause, told = time.monotonic() + patience, 0.02, False
    while True:
        try:
            return await work()
        except Unreachable:
            if time.monotonic() > deadline:
                raise
        if not told:
            log.warning("postgres.away")
            told = True
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.5)


async def _prepare(connection: Any) -> None:
    """A new connection: how long it waits, that it may see every row until an owner is named, and keys as bytes."""
    await connection.execute(_SESSION)
    await learn_vectors(connection)


async def _as_it_is(connection: Any) -> None:
    """Nothing of a session outlives its transaction here, so giving a connection back needs no trip to the server."""


async def _roll_back(connection: Any) -> None:
    """Never raises: with the connection lost, the server has done that already."""
    import asyncpg

    try:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        with contextlib.suppress(asyncpg.InterfaceError):
            connection.terminate()


@contextlib.contextmanager
def _readable_url() -> Any:
    """asyncpg quotes an address that it cannot read in its error."""
    try:
        yield
    except ValueError:
        raise StoreError("store.url is no address of PostgreSQL: postgresql://NAME@HOST/DATABASE is wanted.") from None
