"""The Discord stand-in, driven by the unmodified discord.py with small clients of the test."""

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import discord
import pytest
from discord import app_commands
from PIL import Image

from tests.peers.discord import DiscordPeer


def picture(width: int = 12, height: int = 8) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "orange").save(out, "PNG")
    return out.getvalue()


class NameForm(discord.ui.Modal, title="A new name"):
    name: discord.ui.TextInput["NameForm"] = discord.ui.TextInput(label="Name", max_length=20)
    why: discord.ui.TextInput["NameForm"] = discord.ui.TextInput(label="Why", required=False, default="because")

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        await interaction.response.send_message(f"{self.name.value}: {self.why.value}")


class Thumbs(discord.ui.View):
    """A view of an earlier run: registered by its custom ids alone."""

    def __init__(self) -> None:
        super().__init__(timeout=None)

    @discord.ui.button(label="Good", custom_id="rate:good")
    async def good(self, interaction: discord.Interaction[Any], button: discord.ui.Button["Thumbs"]) -> None:
        await interaction.response.edit_message(content="Thanks", view=None)

    @discord.ui.select(
        custom_id="rate:why", placeholder="Why?", options=[discord.SelectOption(label="Too long", value="long")]
    )
    async def why(self, interaction: discord.Interaction[Any], select: discord.ui.Select["Thumbs"]) -> None:
        await interaction.response.send_message(select.values[0], ephemeral=True)


class Bot(discord.Client):
    """Echoes, and offers one of each kind of interaction."""

    def __init__(self, *, content: bool = True) -> None:
        intents = discord.Intents.none()
        intents.value |= discord.Intents(guilds=True, guild_messages=True, dm_messages=True).value
        intents.message_content = content
        super().__init__(intents=intents)
        self.tree = app_commands.CommandTree(self)
        self.heard: list[discord.Message] = []
        self.errors: asyncio.Queue[BaseException] = asyncio.Queue()

    async def setup_hook(self) -> None:
        add_commands(self.tree)
        self.add_view(Thumbs())

        @self.tree.error
        async def failed(interaction: discord.Interaction[Any], error: app_commands.AppCommandError) -> None:
            await self.errors.put(error.__cause__ or error)

        await self.tree.sync()

    async def on_message(self, message: discord.Message) -> None:
        self.heard.append(message)
        if message.author.bot:
            return
        if message.content == "rate":
            await message.channel.send("How was it?", view=Thumbs())
        elif message.content == "busy":
            async with message.channel.typing():
                sent = await message.channel.send("1")
            await sent.edit(content="2")
            await sent.add_reaction("👀")
        else:
            await message.reply(message.content or "(nothing)", allowed_mentions=discord.AllowedMentions.none())

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        error = sys.exc_info()[1]
        assert error is not None
        await self.errors.put(error)


def add_commands(tree: "app_commands.CommandTree[Bot]") -> None:
    @tree.command()
    @app_commands.allowed_installs(guilds=True, users=True)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    async def remember(interaction: discord.Interaction[Bot], name: str, photo: discord.Attachment) -> None:
        """Learns a thing from a photo."""
        await interaction.response.defer(thinking=True)
        data = await photo.read()
        file = discord.File(io.BytesIO(data), f"{name}.png", description="what I learned")
        embed = discord.Embed(description=f"{photo.width}x{photo.height}").set_image(url=f"attachment://{name}.png")
        await interaction.followup.send(f"This is {name}", file=file, embed=embed)

    @remember.autocomplete("name")
    async def names(interaction: discord.Interaction[Bot], current: str) -> list[app_commands.Choice[str]]:
        known = ["Lala", "Lulu", "Mia"]
        return [app_commands.Choice(name=one, value=one) for one in known if one.startswith(current)]

    @tree.command()
    async def rename(interaction: discord.Interaction[Bot]) -> None:
        """Opens a form."""
        await interaction.response.send_modal(NameForm())

    things: app_commands.Group = app_commands.Group(name="things", description="What I know")

    @things.command(name="show")
    async def show(
        interaction: discord.Interaction[Bot], count: app_commands.Range[int, 1, 9], whose: discord.User
    ) -> None:
        """Shows things, first as a sketch, then for good."""
        await interaction.response.defer(ephemeral=True)
        sketch = [discord.File(io.BytesIO(picture()), f"{number}.png") for number in range(count)]
        first = await interaction.edit_original_response(content=f"of {whose.global_name}", attachments=sketch)
        await interaction.edit_original_response(content="done", attachments=first.attachments[:1])
        second = await interaction.followup.send("more", wait=True)
        await second.delete()

    tree.add_command(things)

    @tree.context_menu(name="Caption this")
    async def caption(interaction: discord.Interaction[Bot], message: discord.Message) -> None:
        size = message.attachments[0].size
        await interaction.response.send_message(f"{message.content} ({size} bytes)", ephemeral=True)


