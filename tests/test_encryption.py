"""Encryption at rest: nothing of people is readable in the files, all works as without it, keys can be changed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from rapbot.concepts.backups import back_up, restore
from rapbot.concepts.index import IndexCache
from rapbot.concepts.places import SharedConcept
from rapbot.concepts.sealing import PLAIN, Seal, new_key, seal_of
from rapbot.concepts.sql_encodings import Place
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.concepts.sqlite_inbox import SqliteInbox
from rapbot.concepts.sqlite_sealing import reseal
from rapbot.concepts.store import AddAvatar, Edit, Forget, Remember, SetFaces, Undo
from rapbot.errors import ConceptError, ConfigError, ExtraMissing, NameTaken, StoreCorrupt, StoreError
from rapbot.inbox import Arrived
from tests.concept_samples import ENCODER, avatar, everything, key, lala, taught

MARK = "Zyxmark"
"""In every text, name and photo; nothing else holds it."""


@pytest.fixture
def seal(tmp_path: Path) -> Seal:
    return made(tmp_path / "key")


def made(file: Path) -> Seal:
    new_key(file)
    return seal_of(file.read_text().strip())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "rapbot.sqlite3"


@pytest.fixture
async def store(path: Path, seal: Seal) -> AsyncIterator[SqliteConceptStore]:
    async with SqliteConceptStore.open(path, ENCODER, seal=seal) as opened:
        yield opened


def marked(name: str = "Lala", seed: int = 0) -> Remember:
    photo = b"\xff\xd8\xff" + MARK.encode() * 50
    return Remember(f"{MARK} {name}", f"{MARK} dog", f"{MARK} loves cheese.", avatar(seed, photo), f"{MARK} ear")


async def fill(store: SqliteConceptStore) -> int:
    """Something in every table that holds what people wrote or showed."""
    concept = await taught(store, marked(), "telegram:1")
    await store.write("telegram:1", Edit(concept.id, info=f"{MARK} loves tuna."))
    await store.write("telegram:1", SetFaces(concept.id, ((concept.avatars[0].id, key(7, 4)),)))
    await store.places.share("telegram:-1", SharedConcept(concept.id, "telegram:1", f"{MARK} Ann"))
    await store.places.refuse_face("telegram:-1", "telegram:2", key(8, 4).tobytes())
    return concept.id


def image(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in sorted(path.parent.iterdir()) if each.is_file())


def secrets_in(data: bytes) -> list[str]:
    """What a thief would find."""
    found = [MARK] if MARK.encode() in data or MARK.lower().encode() in data else []
    vectors = (key(0) / float(np.linalg.norm(key(0))), key(7, 4), key(8, 4))  # as they are stored
    return found + [str(n) for n, one in enumerate(vectors) if one.tobytes() in data]


async def looks_as_taught(store: SqliteConceptStore) -> None:
    """Everything that `fill` put in, read by every way there is."""
    collection = await everything(store, "telegram:1")
    (concept,) = collection.concepts
    (card,) = collection.cards
    assert (concept.name, concept.category) == (f"{MARK} Lala", f"{MARK} dog")
    assert (concept.info, concept.traits, card.info) == (f"{MARK} loves tuna.", f"{MARK} ear", f"{MARK} loves tuna.")
    assert await store.photo("telegram:1", concept.avatars[0].id) == b"\xff\xd8\xff" + MARK.encode() * 50
    assert np.allclose(collection.keys.keys[0], key(0))
    assert collection.faces[0].key == key(7, 4).tobytes()
    assert (await store.places.shares("telegram:-1"))[0].person_name == f"{MARK} Ann"
    assert [chat for chat, _share in await store.places.shared_by("telegram:1")] == ["telegram:-1"]
    assert await store.places.unwanted_faces("telegram:-1") == (key(8, 4).tobytes(),)
    assert [face for _chat, face in await store.places.refused_faces("telegram:2")] == [key(8, 4).tobytes()]


async def test_nothing_of_people_is_readable_and_everything_is_as_taught(path: Path, seal: Seal) -> None:
    async with SqliteConceptStore.open(path, ENCODER, seal=seal) as store:
        await fill(store)
        await looks_as_taught(store)
        assert secrets_in(image(path)) == []
    assert secrets_in(image(path)) == []
    async with SqliteConceptStore.open(path, ENCODER, seal=seal) as store:
        await looks_as_taught(store)


async def test_without_a_key_the_search_for_secrets_finds_them(path: Path) -> None:
    async with SqliteConceptStore.open(path, ENCODER) as store:
        await fill(store)
    assert secrets_in(image(path)) == [MARK, "0", "1", "2"]


async def test_a_name_is_free_or_taken_ignoring_case_and_undo_brings_words_back(store: SqliteConceptStore) -> None:
    number = await fill(store)
    with pytest.raises(NameTaken, match=f"{MARK} Lala"):
        await store.write("telegram:1", lala(f"{MARK.upper()} LALA"))
    await store.write("telegram:2", lala(f"{MARK} Lala"))  # somebody else's is another
    await store.write("telegram:1", Edit(number, name="Momo", info="She loves milk."))
    undone = await store.write("telegram:1", Undo())
    assert undone.concept is not None
    assert (undone.concept.name, undone.concept.info) == (f"{MARK} Lala", f"{MARK} loves tuna.")
    with pytest.raises(NameTaken):
        await store.write("telegram:1", lala(f"{MARK} lala"))


async def test_two_accounts_with_the_same_name_are_not_linked(store: SqliteConceptStore) -> None:
    await store.write("telegram:1", lala("Lala"))
    await store.write("discord:1", lala("LALA"))
    await store.places.offer_link("telegram:1", b"code", time.time() + 60)
    with pytest.raises(ConceptError, match="Both of your accounts know LALA"):
        await store.places.link("discord:1", b"code", time.time())


async def test_linked_and_unlinked_again_every_name_is_found_where_it_is(store: SqliteConceptStore) -> None:
    await store.write("telegram:1", lala("Lala"))
    await store.write("discord:1", lala("Bo"))
    await store.places.offer_link("telegram:1", b"code", time.time() + 60)
    await store.places.link("discord:1", b"code", time.time())
    with pytest.raises(NameTaken):
        await store.write("telegram:1", lala("BO"))
    await store.places.unlink("discord:1")
    await store.write("telegram:1", lala("BO"))
    with pytest.raises(NameTaken):
        await store.write("discord:1", lala("bo"))


async def test_the_same_name_of_two_people_does_not_show(store: SqliteConceptStore) -> None:
    for person in ("telegram:1", "telegram:2"):
        await store.write(person, lala("Lala"))
    ((different,),) = await store.fetch("SELECT count(DISTINCT folded) FROM concepts")
    assert different == 2


async def test_a_new_picture_is_found_and_an_avatar_encoded_again(store: SqliteConceptStore) -> None:
    number = await fill(store)
    await store.write("telegram:1", AddAvatar(number, avatar(1, b"\xff\xd8\xff more")))
    index = await IndexCache(store).get("telegram:1")
    assert len(index.visible.rows) == 2
    async with SqliteConceptStore.open(store._path, "another-encoder", seal=store.seal) as changed:
        stale = await changed.encodings.stale(Place(), 10)
    assert [one.jpeg for one in stale] == [b"\xff\xd8\xff" + MARK.encode() * 50, b"\xff\xd8\xff more"]


@pytest.mark.parametrize("wrong", ["none", "another"])
async def test_without_the_right_key_one_sentence_and_not_a_byte_changes(
    path: Path, seal: Seal, tmp_path: Path, wrong: str
) -> None:
    async with SqliteConceptStore.open(path, ENCODER, seal=seal) as store:
        await fill(store)
    before = image(path)
    other = PLAIN if wrong == "none" else made(tmp_path / "other")
    with pytest.raises(StoreError, match=f"encrypted with the key {seal.key_id}.*Nothing was changed"):
        async with SqliteConceptStore.open(path, ENCODER, seal=other):
            pass
    assert image(path) == before


async def test_what_was_kept_openly_is_not_mixed_with_what_is_encrypted(path: Path, seal: Seal) -> None:
    async with SqliteConceptStore.open(path, ENCODER) as store:
        await fill(store)
    with pytest.raises(StoreError, match="rapbot key use"):
        async with SqliteConceptStore.open(path, ENCODER, seal=seal):
            pass
    async with SqliteConceptStore.open(path, ENCODER) as store:
        await looks_as_taught(store)


async def test_a_key_is_put_in_changed_and_taken_out(path: Path, seal: Seal, tmp_path: Path) -> None:
    newer = made(tmp_path / "newer")
    async with SqliteConceptStore.open(path, ENCODER) as store:
        number = await fill(store)
    for former, wanted in ((PLAIN, seal), (seal, newer), (newer, PLAIN)):
        assert reseal(path, former, wanted)
        assert not reseal(path, former, wanted)  # repeated after an interruption
        assert secrets_in(image(path)) == ([MARK, "0", "1", "2"] if wanted is PLAIN else [])
        async with SqliteConceptStore.open(path, ENCODER, seal=wanted) as store:
            await looks_as_taught(store)
            with pytest.raises(NameTaken):
                await store.write("telegram:1", lala(f"{MARK.lower()} lala"))
    async with SqliteConceptStore.open(path, ENCODER) as store:
        await store.write("telegram:1", Forget(number))


async def test_a_key_is_not_changed_under_a_running_program_or_with_the_wrong_one(
    path: Path, seal: Seal, tmp_path: Path
) -> None:
    other = made(tmp_path / "other")
    async with SqliteConceptStore.open(path, ENCODER, seal=seal) as store:
        await fill(store)
        with pytest.raises(StoreError, match="stop it first"):
            reseal(path, seal, other)
    before = image(path)
    with pytest.raises(StoreError, match="Nothing was changed"):
        reseal(path, other, PLAIN)
    assert image(path) == before


USE_ANOTHER_KEY = """
import sys
from pathlib import Path
from rapbot.concepts.sealing import seal_of
from rapbot.concepts.sqlite_sealing import reseal
path, former, wanted = sys.argv[1:]
seals = [seal_of(Path(file).read_text().strip()) for file in (former, wanted)]
print("begin", flush=True)
reseal(Path(path), *seals)
print("end", flush=True)
"""


def until_killed(command: list[str], path: Path, moment: str) -> None:
    """Ends the program at that moment; without one it may come to its end."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    while moment == "written to" and process.poll() is None:  # what was there before lies in the journal meanwhile
        if path.with_name(path.name + "-journal").exists():
            break
    if moment:
        process.kill()
    process.communicate()


