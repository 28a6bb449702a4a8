"""People are recognised by their faces, if they agree and as long as they do. Real models; the face is a public one."""

from __future__ import annotations

import base64
import io
import json
import re
import sqlite3
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image, ImageDraw, ImageOps

from rapbot.app import App, running
from rapbot.commands import Where, handle
from rapbot.config import Settings
from rapbot.errors import ConceptError
from rapbot.messages import Action, Actor, Chat, ChatKind, Photo, Reply, Request
from rapbot.people import WhichFace
from rapbot.transfer import import_database
from tests.pictures import astronaut, cat, coffee, jpeg

PEOPLE = Path(__file__).resolve().parents[2] / "shared" / "data" / "people"

pytestmark = pytest.mark.asyncio(loop_scope="module")


def portrait() -> bytes:
    return jpeg(astronaut().crop((100, 0, 380, 300)))


def elsewhere() -> bytes:
    """The same face mirrored and smaller, on another picture."""
    scene = coffee().resize((1000, 700))
    scene.paste(ImageOps.mirror(astronaut().crop((60, 0, 420, 400))).resize((324, 360)), (600, 200))
    return jpeg(scene)


def in_the_suit(when: str = "") -> bytes:
    return taken(astronaut(), when)


def disguised(when: str = "") -> bytes:
    """She in the same suit with sunglasses and a false beard: a face is found there, but not whose it is."""
    scene = astronaut().copy()
    pen = ImageDraw.Draw(scene)
    for x in (208, 248):
        pen.ellipse((x - 18, 90, x + 18, 114), fill=(25, 20, 20))
    pen.line((208, 99, 248, 99), fill="black", width=4)
    pen.chord((194, 130, 262, 196), 0, 180, fill=(60, 40, 30))
    pen.ellipse((205, 140, 250, 158), fill=(60, 40, 30))
    return taken(scene.resize((357, 420)), when)


def taken(scene: Image.Image, when: str) -> bytes:
    """A JPEG; `when` is what its camera says ("2026:11:24 12:00:00")."""
    exif = Image.Exif()
    if when:
        exif[0x0132] = when
    file = io.BytesIO()
    scene.save(file, "JPEG", quality=92, exif=exif)
    return file.getvalue()


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
    assert "only those who agree" in taught.text
    assert "for a child the parents decide" in taught.text
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
    await eileen.app.assistant.teaching.wrong(eileen.actor, str(shown.answer_id), region, None, was="Eileen")
    assert (await eileen.says("", elsewhere())).sightings == ()
    await eileen.says("/undo")
    again = await eileen.says("", elsewhere())
    assert [s.name for s in again.sightings] == ["Eileen"]
    region = again.sightings[0].region
    await eileen.app.assistant.teaching.wrong(eileen.actor, str(again.answer_id), region, "Eileen")
    assert len(await eileen.app.assistant.memory.faces(eileen.actor)) == 2


async def test_forgetting_takes_the_face_along(eileen: Person) -> None:
    concept = await eileen.app.assistant.memory.concept(eileen.actor, "Eileen")
    await eileen.says("/forget Eileen")
    rows = sqlite3.connect(eileen.app.settings.database).execute(
        "SELECT count(*) FROM faces WHERE avatar_id = ?", (concept.avatars[0].id,)
    )
    assert rows.fetchone() == (0,)


def group_of(*names: str) -> bytes:
    """Eileen and people of the shared photos side by side, in this order; skips the test where those are not."""
    if not PEOPLE.is_dir():
        pytest.skip("../shared/data/people is not here: no other faces to put beside hers")
    group = Image.new("RGB", (400 * len(names), 500), (70, 90, 70))
    for place, name in enumerate(names):
        if name == "Eileen":
            shown = ImageOps.expand(astronaut().crop((90, 0, 360, 270)), 60, (128, 128, 128))
        else:
            shown = Image.open(PEOPLE / "photos" / f"{name}.jpg")
        shown.thumbnail((390, 480))
        group.paste(shown, (place * 400, 10))
    return jpeg(group)


async def test_unknown_faces_are_counted_and_the_others_named_from_left_to_right(eileen: Person) -> None:
    assert "Eileen and a person I don't know" in (await eileen.says("", group_of("Kenji_02", "Eileen"))).text
    await eileen.says("/remember Ken My brother.", (PEOPLE / "avatars" / "Kenji.jpg").read_bytes())
    await eileen.says("/face Ken")
    four = group_of("Julian_06", "Kenji_02", "Serena_02", "Eileen")
    assert "Ken, Eileen and two people I don't know" in (await eileen.says("", four)).text
    turned = group_of("Eileen", "Julian_06", "Kenji_02")
    assert "Eileen, Ken and a person I don't know" in (await eileen.says("", turned)).text
    listed = (await eileen.says("who is here?", turned)).text
    assert re.search(r"I see Eileen \(.*left\), Ken \(.*right\) and a person I don't know", listed)
    strangers = await eileen.says("", group_of("Julian_06", "Serena_02"))
    assert strangers.sightings == ()
    assert "two people I don't know" in strangers.text


