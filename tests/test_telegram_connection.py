"""The connection to Telegram: tokens, menus, webhooks, faults of the network, the orderly end."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import pytest
import structlog

from adapters import intake
from adapters.telegram import serve
from rapbot.app import App
from rapbot.errors import ConfigError
from rapbot.logs import configure_logs
from tests.peers.telegram import TelegramPeer
from tests.pictures import cat_jpeg
from tests.telegram_visitor import answer, bot, words
from tests.telegram_visitor import app as app
from tests.telegram_visitor import peer as peer

pytestmark = pytest.mark.asyncio(loop_scope="module")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# -- tokens ---------------------------------------------------------------------------------------------------


async def test_a_wrong_token_is_told_in_one_sentence(app: App, peer: TelegramPeer) -> None:
    with pytest.raises(ConfigError, match=r"^Telegram does not accept the token .* @BotFather\.$") as caught:
        async with bot(app, peer, token="123:wrong"):
            pass
    assert caught.value.__cause__ is None
    assert "123:wrong" not in str(caught.value)


async def test_without_a_token_it_does_not_start(app: App) -> None:
    with pytest.raises(ConfigError, match="token"):
        await serve(app.assistant, app.settings)


async def test_a_revoked_token_ends_the_bot_in_one_sentence(app: App, peer: TelegramPeer) -> None:
    async def until_it_ends() -> None:
        async with bot(app, peer) as running:
            peer.fail_next("getUpdates", 401, description="Unauthorized")
            person = peer.person("Ann")
            peer.say(peer.private(person), person, "hi")  # ends the open poll
            await asyncio.wait([running], timeout=30)

    with pytest.raises(ConfigError, match="does not accept the token"):
        await until_it_ends()


async def test_the_token_is_in_no_log_whatever_fails(
    app: App, peer: TelegramPeer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    configure_logs("debug")
    caplog.set_level(logging.DEBUG)
    person = peer.person("Ann")
    chat = peer.private(person)
    try:
        async with bot(app, peer):
            for method in ("getUpdates", "sendMessage", "sendChatAction", "getFile", "download"):
                peer.drop_next(method)
            peer.fail_next("sendMessage", 500)
            peer.send_photo(chat, person, cat_jpeg(), "what a secret word: xyzzy")
            peer.say(chat, person, "/help")
            await answer(peer, chat)
            logging.getLogger("aiohttp").warning("GET %s/getMe", peer.base_url + peer.token)
            logging.getLogger("somewhere").warning("GET %s/getMe", peer.base_url + peer.token)
    finally:
        structlog.reset_defaults()
    written = "".join(capfd.readouterr()) + caplog.text
    assert "[hidden]" in written
    assert peer.token not in written
    assert peer.token.partition(":")[2] not in written
    assert "xyzzy" not in written
    assert person.first_name not in written


# -- what Telegram shows before anybody writes ---------------------------------------------------------------


async def test_the_menu_is_there_in_every_language_and_scope(app: App, peer: TelegramPeer) -> None:
    async with bot(app, peer):
        await peer.wait_for(lambda: len(peer.called("setMyShortDescription")) == 5)
    assert {code for _, code in peer.commands} == {"", "de", "es", "zh", "ru"}
    for code in ("de", "es", "zh", "ru"):
        for scope in ("all_private_chats", "all_group_chats", "all_chat_administrators"):
            [english, translated] = [
                {c["command"]: c["description"] for c in peer.commands[scope, key]} for key in ("", code)
            ]
            assert english.keys() == translated.keys()
            assert english["help"] != translated["help"]
        assert peer.short_descriptions[code] != peer.short_descriptions[""]
    named = {scope: [c["command"] for c in commands] for (scope, code), commands in peer.commands.items() if not code}
    assert {"remember", "caption", "mydata", "forgetme", "help"} <= set(named["all_private_chats"])
    assert not {"settings", "share"} & set(named["all_private_chats"])
    assert {"share", "unshare", "find"} <= set(named["all_group_chats"])
    assert not {"settings", "mydata", "link"} & set(named["all_group_chats"])
    assert set(named["all_chat_administrators"]) == {*named["all_group_chats"], "settings"}


async def test_a_menu_that_telegram_refuses_does_not_stop_the_bot(app: App, peer: TelegramPeer) -> None:
    peer.fail_next("setMyCommands", 400, times=20)
    person = peer.person("Ann")
    async with bot(app, peer):
        peer.say(peer.private(person), person, "/help")
        assert "/remember" in words(await answer(peer, peer.private(person)))


# -- the network ---------------------------------------------------------------------------------------------


async def test_the_bot_waits_for_a_network_that_comes_later(app: App, peer: TelegramPeer) -> None:
    peer.drop_next("getMe", times=2)
    async with bot(app, peer):
        assert len(peer.called("getMe")) == 3


async def test_after_429_the_answer_comes_when_telegram_wants_it(app: App, peer: TelegramPeer) -> None:
    person = peer.person("Ann")
    chat = peer.private(person)
    async with bot(app, peer):
        peer.fail_next("sendMessage", 429, retry_after=1)
        peer.say(chat, person, "/help")
        assert "/remember" in words(await answer(peer, chat))
    refused, taken = peer.called("sendMessage")
    assert taken.at - refused.at >= 1.0
    assert len(peer.sent(chat)) == 1


@pytest.mark.parametrize("code", [500, 502])
async def test_after_a_server_error_the_answer_is_sent_again(app: App, peer: TelegramPeer, code: int) -> None:
    person = peer.person("Ann")
    chat = peer.private(person)
    async with bot(app, peer):
        peer.fail_next("sendMessage", code)
        peer.say(chat, person, "/help")
        assert "/remember" in words(await answer(peer, chat))
    assert len(peer.sent(chat)) == 1


async def test_an_answer_of_unknown_fate_is_sent_again(app: App, peer: TelegramPeer, monkeypatch: Any) -> None:
    """Nobody can ask Telegram whether it took a message: twice is better than never."""
    monkeypatch.setattr(intake, "_FIRST_PAUSE_S", 0.05)
    ann, ben = peer.person("Ann"), peer.person("Ben")
    async with bot(app, peer):
        for person, processed in ((ann, True), (ben, False)):
            peer.drop_next("sendMessage", processed=processed)
            peer.say(peer.private(person), person, "/help")
            await peer.wait_for(
                lambda person=person, count=1 + processed: len(peer.sent(peer.private(person))) == count  # type: ignore[misc]
            )


async def test_updates_go_on_after_dropped_connections_and_server_errors(app: App, peer: TelegramPeer) -> None:
    person = peer.person("Ann")
    chat = peer.private(person)
    async with bot(app, peer):
        peer.fail_next("getUpdates", 502)
        peer.drop_next("getUpdates")
        for _ in range(3):
            peer.say(chat, person, "/help")
            assert "/remember" in words(await answer(peer, chat))
    assert len(peer.sent(chat)) == 3


async def test_typing_that_fails_does_not_fail_the_answer(app: App, peer: TelegramPeer) -> None:
    person = peer.person("Ann")
    chat = peer.private(person)
    async with bot(app, peer):
        peer.fail_next("sendChatAction", 400, times=5)
        peer.send_photo(chat, person, cat_jpeg() + b"new")  # not seen before: takes long enough for typing
        assert words(await answer(peer, chat))
    assert peer.called("sendChatAction")


async def test_a_person_who_blocked_the_bot_disturbs_nobody(app: App, peer: TelegramPeer) -> None:
    ann, ben = peer.person("Ann"), peer.person("Ben")
    async with bot(app, peer):
        peer.say(peer.private(ann), ann, "/help")
        peer.block(ann)
        peer.say(peer.private(ben), ben, "/help")
        assert "/remember" in words(await answer(peer, peer.private(ben)))


# -- webhooks ------------------------------------------------------------------------------------------------


async def test_a_webhook_takes_updates_with_the_right_secret_only(
    app: App, peer: TelegramPeer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    port, person = free_port(), peer.person("Ann")
    chat = peer.private(person)
    async with bot(app, peer, webhook_url=f"http://127.0.0.1:{port}/telegram", webhook_port=port):
        secret = peer.webhook["secret_token"]
        assert len(secret) >= 32
        peer.say(chat, person, "/help")
        assert "/remember" in words(await answer(peer, chat))

        forged = {"update_id": 900_000, "message": {**peer.updates[-1]["message"], "message_id": 777}}
        assert await peer.post_update(forged, "guessed") == 403
        assert await peer.post_update(forged) == 403
        assert await peer.post_update(forged, secret) == 200
        await answer(peer, chat)

        damaged = {"update_id": 900_001, "message": {"text": "xyzzy"}}
        assert await peer.post_update(damaged, secret) == 400
    assert "xyzzy" not in "".join(capfd.readouterr()) + caplog.text, "the library logs whole updates"
    assert len(peer.sent(chat)) == 2
    assert not peer.called("getUpdates")


async def test_a_webhook_that_telegram_refuses_is_told_in_one_sentence(app: App, peer: TelegramPeer) -> None:
    with pytest.raises(ConfigError, match=r"(?i)https url must be provided"):
        async with bot(app, peer, webhook_url="http://example.org/telegram", webhook_port=free_port()):
            pass


async def test_a_webhook_port_in_use_is_told_in_one_sentence(app: App, peer: TelegramPeer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port}.*webhook_port"):
            async with bot(app, peer, webhook_url=f"http://127.0.0.1:{port}/t", webhook_port=port):
                pass


async def test_after_a_webhook_polling_works_again(app: App, peer: TelegramPeer) -> None:
    port, person = free_port(), peer.person("Ann")
    async with bot(app, peer, webhook_url=f"http://127.0.0.1:{port}/telegram", webhook_port=port):
        pass
    async with bot(app, peer):
        peer.say(peer.private(person), person, "/help")
        assert "/remember" in words(await answer(peer, peer.private(person)))


# -- the end -------------------------------------------------------------------------------------------------


async def test_at_the_end_a_running_answer_is_finished_and_later_ones_wait_at_telegram(
    app: App, peer: TelegramPeer
) -> None:
    person = peer.person("Ann")
    chat = peer.private(person)
    async with bot(app, peer) as running:
        release = peer.hold("getFile")
        peer.send_photo(chat, person, cat_jpeg())
        await peer.wait_for(lambda: peer.called("getFile"))
        running.cancel()
        # the last call of polling tells Telegram what was taken; from then on nothing new is
        await peer.wait_for(lambda: peer.called("getUpdates")[-1].arguments.get("timeout", 0) == 0)
        peer.say(chat, person, "/help")
        release()
    assert "cat" in words(peer.sent(chat)[0])
    assert len(peer.sent(chat)) == 1
    async with bot(app, peer):
        assert "cat" in words(await answer(peer, chat))
        assert "/remember" in words(await answer(peer, chat))
    assert len(peer.sent(chat)) == 2


async def test_what_does_not_end_in_time_is_cancelled(app: App, peer: TelegramPeer) -> None:
    person = peer.person("Ann")
    chat = peer.private(person)
    async with bot(app, peer, grace_s=0.1) as running:
        release = peer.hold("getFile")
        peer.send_photo(chat, person, cat_jpeg())
        await peer.wait_for(lambda: peer.called("getFile"))
        running.cancel()
        await asyncio.wait([running], timeout=10)
        assert running.done()
        release()
    assert peer.sent(chat) == []