async def test_a_change_of_key_that_is_killed_leaves_the_one_or_the_other(
    path: Path, seal: Seal, tmp_path: Path
) -> None:
    newer = made(tmp_path / "newer")
    seals = {seal.key_id: seal, newer.key_id: newer}
    async with SqliteConceptStore.open(path, ENCODER, seal=seal) as store:
        await fill(store)
        for number in range(60):
            await store.write("telegram:3", lala(f"Thing {number}", number))
    command = [sys.executable, "-c", USE_ANOTHER_KEY, str(path), str(tmp_path / "key"), str(tmp_path / "newer")]
    for moment in ("begun", "written to", "written to", ""):
        await asyncio.to_thread(until_killed, command, path, moment)
        with contextlib.closing(sqlite3.connect(path)) as db:
            ((used,),) = db.execute("SELECT key_id FROM sealing")
        async with SqliteConceptStore.open(path, ENCODER, seal=seals[used]) as store:
            await looks_as_taught(store)
            assert len((await everything(store, "telegram:3")).concepts) == 60
    assert used == newer.key_id
    assert secrets_in(image(path)) == []


async def test_a_damaged_cell_is_told_and_nothing_is_written(path: Path, seal: Seal, tmp_path: Path) -> None:
    async with SqliteConceptStore.open(path, ENCODER, seal=seal) as store:
        await fill(store)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE concepts SET info = name")  # of another kind: as good as damaged
    with pytest.raises(StoreCorrupt, match="info"):
        reseal(path, seal, made(tmp_path / "other"))
    async with SqliteConceptStore.open(path, ENCODER, seal=seal) as store:
        with pytest.raises(StoreCorrupt, match="info"):
            await store.read("telegram:1")


