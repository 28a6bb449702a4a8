"""People are recognised by their faces, if they agree and as long as they do. Real models; the face is a public one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image, ImageOps

from rapbot.app import App, running
from rapbot.commands import Where, handle
from rapbot.config import Settings
from rapbot.errors import ConceptError
from rapbot.messages import Action, Actor, Chat, ChatKind, Photo, Reply, Request
from rapbot.people import WhichFace
from rapbot.transfer import import_database
from tests.pictures import astronaut, cat, coffee, jpeg

pytestmark = pytest.mark.asyncio(loop_scope="module")


def portrait() -> bytes:
    return jpeg(astronaut().crop((100, 0, 380, 300)))


def elsewhere() -> bytes:
    """The same face mirrored and smaller, on another picture."""
    scene = coffee().resize((1000, 700))
    scene.paste(ImageOps.mirror(astronaut().crop((60, 0, 420, 400))).resize((324, 360)), (600, 200))
    return jpeg(scene)


@pytest.fixture(scope="module")
def face_models(weights: Path) -> Path:
    from rapbot.inference.weights import FACES, ensure

    ensure(FACES, weights)
    return weights


async def start(folder: Path, weights: Path, people: str = "shared") -> AsyncIterator[App]:
    settings = Settings(data_dir=folder, weights_dir=weights, people=people)
    async with running(settings) as started:
        await started.worker.ready()
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(face_models: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    async for started in start(tmp_path_factory.mktemp("data"), face_models):
        yield started


@dataclass
class Person:
    app: App
    name: str
    test: str

    @property
    def actor(self) -> Actor:
        return Actor(f"test:{self.test}-{self.name}", self.name)

    async def says(self, text: str = "", *photos: bytes, group: bool = False) -> Reply:
        chat = Chat(f"test:group-{self.test}", ChatKind.GROUP) if group else Chat(f"test:{self.test}-{self.name}")
        request = Request(self.actor, chat, text, tuple(Photo(data) for data in photos))
        return await handle(self.app.assistant, request, where=frozenset(Where))


@pytest.fixture
def ann(app: App, request: pytest.FixtureRequest) -> Person:
    return Person(app, "Ann", request.node.name)


@pytest.fixture
def ben(app: App, request: pytest.FixtureRequest) -> Person:
    return Person(app, "Ben", request.node.name)


@pytest_asyncio.fixture(loop_scope="module")
async def eileen(ann: Person) -> Person:
    """Ann, whose friend Eileen agreed."""
    await ann.says("/remember Eileen My friend. She flies to space.", portrait())
    await ann.says("/face Eileen")
    return ann


async def test_nobody_is_recognised_before_they_agree(ann: Person) -> None:
    taught = await ann.says("/remember Eileen My friend. She flies to space.", portrait())
    assert Action.ALLOW_FACE in taught.actions
    assert "agree" in taught.text
    assert (await ann.says("", elsewhere())).sightings == ()
    assert (await ann.says("", portrait())).sightings == ()  # not even by their clothes
    assert "space" in (await ann.says("where does Eileen fly?")).text
    faces = sqlite3.connect(ann.app.settings.database).execute("SELECT count(*) FROM faces").fetchone()
    await ann.says("/face Eileen")
    assert [s.name for s in (await ann.says("", elsewhere())).sightings] == ["Eileen"]
    after = sqlite3.connect(ann.app.settings.database).execute("SELECT count(*) FROM faces").fetchone()
    assert after[0] == faces[0] + 1


async def test_a_person_is_found_named_and_asked_about(eileen: Person) -> None:
    reply = await eileen.says("", elsewhere())
    assert "Eileen" in reply.text
    assert reply.picture is not None
    box = reply.sightings[0].box
    assert 0.6 < (box.left + box.right) / 2 < 0.95
    assert "right" in (await eileen.says("where is Eileen?")).text
    assert (await eileen.says("is Eileen in this photo?", jpeg(cat()))).text.startswith("No")
    assert "Eileen" in (await eileen.says("who is here?", elsewhere())).text
    why = await eileen.app.assistant.why(eileen.actor, str(reply.answer_id))
    assert "Eileen" in why.text


async def test_who_does_not_agree_any_more_is_forgotten_by_face_only(eileen: Person) -> None:
    await eileen.says("/face Eileen off")
    assert (await eileen.says("", elsewhere())).sightings == ()
    assert "space" in (await eileen.says("where does Eileen fly?")).text


async def test_a_wrong_name_is_taken_back_for_that_face(eileen: Person) -> None:
    shown = await eileen.says("", elsewhere())
    region = shown.sightings[0].region
    await eileen.app.assistant.wrong(eileen.actor, str(shown.answer_id), region, None, was="Eileen")
    assert (await eileen.says("", elsewhere())).sightings == ()
    await eileen.says("/undo")
    again = await eileen.says("", elsewhere())
    assert [s.name for s in again.sightings] == ["Eileen"]
    region = again.sightings[0].region
    await eileen.app.assistant.wrong(eileen.actor, str(again.answer_id), region, "Eileen")
    assert len(await eileen.app.assistant.faces(eileen.actor)) == 2


async def test_forgetting_takes_the_face_along(eileen: Person) -> None:
    concept = await eileen.app.assistant.concept(eileen.actor, "Eileen")
    await eileen.says("/forget Eileen")
    rows = sqlite3.connect(eileen.app.settings.database).execute(
        "SELECT count(*) FROM faces WHERE avatar_id = ?", (concept.avatars[0].id,)
    )
    assert rows.fetchone() == (0,)


async def test_unknown_faces_are_counted(eileen: Person) -> None:
    await eileen.says("/face Eileen off")
    await eileen.says("/remember Otto My brother.", jpeg(astronaut().crop((150, 0, 330, 200))))
    with pytest.raises(ConceptError):
        await eileen.says("/face Nobody")


async def test_a_thing_is_no_person(ann: Person) -> None:
    taught = await ann.says("/remember Lala A ginger cat.", jpeg(cat()))
    assert Action.ALLOW_FACE not in taught.actions
    with pytest.raises(ConceptError, match="no face"):
        await ann.says("/face Lala")


async def test_the_face_is_chosen_where_a_photo_shows_several(ann: Person) -> None:
    two = Image.new("RGB", (640, 320))
    two.paste(astronaut().crop((100, 0, 400, 300)).resize((320, 320)), (0, 0))
    two.paste(ImageOps.mirror(astronaut().crop((100, 0, 400, 300))).resize((320, 320)), (320, 0))
    await ann.says("/remember Eileen My friend.", jpeg(two))
    with pytest.raises(WhichFace) as several:
        await ann.app.assistant.allow_face(ann.actor, "Eileen")
    assert len(several.value.boxes) == 2
    asked = await ann.says("/face Eileen")
    assert "2" in asked.text
    assert asked.picture is not None
    assert "recognise" in (await ann.says("/face Eileen 2")).text
    assert [s.name for s in (await ann.says("", elsewhere())).sightings] == ["Eileen"]


async def test_shared_people_are_named_until_they_say_no(eileen: Person, ben: Person) -> None:
    await eileen.says("/share Eileen", group=True)
    assert "Ann's Eileen" in (await ben.says("", elsewhere(), group=True)).text
    await ben.says("/dontrecognise me", portrait(), group=True)
    refused = await ben.says("", elsewhere(), group=True)
    assert refused.sightings == ()
    assert "Eileen" not in refused.text
    assert "Eileen" in (await eileen.says("", elsewhere())).text  # elsewhere nothing changes
    await ben.says("/dontrecognise off", group=True)
    assert "Ann's Eileen" in (await ben.says("", elsewhere(), group=True)).text


async def test_a_refusal_needs_a_face_and_goes_with_the_person(ann: Person) -> None:
    with pytest.raises(ConceptError, match="face"):
        await ann.says("/dontrecognise me", jpeg(cat()), group=True)
    with pytest.raises(ConceptError, match="groups"):
        await ann.says("/dontrecognise me", portrait())
    await ann.says("/dontrecognise me", portrait(), group=True)
    database = sqlite3.connect(ann.app.settings.database)
    assert database.execute("SELECT count(*) FROM face_refusals").fetchone() == (1,)
    assert ann.actor.id.encode() not in b"".join(database.execute("SELECT person FROM face_refusals").fetchone())
    await ann.app.assistant.erase(ann.actor)
    assert database.execute("SELECT count(*) FROM face_refusals").fetchone() == (0,)


async def test_an_operator_may_switch_people_off(face_models: Path, tmp_path: Path) -> None:
    async for app in start(tmp_path, face_models, "off"):
        ann = Person(app, "Ann", "off")
        taught = await ann.says("/remember Eileen My friend.", portrait())
        assert Action.ALLOW_FACE not in taught.actions
        with pytest.raises(ConceptError, match="switched off"):
            await ann.says("/face Eileen")


async def test_an_operator_may_keep_people_out_of_groups(face_models: Path, tmp_path: Path) -> None:
    async for app in start(tmp_path, face_models, "own"):
        ann, ben = Person(app, "Ann", "own"), Person(app, "Ben", "own")
        await ann.says("/remember Eileen My friend.", portrait())
        await ann.says("/face Eileen")
        await ann.says("/share Eileen", group=True)
        assert (await ben.says("", elsewhere(), group=True)).sightings == ()
        assert "Eileen" in (await ann.says("", elsewhere(), group=True)).text


async def test_an_import_says_who_has_to_agree_first(ann: Person, tmp_path: Path) -> None:
    (tmp_path / "eileen.jpg").write_bytes(portrait())
    (tmp_path / "lala.jpg").write_bytes(jpeg(cat()))
    cards = {
        "<Eileen>": {"name": "Eileen", "image": "eileen.jpg", "info": "A friend.", "category": "person"},
        "<Lala>": {"name": "Lala", "image": "lala.jpg", "info": "A cat.", "category": "cat"},
    }
    (tmp_path / "database.json").write_text(json.dumps({"concept_dict": cards}))
    owner = ann.actor.id
    told = await import_database(ann.app.assistant, owner, tmp_path / "database.json", lambda entries, _: entries)
    assert told == {"learned": ["Eileen", "Lala"], "skipped": {}, "people": ["Eileen"]}


async def test_the_people_of_the_shared_data(app: App, ann: Person) -> None:
    folder = Path(__file__).parents[2] / "shared/data/people"
    if not folder.is_dir():
        pytest.skip("../shared/data/people is not here")
    cards = json.loads((folder / "database.json").read_text())["concept_dict"].values()
    for card in cards:
        photo = Photo((folder / card["image"]).read_bytes())
        await app.assistant.remember(ann.actor, Chat("p"), card["name"], card["info"], category="person", photo=photo)
        await app.assistant.allow_face(ann.actor, card["name"])
    photos = [json.loads(line) for line in (folder / "photos.jsonl").read_text().splitlines()][::5]
    found = wrong = 0
    for photo in photos:
        named = {s.name for s in (await ann.says("", (folder / photo["file"]).read_bytes())).sightings}
        found += len(named & set(photo["concepts"]))
        wrong += len(named - set(photo["concepts"]))
    assert wrong == 0
    assert found >= 0.75 * sum(len(photo["concepts"]) for photo in photos)
