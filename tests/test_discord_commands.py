"""Slash commands, autocompletion, forms and menus, as Discord sends them."""

from __future__ import annotations

import io
import zipfile

import pytest
from PIL import Image

from rapbot.commands import COMMANDS
from tests.discord_house import CAT, House, house, peer
from tests.peers.discord import DiscordPeer
from tests.pictures import cat_elsewhere_jpeg, coffee

__all__ = ["house", "peer"]

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_photo_with_remember_teaches_at_once(house: House) -> None:
    ann, dm = house.person()
    answer = await house.teach(ann, dm, "Mr. Pickles", "A cat. He likes cucumbers.")
    assert "Mr. Pickles" in answer.text
    assert answer.attachments
    found = await house.call(dm, ann, "find", photo=("other.jpg", cat_elsewhere_jpeg()))
    assert "Mr. Pickles" in found.text
    assert {"Wrong?", "Why?"} <= set(found.labels)


async def test_remember_without_a_photo_waits_for_the_next_one(house: House) -> None:
    ann, dm = house.person()
    asks = await house.call(dm, ann, "remember", name="Lala", info="A ginger cat.")
    assert "photo" in asks.text
    learned = await house.asked(dm, ann, "", CAT)
    assert "Lala" in learned.text
    assert "Lala" in (await house.call(dm, ann, "concepts")).text


async def test_on_a_server_the_awaited_photo_comes_with_a_mention(house: House) -> None:
    ann, _dm = house.person()
    guild = house.guild(ann)
    asks = await house.call(guild.channel, ann, "remember", name="Lala", info="A ginger cat.")
    assert "mention me" in asks.text
    learned = await house.asked(guild.channel, ann, house.mention(), CAT)
    assert "I will know Lala" in learned.text


async def test_a_question_with_a_photo_shows_the_photo_that_only_the_asker_saw(house: House) -> None:
    ann, dm = house.person()
    place = Image.Exif()
    place[0x010E] = "52.2297 N 21.0122 E"
    photo = io.BytesIO()
    coffee().save(photo, "JPEG", exif=place)
    assert b"52.2297" in photo.getvalue()
    answer = await house.call(dm, ann, "ask", question="What is on the table?", photo=("cup.jpg", photo.getvalue()))
    assert answer.text
    [shown] = answer.attachments
    assert shown.data.startswith(b"\xff\xd8")
    assert b"52.2297" not in shown.data


async def test_caption_and_describe_and_find_by_name_speak_of_the_last_photo(house: House) -> None:
    ann, dm = house.person()
    await house.teach(ann, dm, "Lala")
    assert "Lala" in (await house.call(dm, ann, "caption", photo=CAT)).text
    assert "Lala" in (await house.call(dm, ann, "describe")).text
    assert "Lala" in (await house.call(dm, ann, "find", name="Lala")).text


async def test_cards_are_shown_added_to_forgotten_and_undone(house: House) -> None:
    ann, dm = house.person()
    await house.teach(ann, dm, "Lala", "A ginger cat. She loves cheese.")
    shown = await house.call(dm, ann, "show", name="lala")
    assert "cheese" in shown.text
    assert shown.attachments
    added = await house.call(dm, ann, "addphoto", name="Lala", photo=("more.jpg", cat_elsewhere_jpeg()))
    assert "2 photos" in added.text
    assert "deleted the last photo" in (await house.call(dm, ann, "undo")).text
    asks = await house.call(dm, ann, "forget", name="Lala")
    gone = await house.press(asks, "Forget for good", ann)
    assert "forgotten Lala" in gone.text
    assert gone is asks
    assert not gone.labels
    assert "don't know anything" in (await house.call(dm, ann, "concepts")).text