async def test_a_backup_is_as_encrypted_as_the_database(path: Path, seal: Seal, tmp_path: Path) -> None:
    async with SqliteConceptStore.open(path, ENCODER, seal=seal) as store:
        await fill(store)
        made_one = back_up(path, tmp_path / "backups")
    assert secrets_in(made_one.path.read_bytes()) == []
    restore(made_one.path, path)
    async with SqliteConceptStore.open(path, ENCODER, seal=seal) as store:
        await looks_as_taught(store)


def arrived(words: str) -> Arrived:
    return Arrived(platform="telegram:9", key="1", question="5:1", person="5", update=words, expires_at=2e9)


async def test_what_waits_in_the_inbox_is_encrypted(path: Path, seal: Seal, tmp_path: Path) -> None:
    inbox_file = path.parent / "inbox.sqlite3"
    async with SqliteInbox.open(inbox_file, seal=seal) as inbox:
        await inbox.accept([arrived(f"{MARK} hello")])
        await inbox.note(arrived(""), f"{MARK} answer")
        assert secrets_in(image(inbox_file)) == []
    with pytest.raises(StoreError, match="encrypted with the key"):
        async with SqliteInbox.open(inbox_file):
            pass
    newer = made(tmp_path / "newer")
    assert reseal(inbox_file, seal, newer, inbox=True)
    assert secrets_in(image(inbox_file)) == []
    async with SqliteInbox.open(inbox_file, seal=newer) as inbox:
        (kept,) = await inbox.waiting("telegram:9")
        assert (kept.update, kept.answer) == (f"{MARK} hello", f"{MARK} answer")
        await inbox.done(kept)
    async with SqliteInbox.open(inbox_file):  # nothing waits: any key will do
        pass


