"""Every command on both platforms, with marks in all words, names and photos: what the program then has said, sent and
kept. One program, started once, as its operator runs it, at log level debug.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import pytest_asyncio
from PIL import Image, TiffImagePlugin

from rapbot.commands import COMMANDS
from tests.discord_house import House, _waits
from tests.peers.discord import DiscordPeer
from tests.peers.discord import Message as DiscordMessage
from tests.peers.telegram import BotMessage, Chat, TelegramPeer
from tests.pictures import astronaut, cat, coffee

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARK = "Zyxmark"
"""In every word, name and photo that people give; nothing else holds it."""
SLOW = 90.0


def photo(picture: Image.Image) -> bytes:
    """As a phone writes it: the place, the camera, a comment and a small copy beside the picture."""
    exif = Image.Exif()
    exif[0x010E], exif[0x013B] = f"{MARK} description", f"{MARK} artist"
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2] = "N", tuple(TiffImagePlugin.IFDRational(part, 10_000) for part in (522_297, 130_122, 471_147))
    gps[29] = f"{MARK} date"
    file = BytesIO()
    packet = f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{MARK}</x:xmpmeta>'.encode()
    picture.convert("RGB").save(file, "JPEG", exif=exif, comment=MARK.encode(), xmp=packet, icc_profile=MARK.encode())
    return file.getvalue()


CAT, CUP, FACE = (photo(one()) for one in (cat, coffee, astronaut))

WORDS = {
    "remember": f"{MARK}cat A cat. {MARK} loves cheese.",
    "addphoto": f"{MARK}cat",
    "ask": f"does {MARK}cat love {MARK}cheese?",
    "find": f"{MARK}cat",
    "show": f"{MARK}cat",
    "edit": f"{MARK}cat {MARK} loves tuna.",
    "forget": f"{MARK}other",
    "face": f"{MARK}cat",
    "share": f"{MARK}cat",
    "unshare": f"{MARK}cat",
    "dontrecognise": "me",
    "settings": "recognised",
}
"""What follows a command; the rest take nothing."""
PHOTOS = {"remember": CAT, "addphoto": CAT, "caption": CAT, "describe": CUP, "find": CAT, "dontrecognise": FACE}
ORDER = (
    "help remember addphoto caption describe find ask concepts show edit face share settings dontrecognise privacy"
    " mydata link unlink undo unshare forget forgetme"
).split()
IN_GROUP = {"share", "settings", "dontrecognise", "unshare"}


async def test_every_command_of_the_table_is_tried() -> None:
    assert sorted(ORDER) == sorted(COMMANDS)
    assert MARK.encode() in CAT
    assert Image.open(BytesIO(CAT)).getexif().get_ifd(0x8825)


@dataclass
class Program:
    """Everything it wrote, and where it could leave something."""

    folder: Path
    output: Path
    places: tuple[Path, ...]
    codes: list[str] = field(default_factory=list)
    """Secrets that it gave out: they must not be in the logs either."""
    answers: dict[str, list[str]] = field(default_factory=dict)
    kept: list[bytes] = field(default_factory=list)
    """Pieces of stored photos and keys, as they were before they were forgotten."""
    photos: list[bytes] = field(default_factory=list)
    """All that were stored."""

    def every_byte(self) -> Iterator[tuple[str, bytes]]:
        for place in self.places:
            for file in place.rglob("*"):
                with contextlib.suppress(OSError):  # SQLite took its log away
                    if file.is_file():
                        yield str(file), file.read_bytes()

    def cells(self, *queries: str) -> list[bytes]:
        with contextlib.closing(sqlite3.connect(f"file:{self.folder / 'rapbot.sqlite3'}?mode=ro", uri=True)) as db:
            return [bytes(row[0]) for query in queries for row in db.execute(query)]

    def stored(self) -> list[bytes]:
        """From the middle of every photo and key, where no two are alike."""
        cells = self.cells("SELECT jpeg FROM photos", "SELECT key FROM keys", "SELECT key FROM faces")
        return [cell[at : at + 40] for cell in cells for at in (len(cell) // 3, len(cell) // 2)]

    def found(self, pieces: list[bytes]) -> list[str]:
        """Files that hold a mark or one of these pieces."""
        return [
            name
            for name, data in self.every_byte()
            if MARK.lower().encode() in data.lower() or any(piece in data for piece in pieces)
        ]

    async def is_clean(self, pieces: list[bytes]) -> None:
        """Waits until nothing is found any more: the inbox is wiped a second after the last answer."""
        async with asyncio.timeout(20):
            while await asyncio.to_thread(self.found, pieces):
                await asyncio.to_thread(os.sched_yield)


@asynccontextmanager
async def program(
    telegram: TelegramPeer, discord: DiscordPeer, weights: Path, room: Path
) -> AsyncIterator[tuple[Program, asyncio.subprocess.Process]]:
    places = [room / name for name in ("data", "tmp", "home", "cwd")]
    for place in places:
        place.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAPBOT_")} | {
        "TELEGRAM": telegram.address,
        "TELEGRAM_TOKEN": telegram.token,
        "DISCORD": discord.world.base,
        "DISCORD_TOKEN": discord.token,
        "WEIGHTS": str(weights),
        "TMPDIR": str(room / "tmp"),
        "HOME": str(room / "home"),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
        "PYTHONWARNINGS": "default",
    }
    output = room / "output"
    with output.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.leaks_child", str(room / "data")),
            stdout=out,
            stderr=out,
            env=environment,
            cwd=room / "cwd",
        )
    try:
        async with asyncio.timeout(SLOW):
            while b"ready" not in output.read_bytes():
                assert process.returncode is None, output.read_text()
                await asyncio.to_thread(os.sched_yield)
        yield Program(room / "data", output, tuple(places)), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


# What people do


@dataclass
class OnTelegram:
    peer: TelegramPeer

    def __post_init__(self) -> None:
        self.ann = self.peer.person(f"{MARK}ann", username="zyx_ann")
        self.chat = self.peer.private(self.ann)
        self.group = self.peer.group(f"{MARK}group", [], [self.ann])

    async def command(self, name: str, words: str, photo: bytes | None) -> str:
        return await self._say(self.group if name in IN_GROUP else self.chat, f"/{name} {words}".strip(), photo)

    async def says(self, text: str, photo: bytes | None = None) -> BotMessage:
        await self._say(self.chat, text, photo)
        return self.peer.sent(self.chat)[-1]

    def trouble(self) -> None:
        """What the next message meets: the platform fails now and then."""
        self.peer.fail_next("sendPhoto", 502, times=2)
        self.peer.fail_next("setMessageReaction", 500)
        self.peer.fail_next("download", 404)

    async def broken(self) -> None:
        """A file that is no picture, whatever it says."""
        before = len(self.peer.calls)
        self.peer.send_document(self.chat, self.ann, CAT[:900], f"{MARK}.jpg", "image/jpeg", f"{MARK} caption")
        await self._answer(self.chat, before)

    async def presses(self, message: Any, label: str) -> str:
        before = len(self.peer.calls)
        self.peer.press(message, label=next(one for one in message.buttons if one.startswith(label)))
        return await self._answer(self.chat, before)

    async def last(self) -> BotMessage:
        """The one with buttons; it may be the second piece of an answer."""
        await self.peer.wait_for(lambda: self.peer.sent(self.chat)[-1].buttons, SLOW)
        return self.peer.sent(self.chat)[-1]

    async def _say(self, place: Chat, text: str, photo: bytes | None) -> str:
        before = len(self.peer.calls)
        if photo is None:
            self.peer.say(place, self.ann, text)
        else:
            self.peer.send_photo(place, self.ann, photo, text)
        return await self._answer(place, before)

    async def _answer(self, place: Chat, before: int) -> str:
        """What was sent or edited there since then, and is no place in the queue."""

        def told() -> str | None:
            for call in self.peer.calls[before:]:
                words = call.arguments.get("text", call.arguments.get("caption", ""))
                words = words or (call.arguments.get("media") or {}).get("caption", "")
                if call.ok and words and call.arguments["chat_id"] == place.id and not words.endswith("…"):
                    return str(words)
            return None

        found = await self.peer.wait_for(told, SLOW)
        assert found is not None
        return found

    def sent(self) -> list[bytes]:
        return [data for call in self.peer.calls for data in call.files.values()]


@dataclass
class OnDiscord:
    peer: DiscordPeer

    def __post_init__(self) -> None:
        self.house = House(None, self.peer, None)  # type: ignore[arg-type]
        self.ann, self.dm = self.house.person(f"{MARK}ann")
        self.guild = self.peer.guild(f"{MARK}guild", admins=[self.ann])
        self.last_message: DiscordMessage | None = None

    async def command(self, name: str, words: str, photo: bytes | None) -> str:
        place = self.guild.channel if name in IN_GROUP else self.dm
        options: dict[str, Any] = {} if photo is None else {"photo": (f"{MARK}.jpg", photo)}
        if name in ("remember", "edit"):
            options["name"], _space, more = words.partition(" ")
            options |= {"info": more} if name == "remember" else {}
        elif name == "ask":
            options["question"] = words
        elif words and name not in ("settings", "dontrecognise"):
            options["name"] = words
        if name == "edit":
            return await self._edit(options["name"], words.partition(" ")[2])
        return await self._told(await self.house.call(place, self.ann, name, **options))

    async def _edit(self, name: str, info: str) -> str:
        asked = self.peer.slash(self.dm, self.ann, "edit", name=name)
        await self.peer.wait_for(lambda: asked.modal is not None, SLOW, "the form")
        assert asked.modal is not None
        label = next(one for one in asked.modal.fields if "sentence" in one.casefold() or "nformation" in one)
        sent = self.peer.submit(asked.modal, self.ann, {label: info})
        return await self._told(await self.house.answer(sent))

    async def says(self, text: str, photo: bytes | None = None) -> DiscordMessage:
        files = [] if photo is None else [(f"{MARK}.jpg", photo)]
        message = await self.house.asked(self.dm, self.ann, text, *files)
        await self._told(message)
        return message

    def trouble(self) -> None:
        """What the next message meets: the platform fails now and then."""
        self.peer.fail_next(f"POST /channels/{self.dm.id}/messages", 502)
        self.peer.fail_next(f"POST /channels/{self.dm.id}/messages", 429, retry_after=0.2)
        self.peer.fail_next("GET /cdn/attachments/", 503)

    async def broken(self) -> None:
        """A file that is no picture, whatever it says."""
        await self.says(f"{MARK} caption", CAT[:900])

    async def presses(self, message: Any, label: str) -> str:
        return await self._told(await self.house.press(message, label, self.ann))

    async def last(self) -> DiscordMessage:
        assert self.last_message is not None
        return self.last_message

    async def _told(self, message: DiscordMessage) -> str:
        assert not _waits(message)
        self.last_message = message
        return message.text

    def sent(self) -> list[bytes]:
        return [data for call in self.peer.calls for _name, data in call.files]


Person = OnTelegram | OnDiscord


async def live(ran: Program, person: Person) -> None:
    """Every command, what goes wrong, every button, and at the end everything is forgotten."""
    name = type(person).__name__
    told = ran.answers.setdefault(name, [])
    await person.says(f"/remember {MARK}other A cup. {MARK}", CUP)
    for command in ORDER[: ORDER.index("forget")]:
        told.append(await person.command(command, WORDS.get(command, ""), PHOTOS.get(command)))
        if command == "link":
            ran.codes += re.findall(r"/link ([0-9A-Z]{4}-[0-9A-Z]{4})", told[-1])
    for wrong in (
        f"/{MARK}nonsense",
        f"/show {MARK}nobody",
        f"{MARK} " * 400,
        f"/link {MARK}",
        f"/forget {MARK}nobody",
    ):
        await person.says(wrong)
    person.trouble()
    await person.says(f"{MARK} hello", CAT)
    await person.broken()
    await person.says(f"what is {MARK}cat doing?", CAT)
    await person.presses(await person.last(), "Why?")
    pieces = ran.stored()
    ran.kept += pieces
    ran.photos += ran.cells("SELECT jpeg FROM photos")
    assert await asyncio.to_thread(ran.found, pieces), "the search itself finds nothing"
    await person.command("forget", WORDS["forget"], None)
    await person.presses(await person.last(), "Forget for good")
    await forgotten(ran, pieces)
    await person.command("forgetme", "", None)
    told.append(await person.presses(await person.last(), "Delete everything"))


async def forgotten(ran: Program, before: list[bytes]) -> None:
    """What is not stored any more is in no byte of any file."""
    gone = sorted(set(before) - set(ran.stored()))
    assert gone

    def held() -> list[str]:
        return [
            name
            for name, data in ran.every_byte()
            if f"{MARK}other".lower().encode() in data.lower() or any(piece in data for piece in gone)
        ]

    async with asyncio.timeout(20):
        while await asyncio.to_thread(held):
            await asyncio.to_thread(os.sched_yield)


@dataclass
class Story:
    ran: Program
    people: tuple[OnTelegram, OnDiscord]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def story(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Story]:
    room = tmp_path_factory.mktemp("leaks")
    async with (
        TelegramPeer.start() as telegram,
        DiscordPeer.start() as discord,
        program(telegram, discord, weights, room) as (ran, _process),
    ):
        people = OnTelegram(telegram), OnDiscord(discord)
        for person in people:
            await live(ran, person)
        yield Story(ran, people)


async def test_every_command_was_understood(story: Story) -> None:
    """Else the rest proves little."""
    for told in story.ran.answers.values():
        assert not [one for one in told if "no command" in one or "broke inside me" in one or not one.strip()]
        assert "deleted" in told[-1]
    assert len(story.ran.codes) == 2


async def test_no_output_holds_words_names_photos_or_secrets(story: Story) -> None:
    said = story.ran.output.read_text(errors="replace")
    assert "[debug" in said or "[info" in said
    assert MARK.lower() not in said.lower()
    for person in story.people:
        assert person.peer.token not in said
    for code in story.ran.codes:
        assert code not in said
        assert code.replace("-", "") not in said
    assert not re.findall(r"attachments/\d+|photos/file_\d+|/bot\d+:", said), "addresses of photos"
    assert "Traceback" not in said


async def test_no_picture_that_was_stored_or_sent_holds_place_camera_or_comment(story: Story) -> None:
    sent = [[data for one in person.sent() for data in pictures_in(one)] for person in story.people]
    for pictures, least in ((story.ran.photos, 4), (sent[0], 10), (sent[1], 10)):
        assert len(pictures) >= least
        for data in pictures:
            assert MARK.encode() not in data
            assert b"Exif\0" not in data
            opened = Image.open(BytesIO(data))
            assert not dict(opened.getexif())
            assert not {"comment", "xmp", "icc_profile", "photoshop"} & set(opened.info)


def pictures_in(data: bytes) -> list[bytes]:
    """The picture itself, or those of a zip."""
    if not data.startswith(b"PK"):
        return [data] if data.startswith(b"\xff\xd8") else []
    with ZipFile(BytesIO(data)) as archive:
        return [archive.read(name) for name in archive.namelist() if name.endswith(".jpg")]


async def test_after_forgetme_no_byte_of_any_file_holds_anything(story: Story) -> None:
    assert len(story.ran.kept) > 10
    await story.ran.is_clean(story.ran.kept)
    for person in story.people:
        number = str(person.ann.id).encode()
        assert [name for name, data in story.ran.every_byte() if number in data] == []
