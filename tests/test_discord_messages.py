"""Messages: in private, on servers, in threads; albums, edits and deletions; what is not for the bot."""

from __future__ import annotations

import pytest

from tests.discord_house import CAT, SLOW, House, house, peer
from tests.peers.discord import DiscordPeer
from tests.pictures import astronaut, cat_elsewhere_jpeg, coffee, jpeg

__all__ = ["house", "peer"]

pytestmark = pytest.mark.asyncio(loop_scope="module")
CUP = ("cup.jpg", jpeg(coffee()))


async def test_a_photo_in_private_gets_a_caption_with_the_name_and_boxes(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    await house.teach(ann, dm, "Lala")
    answer = await house.asked(dm, ann, "", ("walk.jpg", cat_elsewhere_jpeg()))
    assert "Lala" in answer.text
    assert answer.attachments[0].data[:2] == b"\xff\xd8"
    assert answer.labels == ["Wrong?", "Why?"]
    assert peer.typings(dm)


async def test_words_and_typed_commands_are_answered_in_private(house: House) -> None:
    ann, dm = house.person()
    assert "Lala" in (await house.asked(dm, ann, "/remember Lala A ginger cat.", CAT)).text
    assert "Lala" in (await house.asked(dm, ann, "What do you know about Lala?")).text
    assert "/remember" in (await house.asked(dm, ann, "/help")).text


async def test_a_slash_command_and_a_message_in_private_speak_of_the_same_photo(house: House) -> None:
    ann, dm = house.person()
    await house.call(dm, ann, "caption", photo=CAT)
    assert "photo" not in (await house.asked(dm, ann, "/remember Lala A ginger cat.")).text.split("Send me")[0]


async def test_an_album_gets_one_answer(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    await house.teach(ann, dm, "Lala")
    answer = await house.asked(dm, ann, "", CAT, CUP, ("walk.jpg", cat_elsewhere_jpeg()))
    assert "Lala" in answer.text
    assert "Photo" in answer.text
    assert len([one for one in peer.sent(dm) if one.replies_to is answer.replies_to]) == 1


async def test_on_a_server_a_mention_is_answered_and_other_talk_is_not(house: House, peer: DiscordPeer) -> None:
    ann, _dm = house.person()
    ben, _theirs = house.person("Ben")
    guild = house.guild(ann, ben)
    peer.say(guild.channel, ann, "what a day", [CUP])
    peer.say(guild.channel, ann, f"{ben.mention} look", [CUP])
    asked = peer.say(guild.channel, ann, house.mention("what is this?"), [CUP])
    answer = await house.reply(asked)
    assert peer.sent(guild.channel) == [answer]
    assert answer.mentions == []


async def test_a_mention_alone_says_what_the_bot_can_do(house: House) -> None:
    ann, _dm = house.person()
    guild = house.guild(ann)
    assert "/remember" in (await house.asked(guild.channel, ann, house.mention())).text


async def test_who_is_this_in_reply_to_somebodys_photo_brings_that_photo(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    ben, _theirs = house.person("Ben")
    await house.teach(ann, dm, "Lala")
    guild = house.guild(ann, ben)
    photo = peer.say(guild.channel, ben, "", [CAT])
    question = peer.say(guild.channel, ann, house.mention("who is this?"), reply_to=photo)
    assert "Lala" in (await house.reply(question)).text


async def test_a_reply_to_an_answer_speaks_of_the_photo_of_its_question(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    await house.teach(ann, dm, "Lala")
    guild = house.guild(ann)
    first = await house.asked(guild.channel, ann, house.mention(), CAT)
    await house.asked(guild.channel, ann, house.mention(), ("moon.jpg", jpeg(astronaut())))
    question = peer.say(guild.channel, ann, "who is this?", reply_to=first)
    assert "Lala" in (await house.reply(question)).text


async def test_a_message_in_a_thread_is_answered_there_with_the_memory_of_the_server(
    house: House, peer: DiscordPeer
) -> None:
    ann, _dm = house.person()
    guild = house.guild(ann)
    thread = peer.thread(guild.channel, "cats")
    await house.asked(guild.channel, ann, house.mention(), CAT)
    assert "Lala" in (await house.asked(thread, ann, house.mention("/remember Lala A ginger cat."))).text
    assert peer.sent(thread)


async def test_bots_are_not_answered(house: House, peer: DiscordPeer) -> None:
    ann, _dm = house.person()
    robot, _theirs = house.person("Robot")
    robot.bot = True
    guild = house.guild(ann, robot)
    peer.say(guild.channel, robot, house.mention(), [CUP])
    answer = await house.asked(guild.channel, ann, house.mention("/help"))
    assert peer.sent(guild.channel) == [answer]


async def test_several_deleted_questions_are_cancelled(house: House, peer: DiscordPeer) -> None:
    ann, _dm = house.person()
    guild = house.guild(ann)
    gate = peer.hold("GET /cdn/attachments/")
    questions = [peer.say(guild.channel, ann, house.mention(), [CAT]) for _n in range(3)]
    await peer.wait_for(lambda: len(peer.typings(guild.channel)) == 3)
    ids = [str(one.id) for one in questions]
    body = {"ids": ids, "channel_id": str(guild.channel.id), "guild_id": str(guild.id)}
    peer.world.dispatch("MESSAGE_DELETE_BULK", lambda intents: body, guild, 1 << 9)
    answer = await house.asked(guild.channel, ann, house.mention("/help"))
    gate.release()
    peer.faults.rules.clear()
    again = await house.asked(guild.channel, ann, house.mention(), CAT)
    assert peer.sent(guild.channel) == [answer, again]


async def test_an_edited_question_is_answered_again_in_the_same_place(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    await house.teach(ann, dm, "Lala", "A ginger cat. She loves cheese.")
    question = peer.say(dm, ann, "/show Lola")
    answer = await house.reply(question)
    assert "cheese" not in answer.text
    peer.edit(question, "/show Lala")
    await peer.wait_for(lambda: "cheese" in answer.text, SLOW)
    assert len([one for one in peer.sent(dm) if one.replies_to is question]) == 1
    assert answer.attachments


async def test_a_link_preview_is_not_an_edit(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    question = peer.say(dm, ann, "/caption https://example.org", [CAT])
    await house.reply(question)
    loaded = len(peer.calls_to("GET /cdn"))
    peer.edit(question, question.content)  # Discord sends the same words again with the embed
    await house.asked(dm, ann, "/caption", CAT)
    assert len(peer.calls_to("GET /cdn")) == loaded + 1


async def test_an_edit_while_the_first_version_is_answered_gives_one_answer(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    await house.teach(ann, dm, "Lala")
    gate = peer.hold("GET /cdn/attachments/")
    question = peer.say(dm, ann, "/caption", [CAT])
    await peer.wait_for(lambda: peer.typings(dm))
    peer.edit(question, "/find")
    gate.release()
    peer.faults.rules.clear()
    answer = await house.reply(question)
    await house.asked(dm, ann, "/help")
    assert [one for one in peer.sent(dm) if one.replies_to is question] == [answer]


async def test_a_deleted_question_is_cancelled(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    gate = peer.hold("GET /cdn/attachments/")
    question = peer.say(dm, ann, "", [CAT])
    await peer.wait_for(lambda: peer.typings(dm))
    peer.delete(question)
    answer = await house.asked(dm, ann, "/help")
    gate.release()
    peer.faults.rules.clear()
    again = await house.asked(dm, ann, "", CAT)
    assert peer.sent(dm) == [answer, again]


async def test_a_file_that_is_no_picture_is_refused_in_a_sentence_without_loading_it(
    house: House, peer: DiscordPeer
) -> None:
    ann, dm = house.person()
    loaded = len(peer.calls_to("GET /cdn"))
    assert "not a picture" in (await house.asked(dm, ann, "", ("notes.pdf", b"%PDF-1.7"))).text
    interaction = peer.slash(dm, ann, "caption", photo=("clip.mp4", b"\0\0\0\x18ftypmp42"))
    assert "not a picture" in (await house.answer(interaction)).text
    assert interaction.ephemeral
    assert len(peer.calls_to("GET /cdn")) == loaded


async def test_a_file_that_only_pretends_to_be_a_picture_is_refused_in_a_sentence(house: House) -> None:
    ann, dm = house.person()
    assert "picture" in (await house.asked(dm, ann, "", ("cat.jpg", b"not really"))).text


async def test_a_photo_over_the_limit_is_refused_without_loading_it(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    loaded = len(peer.calls_to("GET /cdn"))
    large = ("large.jpg", b"\xff\xd8\xff" + bytes(20_500_000))
    assert "20 MB" in (await house.asked(dm, ann, "", large)).text
    assert "20 MB" in (await house.call(dm, ann, "caption", photo=large)).text
    assert len(peer.calls_to("GET /cdn")) == loaded


async def test_a_long_answer_comes_in_pieces_that_end_with_sentences(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    for number in range(5):
        await house.teach(ann, dm, f"Cat {number}", ("She sleeps on the sofa all day. " * 15).strip())
    question = peer.say(dm, ann, "/concepts")
    first = await house.reply(question)
    last = await peer.wait_for(lambda: next((one for one in peer.sent(dm)[::-1] if one.order > first.order), None))
    assert last is not None
    assert "Cat 0" in first.text
    assert "Cat 4" in last.text
    assert last.attachments
    assert first.text[-1] in ".:"
    peer.edit(question, "/caption")
    await peer.gone(last, SLOW)
    assert "Cat 0" not in first.text


async def test_words_of_people_neither_ping_nor_format(house: House, peer: DiscordPeer) -> None:
    ann, _dm = house.person()
    ben, _theirs = house.person("Ben")
    guild = house.guild(ann, ben)
    info = f"**Big** {ben.mention} @everyone https://example.org/a_b"
    await house.call(guild.channel, ann, "remember", name="_Lala_", info=info, photo=CAT)
    shown = await house.asked(guild.channel, ann, house.mention("/ask What do you know about _Lala_?"))
    card = await house.call(guild.channel, ann, "show", name="_Lala_")
    for message in [*peer.sent(guild.channel), shown, card]:
        assert message.mentions == []
        assert not message.mention_everyone
    assert "\\_Lala\\_" in card.text
    assert "**" not in card.text.replace("\\*", "")
    assert "<https://example.org/a_b>" in card.text
    assert ben.mention not in card.text
