"""Groups on Telegram: when the bot speaks and when not, where, and what it says in private instead."""

from __future__ import annotations

import pytest

from rapbot.app import App
from rapbot.commands import COMMANDS
from tests.peers.telegram import TelegramPeer
from tests.pictures import cat_elsewhere_jpeg, cat_jpeg, coffee, jpeg
from tests.telegram_visitor import answer, bot, core, say, teach, words
from tests.telegram_visitor import app as app
from tests.telegram_visitor import open_peer as open_peer
from tests.telegram_visitor import peer as peer

pytestmark = pytest.mark.asyncio(loop_scope="module")


# -- when the bot speaks -------------------------------------------------------------------------------------


async def test_it_answers_only_who_addresses_it(app: App, open_peer: TelegramPeer) -> None:
    peer = open_peer
    ann = peer.person("Ann")
    group = peer.group("Cats", [ann])
    async with bot(app, peer):
        peer.say(group, ann, "hello everybody")
        peer.send_photo(group, ann, cat_jpeg())
        peer.send_album(group, ann, [cat_jpeg(), cat_jpeg()])
        peer.say(group, ann, "/help@another_bot")
        peer.say(group, ann, "/roll 6")  # a command of who knows whom
        peer.say(group, ann, "write to me@rapbot_test_bot.example.org")
        await peer.fetched()
    assert peer.sent(group) == []
    assert not peer.called("getFile")

    async with bot(app, peer):
        assert "/remember" in words(await say(peer, group, ann, "/help@rapbot_test_bot"))
        assert "cat" in words(await say(peer, group, ann, "@rapbot_test_bot /caption", cat_jpeg()))
        asked = peer.say(group, ann, "who is this, @Rapbot_Test_Bot?", reply_to=peer.sent(group)[-1])
        assert (await answer(peer, group)).reply_to == asked["message_id"]
        peer.say(group, ann, "and now?", reply_to=peer.sent(group)[-1])
        await answer(peer, group)
        assert "There is no command" in words(await say(peer, group, ann, "/roll@rapbot_test_bot 6"))


async def test_who_is_this_in_reply_to_somebodys_photo(app: App, open_peer: TelegramPeer) -> None:
    peer = open_peer
    ann, ben = peer.person("Ann"), peer.person("Ben")
    group = peer.group("Cats", [ann, ben])
    async with bot(app, peer):
        await teach(peer, peer.private(ann), ann, "Lala", "A ginger tabby cat.")
        photo = peer.send_photo(group, ben, cat_jpeg())
        peer.say(group, ann, "@rapbot_test_bot who is this?", reply_to=photo)
        first = await answer(peer, group)
        assert "Lala" in words(first)
        peer.say(group, ben, "what colour is the cat?", reply_to=first)  # Ben has no photo of his own in this chat
        assert "Which photo" not in words(await answer(peer, group))


async def test_an_album_is_for_the_bot_when_its_caption_is(app: App, open_peer: TelegramPeer) -> None:
    peer = open_peer
    ann = peer.person("Ann")
    group = peer.group("Cats", [ann])
    async with bot(app, peer):
        peer.send_album(group, ann, [cat_jpeg(), jpeg(coffee())], "@rapbot_test_bot")
        said = words(await answer(peer, group))
    assert "Photo 1: " in said
    assert "Photo 2: " in said


async def test_settings_let_administrators_choose_which_photos_are_captioned(app: App, open_peer: TelegramPeer) -> None:
    peer = open_peer
    ann, ben = peer.person("Ann"), peer.person("Ben")
    group = peer.group("Cats", [ben], [ann])
    async with bot(app, peer):
        await teach(peer, peer.private(ann), ann, "Lala", "A ginger tabby cat.")
        assert "administrator" in words(await say(peer, group, ben, "/settings"))
        settings = await say(peer, group, ann, "/settings")
        peer.press(settings, label="Photos I recognise something in", person=ben)
        assert "administrator" in words(await answer(peer, group))
        peer.press(settings, label="Photos I recognise something in", person=ann)
        chosen = await peer.next_edit(settings)
        assert "✓ Photos I recognise something in" in chosen.buttons

        peer.skip(group)
        before = len(peer.actions(group))
        peer.send_photo(group, ann, jpeg(coffee()))
        peer.send_photo(group, ann, cat_elsewhere_jpeg())
        assert "Lala" in words(await answer(peer, group))
        assert len(peer.actions(group)) == before, "no typing for what nobody asked"

        peer.demote(group, ann)
        peer.press(chosen, label="Every photo", person=ann)
        assert "administrator" in words(await answer(peer, group))
        assert "administrator" in words(await say(peer, group, ann, "/settings"))
        assert await app.assistant.groups.mode(core(group)) == "recognised"


async def test_an_edited_caption_of_a_photo_nobody_asked_about_stays_unanswered(
    app: App, open_peer: TelegramPeer
) -> None:
    peer = open_peer
    ann = peer.person("Ann")
    group = peer.group("Cats", admins=[ann])
    async with bot(app, peer):
        await say(peer, group, ann, "/settings recognised")
        photo = peer.send_photo(group, ann, jpeg(coffee()), "morning")
        await peer.wait_for(lambda: peer.called("getFile"))
        peer.edit(photo, caption="good morning")
        await peer.fetched()
    assert len(peer.sent(group)) == 1


