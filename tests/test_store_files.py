"""The store and its files: what is forgotten is in no byte, and no crash, full disk or damage loses what was kept."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from rapbot.concepts.concept import ConceptLimits, NewAvatar
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.concepts.store import AddAvatar, ConceptStore, Edit, EraseOwner, Forget, Remember, Undo
from rapbot.errors import DiskFull, Gone, StoreCorrupt, StoreError
from rapbot.messages import WHOLE
from tests.concept_samples import ENCODER, avatar, everything, key, lala, taught

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rapbot.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[ConceptStore]:
    async with SqliteConceptStore.open(path, ENCODER) as opened:
        yield opened


# Forgetting, to the byte


def bytes_on_disk(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in sorted(path.parent.iterdir()) if each.is_file())


async def test_nothing_forgotten_is_found_in_any_byte_of_the_files(path: Path) -> None:
    """Enough concepts of all sizes that SQLite moves rows between pages, where secure_delete alone leaves copies."""
    dice = np.random.default_rng(3)
    async with SqliteConceptStore.open(path, ENCODER, ConceptLimits(concepts=1000)) as store:
        ids = []
        for number in range(160):
            mark = f"mark{number:04d}x"
            change = Remember(
                f"N{mark}",
                f"C{mark}",
                f"I{mark} " * int(dice.integers(1, 40)),
                avatar(number, jpeg=f"J{mark}".encode() * int(dice.integers(10, 2000))),
            )
            ids.append((await taught(store, change, f"owner{number % 5}")).id)
        await store.write("owner0", Edit(ids[0], info="Imark0000x edited"))
        assert b"Imark0155x" in bytes_on_disk(path)
        gone = [number for number in range(160) if number % 3 == 0]
        for number in gone:
            await store.write(f"owner{number % 5}", Forget(ids[number]))
        while_open = bytes_on_disk(path)
    for image in (while_open, bytes_on_disk(path)):
        assert not [n for n in gone for kind in b"NCIJ" if bytes([kind]) + b"mark%04dx" % n in image]
        assert not [n for n in gone if key(n).tobytes()[:24] in image]
        assert b"nmark0001x" in image  # the folded name of one that stays: the search itself works


async def test_forgetting_writes_every_page_of_the_file_anew(path: Path) -> None:
    """Otherwise about one forgotten row in a thousand leaves a copy in the unused part of a page (measured)."""
    async with SqliteConceptStore.open(path, ENCODER) as store:
        concepts = [await taught(store, lala(f"Lala {number}", number)) for number in range(60)]
        for concept in concepts[:50]:
            await store.write("me", Forget(concept.id))
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA freelist_count").fetchone() == (0,)
        assert db.execute("SELECT value FROM counters WHERE name = 'traces'").fetchone() == (0,)
    db.close()


async def test_what_another_program_still_reads_is_wiped_with_the_next_change(path: Path) -> None:
    async with SqliteConceptStore.open(path, ENCODER, busy_timeout=0.05) as store:
        concept = await taught(store, lala("Marker-Lala"))
        kept = await taught(store, lala("Bo", 1))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN")
        other.execute("SELECT * FROM concepts").fetchall()
        await store.write("me", Forget(concept.id))
        assert [each.id for each in (await everything(store)).concepts] == [kept.id]
        assert b"Marker-Lala" in bytes_on_disk(path)
        other.close()
        await store.write("me", Edit(kept.id, info="now"))
        assert b"Marker-Lala" not in bytes_on_disk(path)


async def test_an_erased_person_is_not_found_in_the_files(path: Path) -> None:
    async with SqliteConceptStore.open(path, ENCODER) as store:
        await store.write("telegram:471147114711", lala("Marker-Lala"))
        await store.write("other", lala("Bo"))
        await store.write("telegram:471147114711", EraseOwner())
        image = bytes_on_disk(path)
    assert b"471147114711" not in image
    assert b"Marker-Lala" not in image
    assert b"Bo" in image


async def test_undone_pictures_are_gone_from_the_files(path: Path) -> None:
    async with SqliteConceptStore.open(path, ENCODER) as store:
        concept = await taught(store, lala())
        await store.write("me", AddAvatar(concept.id, avatar(1, jpeg=b"undone-picture" * 1000)))
        await store.write("me", Undo())
        assert b"undone-picture" not in bytes_on_disk(path)


async def test_traces_that_could_not_be_wiped_are_wiped_at_the_next_start(path: Path) -> None:
    """A crash between forgetting and wiping: the deletion is committed, the mark in the file is set."""
    async with SqliteConceptStore.open(path, ENCODER) as store:
        await store.write("me", lala("Marker-Lala"))
        await store.write("me", lala("Bo", 1))
    db = sqlite3.connect(path)
    db.execute("PRAGMA secure_delete = OFF")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("DELETE FROM concepts WHERE name = 'Marker-Lala'")
    db.execute("UPDATE counters SET value = 1 WHERE name = 'traces'")
    db.commit()
    db.close()
    assert b"Marker-Lala" in bytes_on_disk(path)
    async with SqliteConceptStore.open(path, ENCODER):
        pass
    assert b"Marker-Lala" not in bytes_on_disk(path)


async def test_several_keys_share_a_page(path: Path) -> None:
    """A key that spills into a page of its own is read three times more slowly (measured)."""
    keys = 100
    async with SqliteConceptStore.open(path, ENCODER, ConceptLimits(concepts=keys)) as store:
        for number in range(keys):
            await store.write("me", Remember(f"N{number}", "", "", NewAvatar(b"", key(number, 1281), ENCODER, WHOLE)))
        ((pages,),) = await store._writer.execute_fetchall("PRAGMA page_count")
    assert pages < keys * 0.6


# Several processes, crashes, full disks, damaged files


async def test_two_stores_on_one_file_see_each_others_changes(path: Path) -> None:
    async with SqliteConceptStore.open(path, ENCODER) as page, SqliteConceptStore.open(path, ENCODER) as command:
        concept = await taught(page, lala())
        seen = await everything(command)
        assert seen.concepts == (concept,)
        await command.write("me", Forget(concept.id))
        assert (await page.read("me", seen.revision)) is not None
        with pytest.raises(Gone):
            await page.write("me", Edit(concept.id, info="late"))


async def test_many_writers_at_once_lose_nothing(path: Path) -> None:
    async with SqliteConceptStore.open(path, ENCODER) as one, SqliteConceptStore.open(path, ENCODER) as two:
        stores = [one, two]
        await asyncio.gather(*(stores[n % 2].write("me", lala(f"Lala {n}", n)) for n in range(20)))
        collection = await everything(one)
    assert {concept.name for concept in collection.concepts} == {f"Lala {n}" for n in range(20)}
    assert len(collection.keys.rows) == 20


async def test_a_cancelled_change_is_whole_or_absent_and_the_store_goes_on(store: ConceptStore) -> None:
    for number in range(30):
        task = asyncio.ensure_future(store.write("me", lala(f"Lala {number}", number)))
        for _ in range(number):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await store.write("me", lala("last", 99))
    collection = await everything(store)
    assert collection.concepts[-1].name == "last"
    assert len(collection.keys.rows) == len(collection.concepts)
    assert all(len(concept.avatars) == 1 for concept in collection.concepts)


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=REPOSITORY)


WRITE_UNTIL_STOPPED = """
    import asyncio, os, resource, signal, sys
    from pathlib import Path
    from rapbot.concepts.concept import NewAvatar
    from rapbot.concepts.sqlite import SqliteConceptStore
    from rapbot.concepts.store import Remember
    from rapbot.messages import WHOLE
    from tests.concept_samples import ENCODER, avatar

    async def main():
        async with SqliteConceptStore.open(Path(sys.argv[1]), ENCODER) as store:
            if sys.argv[2] == "limit":
                resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
            for number in range(400):
                await store.write("me", Remember(f"Lala {number}", "dog", "", avatar(number, b"j" * 20_000)))
                print(number, flush=True)
                if sys.argv[2] == "kill" and number == 5:
                    asyncio.get_running_loop().call_later(0.004, os.kill, os.getpid(), signal.SIGKILL)

    try:
        asyncio.run(main())
    except Exception as error:
        print(type(error).__name__, error)