async def test_two_who_cannot_be_told_apart_are_both_named(eileen: Person) -> None:
    await eileen.says("/remember Dora Her twin sister.", portrait())
    await eileen.says("/face Dora")
    reply = await eileen.says("", elsewhere())
    assert re.search("Eileen or Dora|Dora or Eileen", reply.text)
    assert len(reply.named) == 2
    assert len(reply.sightings) == 1


async def test_only_who_was_taught_can_agree(ann: Person) -> None:
    with pytest.raises(ConceptError, match="Nobody"):
        await ann.says("/face Nobody")


async def test_a_thing_is_no_person(ann: Person) -> None:
    taught = await ann.says("/remember Lala A ginger cat.", jpeg(cat()))
    assert Action.ALLOW_FACE not in taught.actions
    with pytest.raises(ConceptError, match="no face"):
        await ann.says("/face Lala")


async def test_a_face_that_fills_the_photo_is_a_person_though_nobody_said_so(eileen: Person) -> None:
    close = jpeg(ImageOps.mirror(astronaut().crop((150, 0, 300, 190)).resize((450, 570))))
    taught = await eileen.says("/remember Zoe", close)
    assert "Zoe (person)" in taught.text
    assert Action.ALLOW_FACE in taught.actions


async def test_people_and_things_stand_in_one_sentence(eileen: Person) -> None:
    await eileen.says("/remember Lala A ginger cat. She likes cheese.", jpeg(cat()))
    scene = Image.new("RGB", (1000, 500), (90, 110, 90))
    scene.paste(cat().resize((600, 400)).crop((60, 0, 540, 400)), (10, 50))
    scene.paste(ImageOps.mirror(astronaut().crop((60, 0, 420, 400))).resize((450, 500)), (540, 0))
    reply = await eileen.says("", jpeg(scene))
    assert {one.name for one in reply.sightings} == {"Eileen", "Lala"}
    assert re.search(r"Eileen[^.]* and [^.]*Lala|Lala[^.]* and [^.]*Eileen", reply.text)
    asked = (await eileen.says("is Lala on the left of Eileen?", jpeg(scene))).text
    assert not asked.startswith("No")


async def test_no_photo_is_searched_for_faces_where_nobody_visible_agreed(eileen: Person, ben: Person) -> None:
    await ben.says("/remember Lala A ginger cat. She likes cheese.", jpeg(cat()))
    searched = [await who.says("", jpeg(astronaut())) for who in (ben, eileen)]
    assert ["faces" in reply.timings for reply in searched] == [False, True]


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


async def test_in_an_album_the_clothes_of_who_was_recognised_tell_who_else_probably_is_there(eileen: Person) -> None:
    assert (await eileen.says("", disguised())).sightings == (), "alone nothing tells who that is"
    album = await eileen.says("", in_the_suit(), disguised())
    sure, guessed = (part.sightings for part in album.parts)
    assert [(one.name, one.unsure) for one in sure] == [("Eileen", False)]
    assert [(one.name, one.unsure) for one in guessed] == [("Eileen", True)]
    assert guessed[0].confidence < 0.5
    first, second = album.text.splitlines()
    assert "probably" not in first
    assert second.startswith("Photo 2: ")
    assert second.endswith("Somebody there is probably Eileen, by the clothes.")
    kept = eileen.app.assistant._answering.record(eileen.actor, str(album.parts[1].answer_id))
    assert kept.scene.outfits == (), "what they wear goes with the answer"
    seen = await eileen.app.assistant.sightings(eileen.actor, str(album.parts[1].answer_id))
    assert [one.unsure for one in seen] == [True], "a wrong guess can be corrected"
    await eileen.app.assistant.teaching.wrong(
        eileen.actor, str(album.parts[1].answer_id), guessed[0].region, None, was="Eileen"
    )
    assert "probably" not in (await eileen.says("", in_the_suit(), disguised())).text, "the face was ruled out"


async def test_a_question_about_one_person_is_not_answered_about_another(eileen: Person) -> None:
    asked = await eileen.says("is Eileen in this photo?", in_the_suit(), disguised())
    assert asked.text.splitlines()[1].endswith("probably Eileen, by the clothes.")
    await eileen.says("/remember Lala A ginger cat.", jpeg(cat()))
    asked = await eileen.says("is Lala in this photo?", in_the_suit(), disguised())
    assert "probably" not in asked.text


