"""Who sees what in a group on Telegram, and what happens when people, the bot or the group itself go."""

from __future__ import annotations

import pytest

from rapbot.app import App
from tests.peers.telegram import Chat, Person, TelegramPeer
from tests.pictures import cat_jpeg
from tests.polling import until
from tests.telegram_visitor import answer, bot, core, say, teach, words
from tests.telegram_visitor import app as app
from tests.telegram_visitor import peer as peer

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def share(peer: TelegramPeer, group: Chat, person: Person, name: str, what: str) -> None:
    await teach(peer, peer.private(person), person, name, what)
    assert name in words(await say(peer, group, person, f"/share {name}"))


async def test_nobody_sees_what_was_not_shared(app: App, peer: TelegramPeer) -> None:
    """Three members, the same cat under three names: each sees their own, and what others shared here."""
    ann, ben, cleo = peer.person("Ann"), peer.person("Ben"), peer.person("Cleo")
    group, elsewhere = peer.group("Cats", [ann, ben, cleo]), peer.group("Dogs", [ann, ben, cleo])
    async with bot(app, peer):
        await share(peer, group, ann, "Lala", "A ginger tabby cat.")
        await teach(peer, peer.private(ben), ben, "Momo", "A striped cat.")
        for person in (ann, ben, cleo):
            peer.say(group, person, "/privacy")
            await answer(peer, group)
        assert "Momo" in words(await say(peer, group, ben, "/find", cat_jpeg()))
        said = words(await say(peer, group, cleo, "/find", cat_jpeg()))
        assert "Ann's Lala" in said
        assert "Momo" not in said
        said = words(await say(peer, elsewhere, cleo, "/find", cat_jpeg()))
        assert "Lala" not in said
        assert "Momo" not in said
        peer.send_photo(peer.private(cleo), cleo, cat_jpeg(), "/find")
        assert "Lala" not in words(await answer(peer, peer.private(cleo)))
        assert "Lala" in words(await say(peer, group, ann, "/unshare Lala"))
        assert "Lala" not in words(await say(peer, group, cleo, "/find", cat_jpeg()))


@pytest.mark.parametrize("bot_admin", [False, True])
async def test_who_leaves_takes_their_concepts_along_at_once(app: App, peer: TelegramPeer, bot_admin: bool) -> None:
    ann, ben = peer.person("Ann"), peer.person("Ben")
    group = peer.group("Cats", [ann, ben], bot_admin=bot_admin)
    async with bot(app, peer):
        await share(peer, group, ann, "Lala", "A ginger tabby cat.")
        assert "Ann's Lala" in words(await say(peer, group, ben, "/find", cat_jpeg()))
        peer.leave(group, ann)
        assert "Lala" not in words(await say(peer, group, ben, "/find", cat_jpeg()))
        peer.join(group, ann)
        assert "Lala" not in words(await say(peer, group, ben, "/find", cat_jpeg()))
    assert await app.assistant.groups.sharers(core(group)) == ()


async def test_who_was_thrown_out_while_the_bot_was_away_is_noticed(app: App, peer: TelegramPeer) -> None:
    ann, ben = peer.person("Ann"), peer.person("Ben")
    group = peer.group("Cats", [ann, ben])
    async with bot(app, peer):
        await share(peer, group, ann, "Lala", "A ginger tabby cat.")
    peer.ban(group, ann)
    peer._world.updates.pending.clear()  # more than a day later Telegram has forgotten the update
    async with bot(app, peer):
        assert "Lala" not in words(await say(peer, group, ben, "/find", cat_jpeg()))
    assert await app.assistant.groups.sharers(core(group)) == ()


async def test_while_members_cannot_be_checked_nothing_of_others_is_shown(app: App, peer: TelegramPeer) -> None:
    ann, ben = peer.person("Ann"), peer.person("Ben")
    group = peer.group("Cats", [ann, ben])
    async with bot(app, peer):
        await share(peer, group, ann, "Lala", "A ginger tabby cat.")
        peer.fail_next("getChatMember", 500, times=8)
        said = words(await say(peer, group, ben, "/find", cat_jpeg()))
    assert said == "I cannot ask Telegram who is in this group right now. Please try again in a moment."


