"""Servers: what members share there, who sees it, who sets the bot up, and what happens when somebody leaves."""

from __future__ import annotations

import pytest

from adapters.discord import places
from rapbot.commands import COMMANDS
from tests.discord_house import CAT, House, house, peer
from tests.peers.discord import DiscordPeer, Person
from tests.pictures import coffee, jpeg, rocket

__all__ = ["house", "peer"]

pytestmark = pytest.mark.asyncio(loop_scope="module")
CUP = ("cup.jpg", jpeg(coffee()))


@pytest.fixture(autouse=True)
def asks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody counts as a member because they were one a moment ago."""
    monkeypatch.setattr(places, "FRESH_S", 0.0)


async def test_what_is_shared_with_a_server_is_recognised_there_and_only_there(house: House) -> None:
    ann, dm = house.person("Ann")
    ben, _theirs = house.person("Ben")
    guild, elsewhere = house.guild(ann, ben), house.guild(ann, ben)
    await house.teach(ann, dm, "Lala")
    assert "Lala" not in (await house.call(guild.channel, ben, "find", photo=CAT)).text
    await house.call(guild.channel, ann, "share", name="Lala")
    assert "Ann's Lala" in (await house.call(guild.channel, ben, "find", photo=CAT)).text
    assert "Lala" not in (await house.call(elsewhere.channel, ben, "find", photo=CAT)).text
    await house.call(guild.channel, ann, "unshare", name="Lala")
    assert "Lala" not in (await house.call(guild.channel, ben, "find", photo=CAT)).text


async def test_three_members_with_the_same_name_see_only_what_is_theirs_or_shared(house: House) -> None:
    people = [house.person(name)[0] for name in ("Ann", "Ben", "Cleo")]
    ann, ben, cleo = people
    guild = house.guild(*people)
    pictures = {ann: CAT, ben: CUP, cleo: ("rocket.jpg", jpeg(rocket()))}
    for person, picture in pictures.items():
        await house.call(guild.channel, person, "remember", name="Lala", info=f"It is {person.name}'s.", photo=picture)
    await house.call(guild.channel, ann, "share", name="Lala")
    assert "Ann's Lala" in (await house.call(guild.channel, cleo, "find", photo=CAT)).text
    assert "Lala" not in (await house.call(guild.channel, cleo, "find", photo=CUP)).text
    for person in people:
        card = await house.call(guild.channel, person, "show", name="Lala")
        assert f"{person.name}'s" in card.text
        assert card.ephemeral


async def test_who_leaves_takes_their_concepts_along_at_once(house: House, peer: DiscordPeer) -> None:
    ann, _dm = house.person("Ann")
    ben, _theirs = house.person("Ben")
    guild = house.guild(ann, ben)
    await house.teach(ann, guild.channel, "Lala")
    await house.call(guild.channel, ann, "share", name="Lala")
    assert "Ann's Lala" in (await house.call(guild.channel, ben, "find", photo=CAT)).text
    peer.leave(guild, ann)
    assert "Lala" not in (await house.asked(guild.channel, ben, house.mention("who is this?"), CAT)).text
    peer.join(guild, ann)
    assert "Lala" not in (await house.call(guild.channel, ben, "find", photo=CAT)).text


async def test_while_discord_does_not_tell_who_is_there_nothing_shared_is_shown(
    house: House, peer: DiscordPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, _dm = house.person("Ann")
    ben, _theirs = house.person("Ben")
    guild = house.guild(ann, ben)
    await house.teach(ann, guild.channel, "Lala")
    await house.call(guild.channel, ann, "share", name="Lala")
    monkeypatch.setattr(places, "PATIENCE_S", 0.0)
    peer.fail_next(f"GET /guilds/{guild.id}/members/", 403, code=50001)
    answer = await house.call(guild.channel, ben, "find", photo=CAT)
    assert "try again" in answer.text
    assert answer.ephemeral
    assert "Ann's Lala" in (await house.call(guild.channel, ben, "find", photo=CAT)).text


async def test_a_server_that_removes_the_bot_is_forgotten(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person("Ann")
    ben, _theirs = house.person("Ben")
    guild = house.guild(ann, ben)
    await house.teach(ann, dm, "Lala")
    await house.call(guild.channel, ann, "share", name="Lala")
    peer.kick_bot(guild)
    await house.call(dm, ann, "help")
    peer.invite_bot(guild)
    assert "Lala" not in (await house.call(guild.channel, ben, "find", photo=CAT)).text
    assert "Lala" in (await house.call(dm, ann, "concepts")).text


async def test_an_outage_of_discord_is_no_removal(house: House, peer: DiscordPeer) -> None:
    ann, _dm = house.person("Ann")
    ben, _theirs = house.person("Ben")
    guild = house.guild(ann, ben)
    await house.teach(ann, guild.channel, "Lala")
    await house.call(guild.channel, ann, "share", name="Lala")
    gone = {"id": str(guild.id), "unavailable": True}
    peer.world.dispatch("GUILD_DELETE", lambda intents: gone, guild, 1)
    peer.invite_bot(guild)
    assert "Ann's Lala" in (await house.call(guild.channel, ben, "find", photo=CAT)).text


async def test_an_administrator_sets_which_photos_are_captioned(house: House, peer: DiscordPeer) -> None:
    ann, _dm = house.person("Ann")
    boss, _theirs = house.person("Boss")
    guild = house.guild(ann, admins=(boss,))
    await house.teach(ann, guild.channel, "Lala")
    panel = await house.call(guild.channel, boss, "settings")
    await house.press(panel, "Photos I recognise", boss)
    peer.say(guild.channel, ann, "nice", [CUP])
    captioned = await house.reply(peer.say(guild.channel, ann, "", [CAT]))
    assert "Lala" in captioned.text
    await house.press(panel, "Every photo", boss)
    assert (await house.asked(guild.channel, ann, "nice", CUP)).text
    await house.press(panel, "Only when asked", boss)
    before = len(peer.sent(guild.channel))
    peer.say(guild.channel, ann, "", [CAT])
    await house.asked(guild.channel, ann, house.mention("/help"))
    assert len(peer.sent(guild.channel)) == before + 1


async def test_a_demoted_administrator_may_not_press_the_old_panel(house: House, peer: DiscordPeer) -> None:
    boss, _theirs = house.person("Boss")
    guild = house.guild(admins=(boss,))
    panel = await house.call(guild.channel, boss, "settings")
    peer.demote(guild, boss)
    pressed = peer.press(panel, next(one for one in panel.labels if "Every" in one), person=boss)
    assert "administrator" in (await house.answer(pressed)).text
    with pytest.raises(LookupError):
        peer.slash(guild.channel, boss, "settings")
    assert "administrator" in (await house.asked(guild.channel, boss, house.mention("/settings every"))).text


async def test_a_button_is_for_the_person_who_asked(house: House, peer: DiscordPeer) -> None:
    ann, _dm = house.person("Ann")
    ben, _theirs = house.person("Ben")
    guild = house.guild(ann, ben)
    await house.teach(ann, guild.channel, "Lala")
    found = await house.call(guild.channel, ann, "find", photo=CAT)
    pressed = peer.press(found, "Why?", person=ben)
    assert "who asked" in (await house.answer(pressed)).text
    assert pressed.ephemeral


async def test_a_typed_private_command_is_answered_in_direct_messages(house: House, peer: DiscordPeer) -> None:
    ann, dm = house.person("Ann")
    guild = house.guild(ann)
    await house.teach(ann, dm, "Lala")
    said = await house.asked(guild.channel, ann, house.mention("/concepts"))
    assert "Lala" not in said.text
    assert any("Lala" in one.text for one in peer.sent(dm) if "1 thing" in one.text)
    ann.accepts_dms = False
    assert "slash command" in (await house.asked(guild.channel, ann, house.mention("/concepts"))).text


async def test_where_only_the_person_installed_the_bot_it_answers_with_what_is_theirs(
    house: House, peer: DiscordPeer
) -> None:
    ann, dm = house.person("Ann")
    ben, _theirs = house.person("Ben")
    await house.teach(ann, dm, "Lala")
    elsewhere = peer.guild("Elsewhere", members=[ann, ben], bot=False)
    assert "Lala" in (await house.call(elsewhere.channel, ann, "find", photo=CAT)).text
    assert "Lala" not in (await house.call(elsewhere.channel, ben, "find", photo=CAT)).text
    refused = peer.slash(elsewhere.channel, ann, "share", name="Lala")
    assert "where I am a member" in (await house.answer(refused)).text
    assert refused.ephemeral
    group = peer.group(ann, ben)
    photo = peer.say(group, ben, "", [CAT])
    assert "Lala" in (await house.answer(peer.context_menu(group, ann, "Who is here?", photo))).text


async def test_a_server_that_removed_the_bot_while_it_was_away_shows_nothing_shared(
    house: House, peer: DiscordPeer
) -> None:
    ann, _dm = house.person("Ann")
    ben, theirs = house.person("Ben")
    guild = house.guild(ann, ben)
    await house.teach(ann, guild.channel, "Lala")
    await house.call(guild.channel, ann, "share", name="Lala")
    async with peer.offline(resumable=False):
        peer.kick_bot(guild)
    await peer.online()
    await house.asked(theirs, ben, "/help")
    assert "Lala" not in (await house.call(guild.channel, ben, "find", photo=CAT)).text


async def test_other_bots_are_not_heard_whatever_they_write(house: House, peer: DiscordPeer) -> None:
    ann, _dm = house.person("Ann")
    robot = Person(peer.world.new_id(), "Robot", bot=True)
    peer.world.people[robot.id] = robot
    guild = house.guild(ann, robot, admins=(robot,))
    await house.asked(guild.channel, ann, house.mention("/help"))
    before = len(peer.sent(guild.channel))
    for command in [*COMMANDS, "start", "nonsense"]:
        peer.say(guild.channel, robot, house.mention(f"/{command} Lala every"))
    peer.say(guild.channel, robot, house.mention("what is this?"), [CAT])
    await house.asked(guild.channel, ann, house.mention("/help"))
    assert len(peer.sent(guild.channel)) == before + 1