def test_a_key_file_is_for_its_owner_and_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "key"
    first = made(file)
    if os.name != "nt":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(StoreError, match="overwrite no key"):
        new_key(file)
    assert seal_of(file.read_text().strip()).key_id == first.key_id
    with pytest.raises(ConfigError, match="rapbot key new"):
        seal_of("my birthday")


def test_without_the_package_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_key(tmp_path / "key")
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ExtraMissing, match=r"pip install -e '\.\[encryption\]'"):
        seal_of((tmp_path / "key").read_text().strip())


def rapbot(folder: Path, *words: str, key_file: Path | None = None) -> subprocess.CompletedProcess[str]:
    named = {"RAPBOT_ENCRYPTION__KEY_FILE": str(key_file)} if key_file else {}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAPBOT_")}
    return subprocess.run(
        [sys.executable, "-m", "rapbot", *words],
        env={**environment, "RAPBOT_DATA_DIR": str(folder), **named},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def test_the_commands(path: Path, tmp_path: Path) -> None:
    async with SqliteConceptStore.open(path, ENCODER) as store:
        await store.write("local:me", marked())
    key_file = tmp_path / "my.key"
    assert rapbot(path.parent, "key", "new", str(key_file)).returncode == 0
    refused = rapbot(path.parent, "concepts", key_file=key_file)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "rapbot key use" in refused.stderr
    assert "Traceback" not in refused.stderr
    used = rapbot(path.parent, "key", "use", key_file=key_file)
    assert "encrypted with the key" in used.stdout
    assert MARK.encode() not in image(path)
    assert f"{MARK} Lala" in rapbot(path.parent, "concepts", key_file=key_file).stdout
    lost = rapbot(path.parent, "concepts", key_file=tmp_path / "lost.key")
    assert "cannot be read" in lost.stderr
    assert key_file.read_text().strip() not in used.stdout + used.stderr + refused.stderr
