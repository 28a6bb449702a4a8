"""The Telegram stand-in against the unmodified python-telegram-bot: it does what Telegram would do."""

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from PIL import Image
from telegram import (
    BotCommand,
    BotCommandScopeChat,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaPhoto,
    Update,
)
from telegram import Message as PtbMessage
from telegram.constants import ChatAction, ParseMode
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, NetworkError, RetryAfter
from telegram.ext import AIORateLimiter, Application, ApplicationBuilder, ExtBot, TypeHandler

from tests.peers import bot_api
from tests.peers.telegram import BotMessage, TelegramPeer

App = Application[Any, Any, Any, Any, Any, Any]
Handler = Callable[[Update, Any], Coroutine[Any, Any, None]]


def png(color: str, size: tuple[int, int] = (600, 400)) -> bytes:
    """A picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def durations_are_timedeltas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the library warns, at each 429, of its own coming change; warnings are errors here."""
    monkeypatch.setenv("PTB_TIMEDELTA", "true")


@pytest.fixture
async def peer() -> AsyncIterator[TelegramPeer]:
    async with TelegramPeer.start() as started:
        yield started


@pytest.fixture
async def bot(peer: TelegramPeer) -> AsyncIterator[ExtBot[None]]:
    """The library without an application: it sends, and nobody reads the updates."""
    started: ExtBot[None] = ExtBot(peer.token, base_url=peer.base_url, base_file_url=peer.base_file_url)
    async with started:
        yield started


def build(peer: TelegramPeer, handler: Handler) -> App:
    builder = ApplicationBuilder().token(peer.token).base_url(peer.base_url).base_file_url(peer.base_file_url)
    app: App = builder.rate_limiter(AIORateLimiter(max_retries=2)).build()
    app.add_handler(TypeHandler(Update, handler))
    return app


@asynccontextmanager
async def running(peer: TelegramPeer, handler: Handler, **polling: Any) -> AsyncIterator[App]:
    """An application that long-polls the stand-in and gives every update to `handler`."""
    app = build(peer, handler)
    assert app.updater is not None
    async with app:
        await app.updater.start_polling(**polling)
        await app.start()
        try:
            yield app
        finally:
            await app.updater.stop()
            await app.stop()


def message_of(update: Update) -> PtbMessage:
    assert update.effective_message is not None
    return update.effective_message


async def echo(update: Update, context: object) -> None:
    if update.effective_message is not None:
        await update.effective_message.reply_text(f"You said: {update.effective_message.text}", do_quote=True)