async def test_a_topic_of_a_forum_is_kept(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    group = peer.group("Cats", [ann], forum=True)
    async with bot(app, peer):
        peer.say(group, ann, "/help", thread=77)
        message = await answer(peer, group)
        peer.send_photo(group, ann, cat_jpeg() + b"new", "/caption", thread=78)  # takes long enough for typing
        photo = await answer(peer, group)
    assert (message.thread, photo.thread) == (77, 78)
    assert {c.arguments["message_thread_id"] for c in peer.called("sendChatAction")} == {78}


async def test_a_reply_outside_of_topics_is_answered_without_a_thread(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    group = peer.group("Cats", [ann])
    async with bot(app, peer):
        first = await say(peer, group, ann, "/help")
        peer.say(group, ann, "/privacy", reply_to=first)
        await answer(peer, group)
    assert all("message_thread_id" not in call.arguments for call in peer.called("sendMessage"))


async def test_hidden_administrators_may_set_but_own_nothing(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    group = peer.group("Cats", admins=[ann])
    async with bot(app, peer):
        peer.anonymous_admin_says(group, "/settings every")
        assert "every photo" in words(await answer(peer, group))
        for command in ("/remember Lala A cat.", "/concepts", "/share Lala", "/mydata"):
            peer.anonymous_admin_says(group, command)
            assert "anonymously" in words(await answer(peer, group)), command
        peer.anonymous_admin_says(group, "/help")
        assert "/caption" in words(await answer(peer, group))


async def test_channels_and_other_bots_are_not_answered(app: App, open_peer: TelegramPeer) -> None:
    peer = open_peer
    ann = peer.person("Ann")
    group, channel = peer.group("Cats", [ann]), peer.channel("News")
    robot = {"id": 777_000_111, "is_bot": True, "first_name": "Robot", "username": "another_bot"}
    written = {"date": 1_700_000_000, "chat": group.wire, "text": "@rapbot_test_bot /help"}
    async with bot(app, peer):
        peer.channel_post(channel, "/help")
        peer.inject({"message": {**written, "message_id": 9001, "from": robot}})
        spoken = {"from": peer.person("Channel").user, "sender_chat": channel.wire}
        peer.inject({"message": {**written, "message_id": 9002, **spoken}})
        peer.inject({"message": {**written, "message_id": 9003, **spoken, "is_automatic_forward": True}})
        await peer.fetched()
    assert peer.sent(group) == []
    assert peer.sent(channel) == []


# -- what is for one person alone ----------------------------------------------------------------------------


async def test_private_commands_are_answered_in_private(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat, group = peer.private(ann), peer.group("Cats", [ann])
    async with bot(app, peer):
        await teach(peer, chat, ann, "Lala", "A ginger tabby cat. Nobody else may know.")
        asked = peer.say(group, ann, "/concepts")
        assert "Nobody else" in words(await answer(peer, chat))
        await peer.wait_for(lambda: peer.reactions(asked) == ["👌"])
    assert peer.sent(group) == []


async def test_who_has_no_private_chat_is_shown_the_way_there(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat, group = peer.private(ann, started=False), peer.group("Cats", [ann])
    async with bot(app, peer):
        way = await say(peer, group, ann, "/concepts")
        assert list(way.buttons.values()) == ["https://t.me/rapbot_test_bot?start=concepts"]
        peer.say(chat, ann, "/start concepts")
        assert "I don't know anything of yours yet" in words(await answer(peer, chat))


async def test_a_private_answer_to_an_open_command_goes_to_the_private_chat(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat, group = peer.private(ann), peer.group("Cats", [ann])
    async with bot(app, peer):
        await teach(peer, chat, ann, "Lala", "A ginger tabby cat.")
        peer.say(group, ann, "/forget Lala")
        question = await answer(peer, chat)
        assert "Forget for good" in question.buttons
    assert peer.sent(group) == []


async def test_what_people_wrote_notifies_nobody(app: App, peer: TelegramPeer) -> None:
    ann, ben = peer.person("Ann"), peer.person("Ben")
    group = peer.group("Cats", [ann, ben])
    async with bot(app, peer):
        said = await say(peer, group, ann, f"/remember Lala A cat. Ask {ben.mention} about her.", cat_jpeg())
    assert ben.username in words(said)
    assert not [entity for entity in said.entities if entity["type"] == "mention"]


async def test_waiting_for_a_photo_opens_the_reply_field(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    group = peer.group("Cats", [ann])
    async with bot(app, peer):
        prompt = await say(peer, group, ann, "/remember Lala A ginger tabby cat.")
        assert prompt.reply_markup == {"force_reply": True, "selective": True}
        peer.send_photo(group, ann, cat_jpeg(), reply_to=prompt)
        assert "I will know Lala" in words(await answer(peer, group))


async def test_other_bots_are_not_heard_whatever_they_write(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    group = peer.group("Cats", [ann])
    robot = {"id": 6_600_001, "is_bot": True, "first_name": "Robot", "username": "robot_bot"}
    async with bot(app, peer):
        assert "/remember" in words(await say(peer, group, ann, "/help"))
        heard = peer.updates[-1]
        before = len(peer.sent(group))
        for number, command in enumerate([*COMMANDS, "start", "nonsense"], start=1):
            message = {
                **heard["message"],
                "from": robot,
                "message_id": 50_000 + number,
                "text": f"/{command} Lala every",
            }
            message["entities"] = [{"type": "bot_command", "offset": 0, "length": len(command) + 1}]
            peer.inject({"update_id": heard["update_id"] + 1000 + number, "message": message})
        assert "/remember" in words(await say(peer, group, ann, "/help"))
        assert len(peer.sent(group)) == before + 1
