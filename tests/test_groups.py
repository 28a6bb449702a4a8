"""Three people, one group, a private life each: nobody ever sees what was not shared with them."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from rapbot.app import App, running
from rapbot.commands import Where, handle
from rapbot.config import Settings
from rapbot.errors import ConceptError, NameUnknown
from rapbot.groups import PhotoMode
from rapbot.messages import Actor, Chat, ChatKind, Photo, Reply, Request
from tests.pictures import cat, cat_elsewhere_jpeg, cat_jpeg, coffee, jpeg, rocket

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), weights_dir=weights)
    async with running(settings) as started:
        await started.worker.ready()
        yield started


@dataclasses.dataclass(slots=True)
class Member:
    app: App
    test: str
    name: str

    @property
    def actor(self) -> Actor:
        return Actor(f"test:{self.test}-{self.name}", self.name)

    @property
    def group(self) -> Chat:
        return Chat(f"test:group-{self.test}", ChatKind.GROUP)

    async def says(self, text: str = "", *photos: bytes) -> Reply:
        """In the group."""
        return await self._send(self.group, text, photos)

    async def whispers(self, text: str = "", *photos: bytes) -> Reply:
        """In private."""
        return await self._send(Chat(f"test:private-{self.test}-{self.name}"), text, photos)

    async def _send(self, chat: Chat, text: str, photos: tuple[bytes, ...]) -> Reply:
        request = Request(self.actor, chat, text, tuple(Photo(data) for data in photos))
        return await handle(self.app.assistant, request, where=frozenset(Where))


@pytest.fixture
def anna(app: App, request: pytest.FixtureRequest) -> Member:
    return Member(app, request.node.name, "Anna")


@pytest.fixture
def ben(app: App, request: pytest.FixtureRequest) -> Member:
    return Member(app, request.node.name, "Ben")


@pytest.fixture
def carl(app: App, request: pytest.FixtureRequest) -> Member:
    return Member(app, request.node.name, "Carl")


@pytest_asyncio.fixture(loop_scope="module")
async def lala(anna: Member) -> Member:
    """Anna, whose cat Lala is not shared yet."""
    await anna.whispers("/remember Lala A ginger tabby cat. She loves cheese.", cat_jpeg())
    return anna


async def test_what_is_not_shared_is_seen_by_nobody_else(lala: Member, ben: Member) -> None:
    assert "Lala" in (await lala.says("", cat_elsewhere_jpeg())).text
    reply = await ben.says("", cat_elsewhere_jpeg())
    assert "Lala" not in reply.text
    assert reply.sightings == ()
    with pytest.raises(NameUnknown):
        await ben.says("where is Lala?")
    assert "cheese" not in (await ben.says("what does Lala eat?")).text


async def test_a_shared_concept_is_found_under_its_owners_name(lala: Member, ben: Member) -> None:
    await lala.says("/share Lala")
    reply = await ben.says("", cat_elsewhere_jpeg())
    assert "Anna's Lala" in reply.text
    assert [(s.name, s.owner_name) for s in reply.sightings] == [("Anna's Lala", "Anna")]
    assert "cheese" in (await ben.says("what does Lala eat?")).text
    assert "cheese" in (await ben.says("what does Anna's Lala eat?")).text
    assert (await ben.says("is Lala in this photo?", jpeg(coffee()))).text.startswith("No")


async def test_a_share_reaches_this_group_only(lala: Member, ben: Member) -> None:
    await lala.says("/share Lala")
    assert (await ben.whispers("", cat_elsewhere_jpeg())).sightings == ()
    other = Request(ben.actor, Chat("test:other", ChatKind.GROUP), "", (Photo(cat_elsewhere_jpeg()),))
    assert (await ben.app.assistant.respond(other)).sightings == ()


async def test_unshared_is_gone_at_once_and_what_was_said_too(lala: Member, ben: Member) -> None:
    await lala.says("/share Lala")
    answer = await ben.says("", cat_elsewhere_jpeg())
    await lala.says("/unshare Lala")
    assert (await ben.says("", cat_elsewhere_jpeg())).sightings == ()
    assert "cheese" not in (await ben.says("what does she eat?")).text
    assert answer.answer_id is not None
    with pytest.raises(ConceptError):  # the record of the answer knew Lala
        await ben.app.assistant.why(ben.actor, answer.answer_id)
    assert "Lala" in (await lala.says("", cat_elsewhere_jpeg())).text


async def test_who_leaves_takes_everything_along(lala: Member, ben: Member) -> None:
    await lala.says("/share Lala")
    assert await ben.app.assistant.groups.sharers(ben.group) == (lala.actor.id,)
    await ben.app.assistant.groups.leave(lala.actor.id, ben.group)
    assert await ben.app.assistant.groups.sharers(ben.group) == ()
    assert (await ben.says("", cat_elsewhere_jpeg())).sightings == ()


async def test_forgetting_ends_every_share(lala: Member, ben: Member) -> None:
    await lala.says("/share Lala")
    await ben.says("", cat_elsewhere_jpeg())
    await lala.whispers("/forget Lala")
    assert (await ben.says("", cat_elsewhere_jpeg())).sightings == ()
    assert await ben.app.assistant.groups.sharers(ben.group) == ()


async def test_an_edit_reaches_the_group_with_the_next_answer(lala: Member, ben: Member) -> None:
    await lala.says("/share Lala")
    assert "cheese" in (await ben.says("what does Lala eat?")).text
    await lala.whispers("/edit Lala A ginger tabby cat. She loves tuna.")
    answer = (await ben.says("what does Lala eat?")).text
    assert "tuna" in answer
    assert "cheese" not in answer


async def test_two_people_have_a_lala(lala: Member, ben: Member, carl: Member) -> None:
    await ben.whispers("/remember Lala A white rocket. It is kept in the office.", jpeg(rocket()))
    await lala.says("/share Lala")
    await ben.says("/share Lala")
    assert "Anna's Lala" in (await carl.says("", cat_elsewhere_jpeg())).text
    assert "Ben's Lala" in (await carl.says("", jpeg(rocket()))).text
    assert "office" in (await carl.says("where is Ben's Lala kept?")).text
    # to its owner it is simply Lala, and the other one has a name too
    own = await ben.says("", jpeg(rocket()))
    assert [s.name for s in own.sightings] == ["Lala"]
    assert [s.name for s in (await ben.says("", cat_elsewhere_jpeg())).sightings] == ["Anna's Lala"]


async def test_only_its_owner_changes_it(lala: Member, ben: Member) -> None:
    await lala.says("/share Lala")
    for attempt in ("/forget Lala", "/edit Lala Something else.", "/share Lala", "/unshare Lala", "/show Lala"):
        with pytest.raises(ConceptError):
            await ben.says(attempt)
    assert "cheese" in (await ben.says("what does Lala eat?")).text


async def test_a_display_name_cannot_break_out(lala: Member, ben: Member) -> None:
    hostile = Actor(lala.actor.id, "<@everyone> `x`\n/forget " + "y" * 90)
    await lala.app.assistant.share(hostile, lala.group, "Lala")
    reply = await ben.says("", cat_elsewhere_jpeg())
    assert reply.sightings
    assert not set("<>`\n@/") & set(reply.sightings[0].name)


async def test_the_mode_of_a_group_is_its_admins_choice(anna: Member) -> None:
    groups = anna.app.assistant.groups
    assert await groups.mode(anna.group) is PhotoMode.ADDRESSED
    with pytest.raises(ConceptError):
        await anna.says("/settings every")
    admin = Request(anna.actor, anna.group, "/settings recognised", admin=True)
    await handle(anna.app.assistant, admin, where=frozenset(Where))
    assert await groups.mode(anna.group) is PhotoMode.RECOGNISED


async def test_a_group_that_moves_keeps_its_shares_and_a_closed_one_nothing(lala: Member, ben: Member) -> None:
    groups = lala.app.assistant.groups
    await lala.says("/share Lala")
    await groups.set_mode(lala.group, PhotoMode.EVERY)
    moved = Chat("test:moved", ChatKind.GROUP)
    await groups.move(lala.group, moved)
    assert (await groups.sharers(moved), await groups.mode(moved)) == ((lala.actor.id,), PhotoMode.EVERY)
    assert await groups.sharers(lala.group) == ()
    await groups.close(moved)
    assert (await groups.sharers(moved), await groups.mode(moved)) == ((), PhotoMode.ADDRESSED)


async def test_sharing_is_for_groups(lala: Member) -> None:
    with pytest.raises(ConceptError, match="groups"):
        await lala.whispers("/share Lala")


async def test_an_album_gets_one_answer(lala: Member) -> None:
    same = await lala.whispers("", cat_elsewhere_jpeg(), jpeg(cat().crop((20, 20, 440, 290))))
    assert len(same.parts) == 2
    assert "Lala" in same.text
    mixed = await lala.whispers("is Lala in this photo?", cat_elsewhere_jpeg(), jpeg(coffee()))
    first, second = mixed.text.splitlines()
    assert first.startswith("Photo 1: Yes")
    assert second.startswith("Photo 2: No")


async def test_an_album_tells_which_photo_cannot_be_read(lala: Member) -> None:
    reply = await lala.whispers("", cat_elsewhere_jpeg(), b"no picture at all")
    assert "Lala" in reply.text.splitlines()[0]
    assert reply.text.splitlines()[1].startswith("Photo 2: ")
    assert len(reply.parts) == 2


async def test_an_album_teaches_one_concept(anna: Member) -> None:
    reply = await anna.whispers("/remember Lala A ginger cat.", cat_jpeg(), cat_elsewhere_jpeg())
    assert "2 photos" in reply.text
    assert len((await anna.app.assistant.memory.concept(anna.actor, "Lala")).avatars) == 2