async def test_a_group_that_hides_its_members_trusts_the_messages_about_leaving(app: App, peer: TelegramPeer) -> None:
    ann, ben = peer.person("Ann"), peer.person("Ben")
    group = peer.group("Cats", [ann, ben])
    async with bot(app, peer):
        await share(peer, group, ann, "Lala", "A ginger tabby cat.")
        peer.fail_next("getChatMember", 400, description="Bad Request: CHAT_ADMIN_REQUIRED")
        assert "Ann's Lala" in words(await say(peer, group, ben, "/find", cat_jpeg()))
        peer.leave(group, ann)
        assert "Lala" not in words(await say(peer, group, ben, "/find", cat_jpeg()))


async def test_where_pictures_are_forbidden_the_words_are_sent(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    group = peer.group("Cats", [ann])
    async with bot(app, peer):
        await teach(peer, peer.private(ann), ann, "Lala", "A ginger tabby cat.")
        peer.fail_next("sendPhoto", 400, description="Bad Request: not enough rights to send photos to the chat")
        said = await say(peer, group, ann, "/find", cat_jpeg())
    assert "Lala" in said.text


async def test_members_are_not_asked_about_again_and_again(app: App, peer: TelegramPeer) -> None:
    ann, ben = peer.person("Ann"), peer.person("Ben")
    group = peer.group("Cats", [ann, ben])
    async with bot(app, peer):
        await share(peer, group, ann, "Lala", "A ginger tabby cat.")
        for _ in range(3):
            await say(peer, group, ben, "/privacy")
    assert len(peer.called("getChatMember")) == 1


async def test_thrown_out_of_a_group_the_bot_keeps_nothing_of_it(app: App, peer: TelegramPeer) -> None:
    ann, ben = peer.person("Ann"), peer.person("Ben")
    group = peer.group("Cats", [ben], [ann])
    async with bot(app, peer):
        await share(peer, group, ann, "Lala", "A ginger tabby cat.")
        await say(peer, group, ann, "/settings every")
        peer.kick_bot(group)
        peer.say(peer.private(ben), ben, "/help")
        await answer(peer, peer.private(ben))
        await peer.wait_for(lambda: any(c.answer for c in peer.called("getChatMember")[1:]))
        peer.add_bot(group)
        assert "Lala" not in words(await say(peer, group, ben, "/find", cat_jpeg()))
    assert await app.assistant.groups.sharers(core(group)) == ()
    assert await app.assistant.groups.mode(core(group)) == "addressed"


async def test_a_group_that_becomes_a_supergroup_keeps_its_shares(app: App, peer: TelegramPeer) -> None:
    ann, ben = peer.person("Ann"), peer.person("Ben")
    group = peer.group("Cats", [ann, ben], basic=True)
    async with bot(app, peer):
        await share(peer, group, ann, "Lala", "A ginger tabby cat.")
        new = peer.migrate(group)
        await until(lambda: app.assistant.groups.sharers(core(new)))  # what is asked meanwhile may find nothing yet
        assert "Ann's Lala" in words(await say(peer, new, ben, "/find", cat_jpeg()))
    assert await app.assistant.groups.sharers(core(group)) == ()


async def test_an_answer_finds_the_group_that_moved_meanwhile(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    group = peer.group("Cats", [ann], basic=True)
    async with bot(app, peer):
        release = peer.hold("getFile")
        peer.send_photo(group, ann, cat_jpeg(), "/caption")
        await peer.wait_for(lambda: peer.called("getFile"))
        new = peer.migrate(group)
        release()
        assert "cat" in words(await answer(peer, new))


async def test_leaving_the_old_group_while_it_moves_loses_nothing(app: App, peer: TelegramPeer) -> None:
    """A basic group that becomes a supergroup loses its members, the bot among them: that is no farewell."""
    ann, ben = peer.person("Ann"), peer.person("Ben")
    group = peer.group("Cats", [ann, ben], basic=True)
    async with bot(app, peer):
        await share(peer, group, ann, "Lala", "A ginger tabby cat.")
        me = {"user": peer.bot}
        change = {"chat": group.wire, "from": ann.user, "date": 1_700_000_000}
        member, left = {"status": "member", **me}, {"status": "left", **me}
        asked = len(peer.called("getChatMember"))
        new = peer.migrate(group)
        told = peer.updates[-2:]
        peer._world.updates.pending.clear()  # that it left comes first, that the group moved afterwards
        peer.inject({"my_chat_member": {**change, "old_chat_member": member, "new_chat_member": left}})
        await peer.wait_for(lambda: any(call.answer for call in peer.called("getChatMember")[asked:]))
        peer.say(peer.private(ben), ben, "/privacy")
        await answer(peer, peer.private(ben))
        for update in told:
            peer.inject(update)
        assert "Ann's Lala" in words(await say(peer, new, ben, "/find", cat_jpeg()))
