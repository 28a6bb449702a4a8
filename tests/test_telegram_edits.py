"""Albums, edits, duplicates and order on Telegram: one question, one answer, whatever way it comes."""

from __future__ import annotations

import pytest

from rapbot.app import App
from tests.peers.telegram import TelegramPeer
from tests.pictures import cat_elsewhere_jpeg, cat_jpeg, coffee, jpeg
from tests.telegram_visitor import PATIENCE, answer, bot, teach, words
from tests.telegram_visitor import app as app
from tests.telegram_visitor import peer as peer

pytestmark = pytest.mark.asyncio(loop_scope="module")


# -- albums --------------------------------------------------------------------------------------------------


async def test_an_album_gets_one_answer_with_the_pictures_in_order(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        await teach(peer, chat, ann, "Lala", "A ginger tabby cat.")
        peer.skip(chat)
        sent = peer.send_album(chat, ann, [cat_jpeg(), jpeg(coffee()), cat_elsewhere_jpeg()], gap=0.05)
        # Not any text: on a slow machine the place in the queue is told first, and then edited.
        await peer.wait_for(lambda: any("Photo 3" in m.text for m in peer.sent(chat)), timeout=PATIENCE)
    album = [message for message in peer.sent(chat) if message.album]
    text = [message for message in peer.sent(chat) if message.text]
    assert len(album) == 2, "the two in which something was found"
    assert len({message.album for message in album}) == 1
    assert len(text) == 1
    assert "Lala" in text[0].text
    assert text[0].reply_to == sent[0]["message_id"]
    assert text[0].buttons
    assert text[0].text.index("Photo 1") < text[0].text.index("Photo 2") < text[0].text.index("Photo 3")
    fetched = [call.arguments["file_id"] for call in peer.called("getFile")][-3:]
    assert set(fetched) == {message["photo"][-1]["file_id"] for message in sent}


async def test_the_edited_caption_of_an_album_is_answered_in_place(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        sent = peer.send_album(chat, ann, [cat_jpeg(), jpeg(coffee())], "/caption")
        await peer.wait_for(lambda: any(m.text for m in peer.sent(chat)), timeout=PATIENCE)
        before = peer.sent(chat)
        peer.edit(sent[0], caption="/remember Lala A ginger tabby cat.")
        await peer.wait_for(lambda: any("Lala" in words(m) for m in peer.sent(chat)), timeout=PATIENCE)
    assert len([m for m in peer.sent(chat) if "Lala" in words(m)]) == 1
    assert len(peer.sent(chat)) <= len(before)


# -- edits, duplicates, order --------------------------------------------------------------------------------


async def test_an_edited_question_edits_the_answer(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        await teach(peer, chat, ann, "Lala", "A ginger tabby cat. She loves cheese.")
        asked = peer.say(chat, ann, "/show Lalo Lalo")
        first = await answer(peer, chat)
        assert "Lala" in first.text  # Did you mean Lala?
        peer.edit(asked, text="what does Lala love?")
        assert "cheese" in (await peer.next_edit(first, timeout=PATIENCE)).text
    assert len(peer.sent(chat)) == 2


async def test_an_edited_caption_edits_the_answer_to_the_photo(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        photo = peer.send_photo(chat, ann, cat_jpeg(), "what is this?")
        first = await answer(peer, chat)
        peer.edit(photo, caption="/remember Lala A ginger tabby cat.")
        await peer.wait_for(lambda: any("Lala" in words(m) for m in peer.sent(chat)), timeout=PATIENCE)
    assert len(peer.sent(chat)) == 1
    assert peer.sent(chat)[0].id == first.id or first.photo is None


async def test_an_edit_that_changes_no_word_is_not_answered_again(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        asked = peer.say(chat, ann, "/help")
        first = await answer(peer, chat)
        peer.edit(asked, text="/help")
        peer.say(chat, ann, "/privacy")
        await answer(peer, chat)
    assert peer.sent(chat)[0].version == first.version
    assert len(peer.called("editMessageText")) == 0


async def test_a_question_delivered_twice_is_answered_once(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        photo = peer.send_photo(chat, ann, cat_jpeg())
        peer.duplicate(photo)
        await answer(peer, chat)
        peer.duplicate(photo)
        peer.say(chat, ann, "/privacy")
        await answer(peer, chat)
    assert len(peer.sent(chat)) == 2
    assert len(peer.called("getFile")) == 1, "nor is it worked on twice"


async def test_an_edit_that_overtakes_its_question_is_the_one_that_counts(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    asked = peer.say(chat, ann, "/nonsense")
    peer.edit(asked, text="/help")
    first, second = peer.updates[-2:]
    async with bot(app, peer):
        peer._world.updates.pending.clear()
        peer.inject(second)
        peer.inject(first)
        assert "/remember" in words(await answer(peer, chat))
        peer.say(chat, ann, "/privacy")
        await answer(peer, chat)
    assert len(peer.sent(chat)) == 2


async def test_edits_in_quick_succession_leave_one_answer(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        release = peer.hold("getFile")
        photo = peer.send_photo(chat, ann, cat_jpeg(), "/find")
        await peer.wait_for(lambda: peer.called("getFile"))
        for caption in ("/describe", "/find", "/caption"):
            peer.edit(photo, caption=caption)
        await peer.fetched()
        release()
        await peer.wait_for(lambda: peer.sent(chat) and "A photo of a cat" in words(peer.sent(chat)[0]), PATIENCE)
        peer.say(chat, ann, "/privacy")
        await answer(peer, chat)
        await peer.wait_for(lambda: len(peer.sent(chat)) == 2)


async def test_an_answer_changes_between_picture_and_text_with_its_question(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        await teach(peer, chat, ann, "Lala", "A ginger tabby cat.")
        asked = peer.say(chat, ann, "/privacy")
        text = await answer(peer, chat)
        peer.edit(asked, text="/show Lala")
        picture = await peer.next_edit(text, timeout=PATIENCE)
        assert picture.photo is not None
        peer.edit(asked, text="/privacy")
        again = await answer(peer, chat)
        assert words(again) == words(text)
        assert peer.is_deleted(picture), "a picture cannot become a text"
        assert again.reply_to == asked["message_id"]
        peer.delete(again)
        peer.edit(asked, text="/show Lala")
        assert (await answer(peer, chat)).photo is not None, "what was deleted is said anew"
    assert len(peer.sent(chat)) == 2
