"""The Telegram bot, killed while messages are under way and started again: nothing is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from telegram import Update

from adapters import intake
from rapbot.app import App
from rapbot.concepts.sqlite_inbox import SqliteInbox
from rapbot.errors import DiskFull
from rapbot.inbox import Arrived
from tests.inbox_child import changed, child
from tests.peers.telegram import BotMessage, Chat, Person, TelegramPeer
from tests.peers.telegram.wire import Wire
from tests.pictures import cat_elsewhere_jpeg, cat_jpeg
from tests.telegram_visitor import PATIENCE, answer, bot, inbox_file, telegram, words
from tests.telegram_visitor import app as app

pytestmark = pytest.mark.asyncio(loop_scope="module")
SLOW = 90.0


@pytest_asyncio.fixture(loop_scope="module")
async def peer() -> AsyncIterator[TelegramPeer]:
    async with telegram() as started:
        yield started


def answers(peer: TelegramPeer, chat: Chat) -> dict[int, list[BotMessage]]:
    """The bot's messages by the question that they answer, without those that tell a place in the queue."""
    found: dict[int, list[BotMessage]] = {}
    for message in [one for one in peer.sent(chat) if not words(one).endswith("…")]:
        found.setdefault(message.reply_to or 0, []).append(message)
    return found


async def all_answered(peer: TelegramPeer, asked: dict[int, tuple[Chat, list[int]]]) -> None:
    def missing() -> bool:
        return all(set(numbers) <= answers(peer, chat).keys() for chat, numbers in asked.values())

    await peer.wait_for(missing, SLOW)


async def test_what_is_under_way_at_a_kill_is_answered_once_and_in_order(peer: TelegramPeer, tmp_path: Path) -> None:
    people = [peer.person(name) for name in ("Ann", "Ben", "Cleo")]
    async with child("telegram", peer.address, peer.token, tmp_path) as program:
        release = peer.hold("getFile")  # all of them are under way, none can be answered
        asked: dict[int, tuple[Chat, list[int]]] = {}
        for person in people:
            chat = peer.private(person)
            sent = [peer.send_photo(chat, person, cat_jpeg() + bytes([number])) for number in range(3)]
            asked[person.id] = (chat, [message["message_id"] for message in sent])
        await peer.fetched()
        await peer.wait_for(lambda: len(peer.called("getFile")) >= 8)  # as many as are fetched at once
        await program.kill()
        release()
        for person in people:  # more comes while nobody is there
            chat, numbers = asked[person.id]
            numbers.append(peer.send_photo(chat, person, cat_elsewhere_jpeg())["message_id"])
        await program.start()
        await all_answered(peer, asked)
        for chat, numbers in asked.values():
            assert [message.reply_to for message in peer.sent(chat)] == numbers, "each once, in order"
            assert all("cat" in words(message) for message in peer.sent(chat))


async def test_a_change_made_before_the_kill_is_not_made_again(peer: TelegramPeer, tmp_path: Path) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with child("telegram", peer.address, peer.token, tmp_path) as program:
        # An answer that takes long takes the place of a message that says so.
        releases = [peer.hold(method) for method in ("sendPhoto", "editMessageMedia")]
        peer.send_photo(chat, ann, cat_jpeg(), "/remember Lala A ginger cat.")
        await changed(tmp_path)  # she is remembered, and nobody knows
        await program.kill()
        for release in releases:
            release()
        await program.start()
        await peer.wait_for(lambda: any("It is done" in words(one) for one in peer.sent(chat)), SLOW)
        said = words(peer.sent(chat)[-1])
        assert "Lala" in said
        assert "A ginger cat" in said
        peer.say(chat, ann, "/concepts")
        await peer.wait_for(lambda: len(peer.sent(chat)) == 2, SLOW)
        assert words(peer.sent(chat)[-1]).count("Lala") == 1