async def test_edit_opens_the_card_as_a_form_and_saves_it(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    await house.teach(ann, dm, "Lala", "A ginger cat.")
    form = await peer.slash(dm, ann, "edit", name="Lala").form()
    assert [field["value"] for field in form.fields.values()][::2] == ["Lala", "A ginger cat."]
    saved = await house.answer(peer.submit(form, ann, {"name": "Lulu", "info": "She loves cheese."}))
    assert "Lulu" in saved.text
    assert "cheese" in (await house.call(dm, ann, "show", name="Lulu")).text


async def test_the_edit_button_opens_the_same_form(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    learned = await house.teach(ann, dm, "Lala")
    form = await peer.press(learned, "Edit", person=ann).form()
    saved = await house.answer(peer.submit(form, ann, {"info": "She loves cheese."}))
    assert "cheese" in saved.text


async def test_a_typed_edit_offers_buttons_that_open_the_form_or_await_a_photo(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    await house.teach(ann, dm, "Lala")
    menu = await house.asked(dm, ann, "/edit Lala")
    form = await peer.press(menu, "Name", person=ann).form()
    assert "Lulu" in (await house.answer(peer.submit(form, ann, {"name": "Lulu"}))).text
    assert "another photo of Lulu" in (await house.press(menu, "Add a photo", ann)).text
    assert "2 photos" in (await house.asked(dm, ann, "", ("more.jpg", cat_elsewhere_jpeg()))).text


async def test_a_name_with_quotes_stays_one_name(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    answer = await house.teach(ann, dm, 'Lala "the” cat: big', "A ginger cat.")
    assert "Lala 'the' cat: big" in answer.text


async def test_editing_an_unknown_name_says_so_to_the_person_alone(house: House, peer: DiscordPeer) -> None:
    ann, _dm = house.person()
    guild = house.guild(ann)
    interaction = peer.slash(guild.channel, ann, "edit", name="Nobody")
    assert "Nobody" in (await house.answer(interaction)).text
    assert interaction.ephemeral


async def test_names_are_suggested_while_they_are_typed(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person()
    await house.teach(ann, dm, "Lala")
    await house.teach(ann, dm, "Mr. Pickles")
    for command in ("show", "edit", "addphoto", "forget", "find"):
        assert [one["value"] for one in await peer.autocomplete(dm, ann, command, "name", "pic")] == ["Mr. Pickles"]
    assert len(await peer.autocomplete(dm, ann, "show", "name", "")) == 2
    stranger, theirs = house.person("Ben")
    assert await peer.autocomplete(theirs, stranger, "show", "name", "") == []


async def test_the_menu_of_a_message_captions_finds_and_teaches(house: House, peer: DiscordPeer) -> None:
    ann, _dm = house.person()
    ben, _theirs = house.person("Ben")
    guild = house.guild(ann, ben)
    photo = peer.say(guild.channel, ben, "look!", [CAT])
    form = await peer.context_menu(guild.channel, ann, "Remember this", photo).form()
    learned = await house.answer(peer.submit(form, ann, {"name": "Lala", "info": "Ben's cat."}))
    assert "I will know Lala" in learned.text
    assert "Lala" in (await house.answer(peer.context_menu(guild.channel, ann, "Caption this", photo))).text
    assert "Lala" in (await house.answer(peer.context_menu(guild.channel, ann, "Who is here?", photo))).text


@pytest.mark.parametrize("entry", ["Caption this", "Who is here?", "Remember this"])
async def test_the_menu_of_a_message_without_a_picture_says_so(house: House, peer: DiscordPeer, entry: str) -> None:
    ann, _dm = house.person()
    guild = house.guild(ann)
    words = peer.say(guild.channel, ann, "no picture here")
    interaction = peer.context_menu(guild.channel, ann, entry, words)
    assert "no picture" in (await house.answer(interaction)).text
    assert interaction.ephemeral


async def test_everything_kept_comes_as_a_file_and_can_be_deleted(house: House, peer: DiscordPeer) -> None:
    ann, _dm = house.person()
    guild = house.guild(ann)
    await house.teach(ann, guild.channel, "Lala")
    interaction = peer.slash(guild.channel, ann, "mydata")
    data = (await house.answer(interaction)).attachments[0]
    assert interaction.ephemeral
    assert zipfile.ZipFile(io.BytesIO(data.data)).namelist()
    asks = await house.call(guild.channel, ann, "forgetme")
    assert asks.ephemeral
    assert "deleted" in (await house.press(asks, "Delete everything", ann)).text
    assert "don't know anything" in (await house.call(guild.channel, ann, "concepts")).text


@pytest.mark.parametrize("command", ["concepts", "privacy", "help", "undo", "mydata", "unlink"])
async def test_what_concerns_one_person_is_shown_to_that_person_alone(
    house: House, peer: DiscordPeer, command: str
) -> None:
    ann, _dm = house.person()
    guild = house.guild(ann)
    interaction = peer.slash(guild.channel, ann, command)
    assert (await house.answer(interaction)).text
    assert interaction.ephemeral


async def test_a_failure_is_one_sentence_for_the_person_alone(house: House, peer: DiscordPeer) -> None:
    ann, _dm = house.person()
    guild = house.guild(ann)
    interaction = peer.slash(guild.channel, ann, "addphoto", name="Nobody", photo=CAT)
    answer = await house.answer(interaction)
    assert "Nobody" in answer.text
    assert answer.ephemeral
    assert peer.sent(guild.channel) == []


async def test_two_accounts_share_one_memory_after_link_and_not_after_unlink(house: House) -> None:
    ann, dm = house.person()
    second, theirs = house.person("Ann at work")
    await house.teach(ann, dm, "Lala")
    code = (await house.call(dm, ann, "link")).text.split("/link ")[1].split()[0].replace("\\", "")
    await house.call(theirs, second, "link", code=code)
    assert "Lala" in (await house.call(theirs, second, "concepts")).text
    await house.call(theirs, second, "unlink")
    assert "Lala" not in (await house.call(theirs, second, "concepts")).text


async def test_what_discord_lists_is_told_in_the_languages_of_the_catalogues(house: House, peer: DiscordPeer) -> None:
    commands = {one["name"]: one for one in peer.commands}
    assert len(commands) == len(COMMANDS) + 3  # and the menus on a message
    for command in commands.values():
        assert set(command.get("contexts", [])) <= {0, 1, 2}
        assert command["integration_types"] == [0, 1]
        assert not command.get("name_localizations") or command["type"] == 3
    assert commands["settings"]["default_member_permissions"] == str(1 << 5)
    assert commands["settings"]["contexts"] == [0]
    assert commands["link"]["contexts"] == [1]
