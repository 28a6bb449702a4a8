"""What is kept, told and given out: /privacy and /mydata against the tables as they are in the files."""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
import time
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from adapters.desk import Desk
from rapbot.accounts import LIFETIME_S
from rapbot.app import App, running
from rapbot.concepts.kept import INBOX, MEMORY, SAYS, Column, Kind
from rapbot.concepts.places import SharedConcept
from rapbot.concepts.rap_format import read_rap_database
from rapbot.concepts.sealing import new_key
from rapbot.concepts.sql_person import NOBODYS, WHOSE
from rapbot.concepts.sqlite_inbox import SqliteInbox
from rapbot.concepts.store import AddAvatar, Edit, Remember, SetFaces
from rapbot.config import EncryptionSettings, InboxSettings, RetentionSettings, Settings, StoreSettings
from rapbot.errors import ConceptError
from rapbot.inbox import Arrived, Handling, handled
from rapbot.inference.job import Answer, EncodedAvatar
from rapbot.messages import Actor, Box, Chat, Photo, Request
from rapbot.phrases import privacy_sentences
from tests.concept_samples import ENCODER, avatar, key, taught
from tests.pictures import cat_jpeg, coffee, jpeg

ANN, ME = Actor("telegram:5", "Ann"), Chat("telegram:5")


def columns(file: Path) -> dict[str, set[str]]:
    with contextlib.closing(sqlite3.connect(file)) as db:
        tables = [
            name
            for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            if not name.startswith("sqlite_")
        ]
        return {table: {row[1] for row in db.execute(f"PRAGMA table_info({table})")} for table in tables}


def classified(tables: dict[str, dict[str, Column]]) -> dict[str, set[str]]:
    return {table: set(kept) for table, kept in tables.items()}


@dataclass
class Bot:
    app: App
    inbox: SqliteInbox

    async def asks(self, text: str) -> Any:
        """As a message of a platform that is kept in the inbox."""
        update = arrived(f"update-{text}", text)
        await self.inbox.accept([update])
        with handled(Handling(self.inbox, update)):
            return await Desk(self.app.assistant).message(Request(ANN, ME, text))

    def every_byte(self) -> bytes:
        return b"".join(file.read_bytes() for file in self.app.settings.data_dir.iterdir() if file.is_file())


def arrived(key_: str, words: str, person: str = "5") -> Arrived:
    return Arrived(
        platform="telegram:99", key=key_, question=f"5:{key_}", person=person, update=words, expires_at=time.time() + 99
    )


@pytest.fixture(params=["plain", "encrypted"])
async def bot(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Bot]:
    encryption = EncryptionSettings()
    if request.param == "encrypted":
        new_key(tmp_path / "key")
        encryption = EncryptionSettings(key_file=tmp_path / "key")
    retention = RetentionSettings(days=90)
    settings = Settings(data_dir=tmp_path / "data", encryption=encryption, retention=retention)
    async with (
        running(settings, models=False) as app,
        SqliteInbox.open(settings.inbox_file, seal=app.store.seal) as inbox,
    ):
        yield Bot(app, inbox)


def test_every_column_of_the_files_is_classified(tmp_path: Path) -> None:
    """A new column without a word on what it is fails here: put it into rapbot/concepts/kept.py."""

    async def make() -> None:
        settings = Settings(data_dir=tmp_path)
        async with running(settings, models=False), SqliteInbox.open(settings.inbox_file):
            pass

    import asyncio

    asyncio.run(make())
    assert columns(tmp_path / "rapbot.sqlite3") == classified(MEMORY)
    assert columns(tmp_path / "inbox.sqlite3") == classified(INBOX)
    assert {file.name for file in tmp_path.iterdir()} == {"rapbot.sqlite3", "inbox.sqlite3"}