@pytest.fixture
async def peer() -> AsyncIterator[DiscordPeer]:
    async with DiscordPeer.start() as peer:
        yield peer


async def test_a_mention_is_heard_without_the_content_intent_and_the_rest_is_blank(peer: DiscordPeer) -> None:
    ann = peer.person("Ann")
    guild, dm = peer.guild("Home", members=[ann]), peer.dm(ann)
    async with peer.running(Bot(content=False)):
        said = peer.say(guild.channel, ann, "secret")
        assert (await peer.next_message(guild.channel)).content == "(nothing)"
        peer.say(guild.channel, ann, f"{peer.bot_user.mention} hello")
        reply = await peer.next_message(guild.channel)
        peer.say(guild.channel, ann, "as I said", reply_to=reply)
        assert (await peer.next_message(guild.channel)).content == "as I said"
        peer.say(dm, ann, "in private")
        assert (await peer.next_message(dm)).content == "in private"
    assert reply.content.endswith("hello")
    assert reply.mentions == []
    first = peer.sent(guild.channel)[0]
    assert first.message_reference is not None
    assert first.message_reference["message_id"] == str(said.id)


async def test_typing_edits_and_reactions_are_seen(peer: DiscordPeer) -> None:
    ann = peer.person("Ann")
    guild = peer.guild("Home", members=[ann])
    thread = peer.thread(guild.channel)
    async with peer.running(Bot()):
        peer.say(thread, ann, "busy")
        message = await peer.next_message(thread)
        assert (await peer.next_edit(message)).content == "2"
        await peer.wait_for(lambda: peer.reactions(message) == ["👀"])
    assert message.texts == ["1", "2"]
    assert len(peer.typings(thread)) == 1


async def test_a_command_with_a_photo_defers_and_follows_up_with_a_picture(peer: DiscordPeer) -> None:
    ann = peer.person("Ann", locale="de")
    guild = peer.guild("Home", members=[ann])
    data = picture(30, 20)
    async with peer.running(Bot(), commands=True):
        asked = peer.slash(guild.channel, ann, "remember", name="Lala", photo=("my dog.png", data))
        message = await asked.answer()
        with pytest.raises(LookupError, match="required"):
            peer.slash(guild.channel, ann, "remember", name="Lala")
        with pytest.raises(LookupError, match="no option"):
            peer.slash(guild.channel, ann, "remember", name="Lala", photo=("a.png", data), colour="red")
        with pytest.raises(LookupError, match="not registered"):
            peer.slash(guild.channel, ann, "forget")
    assert asked.deferred
    assert not asked.ephemeral
    assert asked.acknowledged_after is not None
    assert asked.acknowledged_after < 3
    assert asked.messages == asked.followups == [message] == peer.sent(guild.channel)
    assert message.content == "This is Lala"
    assert message.embeds[0]["description"] == "30x20"
    assert [(one.filename, one.data, one.description) for one in message.attachments] == [
        ("Lala.png", data, "what I learned")
    ]


async def test_a_user_installed_command_works_where_the_bot_is_not(peer: DiscordPeer) -> None:
    ann, bob = peer.person("Ann"), peer.person("Bob")
    abroad, group = peer.guild("Abroad", members=[ann], bot=False), peer.group(ann, bob)
    async with peer.running(Bot(), commands=True):
        for channel in (abroad.channel, group, peer.dm(ann)):
            message = await peer.slash(channel, ann, "remember", name="Mia", photo=("mia.png", picture())).answer()
            assert message.content == "This is Mia"
        with pytest.raises(LookupError, match="installed"):
            peer.slash(abroad.channel, ann, "rename")


