"""The inbox by itself: kept before it is acknowledged, answered once, wiped after."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rapbot.concepts import sqlite_inbox
from rapbot.concepts.concept import ConceptLimits
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.concepts.sqlite_inbox import SqliteInbox
from rapbot.concepts.store import Undo
from rapbot.errors import NameTaken, StoreCorrupt, StoreError
from rapbot.inbox import Arrived, Handling, handled
from tests.concept_samples import ENCODER, lala

MARKER = "XYZZY-marker-of-a-secret-text"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inbox.sqlite3"


def update(number: int, question: str = "", person: str = "ann", words: str = "") -> Arrived:
    told = json.dumps({"number": number, "text": words})
    return Arrived(
        platform="test",
        key=str(number),
        question=question or f"q{number}",
        person=person,
        update=told,
        expires_at=2e9,
    )


def every_byte(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


async def numbers(inbox: SqliteInbox) -> list[int]:
    return [int(kept.key) for kept in await inbox.waiting("test")]


async def kept_in(path: Path) -> list[int]:
    async with SqliteInbox.open(path) as inbox:
        return await numbers(inbox)


async def test_what_was_accepted_is_there_after_a_crash_in_its_order(path: Path) -> None:
    async with SqliteInbox.open(path) as inbox:
        assert await inbox.accept([update(3), update(1), update(2, person="ben")]) == [True, True, True]
        shutil.copytree(path.parent, path.parent.parent / "copy")  # what a crash leaves: nothing was closed
    async with SqliteInbox.open(path.parent.parent / "copy" / path.name) as inbox:
        assert await numbers(inbox) == [3, 1, 2]
        assert [kept.attempts for kept in await inbox.waiting("test")] == [1, 1, 1]
        assert await inbox.waiting("other") == []


async def test_a_redelivery_is_recognised_while_it_waits_and_when_it_is_answered(path: Path) -> None:
    async with SqliteInbox.open(path) as inbox:
        assert await inbox.accept([update(1), update(1)]) == [True, False]
        await inbox.done(update(1))
        assert await inbox.accept([update(1), update(2)]) == [False, True]
    async with SqliteInbox.open(path) as inbox:
        assert await inbox.accept([update(1)]) == [False]
        assert await numbers(inbox) == [2]


async def test_an_answer_is_noted_for_every_part_of_its_question(path: Path) -> None:
    async with SqliteInbox.open(path) as inbox:
        await inbox.accept([update(1, "album"), update(2, "album"), update(3)])
        await inbox.note(update(2, "album"), '{"sent": 7}')
        assert [kept.answer for kept in await inbox.waiting("test")] == ['{"sent": 7}'] * 2 + [""]


async def test_a_second_after_the_answer_no_byte_of_the_question_is_left(path: Path) -> None:
    async with SqliteInbox.open(path, wipe_after=0.0) as inbox:
        updates = [update(number, words=f"{MARKER} {number} " * 40) for number in range(200)]
        await inbox.accept(updates)
        assert MARKER.encode() in every_byte(path)
        await asyncio.gather(*(inbox.done(one) for one in updates[:-1]))
        await inbox.wipe()
        left = every_byte(path)
        assert b"marker 199 " not in left.replace(f"{MARKER} 199 ".encode(), b"")
        assert not any(f"{MARKER} {number} ".encode() in left for number in range(199))
        await inbox.done(updates[-1])
        await inbox.wipe()
        assert MARKER.encode() not in every_byte(path)


async def test_only_the_last_answered_updates_are_remembered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_inbox, "REMEMBERED", 500)
    async with SqliteInbox.open(path) as inbox:
        updates = [update(number) for number in range(550)]
        await inbox.accept(updates)
        await asyncio.gather(*(inbox.done(one) for one in updates))
        await inbox.wipe()
        assert await inbox.accept([updates[-1]]) == [False]
        assert await inbox.accept([updates[0]]) == [True]
    assert len(every_byte(path)) < 200_000


async def test_many_at_once_share_a_commit_and_the_loop_never_waits(path: Path) -> None:
    async with SqliteInbox.open(path) as inbox:
        commits = 0

        def count(statement: str) -> None:
            nonlocal commits
            commits += statement == "COMMIT"

        inbox._db.set_trace_callback(count)
        await asyncio.gather(*(inbox.accept([update(number)]) for number in range(300)))
        inbox._db.set_trace_callback(None)
        assert commits <= 3
        assert len(await numbers(inbox)) == 300


async def test_a_full_disk_refuses_and_what_is_done_is_written_later(path: Path) -> None:
    async with SqliteInbox.open(path) as inbox:
        await inbox.accept([update(1)])
        inbox._db.execute("PRAGMA max_page_count = 1").fetchall()
        with pytest.raises(StoreError):
            await inbox.accept([update(number, words="x" * 5000) for number in range(2, 200)])
        assert await numbers(inbox) == [1]
        inbox._db.execute("PRAGMA max_page_count = 100000").fetchall()
        inbox._db.execute("PRAGMA query_only = ON")
        await inbox.done(update(1))
        inbox._db.execute("PRAGMA query_only = OFF")
        assert await inbox.accept([update(2)]) == [True]
        assert await numbers(inbox) == [2]


def test_a_damaged_or_newer_file_is_told_and_left_alone(path: Path) -> None:
    path.write_bytes(b"no database " * 1000)
    with pytest.raises(StoreCorrupt, match="damaged"):
        asyncio.run(kept_in(path))
    assert path.read_bytes() == b"no database " * 1000
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer"):
        asyncio.run(kept_in(path))


async def test_only_this_account_can_read_it(path: Path) -> None:
    async with SqliteInbox.open(path) as inbox:
        await inbox.accept([update(1)])
        assert all(file.stat().st_mode & 0o077 == 0 for file in path.parent.iterdir())


# -- the memory: the same message changes nothing twice ---------------------------------------------------------


async def test_a_change_says_for_which_message_it_was_made(tmp_path: Path) -> None:
    async with (
        SqliteInbox.open(tmp_path / "inbox.sqlite3") as inbox,
        SqliteConceptStore.open(tmp_path / "rapbot.db", ENCODER, ConceptLimits()) as store,
    ):
        first, second = update(1), update(2)
        with handled(Handling(inbox, first)):
            changed = await store.write("me", lala())
        assert changed.concept is not None
        done = await store.applied(first.work_digest)
        assert done is not None
        assert done.concept_id == changed.concept.id
        assert await store.applied(second.work_digest) is None
        with handled(Handling(inbox, second)), pytest.raises(NameTaken):
            await store.write("me", lala())
        assert await store.applied(second.work_digest) is None, "what failed is not done"
        with handled(Handling(inbox, replace(second, key="3"))):
            await store.write("me", Undo())
        assert await store.applied(replace(second, key="3").work_digest) is not None
        await store.write("me", lala())  # for itself: nothing to note
        assert len(await store.fetch("SELECT * FROM applied")) == 2


# -- a power cut ------------------------------------------------------------------------------------------------

_WRITER = """
import asyncio, sys
from pathlib import Path
from rapbot.concepts.sqlite_inbox import SqliteInbox
from tests.test_inbox import update

