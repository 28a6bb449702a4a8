"""A person alone with the bot on Telegram: photos, commands, albums, edits, languages, everything that can go wrong."""

from __future__ import annotations

import io
import zipfile

import pytest

from adapters.telegram import pieces
from rapbot.app import App
from rapbot.i18n import _, speaking
from rapbot.inference.queue import JobQueue
from rapbot.messages import Progress, Stage
from tests.peers.telegram import TelegramPeer
from tests.pictures import cat, cat_elsewhere_jpeg, cat_jpeg, jpeg, rocket
from tests.telegram_visitor import PATIENCE, answer, bot, teach, words
from tests.telegram_visitor import app as app
from tests.telegram_visitor import peer as peer

pytestmark = pytest.mark.asyncio(loop_scope="module")


# -- teaching and asking -------------------------------------------------------------------------------------


async def test_from_start_to_a_caption_with_the_name(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        peer.say(chat, ann, "/start")
        assert "/remember" in words(await answer(peer, chat))

        photo = peer.send_photo(chat, ann, cat_jpeg(), "/remember Lala A ginger tabby cat. She loves cheese.")
        taught = await answer(peer, chat)
        assert "Lala" in taught.caption
        assert taught.photo is not None
        assert taught.reply_to == photo["message_id"]
        assert {"Edit", "Undo"} <= set(taught.buttons)

        peer.send_photo(chat, ann, cat_elsewhere_jpeg())
        caption = await answer(peer, chat)
        assert "Lala" in caption.caption
        assert caption.photo is not None, "with the found ones drawn on it"

        peer.say(chat, ann, "what does Lala love?")
        assert "cheese" in words(await answer(peer, chat))
    assert peer.actions(chat), "typing was shown"


async def test_each_command_of_the_menu_answers(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    expected = {
        "/caption": "Lala",
        "/describe": "Lala",
        "/find": "Lala",
        "/find Lala": "Lala",
        "/ask what does Lala love?": "cheese",
        "/concepts": "Lala",
        "/show Lala": "cheese",
        "/edit Lala": "What shall I change?",
        "/edit Lala She loves tuna.": "tuna",
        "/undo": "Lala",
        "/addphoto Lala": "Lala",
        "/forget Lala": "no undo",
        "/privacy": "",
        "/link": "/link",
        "/unlink": "not linked",
        "/forgetme": "no undo",
        "/settings": "/settings",
        "/share Lala": "/share",
        "/help": "/remember",
        "/nonsense": "There is no command /nonsense",
        "/concpts": "/concepts",
        "/list": "/concepts",
        "/delete Lala": "/forget",
    }
    async with bot(app, peer):
        await teach(peer, chat, ann, "Lala", "A ginger tabby cat. She loves cheese.")
        peer.send_photo(chat, ann, cat_jpeg())
        await answer(peer, chat)
        for command, part in expected.items():
            peer.say(chat, ann, command)
            said = words(await answer(peer, chat))
            assert part in said, command
            assert said, command


async def test_my_data_comes_as_a_file(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        await teach(peer, chat, ann, "Lala", "A ginger tabby cat.")
        peer.say(chat, ann, "/mydata")
        message = await answer(peer, chat)
    assert message.document is not None
    assert message.file_name == "rapbot.zip"
    with zipfile.ZipFile(io.BytesIO(message.document)) as archive:
        assert archive.namelist()


async def test_data_too_large_for_telegram_is_told(
    app: App, peer: TelegramPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "FILE_BYTES", 100)
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        peer.say(chat, ann, "/mydata")
        assert "Telegram takes up to" in words(await answer(peer, chat))
    assert not peer.called("sendDocument")


async def test_remember_by_reply_to_a_photo(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        photo = peer.send_photo(chat, ann, cat_jpeg())
        await answer(peer, chat)
        peer.say(chat, ann, "/remember Momo A cat of the neighbours.", reply_to=photo)
        assert "Momo" in words(await answer(peer, chat))
        peer.say(chat, ann, "/show Momo")
        assert "neighbours" in words(await answer(peer, chat))


async def test_remember_waits_for_the_photo(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        peer.say(chat, ann, "/remember Rocky A big rocket.")
        assert "photo" in words(await answer(peer, chat))
        peer.send_photo(chat, ann, jpeg(rocket()))
        assert "I will know Rocky" in words(await answer(peer, chat))


async def test_a_picture_sent_as_a_file_is_a_photo_too(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    png = io.BytesIO()
    cat().save(png, "PNG")
    async with bot(app, peer):
        peer.send_document(chat, ann, png.getvalue(), "lala.png", "image/png")
        assert "cat" in words(await answer(peer, chat))


async def test_the_largest_size_of_a_photo_is_taken(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        photo = peer.send_photo(chat, ann, cat_jpeg())
        await answer(peer, chat)
    assert [call.arguments["file_id"] for call in peer.called("getFile")] == [photo["photo"][-1]["file_id"]]


# -- what cannot be read -------------------------------------------------------------------------------------


async def test_other_kinds_of_messages_are_told_kindly(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    voice = {"file_id": "v", "file_unique_id": "v", "duration": 3}
    async with bot(app, peer):
        peer.post(chat, ann, voice=voice)
        assert "texts and photos" in words(await answer(peer, chat))
        peer.send_document(chat, ann, b"%PDF-1.4", "cv.pdf", "application/pdf", "what is this?")
        assert "texts and photos" in words(await answer(peer, chat))
        peer.post(chat, ann, pinned_message={"chat": chat.wire, "message_id": 1, "date": 0})  # a service message
        peer.say(chat, ann, "/help")
        assert "/remember" in words(await answer(peer, chat))
    assert not peer.called("getFile")
    assert len(peer.sent(chat)) == 3


async def test_a_photo_over_20_mb_is_refused_before_it_is_fetched(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        peer.send_document(chat, ann, cat_jpeg(), "big.jpg", "image/jpeg", file_size=25_000_000)
        assert words(await answer(peer, chat)) == "That photo has 25 MB; I can take up to 20 MB."
        assert not peer.called("getFile")
        peer.fail_next("getFile", 400, description="Bad Request: file is too big")
        peer.send_photo(chat, ann, cat_jpeg())
        assert "MB" in words(await answer(peer, chat))


async def test_a_file_that_is_no_picture_is_one_sentence(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        message = peer.send_document(chat, ann, b"no picture at all", "cat.jpg", "image/jpeg")
        said = words(await answer(peer, chat))
    assert said.count(".") <= 2
    assert "Traceback" not in said
    assert peer.reactions(message) == [], "the eyes are taken away"


async def test_a_download_that_goes_on_failing_is_one_sentence_and_once_is_nothing(
    app: App, peer: TelegramPeer
) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        peer.drop_next("download")
        peer.send_photo(chat, ann, cat_jpeg())
        assert "cat" in words(await answer(peer, chat))
        peer.drop_next("download", times=4)  # a connection that was open before is tried once more by itself
        peer.send_photo(chat, ann, cat_jpeg())
        assert words(await answer(peer, chat)) == "I could not get that photo from Telegram. Please send it again."


async def test_a_bug_is_one_sentence(app: App, peer: TelegramPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)

    async def broken(*args: object, **options: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr(app.assistant, "respond", broken)
    async with bot(app, peer):
        peer.say(chat, ann, "hello")
        assert words(await answer(peer, chat)) == "Something broke inside me. Sorry! Please try that again."


# -- how answers look ----------------------------------------------------------------------------------------


async def test_a_long_answer_is_split_and_the_buttons_are_on_the_last_part(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    info = "She is 🐈. " * 45
    async with bot(app, peer):
        for number in range(6):
            await teach(peer, chat, ann, f"Lala{number}", info)
        peer.skip(chat)
        peer.say(chat, ann, "/concepts")
        sheet = await answer(peer, chat)
        text = await answer(peer, chat)
    assert sheet.photo is not None
    assert sheet.caption == ""
    assert sheet.buttons == {}
    assert "Lala5" in text.text
    assert "Lala0" in text.buttons


async def test_what_people_taught_never_becomes_markup(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        said = await teach(peer, chat, ann, "Lala", "<b>bold</b> *star* _under_ [a](http://example.org) `code`")
    assert "<b>bold</b> *star* _under_ [a](http://example.org) `code`" in said
    for method in ("sendMessage", "sendPhoto"):
        for call in peer.called(method):
            assert "parse_mode" not in call.arguments
            assert "entities" not in call.arguments


async def test_link_previews_are_off(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        peer.say(chat, ann, "/help")
        await answer(peer, chat)
    assert peer.called("sendMessage")[0].arguments["link_preview_options"] == {"is_disabled": True}


async def test_a_picture_that_telegram_takes_only_as_a_file_is_sent_as_one(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        await teach(peer, chat, ann, "Lala", "A ginger tabby cat.")
        peer.fail_next("sendPhoto", 400, description="Bad Request: PHOTO_INVALID_DIMENSIONS")
        peer.say(chat, ann, "/show Lala")
        shown = await answer(peer, chat)
    assert shown.document is not None
    assert "Lala" in shown.caption
    assert shown.buttons


async def test_eyes_while_looking_and_a_sign_when_done(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        photo = peer.send_photo(chat, ann, cat_jpeg())
        await peer.wait_for(lambda: peer.reactions(photo) == ["👀"])
        await answer(peer, chat)
        await peer.wait_for(lambda: peer.reactions(photo) == ["👌"])


async def test_a_chat_without_reactions_is_answered_and_not_asked_again(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        peer.fail_next("setMessageReaction", 400, description="Bad Request: REACTION_INVALID")
        for _ in range(2):
            peer.send_photo(chat, ann, cat_jpeg())
            assert "cat" in words(await answer(peer, chat))
    assert len(peer.called("setMessageReaction")) == 1


async def test_a_person_reads_their_own_language(app: App, peer: TelegramPeer) -> None:
    english = "I can read texts and photos (also photos sent as files). Please send me one of those instead."
    with speaking("de"):
        expected = _(english)
    assert expected != english
    ann = peer.person("Änne", language="de-AT")
    chat = peer.private(ann)
    async with bot(app, peer):
        peer.post(chat, ann, voice={"file_id": "v", "file_unique_id": "v", "duration": 3})
        assert words(await answer(peer, chat)) == expected


async def test_who_waits_is_told_their_place_and_the_answer_replaces_it(
    app: App, peer: TelegramPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    submit = JobQueue.submit
    waited = False

    async def crowded(self: JobQueue, job: object, listener: object = None) -> object:
        nonlocal waited
        if listener is not None and not waited:
            waited = True
            listener(Progress(Stage.QUEUED, 7))  # type: ignore[operator]
            await peer.wait_for(lambda: len(peer.sent(chat)) == 2)
        return await submit(self, job, listener)  # type: ignore[arg-type]

    async with bot(app, peer):
        await teach(peer, chat, ann, "Lala", "A ginger tabby cat.")
        monkeypatch.setattr(JobQueue, "submit", crowded)
        peer.send_photo(chat, ann, cat_elsewhere_jpeg())
        told = await answer(peer, chat)
        assert "7 messages before yours" in told.text
        edited = await peer.next_edit(told, timeout=PATIENCE)
        while not edited.photo:
            edited = await peer.next_edit(edited, timeout=PATIENCE)
        assert "Lala" in edited.caption
    assert len(peer.sent(chat)) == 2
