"""What chat platforms share: commands, cards, pages and buttons, with a real store, worker and weights."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from adapters.desk import Desk
from adapters.shown import Shown
from rapbot.app import App, running
from rapbot.config import Settings
from rapbot.errors import ConceptError, NameUnknown, TextError
from rapbot.messages import Actor, Chat, ChatKind, Photo, Request
from tests.pictures import cat_elsewhere_jpeg, cat_jpeg, coffee, jpeg, rocket

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), weights_dir=weights)
    async with running(settings) as started:
        await started.worker.ready()
        yield started


@dataclass
class Person:
    """Somebody on a platform, in a chat of their own, who writes and presses buttons."""

    app: App
    desk: Desk
    number: int
    chat: Chat
    fetched: list[bytes] = field(default_factory=list)

    @property
    def actor(self) -> Actor:
        return Actor(f"test:{self.number}", "Ann")

    async def says(self, text: str = "", *photos: bytes) -> Shown:
        request = Request(self.actor, self.chat, text, tuple(Photo(data) for data in photos))
        shown = await self.desk.message(request)
        assert shown is not None
        return shown

    async def presses(self, shown: Shown, label: str, photo: bytes | None = None, admin: bool = False) -> Shown:
        data = next(button.data for row in shown.buttons for button in row if label in button.label)

        async def fetch() -> Photo | None:
            self.fetched.append(b"asked")
            return Photo(photo) if photo else None

        return await self.desk.press(self.actor, self.chat, data, fetch, admin=admin)


_numbers = iter(range(70_000, 80_000))


@pytest.fixture
def ann(app: App) -> Person:
    number = next(_numbers)
    return Person(app, Desk(app.assistant), number, Chat(f"test:{number}"))


@pytest_asyncio.fixture(loop_scope="module")
async def owner(ann: Person) -> Person:
    await ann.says("/remember Lala A ginger tabby cat. She loves cheese.", cat_jpeg())
    return ann


def labels(shown: Shown) -> list[str]:
    return [button.label for row in shown.buttons for button in row]


async def test_an_answer_has_its_picture_and_buttons(owner: Person) -> None:
    shown = await owner.says("", cat_elsewhere_jpeg())
    assert "Lala" in shown.text
    assert len(shown.pictures) == 1
    assert labels(shown) == ["Wrong?", "Why?"]
    why = await owner.presses(shown, "Why?")
    assert "distance" in why.text
    assert why.pictures
    assert owner.fetched == []


async def test_buttons_work_when_the_program_was_started_anew(owner: Person) -> None:
    shown = await owner.says("", cat_elsewhere_jpeg())
    owner.app.conversations.erase(owner.actor.id)  # all that a restart loses
    why = await owner.presses(shown, "Why?", cat_elsewhere_jpeg())
    assert "Lala" in why.text
    assert owner.fetched
    owner.app.conversations.erase(owner.actor.id)
    with pytest.raises(ConceptError, match="too old"):
        await owner.presses(shown, "Why?")


async def test_wrong_asks_for_the_part_and_the_name_then_learns_it(owner: Person) -> None:
    await owner.says("/remember Momo A ginger cat.", jpeg(rocket()))
    shown = await owner.says("", cat_elsewhere_jpeg())
    parts = await owner.presses(shown, "Wrong?")
    assert parts.pictures
    names = await owner.presses(parts, "I said Lala")
    assert {"Lala", "Momo", "None of them"} <= set(labels(names))
    done = await owner.presses(names, "Momo")
    assert "Momo" in done.text
    for name in ("Momo", "Lala"):  # one more picture, and one that it is not
        assert len((await owner.app.assistant.memory.concept(owner.actor, name)).avatars) == 2
    assert "Lala" not in (await owner.says("", cat_elsewhere_jpeg())).text
    undone = await owner.presses(done, "Undo")
    assert "Momo" in undone.text
    assert len((await owner.app.assistant.memory.concept(owner.actor, "Momo")).avatars) == 1
    assert len((await owner.app.assistant.memory.concept(owner.actor, "Lala")).avatars) == 1
    assert "Lala" in (await owner.says("", cat_elsewhere_jpeg())).text


async def test_a_button_is_for_the_person_who_asked(owner: Person, app: App) -> None:
    shown = await owner.says("/forget Lala")
    eve = Person(app, owner.desk, next(_numbers), owner.chat)
    with pytest.raises(ConceptError, match="for the person who asked"):
        await eve.presses(shown, "Forget for good")
    assert "Lala" in (await owner.says("/concepts")).text


async def test_forgetting_asks_first(owner: Person) -> None:
    asked = await owner.says("/forget lala")
    assert asked.private
    kept = await owner.presses(asked, "Keep")
    assert kept.replaces
    assert "Lala" in (await owner.says("/concepts")).text
    await owner.presses(asked, "Forget for good")
    assert "Lala" not in (await owner.says("/concepts")).text
    with pytest.raises(ConceptError):
        await owner.presses(asked, "Forget for good")


async def test_an_unknown_name_gets_the_nearest(owner: Person) -> None:
    with pytest.raises(NameUnknown, match="Lala"):
        await owner.says("/forget Lale")
    with pytest.raises(TextError, match="/forget"):
        await owner.says("/forgett Lala")


async def test_editing_by_buttons_takes_the_next_message(owner: Person) -> None:
    menu = await owner.says("/edit Lala")
    assert labels(menu) == ["Name", "Information", "Kind", "Add a photo"]
    asked = await owner.presses(menu, "Information")
    assert asked.awaits == "text"
    assert "tuna" in (await owner.says("A ginger tabby cat. She loves tuna.")).text
    assert "tuna" in (await owner.says("what does Lala eat?")).text
    await owner.presses(menu, "Name")
    await owner.says("Lila")
    assert "Lila" in (await owner.says("/concepts")).text
    assert (await owner.presses(menu, "Add a photo")).awaits == "photo"
    assert "2 photos" in (await owner.says("", cat_elsewhere_jpeg())).text


async def test_another_command_ends_the_waiting(owner: Person) -> None:
    await owner.presses(await owner.says("/edit Lala"), "Name")
    await owner.says("/concepts")
    await owner.says("what does Lala eat?")
    assert "Lala" in (await owner.says("/concepts")).text


async def test_remember_without_a_photo_waits_for_one(ann: Person) -> None:
    asked = await ann.says("/remember Lala A ginger tabby cat.")
    assert asked.awaits == "photo"
    assert "Lala" in (await ann.says("", cat_jpeg())).text
    assert "Lala" in (await ann.says("", cat_elsewhere_jpeg())).text


async def test_concepts_come_in_pages_with_thumbnails(ann: Person) -> None:
    assert "don't know anything" in (await ann.says("/concepts")).text
    for number in range(8):
        await ann.says(f"/remember Thing{number} A thing.", jpeg(coffee().crop((number * 20, 0, 300 + number, 300))))
    first = await ann.says("/concepts")
    assert "page 1 of 2" in first.text
    assert "Thing5" in first.text
    assert "Thing6" not in first.text
    with Image.open(io.BytesIO(first.pictures[0])) as sheet:
        assert sheet.width > 3 * 200
    second = await ann.presses(first, "▶")
    assert second.replaces
    assert "Thing7" in second.text
    card = await ann.presses(second, "Thing7")
    assert card.pictures
    assert labels(card) == ["Edit", "Forget"]


async def test_my_data_is_a_file_that_import_reads(owner: Person, tmp_path: Path) -> None:
    from rapbot.concepts.rap_format import read_rap_database

    shown = await owner.says("/mydata")
    assert shown.private
    ((name, data),) = shown.files
    (tmp_path / name).write_bytes(data)
    (entry,) = read_rap_database(tmp_path / name)
    assert (entry.name, entry.info) == ("Lala", "A ginger tabby cat. She loves cheese.")


async def test_forget_me_asks_and_erases(owner: Person) -> None:
    asked = await owner.says("/forgetme")
    assert "Lala" in (await owner.says("/concepts")).text
    await owner.presses(asked, "Delete everything")
    assert "don't know anything" in (await owner.says("/concepts")).text


async def test_settings_are_for_admins(owner: Person) -> None:
    group = Chat(f"test:g{owner.number}", ChatKind.GROUP)
    with pytest.raises(ConceptError, match="administrator"):
        await owner.desk.message(Request(owner.actor, group, "/settings"))
    shown = await owner.desk.message(Request(owner.actor, group, "/settings", admin=True))
    assert shown is not None
    owner.chat = group
    with pytest.raises(ConceptError, match="administrator"):  # was demoted meanwhile
        await owner.presses(shown, "Every photo")
    assert "every photo" in (await owner.presses(shown, "Every photo", admin=True)).text


async def test_unasked_photos_follow_the_mode_of_the_group(owner: Person) -> None:
    group = Chat(f"test:u{owner.number}", ChatKind.GROUP)

    async def unasked(photo: bytes) -> Shown | None:
        return await owner.desk.message(Request(owner.actor, group, "look!", (Photo(photo),)), unasked=True)

    owner.chat = group
    settings = await owner.desk.message(Request(owner.actor, group, "/settings", admin=True))
    assert settings is not None
    await owner.presses(settings, "recognise something", admin=True)
    seen = await unasked(cat_elsewhere_jpeg())
    assert seen is not None
    assert "Lala" in seen.text
    assert await unasked(jpeg(rocket())) is None
    await owner.presses(settings, "Every photo", admin=True)
    assert await unasked(jpeg(rocket())) is not None
    await owner.presses(settings, "Only when asked", admin=True)
    assert await unasked(cat_elsewhere_jpeg()) is None


async def test_names_complete_from_what_was_typed(owner: Person) -> None:
    await owner.says("/remember Łatek A dog.", jpeg(coffee()))
    assert await owner.desk.names(owner.actor, "") == ["Lala", "Łatek"]
    assert (await owner.desk.names(owner.actor, "la"))[0] == "Lala"
    assert await owner.desk.names(owner.actor, "zzzzzz") == []


async def test_start_greets_or_does_what_its_link_says(owner: Person) -> None:
    assert "/remember" in (await owner.says("/start")).text
    assert "Lala" in (await owner.says("/start concepts")).text


@pytest.mark.parametrize(
    "data", ["", "nonsense", "why:1", "page:", "mode:wild", "right:{me}:x:1:1", "show:{me}:9", ":::"]
)
async def test_a_forged_button_is_refused_with_a_sentence(owner: Person, data: str) -> None:
    async def nothing() -> Photo | None:
        return None

    with pytest.raises(ConceptError):
        await owner.desk.press(owner.actor, owner.chat, data.format(me=owner.number), nothing, admin=True)


async def test_a_line_break_ends_the_name(ann: Person) -> None:
    await ann.says("/remember Momo\nA ginger cat.\nShe sleeps a lot.", cat_jpeg())
    concept = await ann.app.assistant.memory.concept(ann.actor, "Momo")
    assert (concept.name, concept.info) == ("Momo", "A ginger cat.\nShe sleeps a lot.")


@pytest.mark.parametrize("command", ["/share Lala", "/settings", "/dontrecognise me"])
async def test_what_is_for_groups_says_so_in_private(owner: Person, command: str) -> None:
    with pytest.raises(ConceptError, match="groups"):
        await owner.says(command)


async def test_privacy_tells_how_long_a_photo_is_held(ann: Person) -> None:
    assert f"{ann.app.settings.chat.context_minutes:.0f} minutes" in (await ann.says("/privacy")).text