async def test_random_kills_lose_nothing(peer: TelegramPeer, tmp_path: Path) -> None:
    """Only what was being sent at the very moment of a kill may be there twice."""
    chance = random.Random(1)
    people = [peer.person(f"Person {number}") for number in range(4)]
    asked = {person.id: (peer.private(person), list[int]()) for person in people}
    at_risk: set[tuple[int, int]] = set()
    async with child("telegram", peer.address, peer.token, tmp_path) as program:
        for _kill in range(3):
            for _message in range(8):
                say_something(peer, chance, chance.choice(people), asked)
            calls = len(peer.calls) + chance.randrange(2, 40)
            await peer.wait_for(lambda calls=calls: len(peer.calls) >= calls, SLOW)  # type: ignore[misc]
            await program.kill()
            at_risk |= last_sent(peer, asked)
            await program.start()
        await all_answered(peer, asked)
    for chat, numbers in asked.values():
        told = answers(peer, chat)
        assert told.keys() == set(numbers)
        for question, messages in told.items():
            assert len(messages) == 1 or (len(messages) == 2 and (chat.id, question) in at_risk)


def say_something(
    peer: TelegramPeer, chance: random.Random, person: Person, asked: dict[int, tuple[Chat, list[int]]]
) -> None:
    chat, numbers = asked[person.id]
    kind = chance.choice(["photo", "help", "concepts"])
    if kind == "photo":
        message = peer.send_photo(chat, person, cat_jpeg() + chance.randbytes(2))
    else:
        message = peer.say(chat, person, f"/{kind}")
    numbers.append(message["message_id"])


def last_sent(peer: TelegramPeer, asked: dict[int, tuple[Chat, list[int]]]) -> set[tuple[int, int]]:
    """(chat, question) of what was sent in the last second: the program may not have noted it."""
    now = asyncio.get_running_loop().time()
    return {
        (chat.id, message.reply_to or 0)
        for chat, _numbers in asked.values()
        for message in peer.sent(chat)
        if now - message.at < 1.0
    }


# -- without a kill: what a crash would have left ---------------------------------------------------------------


def left_behind(peer: TelegramPeer, update: Wire, **more: Any) -> Arrived:
    """As the last run would have kept this update."""
    message = update["message"]
    kept: Any = {
        "expires_at": time.time() + 3600,
        "question": f"{message['chat']['id']}:{message['message_id']}",
        **more,
    }
    return Arrived(
        platform=f"telegram:{peer.bot['id']}",
        key=str(update["update_id"]),
        person=str(message["from"]["id"]),
        update=json.dumps(update),
        **kept,
    )


async def leave(app: App, peer: TelegramPeer, *updates: Arrived) -> None:
    async with SqliteInbox.open(inbox_file(app, peer)) as inbox:
        await inbox.accept(updates)


def unseen(peer: TelegramPeer) -> Wire:
    """The last message of somebody, as an update that no run has met."""
    return {**peer.updates[-1], "update_id": peer.updates[-1]["update_id"] + 100_000}


