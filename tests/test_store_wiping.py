"""Whatever cuts a deletion off after it was committed, the bytes of what was deleted leave the files all the same."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from rapbot.concepts import sqlite_wiping
from rapbot.concepts.sql import LEAVE_TRACES
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.concepts.sqlite_inbox import SqliteInbox
from rapbot.concepts.store import Forget
from rapbot.inbox import Arrived
from tests.concept_samples import ENCODER, everything, lala, taught
from tests.polling import until

REPOSITORY = Path(__file__).parent.parent
MARKER = b"Marker-Lala"
STEPS = ("COMMIT", "VACUUM", "PRAGMA wal_checkpoint", "UPDATE counters SET value = 0")
"""In this order, from the deletion to the end of wiping."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rapbot.db"


def found(path: Path) -> bool:
    return any(MARKER in each.read_bytes() for each in path.parent.iterdir())


async def wiped(path: Path) -> None:
    await until(lambda: asyncio.to_thread(lambda: not found(path)))


async def before(store: SqliteConceptStore, step: str, do: Callable[[], object]) -> None:
    """The database's thread does this once, just before it carries out the statement."""
    steps = [step]

    def follow(statement: str) -> None:
        if steps and statement.startswith(steps[0]):
            steps.clear()
            do()

    await store._writer.set_trace_callback(follow)


DIE = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.test_store_wiping import *

async def main():
    async with SqliteConceptStore.open(Path(sys.argv[1]), ENCODER) as store:
        concept = await taught(store, lala("Marker-Lala"))
        await before(store, sys.argv[2], lambda: os.kill(os.getpid(), signal.SIGKILL))
        await store.write("me", Forget(concept.id))

asyncio.run(main())
"""


def dying(path: Path, step: str) -> int:
    return subprocess.run([sys.executable, "-c", DIE, path, step], timeout=120, check=False, cwd=REPOSITORY).returncode


@pytest.mark.parametrize("step", STEPS[1:3])
async def test_what_a_killed_process_did_not_wipe_is_wiped_at_the_next_start(path: Path, step: str) -> None:
    assert dying(path, step) == -signal.SIGKILL
    assert found(path)
    async with SqliteConceptStore.open(path, ENCODER) as store:
        assert not found(path)
        assert not (await everything(store)).concepts


@pytest.mark.parametrize("step", STEPS)
async def test_a_cancelled_deletion_is_wiped_without_another_change(path: Path, step: str) -> None:
    """As of an adapter that is stopped, or of somebody who does not wait any longer."""
    loop, reached, cancelled = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    async with SqliteConceptStore.open(path, ENCODER) as store:
        concept = await taught(store, lala("Marker-Lala"))

        def wait() -> None:
            loop.call_soon_threadsafe(reached.set)
            asyncio.run_coroutine_threadsafe(cancelled.wait(), loop).result(20)

        await before(store, step, wait)
        deleting = asyncio.create_task(store.write("me", Forget(concept.id)))
        await reached.wait()
        deleting.cancel()
        cancelled.set()
        await asyncio.wait([deleting])
        assert deleting.cancelled()
        await wiped(path)
        assert not (await everything(store)).concepts


async def test_closing_the_store_waits_for_the_wiping(path: Path) -> None:
    loop, cancelling = asyncio.get_running_loop(), asyncio.Event()
    async with SqliteConceptStore.open(path, ENCODER) as store:
        concept = await taught(store, lala("Marker-Lala"))
        await before(store, "VACUUM", lambda: loop.call_soon_threadsafe(cancelling.set))
        deleting = asyncio.create_task(store.write("me", Forget(concept.id)))
        await cancelling.wait()
        deleting.cancel()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT value FROM counters WHERE name = 'traces'").fetchone() == (0,)
    assert not found(path)


async def test_what_another_program_still_reads_is_wiped_a_while_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup is being made, say."""
    monkeypatch.setattr(sqlite_wiping, "_AGAIN_S", 0.05)
    async with SqliteConceptStore.open(path, ENCODER, busy_timeout=0.05) as store:
        concept = await taught(store, lala("Marker-Lala"))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT * FROM concepts").fetchall()
            await store.write("me", Forget(concept.id))
            assert found(path)
        await wiped(path)


async def test_what_another_process_deletes_meanwhile_stays_owed(path: Path) -> None:
    """It dies after its deletion, between our wiping and our note that everything is wiped."""

    def delete() -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA secure_delete = OFF").fetchall()
            other.execute("PRAGMA foreign_keys = ON")
            other.execute("BEGIN IMMEDIATE")
            other.execute("DELETE FROM concepts")
            other.execute(LEAVE_TRACES)
            other.execute("COMMIT")

    async with SqliteConceptStore.open(path, ENCODER) as store:
        concept = await taught(store, lala())
        await taught(store, lala("Marker-Lala", 1))
        await before(store, STEPS[-1], delete)
        await store.write("me", Forget(concept.id))
        assert found(path)
    async with SqliteConceptStore.open(path, ENCODER):
        assert not found(path)


async def test_visits_that_are_not_kept_any_more_are_in_no_byte(path: Path) -> None:
    async with SqliteConceptStore.open(path, ENCODER) as store:
        await taught(store, lala())
        await store.visits.seen("me", MARKER.decode(), 1.0)
        assert found(path)
        await store.visits.clear()
        assert not found(path)


async def test_what_a_cancelled_task_took_out_of_the_inbox_is_wiped(path: Path) -> None:
    async with SqliteInbox.open(path, wipe_after=0.0) as inbox:
        asked = Arrived(
            platform="telegram:1", key="1", question="1", person="7", update=MARKER.decode(), expires_at=2e9
        )
        await inbox.accept([asked])
        assert found(path)
        forgetting = asyncio.create_task(inbox.forget(["telegram:7"], replace(asked, key="2")))
        await asyncio.sleep(0)
        forgetting.cancel()
        await asyncio.wait([forgetting])
        assert forgetting.cancelled()
        await wiped(path)