async def test_a_subcommand_edits_its_own_answer_in_private(peer: DiscordPeer) -> None:
    ann = peer.person("Ann")
    guild = peer.guild("Home", members=[ann])
    async with peer.running(Bot(), commands=True):
        asked = peer.slash(guild.channel, ann, "things show", count=3, whose=ann)
        message = await asked.answer()
        await peer.next_edit(message)
        await peer.wait_for(lambda: any(call.method == "DELETE" for call in peer.calls))
        with pytest.raises(ValueError, match="10"):
            peer.slash(guild.channel, ann, "things show", count=10, whose=ann)
        with pytest.raises(LookupError, match="subcommand"):
            peer.slash(guild.channel, ann, "things")
    assert (asked.ephemeral, asked.deferred, asked.response) == (True, True, message)
    assert message.texts == ["of Ann", "done"]
    assert [one.filename for one in message.attachments] == ["0.png"]
    assert [one.content for one in asked.followups] == ["more"]
    assert asked.messages == [message]
    assert peer.sent(guild.channel) == []


async def test_rest_shows_messages_as_discord_does(peer: DiscordPeer) -> None:
    ann = peer.person("Ann")
    guild = peer.guild("Home", members=[ann])
    bot = Bot()
    async with peer.running(bot):
        peer.say(guild.channel, ann, "hello")
        await peer.next_message(guild.channel)
        channel = await bot.fetch_channel(guild.channel.id)
        assert isinstance(channel, discord.TextChannel)
        file = discord.File(io.BytesIO(picture()), "a.png")
        sent = await channel.send(embed=discord.Embed(title="A").set_image(url="attachment://a.png"), file=file)
        assert sent.attachments == []
        assert (sent.embeds[0].image.url or "").startswith(peer.world.base)
        assert (await peer.next_message(guild.channel)).attachments[0].data == picture()
        assert [one.content async for one in channel.history()] == ["", "hello", "hello"]
        named = await channel.send(f"{ann.mention} @everyone", allowed_mentions=discord.AllowedMentions(everyone=False))
        record = await peer.next_message(guild.channel, after=peer.sent(guild.channel)[1])
        assert (record.mentions, record.mention_everyone) == ([ann], False)
        await named.delete()
        refused: list[tuple[Callable[[], Awaitable[Any]], int]] = [
            (lambda: named.edit(content="late"), 10008),
            (lambda: channel.send(""), 50006),
            (lambda: channel.send(files=[discord.File(io.BytesIO(b"x"), "x.txt") for _ in range(11)]), 50035),
            (lambda: channel.send("x", file=discord.File(io.BytesIO(bytes(peer.world.upload_limit + 1)), "x")), 40005),
            (lambda: bot.fetch_channel(1), 10003),
        ]
        for request, code in refused:
            with pytest.raises(discord.HTTPException) as caught:
                await request()
            assert caught.value.code == code
        ann.accepts_dms = False
        with pytest.raises(discord.Forbidden):
            await (await bot.fetch_user(ann.id)).send("psst")
        peer.forget(peer.sent(guild.channel)[1].attachments[0])
        with pytest.raises(discord.NotFound):
            await bot.http.get_from_cdn(sent.embeds[0].image.url or "")


async def test_an_ended_session_is_begun_anew(peer: DiscordPeer) -> None:
    class Impatient(Bot):
        async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
            """Without the library's 5 s before it identifies again."""

    ann = peer.person("Ann")
    guild = peer.guild("Home", members=[ann])
    async with peer.running(Impatient()):
        await peer.drop_connections(resumable=False)
        await peer.wait_for(lambda: len(peer.gateway.identifies) == 2)
        peer.invalidate()
        await peer.wait_for(lambda: len(peer.gateway.identifies) == 3)
        peer.say(guild.channel, ann, "still there?")
        assert (await peer.next_message(guild.channel)).content == "still there?"
    assert len(peer.gateway.resumes) == 1