def test_every_kind_of_what_is_kept_is_told() -> None:
    assert set(SAYS) | {Kind.PROGRAM} == set(Kind)
    expiring = Settings(retention=RetentionSettings(days=365, warn_days=20), inbox=InboxSettings(hours=7))
    told = privacy_sentences(expiring)
    for words in SAYS.values():
        assert words.format(hours=7) in told
    assert LIFETIME_S == 600  # "for ten minutes"
    assert "365 days" in told
    assert "20 days" in told
    plain = privacy_sentences(Settings())
    assert SAYS[Kind.VISIT] not in plain
    assert "365" not in plain


def test_privacy_says_how_this_program_is_set(tmp_path: Path) -> None:
    assert "encrypted" not in privacy_sentences(Settings())
    new_key(tmp_path / "key")
    key_ = SecretStr((tmp_path / "key").read_text())
    assert "encrypted on disk" in privacy_sentences(Settings(encryption=EncryptionSettings(key=key_)))
    assert "another server" not in privacy_sentences(Settings())
    there = privacy_sentences(Settings(store=StoreSettings(url="postgresql://host/rapbot")))
    assert "in the database of whoever runs me" in there
    assert "overwrites it when it needs the room" in there
    assert "a second later" not in there
    assert "another server" in privacy_sentences(Settings(profile="server"))


def test_every_table_is_somebodys_or_nobodys() -> None:
    """What is in neither group would be missing in /mydata."""
    about_people = {name for name, kept in MEMORY.items() if {one.kind for one in kept.values()} - NOBODYS}
    assert about_people == {*WHOSE, "face_refusals"}


async def everything_about_ann(bot: Bot) -> None:
    """A row in every table that is about people; each text, photo and vector holds a mark that nothing else holds."""
    store, places, person = bot.app.store, bot.app.store.places, ANN.id
    first = replace(avatar(1, cat_jpeg()), box=Box(0.11, 0.22, 0.33, 0.44))
    concept = await taught(store, Remember("Zyx-name", "Zyx-kind", "Zyx-former", first, "Zyx-traits"), person)
    await store.write(person, AddAvatar(concept.id, avatar(2, jpeg(coffee()))))
    await store.write(person, SetFaces(concept.id, ((concept.avatars[0].id, key(7, 4)),)))
    await store.write(person, Edit(concept.id, info="Zyx-info"))
    await places.share("telegram:-4711", SharedConcept(concept.id, person, "Zyx-shown"))
    await places.refuse_face("telegram:-4712", person, key(8, 4).tobytes())
    await store.visits.seen(person, "zy", 1_700_000_111.0)
    await store.write("discord:66", Remember("Zyx-linked", "", "", avatar(3, cat_jpeg())))
    await places.offer_link(person, b"0123456789-used", time.time() + 60)
    await places.link("discord:66", b"0123456789-used", time.time())
    await places.offer_link(person, b"0123456789-code", 1_900_000_222.0)
    await bot.inbox.accept([arrived("waits", "Zyx-waiting"), arrived("theirs", "Not-mine", "6")])
    await bot.inbox.note(arrived("waits", ""), "Zyx-answer")
    await store.write(person, Edit(concept.id, name="Zyx-newname"))


def unpacked(shown: Any) -> dict[str, bytes]:
    """Every file of all zips."""
    found: dict[str, bytes] = {}
    for _name, data in shown.files:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            found |= {name: archive.read(name) for name in archive.namelist()}
    return found


async def test_my_data_holds_every_cell_that_is_kept_about_me(bot: Bot) -> None:
    await everything_about_ann(bot)
    files = unpacked(await bot.asks("/mydata"))
    kept = json.loads(files["kept.json"])
    seal = bot.app.store.seal
    missing = []
    for table in WHOSE:
        rows = await bot.app.store.fetch(f"SELECT {', '.join(MEMORY[table])} FROM {table}")
        assert rows, f"the test puts nothing into {table}"
        for row in rows:
            for (name, column), cell in zip(MEMORY[table].items(), row, strict=True):
                if column.kind in NOBODYS or cell is None or column.sealed == "folded":
                    continue
                value = cell
                if column.sealed:
                    opened = seal.open_text if isinstance(cell, str) else seal.open_blob
                    value = opened(cell, column.sealed)
                if isinstance(value, bytes):
                    there = value in files.values() or base64.b64encode(value).decode() in files["kept.json"].decode()
                else:
                    there = any(one.get(name) == value for one in kept[table])
                if not there:
                    missing.append((table, name))
    assert missing == []
    assert kept["face_refusals"][0]["key"] == base64.b64encode(key(8, 4).tobytes()).decode()
    waiting = {row["content"]: row for row in kept["inbox"]}
    assert waiting["Zyx-waiting"]["answer"] == "Zyx-answer"
    assert set(waiting) == {"Zyx-waiting", "/mydata"}
    assert set(waiting["Zyx-waiting"]) == set(INBOX["inbox"])