async def test_a_placeholder_of_the_last_run_becomes_the_answer(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        peer.say(chat, ann, "/help")
        before = await answer(peer, chat)
    note = {"sent": [chat.id, [["text", before.id]]], "placeholder": True}
    again = unseen(peer)
    again["message"] = {**again["message"], "text": "/concepts"}
    await leave(app, peer, left_behind(peer, again, answer=json.dumps(note)))
    async with bot(app, peer):
        assert "anything of yours yet" in words(await peer.next_edit(before, timeout=PATIENCE))
    assert len(peer.sent(chat)) == 1


async def test_an_edit_under_way_edits_the_answer_to_what_it_edits(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        asked = peer.say(chat, ann, "/help")
        before = await answer(peer, chat)
    note = {"sent": [chat.id, [["text", before.id]]], "placeholder": False}
    edit = {"update_id": 990_001, "edited_message": {**asked, "text": "/concepts", "edit_date": asked["date"] + 5}}
    kept = left_behind(peer, {"update_id": 990_001, "message": asked}, answer=json.dumps(note))
    await leave(app, peer, replace(kept, update=json.dumps(edit)))
    async with bot(app, peer):
        assert "anything of yours yet" in words(await peer.next_edit(before, timeout=PATIENCE))
    assert len(peer.sent(chat)) == 1


async def test_an_album_under_way_gets_one_answer(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        release = peer.hold("getFile")
        peer.send_album(chat, ann, [cat_jpeg(), cat_elsewhere_jpeg()])
        await peer.wait_for(lambda: peer.called("getFile"))
        release()
        await answer(peer, chat)
    once = len(peer.sent(chat))
    messages = [update for update in peer.updates if "media_group_id" in update.get("message", {})]
    album = f"{chat.id}:album:{messages[0]['message']['media_group_id']}"
    later = [{**update, "update_id": update["update_id"] + 100_000} for update in messages]
    await leave(app, peer, *(left_behind(peer, update, question=album, work=album) for update in later))
    async with bot(app, peer):
        await peer.wait_for(lambda: len(peer.sent(chat)) == 2 * once, PATIENCE)
    assert len(peer.sent(chat)) == 2 * once


async def test_who_waited_too_long_gets_one_apology(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        peer.say(chat, ann, "/help")
        await answer(peer, chat)
    late = left_behind(peer, unseen(peer), expires_at=time.time() - 1)
    await leave(app, peer, late)
    for _run in range(2):
        async with bot(app, peer):
            await peer.wait_for(lambda: len(peer.sent(chat)) == 2)
    assert "send it again" in words(peer.sent(chat)[-1])


async def test_what_is_cut_off_by_the_end_is_answered_by_the_next_run(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer, grace_s=0.1):
        release = peer.hold("getFile")
        peer.send_photo(chat, ann, cat_jpeg())
        await peer.wait_for(lambda: peer.called("getFile"))
    release()
    assert peer.sent(chat) == []
    async with bot(app, peer):
        assert "cat" in words(await answer(peer, chat))
    assert len(peer.sent(chat)) == 1


async def test_telegram_is_told_only_what_is_on_disk(app: App, peer: TelegramPeer, monkeypatch: Any) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    full = [2]

    async def refuse(inbox: SqliteInbox, arrived: Sequence[Arrived]) -> list[bool]:
        if full[0]:
            full[0] -= 1
            raise DiskFull
        return await accept(inbox, arrived)

    accept = SqliteInbox.accept
    monkeypatch.setattr(SqliteInbox, "accept", refuse)
    async with bot(app, peer):
        peer.say(chat, ann, "/help")
        assert "/remember" in words(await answer(peer, chat))
    assert full == [0]
    assert len(peer.sent(chat)) == 1


async def test_an_update_that_cannot_be_written_down_holds_up_no_other(
    app: App, peer: TelegramPeer, monkeypatch: Any
) -> None:
    def unwritable(self: Update) -> dict[str, object]:
        return {"unknown": object()} if self.message and self.message.text == "/help" else to_dict(self)

    to_dict = Update.to_dict
    monkeypatch.setattr(Update, "to_dict", unwritable)
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        peer.say(chat, ann, "/help")
        peer.say(chat, ann, "/concepts")
        await peer.wait_for(lambda: len(peer.sent(chat)) == 2, PATIENCE)


async def test_while_telegram_fails_the_answer_waits(app: App, peer: TelegramPeer, monkeypatch: Any) -> None:
    monkeypatch.setattr(intake, "_FIRST_PAUSE_S", 0.05)
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        peer.fail_next("sendMessage", 502, times=6)  # more often than one call is repeated
        peer.say(chat, ann, "/help")
        assert "/remember" in words(await answer(peer, chat))
    assert len(peer.sent(chat)) == 1


async def test_a_button_under_a_message_too_old_to_be_shown_is_kept_too(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        pressed = peer.press({"chat": chat.wire, "message_id": 1}, "page:0", ann, stale=True)
        peer.post(chat, ann, pinned_message={"chat": chat.wire, "message_id": 1, "date": 0})
        assert await peer.next_answer(pressed) == {}
        peer.say(chat, ann, "/help")
        await peer.wait_for(lambda: any("/remember" in words(one) for one in peer.sent(chat)))


async def test_nothing_of_a_photo_and_its_words_stays(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        peer.send_photo(chat, ann, cat_jpeg() + b"MARKER-OF-BYTES", "what is MARKER-OF-WORDS")
        await answer(peer, chat)
    for file in app.settings.data_dir.iterdir():
        if file.name.startswith("inbox-"):
            assert b"MARKER" not in file.read_bytes()