async def test_autocompletion_suggests_what_fits(peer: DiscordPeer) -> None:
    ann = peer.person("Ann")
    guild = peer.guild("Home", members=[ann])
    async with peer.running(Bot(), commands=True):
        choices = await peer.autocomplete(guild.channel, ann, "remember", "name", "L")
    assert [one["name"] for one in choices] == ["Lala", "Lulu"]


async def test_a_form_goes_out_and_comes_back(peer: DiscordPeer) -> None:
    ann = peer.person("Ann")
    guild = peer.guild("Home", members=[ann])
    async with peer.running(Bot(), commands=True):
        form = await peer.slash(guild.channel, ann, "rename").form()
        assert list(form.fields) == ["Name", "Why"]
        with pytest.raises(ValueError, match="21 characters"):
            peer.submit(form, ann, {"Name": "x" * 21})
        assert (await peer.submit(form, ann, {"Name": "Lala"}).answer()).content == "Lala: because"


async def test_a_button_of_an_earlier_run_still_works(peer: DiscordPeer) -> None:
    ann = peer.person("Ann")
    guild = peer.guild("Home", members=[ann])
    async with peer.running(Bot()):
        peer.say(guild.channel, ann, "rate")
        message = await peer.next_message(guild.channel)
    async with peer.running(Bot()):
        chosen = await peer.choose(message, ["Too long"], menu="Why?", person=ann).answer()
        pressed = peer.press(message, "Good", person=ann)
        assert await pressed.answer() is message
    assert (chosen.content, chosen.ephemeral) == ("long", True)
    assert (message.content, message.labels) == ("Thanks", [])
    with pytest.raises(LookupError, match="no button"):
        peer.press(message, "Good", person=ann)


async def test_a_context_menu_sees_the_whole_message_and_answers_one_person(peer: DiscordPeer) -> None:
    ann = peer.person("Ann")
    guild = peer.guild("Home", members=[ann])
    async with peer.running(Bot(content=False), commands=True):
        data = picture()
        message = peer.say(guild.channel, ann, "my cat", attachments=[("cat.png", data)])
        asked = peer.context_menu(guild.channel, ann, "Caption this", message)
        assert (await asked.answer()).content == f"my cat ({len(data)} bytes)"
    assert asked.ephemeral
    assert asked.response not in peer.sent(guild.channel)


async def test_what_was_said_while_the_line_was_down_is_replayed(peer: DiscordPeer) -> None:
    ann = peer.person("Ann")
    guild = peer.guild("Home", members=[ann])
    async with peer.running(Bot()):
        peer.say(guild.channel, ann, "one")
        await peer.next_message(guild.channel)
        async with peer.offline():
            peer.say(guild.channel, ann, "two")
            peer.say(guild.channel, ann, "three")
        assert [(await peer.next_message(guild.channel)).content for _ in range(2)] == ["two", "three"]
        peer.reconnect()
        await peer.wait_for(lambda: len(peer.gateway.resumes) == 2 and peer.gateway.online())
        peer.say(guild.channel, ann, "four")
        assert (await peer.next_message(guild.channel)).content == "four"
    assert len(peer.gateway.identifies) == 1
    assert peer.gateway.heartbeats >= 3


async def test_a_limited_request_is_sent_again_and_a_broken_one_too(peer: DiscordPeer) -> None:
    ann = peer.person("Ann")
    guild = peer.guild("Home", members=[ann])
    async with peer.running(Bot()):
        peer.fail_next("POST /channels/.*/messages", 502)
        peer.fail_next("POST /channels/.*/messages", 429, retry_after=0.02, times=2)
        peer.say(guild.channel, ann, "hello")
        await peer.next_message(guild.channel)
    sends = peer.calls_to("POST /channels/.*/messages")
    assert [call.status for call in sends] == [502, 429, 429, 200]
    assert 0.02 <= sends[2].at - sends[1].at < 1