async def main():
    async with SqliteInbox.open(Path(sys.argv[1]), wipe_after=0.01) as inbox:
        for number in range(100000):
            await inbox.accept([update(2 * number), update(2 * number + 1)])
            print("accepted", 2 * number + 1, flush=True)
            if number >= 10:
                await inbox.done(update(2 * (number - 10)))
                print("done", 2 * (number - 10), flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("seed", range(3))
def test_copies_of_the_files_at_any_moment_hold_all_that_was_acknowledged(tmp_path: Path, seed: int) -> None:
    """The process is stopped, as a power cut stops it, its files are copied, and it goes on."""
    chance = random.Random(seed)
    folder = tmp_path / "live"
    child = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(folder / "inbox.sqlite3")], stdout=subprocess.PIPE, bufsize=0
    )
    assert child.stdout is not None
    told = b""
    try:
        for cut in range(8):
            wanted = len(told) + chance.randrange(100, 900)
            while len(told) < wanted:
                told += child.stdout.read(4096)
            os.kill(child.pid, signal.SIGSTOP)
            os.waitpid(child.pid, os.WUNTRACED)
            os.set_blocking(child.stdout.fileno(), False)
            told += child.stdout.read(100_000) or b""
            os.set_blocking(child.stdout.fileno(), True)
            lines = [line.split() for line in told[: told.rindex(b"\n")].decode().splitlines()]
            accepted = max(int(number) for word, number in lines if word == "accepted")
            done = max((int(number) for word, number in lines if word == "done"), default=-2)
            copy = tmp_path / f"copy{cut}"
            copy.mkdir()
            for file in folder.iterdir():
                if not file.name.endswith("-shm"):  # memory, which a power cut takes
                    shutil.copy(file, copy)
            os.kill(child.pid, signal.SIGCONT)
            kept = asyncio.run(kept_in(copy / "inbox.sqlite3"))
            # The child may be one step ahead of what it has told: one more is done, or two more are accepted.
            owed = [number for number in range(accepted + 1) if number % 2 or number > done + 2]
            assert set(owed) <= set(kept)
            assert kept == sorted(kept)
            assert not [number for number in kept if number % 2 == 0 and number <= done], "answered, and yet there"
    finally:
        child.kill()
        child.communicate()
