"""Buttons under the bot's answers on Telegram: at once, after a restart, by the right person, on old messages."""

from __future__ import annotations

import pytest

from rapbot.app import App
from tests.peers.telegram import BotMessage, Chat, Person, TelegramPeer
from tests.pictures import cat_elsewhere_jpeg, cat_jpeg
from tests.telegram_visitor import PATIENCE, answer, bot, teach, words
from tests.telegram_visitor import app as app
from tests.telegram_visitor import peer as peer

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def captioned(peer: TelegramPeer, chat: Chat, person: Person) -> BotMessage:
    """An answer about Lala, with its buttons."""
    await teach(peer, peer.private(person), person, "Lala", "A ginger tabby cat. She loves cheese.")
    peer.send_photo(chat, person, cat_elsewhere_jpeg(), "/caption")
    peer.skip(peer.private(person))
    message = await answer(peer, chat)
    assert "Lala" in words(message)
    return message


def forget_photos(app: App) -> None:
    """What a restart of the program does to what is kept in memory."""
    app.conversations.__init__(lifetime=1800, turns=3, photos=32)  # type: ignore[misc]


async def test_why_explains_with_a_picture(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        caption = await captioned(peer, chat, ann)
        query = peer.press(caption, label="Why?")
        assert await peer.next_answer(query) == {}
        why = await answer(peer, chat)
    assert "distance" in words(why)
    assert why.photo is not None
    assert why.reply_to == caption.reply_to


async def test_a_press_is_acknowledged_before_the_work(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        caption = await captioned(peer, chat, ann)
        photos = [peer.send_photo(chat, ann, cat_jpeg() + bytes([number])) for number in range(3)]
        release = peer.hold("getFile")
        query = peer.press(caption, label="Why?")
        await peer.next_answer(query, timeout=1.0)
        release()
        await peer.wait_for(lambda: len(peer.sent(chat)) == 2 + len(photos) + 1, timeout=PATIENCE)


async def test_wrong_is_corrected_step_by_step(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        caption = await captioned(peer, chat, ann)
        peer.press(caption, label="Wrong?")
        parts = await answer(peer, chat)
        label = next(label for label in parts.buttons if "I said Lala" in label)
        peer.press(parts, label=label)
        names = await answer(peer, chat)
        assert peer.is_deleted(parts), "the question about the part made room for the next one"
        peer.press(names, label="None of them")
        corrected = await peer.next_edit(names, timeout=PATIENCE)
        assert "not Lala" in words(corrected)
        peer.press(corrected, label="Undo")
        assert "Undone" in words(await answer(peer, chat))


@pytest.mark.parametrize("label", ["Why?", "Wrong?"])
async def test_buttons_of_an_earlier_run_still_work(app: App, peer: TelegramPeer, label: str) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        caption = await captioned(peer, chat, ann)
    forget_photos(app)
    async with bot(app, peer):
        fetched = len(peer.called("getFile"))
        peer.press(caption, label=label)
        again = await answer(peer, chat)
        assert again.photo is not None
        assert len(peer.called("getFile")) == fetched + 1, "the photo comes from the question again"


async def test_a_press_made_while_the_bot_was_away_is_answered_later(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        caption = await captioned(peer, chat, ann)
    query = peer.press(caption, label="Why?")
    peer.expire(query)  # too late to acknowledge it, not too late to answer
    async with bot(app, peer):
        assert "distance" in words(await answer(peer, chat))


async def test_the_photo_of_a_deleted_question_is_told_kindly(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        caption = await captioned(peer, chat, ann)
    forget_photos(app)
    [asked] = [u["message"] for u in peer.updates if "/caption" in u.get("message", {}).get("caption", "")]
    async with bot(app, peer):
        query = peer.press(caption, label="Why?")
        assert query["message"]["reply_to_message"]["message_id"] == asked["message_id"]
        peer.fail_next("getFile", 400, description="Bad Request: wrong file_id or the file is temporarily unavailable")
        said = words(await answer(peer, chat))
    assert "photo" in said
    assert said.count(".") <= 2


async def test_a_button_on_a_message_that_the_bot_cannot_read_any_more(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        caption = await captioned(peer, chat, ann)
        peer.delete(caption)
        peer.press(caption, data=caption.buttons["Why?"], stale=True)
        assert "distance" in words(await answer(peer, chat))


async def test_a_replacing_answer_to_a_vanished_message_is_sent_anew(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        await captioned(peer, chat, ann)
        peer.say(chat, ann, "/forget Lala")
        question = await answer(peer, chat)
        peer.delete(question)
        peer.press(question, data=question.buttons["Keep"], stale=True)
        assert words(await answer(peer, chat)) == "Nothing was deleted."


async def test_forgetting_asks_first_and_replaces_the_question(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        await captioned(peer, chat, ann)
        peer.say(chat, ann, "/forget Lala")
        question = await answer(peer, chat)
        query = peer.press(question, label="Forget for good")
        done = await peer.next_edit(question)
        assert "forgotten Lala" in done.text
        assert done.buttons == {}
        update = next(u for u in reversed(peer.updates) if u.get("callback_query", {}).get("id") == query["id"])
        peer.inject(update)  # delivered twice
        peer.say(chat, ann, "/concepts")
        assert "Lala" not in words(await answer(peer, chat))
    assert len(peer.sent(chat)) == 4
    assert peer.sent(chat)[2] == done, "the second delivery changed nothing"


async def test_the_pages_of_concepts_turn_in_place(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        for number in range(7):
            await teach(peer, chat, ann, f"Lala{number}", "A cat.")
        peer.say(chat, ann, "/concepts")
        first = await answer(peer, chat)
        assert first.photo is not None
        peer.press(first, label="▶")
        second = await peer.next_edit(first)
        assert "Lala6" in words(second)
        peer.press(second, label="◀")
        back = await peer.next_edit(second)
        assert words(back) == words(first)
        peer.press(back, label="Lala3")
        assert "Lala3" in words(await answer(peer, chat))


@pytest.mark.parametrize(
    ("label", "said", "then"),
    [("Name", "Lili", "Lili"), ("Information", "She loves tuna.", "tuna"), ("Kind", "tiger", "tiger")],
)
async def test_a_card_is_edited_by_button_and_next_message(
    app: App, peer: TelegramPeer, label: str, said: str, then: str
) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        await captioned(peer, chat, ann)
        peer.say(chat, ann, "/edit Lala")
        peer.press(await answer(peer, chat), label=label)
        prompt = await answer(peer, chat)
        peer.say(chat, ann, said, reply_to=prompt)
        assert then in words(await answer(peer, chat))


async def test_a_photo_is_added_by_button_and_next_message(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        await captioned(peer, chat, ann)
        peer.say(chat, ann, "/edit Lala")
        peer.press(await answer(peer, chat), label="Add a photo")
        await answer(peer, chat)
        peer.send_photo(chat, ann, cat_jpeg())
        assert "2 photos" in words(await answer(peer, chat))


async def test_deleting_everything_asks_first(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        await captioned(peer, chat, ann)
        peer.say(chat, ann, "/forgetme")
        question = await answer(peer, chat)
        peer.press(question, label="Delete everything")
        assert "deleted" in words(await peer.next_edit(question))
        peer.say(chat, ann, "/concepts")
        assert "Lala" not in words(await answer(peer, chat))


async def test_in_a_group_only_the_asker_may_press(app: App, peer: TelegramPeer) -> None:
    ann, ben = peer.person("Ann"), peer.person("Ben")
    group = peer.group("Cats", [ann, ben])
    async with bot(app, peer):
        caption = await captioned(peer, group, ann)
        peer.press(caption, label="Why?", person=ben)
        assert words(await answer(peer, group)) == "That button is for the person who asked."
        peer.press(caption, label="Why?", person=ann)
        assert "distance" in words(await answer(peer, group))


async def test_editing_from_a_group_goes_on_in_private(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat, group = peer.private(ann), peer.group("Cats", [ann])
    async with bot(app, peer):
        peer.send_photo(group, ann, cat_jpeg(), "/remember Lala A ginger tabby cat.")
        taught = await answer(peer, group)
        peer.press(taught, label="Edit", person=ann)
        menu = await answer(peer, chat)
        assert "Lala" in words(menu)
        peer.press(menu, label="Information")
        prompt = await answer(peer, chat)
        peer.say(chat, ann, "She loves tuna.", reply_to=prompt)
        assert "tuna" in words(await answer(peer, chat))
    assert len(peer.sent(group)) == 1


async def test_data_that_nobody_made_is_told_kindly(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        caption = await captioned(peer, chat, ann)
        for data in ("nonsense", f"part:{ann.id}:x:y", f"why:{ann.id}", "mode:every"):
            peer.press(caption, data=data, stale=True)
            assert words(await answer(peer, chat)), data