async def test_a_cut_line_and_a_lost_server_reach_the_bot_as_errors(peer: DiscordPeer) -> None:
    ann = peer.person("Ann")
    guild = peer.guild("Home", members=[ann])
    bot = Bot()
    async with peer.running(bot):
        peer.drop_next("POST /channels/.*/messages")
        peer.say(guild.channel, ann, "into the void")
        await peer.wait_for(lambda: len(peer.calls_to("/messages")) == 1)
        peer.say(guild.channel, ann, "x" * 2001)
        await peer.wait_for(lambda: len(peer.calls_to("/messages")) == 2)
        gate = peer.hold("POST /channels/.*/messages")
        peer.say(guild.channel, ann, "too late")
        await gate.reached()
        peer.kick_bot(guild)
        gate.release()
        failures = [await bot.errors.get() for _ in range(3)]
    assert peer.sent(guild.channel) == []
    assert [call.status for call in peer.calls_to("/messages")] == [0, 400, 403]
    assert isinstance(failures[0], aiohttp.ServerDisconnectedError)
    assert [one.code for one in failures[1:] if isinstance(one, discord.HTTPException)] == [50035, 50001]


async def test_an_acknowledgement_after_the_limit_is_refused(peer: DiscordPeer) -> None:
    ann = peer.person("Ann")
    guild = peer.guild("Home", members=[ann])
    bot = Bot()
    async with peer.running(bot, commands=True):
        gate = peer.hold("/callback")
        asked = peer.slash(guild.channel, ann, "rename")
        peer.expire(asked)
        gate.release()
        assert await asked.refusal() == 10062
        failure = await bot.errors.get()
    assert isinstance(failure, discord.NotFound)
    assert asked.acknowledged_after is None
    assert peer.calls_to("/callback")[0].status == 404


async def test_two_shards_share_the_servers(peer: DiscordPeer) -> None:
    class Sharded(discord.AutoShardedClient):
        async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
            """Without the library's 5 s between identifications."""

        async def on_message(self, message: discord.Message) -> None:
            if not message.author.bot:
                await message.channel.send(str(message.guild.shard_id if message.guild else "dm"))

    async with DiscordPeer.start(shards=2) as big:
        ann = big.person("Ann")
        guilds = [big.guild(f"Home {shard}", members=[ann], shard=shard) for shard in (0, 1)]
        client = Sharded(intents=discord.Intents(guilds=True, guild_messages=True, dm_messages=True))
        async with big.running(client):
            for shard, guild in enumerate(guilds):
                big.say(guild.channel, ann, "which?")
                assert (await big.next_message(guild.channel)).content == str(shard)
            big.say(big.dm(ann), ann, "which?")
            assert (await big.next_message(big.dm(ann))).content == "dm"
            assert [one["shard"] for one in big.gateway.identifies] == [[0, 2], [1, 2]]


async def test_members_come_go_and_rise(peer: DiscordPeer) -> None:
    ann, bob = peer.person("Ann"), peer.person("Bob")
    guild = peer.guild("Home", members=[ann])
    seen: asyncio.Queue[str] = asyncio.Queue()

    class Watcher(discord.Client):
        async def on_member_join(self, member: discord.Member) -> None:
            await seen.put(f"{member.global_name} came")

        async def on_raw_member_remove(self, payload: discord.RawMemberRemoveEvent) -> None:
            await seen.put(f"{payload.user.global_name} went")

        async def on_member_update(self, before: discord.Member, after: discord.Member) -> None:
            await seen.put(f"{after.global_name} rules: {after.guild_permissions.manage_guild}")

    intents = discord.Intents(guilds=True, members=True)
    client = Watcher(intents=intents)
    async with peer.running(client):
        peer.join(guild, bob)
        assert await seen.get() == "Bob came"
        peer.promote(guild, bob)
        assert await seen.get() == "Bob rules: True"
        peer.demote(guild, bob)
        assert await seen.get() == "Bob rules: False"
        peer.leave(guild, bob)
        assert await seen.get() == "Bob went"
        place = client.get_guild(guild.id)
        assert place is not None
        assert {one.id for one in await place.query_members(user_ids=[ann.id])} == {ann.id}
        with pytest.raises(discord.NotFound) as caught:
            await place.fetch_member(bob.id)
    assert caught.value.code == 10007


async def test_a_privileged_intent_that_was_not_granted_closes_the_gateway() -> None:
    async with DiscordPeer.start(message_content=False) as peer:
        with pytest.raises(discord.PrivilegedIntentsRequired):
            async with peer.running(Bot()):
                pytest.fail("the bot must not come online")