async def test_a_text_reaches_the_bot_and_its_reply_the_person(peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with running(peer, echo):
        said = peer.say(chat, ann, "hello 🐶 /help@rapbot_test_bot")
        reply = await peer.next_message(chat)
    assert reply.text == "You said: hello 🐶 /help@rapbot_test_bot"
    assert reply.reply_to == said["message_id"]
    assert said["entities"] == [{"type": "bot_command", "offset": 9, "length": 21}]  # the dog counts as two
    assert peer.sent(chat) == [reply]


async def test_privacy_mode_shows_only_what_concerns_the_bot(peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    group = peer.group("Friends", members=[ann])
    async with running(peer, echo):
        peer.say(group, ann, "not for you")
        peer.say(group, ann, "/start@another_bot")
        peer.say(group, ann, "hey @rapbot_test_bot")
        first = await peer.next_message(group)
        peer.say(group, ann, "and this?", reply_to=first)
        second = await peer.next_message(group)
        peer.say(group, ann, "/teach")
        third = await peer.next_message(group)
    said = [m.text.removeprefix("You said: ") for m in (first, second, third)]
    assert said == ["hey @rapbot_test_bot", "and this?", "/teach"]
    assert len(peer.sent(group)) == 3
    assert second.thread is not None
    assert "is_topic_message" not in second.wire  # the trap: a thread id outside of forums


async def test_a_photo_comes_in_several_sizes_and_the_largest_downloads_whole(peer: TelegramPeer) -> None:
    ann, picture = peer.person("Ann"), png("red")
    chat = peer.private(ann)

    async def give_back(update: Update, context: object) -> None:
        sizes = message_of(update).photo
        data = await (await sizes[-1].get_file()).download_as_bytearray()
        await message_of(update).reply_photo(bytes(data), caption=f"{len(sizes)} sizes, <b>{sizes[-1].width}</b> wide")

    async with running(peer, give_back):
        sent = peer.send_photo(chat, ann, picture, "look")
        reply = await peer.next_message(chat)
    assert reply.photo == picture
    assert reply.caption == "3 sizes, <b>600</b> wide"  # no parse_mode, no marks
    assert sent["photo"][-1]["file_size"] == len(picture)
    assert sent["photo"][0]["width"] == 90


async def test_albums_come_as_single_messages_and_go_as_one(peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    seen: list[tuple[str | None, str | None]] = []

    async def answer_pair(update: Update, context: object) -> None:
        message = message_of(update)
        seen.append((message.media_group_id, message.caption))
        if len(seen) == 2:
            await message.reply_media_group(
                [InputMediaPhoto(png("blue"), caption="one"), InputMediaPhoto(png("green"))]
            )

    async with running(peer, answer_pair):
        peer.send_album(chat, ann, [png("red"), png("white")], "mine", gap=0.05)
        one, two = await peer.next_message(chat), await peer.next_message(chat)
    assert seen[0][0] == seen[1][0] is not None
    assert [caption for _, caption in seen] == ["mine", None]
    assert one.album == two.album is not None
    assert (one.photo, one.caption, two.photo) == (png("blue"), "one", png("green"))


async def test_a_pressed_button_is_answered_and_its_message_edited(peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("Why?", callback_data="why:1")]])

    async def card(update: Update, context: object) -> None:
        if (query := update.callback_query) is not None:
            await query.answer("Because")
            await query.edit_message_media(
                InputMediaPhoto(png("black"), caption="<i>why</i>", parse_mode=ParseMode.HTML)
            )
        else:
            await message_of(update).reply_photo(png("red"), reply_markup=keyboard)

    async with running(peer, card) as app:
        peer.say(chat, ann, "who is it?")
        shown = await peer.next_message(chat)
        assert shown.buttons == {"Why?": "why:1"}
        query = peer.press(shown, label="Why?")
        assert await peer.next_answer(query) == {"text": "Because"}
        edited = await peer.next_edit(shown)
        assert (edited.photo, edited.caption, edited.buttons) == (png("black"), "why", {})
        assert edited.entities == [{"type": "italic", "offset": 0, "length": 3}]
        peer.expire(query)
        with pytest.raises(BadRequest, match="Query is too old"):
            await app.bot.answer_callback_query(query["id"])
        with pytest.raises(AssertionError, match="no button 'Wrong'"):
            peer.press(edited, label="Wrong")


async def test_edits_deletions_and_late_messages_are_told_apart(peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    edits: list[bool] = []

    async def note(update: Update, context: object) -> None:
        edits.append(update.edited_message is not None)
        await echo(update, context)

    async with running(peer, note):
        said = peer.say(chat, ann, "teh dog")
        await peer.next_message(chat)
        peer.edit(said, text="the dog")
        assert (await peer.next_message(chat)).text == "You said: the dog"
        peer.duplicate(said)
        assert (await peer.next_message(chat)).text == "You said: the dog"
        peer.inject(peer.updates[0])
        assert (await peer.next_message(chat)).text == "You said: teh dog"
        peer.say(chat, ann, "later")
        assert (await peer.next_message(chat)).text == "You said: later"
        await peer.fetched()
    assert edits == [False, True, True, False, False]


async def test_refused_edits_and_replies_are_worded_like_telegrams(peer: TelegramPeer, bot: ExtBot[None]) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    said = peer.say(chat, ann, "hi")
    mine = await bot.send_message(chat.id, "hello")
    with pytest.raises(BadRequest, match="Message is not modified"):
        await bot.edit_message_text("hello", chat.id, mine.message_id)
    with pytest.raises(BadRequest, match="Message can't be edited"):
        await bot.edit_message_text("hello", chat.id, said["message_id"])
    peer.delete(said)
    with pytest.raises(BadRequest, match="Message to be replied not found"):
        await bot.send_message(chat.id, "x", reply_to_message_id=said["message_id"])
    await bot.send_message(chat.id, "x", reply_to_message_id=said["message_id"], allow_sending_without_reply=True)
    peer.age(mine.to_dict(), 49 * 3600)
    with pytest.raises(BadRequest, match="Message can't be deleted"):
        await bot.delete_message(chat.id, mine.message_id)
    last = peer.sent(chat)[-1]
    await bot.delete_message(chat.id, last.id)
    assert peer.is_deleted(last)
    with pytest.raises(BadRequest, match="Message to edit not found"):
        await bot.edit_message_text("hello", chat.id, last.id)


async def test_the_limits_of_text_caption_and_download_hold(peer: TelegramPeer, bot: ExtBot[None]) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    await bot.send_message(chat.id, "🐶" * 2048)
    await bot.send_message(chat.id, "<b>" + "a" * 4096 + "</b>", parse_mode=ParseMode.HTML)
    with pytest.raises(BadRequest, match="Message is too long"):
        await bot.send_message(chat.id, "🐶" * 2048 + "a")
    with pytest.raises(BadRequest, match="Message caption is too long"):
        await bot.send_photo(chat.id, png("red"), caption="a" * 1025)
    with pytest.raises(BadRequest, match="unclosed start tag"):
        await bot.send_message(chat.id, "a <b", parse_mode=ParseMode.HTML)
    with pytest.raises(BadRequest, match='unsupported start tag "blink"'):
        await bot.send_message(chat.id, "<blink>", parse_mode=ParseMode.HTML)
    large = peer.send_document(chat, ann, png("red"), "dog.png", "image/png", file_size=21 * 1024 * 1024)
    with pytest.raises(BadRequest, match="File is too big"):
        await bot.get_file(large["document"]["file_id"])


async def test_a_429_is_waited_out_by_the_rate_limiter(peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with running(peer, echo):
        peer.fail_next("sendMessage", code=429, retry_after=1)
        peer.say(chat, ann, "hi")
        await peer.next_message(chat)
    refused, accepted = peer.called("sendMessage")
    assert (refused.ok, accepted.ok) == (False, True)
    assert accepted.at - refused.at >= 1


async def test_faults_reach_the_library_as_its_own_errors(peer: TelegramPeer, bot: ExtBot[None]) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    peer.fail_next("sendMessage", retry_after=7)
    with pytest.raises(RetryAfter):
        await bot.send_message(chat.id, "one")
    peer.fail_next("sendMessage", code=502)
    with pytest.raises(NetworkError, match="Bad Gateway"):
        await bot.send_message(chat.id, "two")
    peer.drop_next("sendMessage")
    with pytest.raises(NetworkError):
        await bot.send_message(chat.id, "three")
    assert peer.sent(chat) == []
    peer.drop_next("sendMessage", processed=True)
    with pytest.raises(NetworkError):
        await bot.send_message(chat.id, "four")
    assert [m.text for m in peer.sent(chat)] == ["four"]
    release = peer.hold("sendMessage")
    held = asyncio.create_task(bot.send_message(chat.id, "five"))
    await peer.wait_for(lambda: len(peer.called("sendMessage")) == 5)
    assert len(peer.sent(chat)) == 1
    release()
    await held
    with pytest.raises(InvalidToken):
        async with ExtBot("1:wrong", base_url=peer.base_url):
            pass


async def test_a_dropped_download_fails_and_the_next_succeeds(peer: TelegramPeer, bot: ExtBot[None]) -> None:
    ann = peer.person("Ann")
    sent = peer.send_photo(peer.private(ann), ann, png("red"))
    file = await bot.get_file(sent["photo"][-1]["file_id"])
    peer.drop_next("download")
    with pytest.raises(NetworkError):
        await file.download_as_bytearray()
    assert await file.download_as_bytearray() == png("red")


async def test_updates_wait_for_a_bot_that_is_away_and_go_to_one_poll_only(
    peer: TelegramPeer, bot: ExtBot[None]
) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    peer.say(chat, ann, "anybody there?")
    async with running(peer, echo):
        assert (await peer.next_message(chat)).text == "You said: anybody there?"
    peer.say(chat, ann, "and now?")
    async with running(peer, echo):
        assert (await peer.next_message(chat)).text == "You said: and now?"
        await peer.fetched()
    polls = len(peer.called("getUpdates"))
    first = asyncio.create_task(bot.get_updates(timeout=30))
    await peer.wait_for(lambda: len(peer.called("getUpdates")) > polls)
    async with ExtBot(peer.token, base_url=peer.base_url) as second:
        assert await second.get_updates(timeout=0) == ()
        with pytest.raises(Conflict, match="terminated by other getUpdates"):
            await first
        peer.delay("getMe", 0.05)
        started = asyncio.get_running_loop().time()
        await second.get_me()
        assert asyncio.get_running_loop().time() - started >= 0.05
    assert len(peer.sent(chat)) == 2


async def test_webhook_posts_carry_the_secret_and_others_are_refused(peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    app = build(peer, echo)

    async def call(request: web.Request) -> web.Response:
        if request.headers.get("X-Telegram-Bot-Api-Secret-Token") != "s3cret":
            return web.Response(status=403)
        await app.update_queue.put(Update.de_json(await request.json(), app.bot))
        return web.Response()

    server = web.Application()
    server.router.add_post("/hook", call)
    runner = web.AppRunner(server)
    await runner.setup()
    listening = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listening).start()
    async with app:
        await app.bot.set_webhook(f"http://127.0.0.1:{listening.getsockname()[1]}/hook", secret_token="s3cret")
        await app.start()
        peer.say(chat, ann, "by post")
        assert (await peer.next_message(chat)).text == "You said: by post"
        await peer.fetched()
        assert await peer.post_update(peer.updates[-1], secret_token="guessed") == 403
        assert await peer.post_update(peer.updates[-1], secret_token="s3cret") == 200
        await app.bot.delete_webhook()
        await app.stop()
    await runner.cleanup()
    assert peer.deliveries == [(peer.updates[0]["update_id"], 200)]


async def test_a_bot_thrown_out_is_told_and_refused(peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    group = peer.group("Friends", members=[ann])
    news: list[str] = []

    async def note(update: Update, context: object) -> None:
        if update.my_chat_member is not None:
            news.append(update.my_chat_member.new_chat_member.status)

    async with running(peer, note) as app:
        peer.kick_bot(group)
        peer.say(group, ann, "/start")
        peer.block(ann)
        await peer.wait_for(lambda: len(news) == 2)
        with pytest.raises(Forbidden, match="bot was kicked from the supergroup chat"):
            await app.bot.send_message(group.id, "hi")
        with pytest.raises(Forbidden, match="bot was blocked by the user"):
            await app.bot.send_message(ann.id, "hi")
        with pytest.raises(Forbidden, match="can't initiate conversation"):
            await app.bot.send_message(peer.private(peer.person("Bob"), started=False).id, "hi")
        with pytest.raises(BadRequest, match="Chat not found"):
            await app.bot.send_message(77, "hi")
    assert news == ["kicked", "kicked"]


async def test_a_migrated_group_names_its_new_id(peer: TelegramPeer) -> None:
    group = peer.group("Friends", basic=True)
    moves: list[tuple[int | None, int | None]] = []

    async def note(update: Update, context: object) -> None:
        moves.append((message_of(update).migrate_to_chat_id, message_of(update).migrate_from_chat_id))

    async with running(peer, note) as app:
        new = peer.migrate(group)
        await peer.wait_for(lambda: len(moves) == 2)
        with pytest.raises(ChatMigrated) as moved:
            await app.bot.send_message(group.id, "hi")
        await app.bot.send_message(moved.value.new_chat_id, "hi")
    assert moves == [(new.id, None), (None, group.id)]
    assert [m.text for m in peer.sent(new)] == ["hi"]


async def test_members_are_told_only_to_an_administrator_bot_that_asks(peer: TelegramPeer) -> None:
    ann, bob = peer.person("Ann"), peer.person("Bob")
    group = peer.group("Friends", members=[ann], admins=[bob], bot_admin=True)
    kinds: list[str] = []

    async def note(update: Update, context: object) -> None:
        kinds.append("chat_member" if update.chat_member else "reaction" if update.message_reaction else "message")

    peer.leave(group, ann)  # before anybody asked for chat_member
    async with running(peer, note, allowed_updates=Update.ALL_TYPES) as app:
        await peer.fetched()
        peer.join(group, ann)
        peer.promote(group, ann)
        peer.react(peer.anonymous_admin_says(group, "hello"), ann, "👍")
        await peer.wait_for(lambda: len(kinds) == 6)
        assert (await app.bot.get_chat_member(group.id, ann.id)).status == "administrator"
        peer.demote(group, bob)
        peer.leave(group, ann)
        owner, *others = await app.bot.get_chat_administrators(group.id)
        assert owner.status == "creator"
        assert [member.user.id for member in others] == [app.bot.id]
        assert (await app.bot.get_chat_member(group.id, ann.id)).status == "left"
    assert kinds[:6] == ["message", "chat_member", "message", "chat_member", "message", "reaction"]


async def test_signs_commands_and_topics_are_kept(peer: TelegramPeer, bot: ExtBot[None]) -> None:
    ann = peer.person("Ann")
    forum = peer.group("Forum", members=[ann], forum=True)
    said = peer.say(forum, ann, "/start", thread=12)
    await bot.send_chat_action(forum.id, ChatAction.TYPING, message_thread_id=12)
    await bot.set_message_reaction(forum.id, said["message_id"], "👍")
    assert (len(peer.actions(forum)), peer.reactions(said)) == (1, ["👍"])
    with pytest.raises(BadRequest, match="Reaction_invalid"):
        await bot.set_message_reaction(forum.id, said["message_id"], "🐶")
    await bot.send_message(forum.id, "here", message_thread_id=12)
    with pytest.raises(BadRequest, match="Message thread not found"):
        await bot.send_message(forum.id, "nowhere", message_thread_id=13)
    assert [m.thread for m in peer.sent(forum)] == [12]
    await bot.set_my_commands([BotCommand("teach", "Teach")], language_code="de")
    await bot.set_my_commands([BotCommand("forget", "Forget")], scope=BotCommandScopeChat(forum.id))
    assert peer.commands["default", "de"] == [{"command": "teach", "description": "Teach"}]
    assert peer.commands[f"chat:{forum.id}", ""][0]["command"] == "forget"
    await bot.set_my_short_description("Learns your dog", language_code="en")
    assert peer.short_descriptions == {"en": "Learns your dog"}


async def test_the_other_methods_answer_in_the_shape_of_the_bot_api(peer: TelegramPeer, bot: ExtBot[None]) -> None:
    ann = peer.person("Ann")
    chat, channel = peer.private(ann), peer.channel("News")
    post = peer.channel_post(channel, "news")
    keyboard = InlineKeyboardMarkup([[InlineKeyboardButton("Open", url="https://example.org")]])
    document = await bot.send_document(chat.id, b"all you taught", filename="export.json", caption="yours")
    sent = peer.sent(chat)[0]
    assert (sent.document, sent.file_name, sent.caption) == (b"all you taught", "export.json", "yours")
    await bot.edit_message_caption(chat.id, document.message_id, caption="all", reply_markup=keyboard)
    await bot.edit_message_reply_markup(chat.id, document.message_id)
    assert peer.sent(chat)[0].buttons == {}
    answer = await bot.send_message(channel.id, "answer", reply_to_message_id=post["message_id"])
    await bot.delete_messages(channel.id, [answer.message_id, 999])
    assert peer.sent(channel) == []
    assert (await bot.get_chat(channel.id)).title == "News"
    assert await bot.get_my_commands() == ()
    assert (await bot.get_my_description()).description == ""
    await bot.set_my_description("A bot")
    assert (await bot.get_webhook_info()).pending_update_count == 1
    await bot.leave_chat(channel.id)
    with pytest.raises(Forbidden, match="bot is not a member of the channel chat"):
        await bot.get_chat(channel.id)
    assert await bot.close()
    assert await bot.log_out()


async def make_wrong_calls() -> None:
    async with TelegramPeer.start() as peer, aiohttp.ClientSession(f"{peer.base_url}{peer.token}/") as session:
        ann = peer.person("Ann")
        wrong = {"chat_id": str(peer.private(ann).id), "text": "hi", "colour": "red", "protect_content": "maybe"}
        media = [{"type": "photo", "media": "attach://nothing", "size": 1}]
        for method, arguments in (
            ("sendMessage", {"data": wrong}),
            ("sendSmell", {"json": {"chat_id": ann.id}}),
            ("sendPhoto", {"json": {"chat_id": ann.id}}),
            ("sendMediaGroup", {"json": {"chat_id": ann.id, "media": media}}),
        ):
            async with session.post(method, **arguments) as response:
                assert response.status == (404 if method == "sendSmell" else 400)
        peer.inject({"message": {"message_id": 1, "date": 0}})


@pytest.mark.skipif(not bot_api.DATA.is_file(), reason="the Bot API as data is not beside this project")
async def test_a_call_the_bot_api_does_not_have_fails_the_test() -> None:
    with pytest.raises(AssertionError) as failed:
        await make_wrong_calls()
    told = str(failed.value)
    assert "sendMessage: unknown argument 'colour'" in told
    assert "sendMessage.protect_content: 'maybe' is not Boolean" in told
    assert "sendSmell: no such method" in told
    assert "sendPhoto: 'photo' is required" in told
    assert "sendMediaGroup.media[0]: InputMediaPhoto has no field 'size'" in told
    assert "Update.message: Message needs 'chat'" in told


async def test_without_the_data_the_stand_in_works_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bot_api, "DATA", Path("nowhere.json"))
    bot_api.load.cache_clear()
    try:
        async with TelegramPeer.start() as peer:
            assert not peer.validated
            ann = peer.person("Ann")
            async with running(peer, echo):
                peer.say(peer.private(ann), ann, "12345")
                reply = await peer.next_message(peer.private(ann))
    finally:
        bot_api.load.cache_clear()
    assert isinstance(reply, BotMessage)
    assert reply.text == "You said: 12345"


async def test_a_wait_in_vain_says_what_the_bot_did_instead(peer: TelegramPeer, bot: ExtBot[None]) -> None:
    ann = peer.person("Ann")
    await bot.send_chat_action(peer.private(ann).id, ChatAction.TYPING)
    with pytest.raises(AssertionError, match=r"last calls: .*sendChatAction\(chat_id=.*\) -> ok"):
        await peer.next_message(peer.private(ann), timeout=0.01)
