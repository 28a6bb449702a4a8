"""Backups: a copy of a running database is whole and of one moment, and what is restored is what was copied."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from rapbot.app import serve
from rapbot.concepts import backups
from rapbot.concepts.backups import Backup, back_up, check, restore
from rapbot.concepts.places import SharedConcept
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.concepts.sqlite_inbox import SqliteInbox
from rapbot.concepts.store import AddAvatar, Edit, EraseOwner, Forget, SetFaces
from rapbot.config import Settings, TelegramSettings
from rapbot.errors import StoreCorrupt, StoreError
from tests.concept_samples import ENCODER, avatar, everything, key, lala, taught


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "rapbot.sqlite3"


async def names(path: Path, owner: str = "me") -> list[str]:
    async with SqliteConceptStore.open(path, ENCODER) as store:
        return [concept.name for concept in (await everything(store, owner)).concepts]


def _content(file: Path) -> bytes:
    return file.read_bytes()


def _write(file: Path, content: bytes) -> None:
    file.write_bytes(content)


def _remove(file: Path) -> None:
    file.unlink()


def _blank(file: Path) -> None:
    file.write_bytes(b"\x00" * 8192)


async def teach(path: Path, *chosen: str) -> None:
    async with SqliteConceptStore.open(path, ENCODER) as store:
        for number, name in enumerate(chosen):
            await taught(store, lala(name, number))


async def test_a_copy_of_a_database_in_use_is_of_one_moment(path: Path) -> None:
    """Somebody teaches all the time; each copy passes its checks and holds a beginning of what was taught."""
    made: list[Backup] = []
    async with SqliteConceptStore.open(path, ENCODER) as store:
        await taught(store, lala("N0"))
        busy = True

        async def teach_on() -> int:
            number = 1
            while busy:
                await taught(store, lala(f"N{number}", number))
                number += 1
            return number

        teaching = asyncio.create_task(teach_on())
        for number in range(6):
            made += [await asyncio.to_thread(back_up, path, path.parent / f"copy{number}.sqlite3")]
        busy = False
        total = await teaching
    counts = [one.rows["concepts"] for one in made]
    assert counts == sorted(counts)
    assert counts[-1] <= total
    for one in made:
        assert one.rows["photos"] == one.rows["keys"] == one.rows["concepts"]
        assert check(one.path) == one
        assert await names(one.path) == [f"N{number}" for number in range(one.rows["concepts"])]


async def test_a_backup_is_one_file_that_only_its_owner_reads_and_holds_nothing_forgotten(path: Path) -> None:
    async with SqliteConceptStore.open(path, ENCODER) as store:
        gone = await taught(store, lala("Zyxmark"))
        await taught(store, lala("Kept", 1))
        await store.write("me", Forget(gone.id))
        told: list[tuple[int, int]] = []
        made = back_up(path, told=lambda done, pages: told.append((done, pages)))
    assert [file.name for file in made.path.parent.iterdir()] == [made.path.name]
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert b"Zyxmark" not in _content(made.path)
    assert told[-1][0] == told[-1][1] > 0


async def test_what_is_restored_is_what_was_copied_and_the_former_is_kept(path: Path) -> None:
    await teach(path, "Lala", "Bo")
    made = back_up(path)
    async with SqliteConceptStore.open(path, ENCODER) as store:
        first = (await everything(store)).concepts[0]
        await store.write("me", Edit(first.id, info="Wrong."))
        await taught(store, lala("Later", 9))
    done = restore(made.path, path)
    assert (done.forgotten, await names(path)) == (0, ["Lala", "Bo"])
    async with SqliteConceptStore.open(path, ENCODER) as store:
        assert (await everything(store)).concepts[0].info == first.info
    assert done.former is not None
    assert await names(done.former) == ["Lala", "Bo", "Later"]
    assert made.path.is_file()


async def test_what_was_forgotten_after_the_backup_stays_forgotten(path: Path) -> None:
    async with SqliteConceptStore.open(path, ENCODER) as store:
        bo = await taught(store, lala("Bo"))
        zyx = await taught(store, lala("Zyxmark", 1))
        await taught(store, lala("Theirs", 2), "leaver")
        await store.write("me", AddAvatar(bo.id, avatar(7, b"\xff\xd8\xff second")))
        made = back_up(path)
        await store.write("me", Forget(zyx.id))
        await store.write("leaver", EraseOwner())
    done = restore(made.path, path)
    assert (done.forgotten, await names(path), await names(path, "leaver")) == (2, ["Bo"], [])
    assert b"Zyxmark" not in _content(path)
    everybody = restore(made.path, path, forgotten_too=True)
    assert (everybody.forgotten, await names(path)) == (0, ["Bo", "Zyxmark"])
    assert await names(path, "leaver") == ["Theirs"]


async def test_when_everybody_deleted_everything_nobody_comes_back(path: Path) -> None:
    await teach(path, "Zyxmark")
    made = back_up(path)
    async with SqliteConceptStore.open(path, ENCODER) as store:
        await store.write("me", EraseOwner())
    assert restore(made.path, path).forgotten == 1
    assert await names(path) == []
    assert b"Zyxmark" not in _content(path)


async def test_what_was_taken_back_after_the_backup_stays_taken_back(path: Path) -> None:
    """Consent to be recognised, a share, a refusal; and a refusal that was made since then holds."""
    face = key(7, 4)
    async with SqliteConceptStore.open(path, ENCODER) as store:
        lala_, bo = await taught(store, lala("Lala")), await taught(store, lala("Bo", 1))
        for concept in (lala_, bo):
            await store.write("me", SetFaces(concept.id, ((concept.avatars[0].id, face),)))
            await store.places.share("telegram:-1", SharedConcept(concept.id, "me", "Ann"))
        await store.places.refuse_face("telegram:-1", "ben", face.tobytes())
        made = back_up(path)
        await store.write("me", SetFaces(lala_.id))
        await store.places.unshare("telegram:-1", "me", lala_.id)
        await store.places.withdraw_refusal("telegram:-1", "ben")
        await store.places.refuse_face("telegram:-1", "carl", face.tobytes())
    restore(made.path, path)
    async with SqliteConceptStore.open(path, ENCODER) as store:
        assert [one.concept_id for one in (await everything(store)).faces] == [bo.id]
        assert [one.concept_id for one in await store.places.shares("telegram:-1")] == [bo.id]
        assert await store.places.refused_faces("ben") == ()
        assert len(await store.places.refused_faces("carl")) == 1


async def test_a_database_begun_anew_does_not_make_a_backup_forget(path: Path) -> None:
    await teach(path, "Lala", "Bo")
    made = back_up(path)
    _remove(path)
    await teach(path, "Fresh")
    assert restore(made.path, path).forgotten == 0
    assert await names(path) == ["Lala", "Bo"]


async def test_nothing_is_restored_under_a_running_program(path: Path) -> None:
    await teach(path, "Lala")
    made = back_up(path)
    async with SqliteConceptStore.open(path, ENCODER) as store:
        with pytest.raises(StoreError, match="stop it first"):
            restore(made.path, path)
        await taught(store, lala("Bo", 1))
    assert await names(path) == ["Lala", "Bo"]
    assert sorted(file.name for file in path.parent.iterdir()) == ["backups", "rapbot.sqlite3"]


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _scribbled(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[70_000:300_000] = b"\x5a" * 230_000
    file.write_bytes(bytes(content))


def _torn(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("DELETE FROM concepts")  # foreign keys are off here: pictures without their concept
    database.close()


def _foreign(file: Path) -> None:
    file.unlink()
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE recipes (name TEXT)")
    database.close()


def _newer(file: Path) -> None:
    with sqlite3.connect(file) as database:
        database.execute("INSERT INTO migrations VALUES ('m999_from_the_future', '')")
    database.close()


@pytest.mark.parametrize(
    ("spoil", "kind", "said"),
    [
        (_cut, StoreCorrupt, "damaged"),
        (_scribbled, StoreCorrupt, "damaged"),
        (_torn, StoreCorrupt, "damaged"),
        (lambda file: file.write_bytes(b"not a database at all" * 400), StoreCorrupt, "damaged or no database"),
        (_foreign, StoreError, "not a database of rapbot"),
        (_newer, StoreError, "newer rapbot"),
        (Path.unlink, StoreError, "no backup"),
    ],
)
async def test_a_backup_that_cannot_be_used_is_refused_and_nothing_changes(
    path: Path, spoil: Callable[[Path], object], kind: type[StoreError], said: str
) -> None:
    await teach(path, "Lala", "Bo")
    made = back_up(path)
    before = _content(path)
    spoil(made.path)
    with pytest.raises(kind, match=said):
        restore(made.path, path)
    assert _content(path) == before
    assert {file.name for file in path.parent.iterdir()} == {"backups", "rapbot.sqlite3"}


async def test_a_damaged_database_is_kept_and_its_last_backup_offered(path: Path) -> None:
    await teach(path, "Lala")
    made = back_up(path)
    _blank(path)
    with pytest.raises(StoreCorrupt, match="rapbot restore") as refused:
        await names(path)
    assert str(made.path) in str(refused.value)
    done = restore(made.path, path)
    assert await names(path) == ["Lala"]
    assert done.former is not None
    assert _content(done.former) == b"\x00" * 8192


async def test_damage_that_opening_does_not_meet_is_found_at_the_start_and_the_newest_backup_named(path: Path) -> None:
    await teach(path, *(f"N{number}" for number in range(40)))
    older, newer = back_up(path, path.parent / "backups" / "z.sqlite3"), back_up(path)
    os.utime(older.path, (1e9, 1e9))
    content = bytearray(_content(path))
    assert len(content) > 150_000
    content[70_000:140_000] = b"\x5a" * 70_000
    _write(path, bytes(content))
    settings = Settings(data_dir=path.parent, telegram=TelegramSettings(token=SecretStr("1:x"), api_url="http://[::1]"))
    with pytest.raises(StoreCorrupt, match="rapbot restore") as refused:
        await serve(settings)
    assert str(newer.path) in str(refused.value)
    assert str(older.path) not in str(refused.value)
    assert _content(path) == content


async def test_a_damaged_inbox_offers_no_backup_of_the_memory(path: Path) -> None:
    await teach(path, "Lala")
    back_up(path)
    inbox = path.with_name("inbox.sqlite3")
    inbox.write_bytes(b"no database " * 1000)
    with pytest.raises(StoreCorrupt, match="not answered yet") as refused:
        async with SqliteInbox.open(inbox):
            pass
    assert "restore" not in str(refused.value)
    assert f"mv {inbox}" in str(refused.value)


async def test_a_failed_copy_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await teach(path, "Lala")

    def refuse(_file: Path) -> Backup:
        raise StoreCorrupt("no")

    monkeypatch.setattr(backups, "check", refuse)
    with pytest.raises(StoreCorrupt):
        back_up(path)
    assert list((path.parent / "backups").iterdir()) == []
    with pytest.raises(StoreError, match="cannot write"):
        back_up(path, path / "in" / "a" / "file.sqlite3")


async def test_a_copy_that_a_killed_program_left_goes_with_the_next_backup(path: Path) -> None:
    async with SqliteConceptStore.open(path, ENCODER):
        pass
    folder = path.parent / "backups"
    folder.mkdir(exist_ok=True)
    left, at_work = folder / "rapbot-old.sqlite3.part", folder / "rapbot-now.sqlite3.part"
    for part in (left, at_work):
        part.write_bytes(b"Lala")
    os.utime(left, (time.time() - 7200,) * 2)
    made = back_up(path, folder).path
    assert sorted(folder.iterdir()) == sorted([made, at_work])


def test_there_is_nothing_to_back_up_before_anything_was_taught(path: Path) -> None:
    with pytest.raises(StoreError, match="nothing to back up"):
        back_up(path)
    assert not path.parent.exists()


async def test_the_commands(path: Path) -> None:
    """The real program, as somebody types it."""
    environment = {**os.environ, "RAPBOT_DATA_DIR": str(path.parent), "PYTHONWARNINGS": "error"}

    def rapbot(*words: str, said: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "rapbot", *words]
        return subprocess.run(
            command, env=environment, input=said, capture_output=True, text=True, timeout=120, check=False
        )

    await teach(path, "Lala", "Bo")
    told = await asyncio.to_thread(rapbot, "backup")
    assert "2 concepts of 1 people, checked" in told.stdout, told.stderr
    [made] = (path.parent / "backups").iterdir()
    await teach(path, "Later")
    refused = await asyncio.to_thread(rapbot, "restore", str(made), said="n\n")
    assert refused.returncode == 1
    assert await names(path) == ["Lala", "Bo", "Later"]
    told = await asyncio.to_thread(rapbot, "restore", str(made), "--yes")
    assert (told.returncode, await names(path)) == (0, ["Lala", "Bo"])
    assert "before-restore" in told.stdout