"""


async def assert_whole(path: Path, acknowledged: int) -> None:
    """Everything acknowledged is there with its picture and key, and nothing half is."""
    async with SqliteConceptStore.open(path, ENCODER) as store:
        collection = await everything(store)
        assert acknowledged <= len(collection.concepts) <= acknowledged + 1
        assert [row.avatar_id for row in collection.keys.rows] == [c.avatars[0].id for c in collection.concepts]
        for concept in collection.concepts:
            assert len(await store.photo("me", concept.avatars[0].id)) == 20_000
        await store.write("me", lala("after"))


async def test_what_was_acknowledged_survives_a_killed_process(path: Path) -> None:
    done = run_python(WRITE_UNTIL_STOPPED, path, "kill")
    assert done.returncode == -signal.SIGKILL, done.stderr
    await assert_whole(path, len(done.stdout.split()))


async def test_a_file_size_limit_gives_one_sentence_and_nothing_half_written(path: Path) -> None:
    done = run_python(WRITE_UNTIL_STOPPED, path, "limit")
    *numbers, last = done.stdout.splitlines()
    assert last.startswith("StoreError The disk did not take"), done.stdout + done.stderr
    assert "Nothing was changed." in last
    await assert_whole(path, len(numbers))


async def test_a_full_disk_gives_one_sentence_and_nothing_half_written(path: Path) -> None:
    async with SqliteConceptStore.open(path, ENCODER) as store:
        await store.write("me", lala())
        before = await everything(store)
        ((pages,),) = await store._writer.execute_fetchall("PRAGMA page_count")
        await store._writer.execute_fetchall(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(DiskFull, match="Nothing was changed"):
            await store.write("me", Remember("Bo", "dog", "", avatar(1, b"j" * 50_000)))
        after = await everything(store)
        assert (after.concepts, after.revision) == (before.concepts, before.revision)
        assert len(after.keys.rows) == 1
        await store.write("me", Edit(before.concepts[0].id, info="there is room for this"))
        await store.write("me", Forget(before.concepts[0].id))


async def test_a_database_that_another_program_holds_gives_one_sentence(path: Path) -> None:
    async with SqliteConceptStore.open(path, ENCODER, busy_timeout=0.05) as store:
        concept = await taught(store, lala())
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="Another program is writing"):
            await store.write("me", lala("Bo"))
        assert (await everything(store)).concepts == (concept,)  # reading goes on
        other.execute("COMMIT")
        other.close()
        await store.write("me", lala("Bo"))


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "not a database": lambda data: b"Dear diary, " * 1000,
    "cut in half": lambda data: data[: len(data) // 2 + 100],
    "overwritten inside": lambda data: data[:4096] + b"\xa5" * (len(data) - 4096),
    "empty header": lambda data: bytes(100) + data[100:],
}


def replace(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o644)


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_damaged_file_is_named_and_left_as_it_is(path: Path, damage: str) -> None:
    async with SqliteConceptStore.open(path, ENCODER) as store:
        for number in range(30):
            await store.write("me", lala(f"Lala {number}", number))
    damaged = DAMAGE[damage](bytes_on_disk(path))
    replace(path, damaged)
    with pytest.raises(StoreCorrupt, match="is damaged") as caught:
        async with SqliteConceptStore.open(path, ENCODER) as store:
            await store.read("me")
    assert str(path) in caught.value.sentence
    assert bytes_on_disk(path) == damaged


async def test_a_folder_that_cannot_be_written_gives_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        async with SqliteConceptStore.open(tmp_path / "file" / "rapbot.db", ENCODER):
            pass
    with pytest.raises(StoreError, match="cannot be opened"):
        async with SqliteConceptStore.open(tmp_path, ENCODER):
            pass


def modes(folder: Path) -> dict[str, int]:
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
async def test_only_the_owner_of_the_process_may_read_the_files(tmp_path: Path) -> None:
    path = tmp_path / "data" / "rapbot.db"
    async with SqliteConceptStore.open(path, ENCODER) as store:
        await store.write("me", lala())
        found = modes(path.parent)
    assert found == dict.fromkeys(("rapbot.db", "rapbot.db-wal", "rapbot.db-shm"), 0o600)
    assert modes(tmp_path) == {"data": 0o700}


async def test_a_file_that_others_may_read_is_closed_to_them(path: Path) -> None:
    replace(path, b"")
    async with SqliteConceptStore.open(path, ENCODER):
        assert modes(path.parent)["rapbot.db"] == 0o600