async def test_my_data_is_read_by_an_import(bot: Bot, tmp_path: Path) -> None:
    await everything_about_ann(bot)
    ((name, data),) = (await bot.asks("/mydata")).files
    (tmp_path / name).write_bytes(data)
    found = {entry.name: entry for entry in read_rap_database(tmp_path / name)}
    assert set(found) == {"Zyx-newname", "Zyx-linked"}
    assert found["Zyx-newname"].images == (cat_jpeg(), jpeg(coffee()))


async def test_much_data_comes_in_several_files_that_chats_take(bot: Bot, tmp_path: Path) -> None:
    photo = cat_jpeg() + bytes(np.random.default_rng(0).bytes(1_500_000))
    for number in range(12):
        await taught(bot.app.store, Remember(f"Thing {number}", "", "", avatar(number, photo)), ANN.id)
    shown = await bot.asks("/mydata")
    assert [name for name, _data in shown.files] == [f"rapbot-{n}-of-3.zip" for n in (1, 2, 3)]
    assert all(len(data) < 9_500_000 for _name, data in shown.files)
    names = []
    for name, data in shown.files:
        (tmp_path / name).write_bytes(data)
        names += [entry.name for entry in read_rap_database(tmp_path / name)]
    assert names == [f"Thing {number}" for number in range(12)]


async def test_who_has_nothing_gets_an_empty_file(bot: Bot) -> None:
    files = unpacked(await bot.asks("/mydata"))
    assert json.loads(files["database.json"])["concept_dict"] == {}


async def test_after_forgetme_nothing_is_left_in_any_table(bot: Bot) -> None:
    await everything_about_ann(bot)
    assert b"telegram:5" in bot.every_byte()
    update = arrived("now", "erase")
    await bot.inbox.accept([update])
    with handled(Handling(bot.inbox, update)):
        await bot.app.assistant.erase(ANN)
    await bot.inbox.done(update)
    left = await bot.app.assistant.about(ANN)
    assert {table: rows for table, rows in left.items() if rows} == {}
    with contextlib.closing(sqlite3.connect(bot.app.settings.inbox_file)) as db:
        assert [person for (person,) in db.execute("SELECT person FROM inbox")] == ["6"]
    await bot.inbox.wipe()
    data = bot.every_byte()
    assert b"Zyx-" not in data
    assert b"zyx-" not in data
    assert b"telegram:5" not in data
    assert b"discord:66" not in data
    assert cat_jpeg()[200:260] not in data


async def test_what_was_begun_before_forgetme_is_not_kept_after_it(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photo to learn is still being looked at when everything is deleted."""
    assistant = bot.app.assistant

    async def looks(*_job: object, **_options: object) -> Answer:
        await assistant.erase(ANN)
        encoded = EncodedAvatar(cat_jpeg(), key(1).tobytes(), ENCODER, Box(0, 0, 1, 1))
        return Answer("job", "", avatar=encoded)

    monkeypatch.setattr(bot.app.queue, "submit", looks)
    with pytest.raises(ConceptError, match="deleted everything meanwhile"):
        await assistant.teaching.remember(ANN, ME, "Zyx-late", "A dog.", photo=Photo(cat_jpeg()))
    assert await assistant.memory.concepts(ANN) == ()