async def test_clothes_tell_nothing_of_another_album_or_another_hour(eileen: Person) -> None:
    await eileen.says("", in_the_suit(), jpeg(cat()))
    assert "probably" not in (await eileen.says("", disguised(), jpeg(cat()))).text
    noon, one, three = (f"2026:11:24 {hour}:00:00" for hour in ("12", "13", "15"))
    assert "probably Eileen" in (await eileen.says("", in_the_suit(noon), disguised(one))).text
    assert "probably" not in (await eileen.says("", in_the_suit(noon), disguised(three))).text


async def test_who_does_not_want_to_be_named_is_not_by_their_clothes_either(eileen: Person, ben: Person) -> None:
    await eileen.says("/share Eileen", group=True)
    assert "probably Ann's Eileen" in (await ben.says("", in_the_suit(), disguised(), group=True)).text
    await ben.says("/dontrecognise me", portrait(), group=True)
    refused = await ben.says("", in_the_suit(), disguised(), group=True)
    assert "Eileen" not in refused.text
    assert refused.sightings == ()


async def test_a_refusal_needs_a_face_and_goes_with_the_person(ann: Person) -> None:
    with pytest.raises(ConceptError, match="face"):
        await ann.says("/dontrecognise me", jpeg(cat()), group=True)
    with pytest.raises(ConceptError, match="groups"):
        await ann.says("/dontrecognise me", portrait())
    database = sqlite3.connect(ann.app.settings.database)
    others = set(database.execute("SELECT person FROM face_refusals"))
    await ann.says("/dontrecognise me", portrait(), group=True)
    (mine,) = set(database.execute("SELECT person FROM face_refusals")) - others
    assert ann.actor.id.encode() not in b"".join(mine)
    await ann.app.assistant.erase(ann.actor)
    assert set(database.execute("SELECT person FROM face_refusals")) == others


async def test_what_is_kept_of_faces_is_exported_and_not_taken_over_by_an_import(
    eileen: Person, ben: Person, tmp_path: Path
) -> None:
    await eileen.says("/dontrecognise me", portrait(), group=True)
    mine = await eileen.says("/mydata")
    account = account_of(mine)
    (face,) = account["faces"]
    assert face["name"] == "Eileen"
    key = np.frombuffer(base64.b64decode(face["key"]), np.float32)
    assert np.linalg.norm(key[:-1]) == pytest.approx(1.0, abs=1e-3)
    (refused,) = account["dontrecognise"]
    assert set(refused) == {"group", "key"}
    assert f"group-{eileen.test}" not in json.dumps(account), "the group is kept as a hash"
    same = np.frombuffer(base64.b64decode(refused["key"]), np.float32)
    assert np.linalg.norm(key[:-1] - same[:-1]) < 0.1
    assert account_of(await ben.says("/mydata"))["dontrecognise"] == []

    (tmp_path / "mine.zip").write_bytes(mine.files[0][1])
    await import_database(ben.app.assistant, ben.actor.id, tmp_path / "mine.zip", lambda entries, _: entries)
    assert [concept.name for concept in await ben.app.assistant.memory.concepts(ben.actor)] == ["Eileen"]
    assert account_of(await ben.says("/mydata"))["faces"] == []
    assert (await ben.says("", elsewhere())).sightings == (), "whom another taught has to agree anew"

    await eileen.app.assistant.erase(eileen.actor)
    after = account_of(await eileen.says("/mydata"))
    assert (after["faces"], after["dontrecognise"]) == ([], [])


def account_of(reply: Reply) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(reply.files[0][1])) as archive:
        account: dict[str, Any] = json.loads(archive.read("account.json"))
    return account


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
    folder = PEOPLE
    if not folder.is_dir():
        pytest.skip("../shared/data/people is not here")
    cards = json.loads((folder / "database.json").read_text())["concept_dict"].values()
    for card in cards:
        photo = Photo((folder / card["image"]).read_bytes())
        await app.assistant.teaching.remember(
            ann.actor, Chat("p"), card["name"], card["info"], category="person", photo=photo
        )
        await app.assistant.allow_face(ann.actor, card["name"])
    photos = [json.loads(line) for line in (folder / "photos.jsonl").read_text().splitlines()][::5]
    found = wrong = 0
    for photo in photos:
        named = {s.name for s in (await ann.says("", (folder / photo["file"]).read_bytes())).sightings}
        found += len(named & set(photo["concepts"]))
        wrong += len(named - set(photo["concepts"]))
    assert wrong == 0
    assert found >= 0.75 * sum(len(photo["concepts"]) for photo in photos)
