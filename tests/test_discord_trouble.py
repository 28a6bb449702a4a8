"""A busy worker, a Discord that fails, lines that break, and the bot's own restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from adapters.discord import serve
from rapbot.app import running
from rapbot.errors import ConfigError
from tests.discord_house import CAT, SLOW, House, bot_settings, house, peer, serving
from tests.peers.discord import DiscordPeer
from tests.pictures import cat_elsewhere_jpeg, coffee, jpeg

__all__ = ["house", "peer"]

pytestmark = pytest.mark.asyncio(loop_scope="module")
CUP = ("cup.jpg", jpeg(coffee()))
WALK = ("walk.jpg", cat_elsewhere_jpeg())


async def test_everybody_is_acknowledged_within_a_second_while_twenty_jobs_wait(
    house: House, peer: DiscordPeer
) -> None:
    people = [house.person(f"Person {number}") for number in range(20)]
    waiting = [peer.slash(dm, person, "caption", photo=CAT) for person, dm in people]
    late, theirs = house.person("Late")
    after = [
        peer.slash(theirs, late, "caption", photo=CAT),
        peer.slash(theirs, late, "help"),
        peer.slash(theirs, late, "concepts"),
    ]
    for interaction in (*waiting, *after):
        await interaction.acknowledged()
    assert max(one.acknowledged_after or 9 for one in (*waiting, *after)) < 1.0
    for interaction in (*waiting, *after):
        assert (await house.answer(interaction)).text
    told = [text for one in waiting for message in one.messages for text in message.texts]
    assert any("before yours" in text for text in told)


async def test_a_rate_limit_is_waited_for(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    peer.fail_next(f"POST /channels/{dm.id}/messages", 429, retry_after=0.2)
    answer = await house.asked(dm, ann, "/help")
    assert peer.sent(dm) == [answer]
    calls = peer.calls_to(f"POST /channels/{dm.id}/messages")
    assert calls[-1].at - calls[0].at >= 0.2


async def test_a_server_error_of_discord_is_tried_again(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    peer.fail_next(f"POST /channels/{dm.id}/messages", 502)
    answer = await house.asked(dm, ann, "/help")
    assert peer.sent(dm) == [answer]
    peer.fail_next("PATCH /webhooks/.*/messages/@original", 500)
    assert (await house.call(dm, ann, "help")).text


async def test_a_place_where_the_bot_may_not_write_breaks_nothing(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    guild = house.guild(ann)
    guild.channel.refuses = 50013
    refused = peer.say(guild.channel, ann, house.mention("/help"))
    await peer.wait_for(lambda: any(one.status == 403 for one in peer.calls_to(f"/{guild.channel.id}/messages")))
    assert (await house.asked(dm, ann, "/help")).text
    assert refused not in [one.replies_to for one in peer.sent(guild.channel)]


async def test_where_pictures_may_not_be_attached_the_words_are_sent(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    guild = house.guild(ann)
    await house.teach(ann, dm, "Lala")
    peer.fail_next(f"POST /channels/{guild.channel.id}/messages", 403, code=50013)
    answer = await house.asked(guild.channel, ann, house.mention(), CAT)
    assert "Lala" in answer.text
    assert "may not attach" in answer.text
    assert not answer.attachments


async def test_where_older_messages_may_not_be_read_the_answer_is_no_reply(house: House, peer: DiscordPeer) -> None:
    ann, _dm = house.person()
    guild = house.guild(ann)
    peer.fail_next(f"POST /channels/{guild.channel.id}/messages", 400, code=160002)
    peer.say(guild.channel, ann, house.mention("/help"))
    assert "/remember" in (await peer.next_message(guild.channel)).text


async def test_typing_that_fails_does_not_fail_the_answer(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    peer.fail_next(f"POST /channels/{dm.id}/typing", 403)
    new = ("new.jpg", CAT[1] + b"new")  # not seen before: takes long enough for typing
    assert (await house.asked(dm, ann, "", new)).text


async def test_a_photo_that_discord_does_not_have_any_more_is_told(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    peer.fail_next("GET /cdn/attachments/", 404)
    assert "any more" in (await house.asked(dm, ann, "", CAT)).text


async def test_a_photo_that_comes_at_the_second_try_is_answered(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    peer.fail_next("GET /cdn/attachments/", 503)
    assert "try again" not in (await house.asked(dm, ann, "", CAT)).text
    peer.fail_next("GET /cdn/attachments/", 503, times=3)
    assert "try again" in (await house.asked(dm, ann, "", CAT)).text


async def test_an_answer_after_fifteen_minutes_comes_as_a_message(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    gate = peer.hold("GET /cdn/ephemeral-attachments/")
    interaction = await peer.slash(dm, ann, "caption", photo=CAT).acknowledged()
    peer.expire(interaction)
    gate.release()
    peer.faults.rules.clear()
    assert (await peer.next_message(dm, timeout=SLOW)).attachments


async def test_what_was_said_while_the_line_was_broken_is_answered_once(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    resumes = len(peer.gateway.resumes)
    async with peer.offline():
        question = peer.say(dm, ann, "/help")
        asked = peer.slash(dm, ann, "privacy")
    answer = await house.reply(question)
    assert (await house.answer(asked)).text
    await house.call(dm, ann, "concepts")
    assert [one for one in peer.sent(dm) if one.replies_to is question] == [answer]
    assert len(peer.gateway.resumes) == resumes + 1


async def test_an_event_that_comes_twice_is_answered_once(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    question = peer.say(dm, ann, "/remember Lala A ginger cat.", [CAT])
    peer.world.publish("MESSAGE_CREATE", question)
    called = peer.slash(dm, ann, "privacy")
    called.dispatch()
    answer = await house.reply(question)
    await house.answer(called)
    peer.world.publish("MESSAGE_CREATE", question)
    await house.asked(dm, ann, "/remember Lulu A ginger cat.", CAT)
    assert "I will know Lala" in answer.text
    assert [one for one in peer.sent(dm) if one.replies_to is question] == [answer]
    assert called.refused == []
    assert len(called.messages) == 1


@asynccontextmanager
async def bot_of(peer: DiscordPeer, folder: Path, weights: Path) -> AsyncIterator[House]:
    """One run of the whole program."""
    settings = bot_settings(peer, folder, weights)
    async with running(settings) as app, serving(app.assistant, settings, peer):
        yield House(app, peer, settings)


async def test_buttons_and_forms_work_after_a_restart(weights: Path, tmp_path: Path) -> None:
    async with DiscordPeer.start() as peer:
        ann = peer.person("Ann")
        dm, guild = peer.dm(ann), peer.guild("Home", members=[ann])
        async with bot_of(peer, tmp_path, weights) as first:
            await first.teach(ann, dm, "Lala")
            said = await first.asked(dm, ann, "", CAT)
            found = await first.call(guild.channel, ann, "find", photo=CAT)
            album = await first.asked(dm, ann, "", CUP, WALK)
            card = await first.call(dm, ann, "show", name="Lala")
            form = await peer.slash(dm, ann, "edit", name="Lala").form()
            photo = peer.say(guild.channel, ann, "", [CUP])
            lost = await peer.context_menu(guild.channel, ann, "Remember this", photo).form()
        async with bot_of(peer, tmp_path, weights) as again:
            assert "Lala" in (await again.press(said, "Why?", ann)).text
            assert "Lala" in (await again.press(found, "Why?", ann)).text
            assert album.labels == ["Wrong? (2)", "Why? (2)"]
            assert "(accepted)" in (await again.press(album, "Why? (2)", ann)).text  # the cup is no cat
            parts = await again.press(said, "Wrong?", ann)
            assert parts.labels
            names = await again.press(parts, parts.labels[0], ann)
            assert "Lala" in names.labels
            assert (await again.press(names, "None of them", ann)).text
            saved = await again.answer(peer.submit(form, ann, {"info": "She loves cheese."}))
            assert "cheese" in saved.text
            assert "again" in (await again.answer(peer.submit(lost, ann, {"name": "Cup"}))).text
            asks = await again.press(card, "Forget", ann)
            assert "forgotten" in (await again.press(asks, "Forget for good", ann)).text


async def test_stopping_lets_running_answers_finish_and_begins_nothing_new(weights: Path, tmp_path: Path) -> None:
    async with DiscordPeer.start() as peer:
        ann = peer.person("Ann")
        dm = peer.dm(ann)
        settings = bot_settings(peer, tmp_path, weights)
        async with running(settings) as app:
            bot = House(app, peer, settings)
            async with serving(app.assistant, settings, peer) as task:
                gate = peer.hold("GET /cdn/attachments/")
                question = peer.say(dm, ann, "", [CAT])
                await peer.wait_for(lambda: peer.typings(dm))
                task.cancel()
                refused = peer.slash(dm, ann, "help")
                assert "restarted" in (await bot.answer(refused)).text
                gate.release()
                peer.faults.rules.clear()
                assert (await bot.reply(question)).text
                await asyncio.gather(task, return_exceptions=True)
                assert task.cancelled()


async def test_a_wrong_token_is_told_in_one_sentence(weights: Path, tmp_path: Path) -> None:
    async with DiscordPeer.start() as peer:
        settings = bot_settings(peer, tmp_path, weights)
        wrong = settings.model_copy(
            update={"discord": settings.discord.model_copy(update={"token": SecretStr("not.the.token")})}
        )
        async with running(settings, models=False) as app:
            with pytest.raises(ConfigError, match="does not accept the token"):
                await serve(app.assistant, wrong)


async def test_a_discord_that_cannot_be_reached_at_the_start_is_waited_for(weights: Path, tmp_path: Path) -> None:
    async with DiscordPeer.start() as peer:
        ann = peer.person("Ann")
        peer.drop_next("GET /users/@me", times=2)
        peer.drop_next("GET /gateway/bot", times=2)
        settings = bot_settings(peer, tmp_path, weights)
        async with running(settings, models=False) as app, serving(app.assistant, settings, peer):
            assert (await House(app, peer, settings).asked(peer.dm(ann), ann, "/help")).text


async def test_servers_of_several_shards_are_served(weights: Path, tmp_path: Path) -> None:
    async with DiscordPeer.start(shards=2) as peer:
        ann = peer.person("Ann")
        guilds = [peer.guild(f"Server {number}", members=[ann], shard=number) for number in range(2)]
        settings = bot_settings(peer, tmp_path, weights)
        async with running(settings, models=False) as app, serving(app.assistant, settings, peer):
            bot = House(app, peer, settings)
            for guild in guilds:
                assert (await bot.asked(guild.channel, ann, bot.mention("/help"))).text
                assert (await bot.call(guild.channel, ann, "privacy")).ephemeral


async def test_a_missing_intent_is_told_in_one_sentence(weights: Path, tmp_path: Path) -> None:
    async with DiscordPeer.start(message_content=False) as peer:
        settings = bot_settings(peer, tmp_path, weights)
        async with running(settings, models=False) as app:
            with pytest.raises(ConfigError, match="Message Content Intent"):
                await serve(app.assistant, settings)


async def test_without_the_content_intent_mentions_commands_and_direct_messages_work(
    weights: Path, tmp_path: Path
) -> None:
    async with DiscordPeer.start(message_content=False) as peer:
        ann = peer.person("Ann")
        guild = peer.guild("Home", members=[ann])
        settings = bot_settings(peer, tmp_path, weights, message_content=False)
        async with running(settings, models=False) as app, serving(app.assistant, settings, peer):
            bot = House(app, peer, settings)
            peer.say(guild.channel, ann, "nobody asks", [CAT])
            answer = await bot.asked(guild.channel, ann, bot.mention("/help"))
            peer.say(guild.channel, ann, "thanks", reply_to=answer, mentions=[])
            assert (await bot.call(guild.channel, ann, "help")).text
            assert (await bot.asked(peer.dm(ann), ann, "/help")).text
            assert peer.sent(guild.channel) == [answer]
