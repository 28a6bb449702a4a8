"""Annotators: one suite over the offline one and the service, whose trouble, limits and memory are then tried."""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tenacity
from PIL import Image
from typer.testing import CliRunner

from rapbot.concepts.rap_format import RapEntry, read_rap_database, write_rap_zip
from rapbot.errors import ConfigError
from rapbot.inference.mllm import openai_connection
from rapbot.messages import Box
from tests.peers.openai import wire
from tests.peers.openai.faults import Fault
from tests.peers.openai.peer import OpenAIPeer
from tests.peers.openai.writers import Asked, RuleWriter, Say
from tests.pictures import jpeg
from tests.test_training_sources import coco, folders, llava, rap, vid, write
from training.annotate import selection
from training.annotate.budget import Budget, Price
from training.annotate.colours import colours
from training.annotate.kept import Kept, open_kept
from training.annotate.naming import name_for, unused
from training.annotate.notes import (
    Annotator,
    CardNote,
    CropTask,
    SceneNote,
    SceneTask,
    Seen,
    Stopped,
    Unusable,
    checked_card,
    checked_scene,
)
from training.annotate.offline import OfflineAnnotator
from training.annotate.rewording import with_names
from training.annotate.run import SET_ASIDE, Run
from training.annotate.selection import select
from training.annotate.service import ServiceAnnotator, open_service
from training.cli import cli
from training.rap.compose import Composer, Plan
from training.rap.samples import KINDS
from training.rap.sources import read_source
from training.sources.catalogue import READERS, reader_of
from training.sources.index import check

LEFT, RIGHT = Box(0.1, 0.3, 0.3, 0.8), Box(0.6, 0.3, 0.9, 0.8)
BO = Seen("bo", "dog", LEFT, ("the brown dog with a collar", "left dog"), "A brown dog.")
MUG = Seen("mug", "cup", RIGHT, (), "Mostly red.")
PICTURE = Image.new("RGB", (80, 60), "teal")
CROP = CropTask(Image.new("RGB", (60, 60), (200, 30, 30)), Seen("", "cup", None, ("a cup with a chip",)))
SCENE = SceneTask(PICTURE, (BO, MUG), (Seen("", "chair", RIGHT),), ("A small dog sits by a red cup.",))


class NoteWriter(RuleWriter):
    """Writes what was asked for, from the names it reads in the request; `wrong` answers come first."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.shown: list[Image.Image] = []

    def write(self, asked: Asked, say: Say) -> None:
        self.shown += asked.pictures
        text = asked.turns[-1][1]
        names = re.findall(r"^- <([^>]+)>", text, re.MULTILINE)
        if self.wrong:
            say(self.wrong.pop(0))
        elif names:
            together = " and ".join(f"<{name}>" for name in names)
            turns = [{"question": f"Where is <{names[0]}>?", "answer": "Outside."}]
            table = {"caption": f"{together} outside.", "description": f"{together} outside, in the sun."}
            say("Here it is:\n```json\n" + json.dumps(table | {"questions": turns}) + "\n```")
        else:
            given = re.search(r'"name": "([^"]+)", as given', text)
            card = {"name": given[1] if given else "Pip", "category": "Cup", "properties": ["Its rim is chipped"]}
            say(json.dumps(card))


@pytest.fixture
def peer() -> Iterator[OpenAIPeer]:
    with OpenAIPeer(writer=NoteWriter(), models=("eyes",)) as server:
        yield server


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    with open_kept(tmp_path / "annotations.db") as store:
        yield store


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for another try."""
    monkeypatch.setattr(openai_connection, "_WAITS", (0.0, 0.0))
    monkeypatch.setattr(tenacity, "wait_random_exponential", lambda **_: tenacity.wait_none())


Connect = Callable[..., ServiceAnnotator]


@pytest.fixture
def connect(peer: OpenAIPeer, kept: Kept, impatient: None) -> Iterator[Connect]:
    opened: list[ServiceAnnotator] = []

    def connected(**limits: Any) -> ServiceAnnotator:
        opened.append(open_service(peer.url, "", "eyes", kept, Budget(kept, **limits), timeout=20.0))
        return opened[-1]

    yield connected
    for annotator in opened:
        annotator.close()


@pytest.fixture(params=["offline", "service"])
def annotator(request: pytest.FixtureRequest) -> Annotator:
    made: Annotator = OfflineAnnotator() if request.param == "offline" else request.getfixturevalue("connect")()
    return made


def run(annotator: Annotator, work: Any) -> Any:
    return annotator.connection.run(work) if isinstance(annotator, ServiceAnnotator) else asyncio.run(work)


class TestEveryAnnotator:
    def test_a_card_has_name_category_and_properties(self, annotator: Annotator) -> None:
        note = run(annotator, annotator.card(CROP))
        assert note == checked_card(note, CROP)
        assert note.category == "cup"
        assert note.info.endswith(".")
        assert not set("<>\n") & set(note.name + note.info)

    def test_a_given_name_stays(self, annotator: Annotator) -> None:
        task = replace(CROP, thing=replace(CROP.thing, name="grandpa's cup"))
        assert run(annotator, annotator.card(task)).name == "grandpa's cup"

    def test_a_scene_names_who_is_there_and_nobody_else(self, annotator: Annotator) -> None:
        note = run(annotator, annotator.scene(SCENE))
        assert note == checked_scene(note, SCENE)
        assert set(re.findall("<(.+?)>", note.caption)) == {"bo", "mug"}
        assert note.questions

    def test_the_same_is_answered_the_same(self, annotator: Annotator) -> None:
        assert run(annotator, annotator.card(CROP)) == run(annotator, annotator.card(CROP))
        assert run(annotator, annotator.scene(SCENE)) == run(annotator, annotator.scene(SCENE))

    def test_many_at_once(self, annotator: Annotator) -> None:
        tasks = [replace(SCENE, things=(replace(BO, name=f"bo{number}"),)) for number in range(12)]

        async def all_of_them() -> list[SceneNote]:
            return await asyncio.gather(*(annotator.scene(task) for task in tasks))

        for task, note in zip(tasks, run(annotator, all_of_them()), strict=True):
            assert f"<{task.things[0].name}>" in note.caption


@pytest.mark.parametrize(
    ("note", "sentence"),
    [
        (SceneNote("<bo> naps.", "<bo> naps."), "does not name <mug>"),
        (SceneNote("<bo>, <mug>, <rex>.", "<bo>."), "names <rex>, who is not on the photo"),
        (SceneNote("<bo> and <mug>.", "A dog."), "names nobody"),
        (SceneNote("", "<bo>."), "is empty"),
        (SceneNote("<bo> and <mug>.", "<bo>." * 400), "longer than 1500"),
        (SceneNote("<bo> and <mug>.", "<bo>.", (("Who", "<bo>."),)), "does not end with \\?"),
    ],
)
def test_rules_of_scenes(note: SceneNote, sentence: str) -> None:
    with pytest.raises(Unusable, match=sentence):
        checked_scene(note, SCENE)


@pytest.mark.parametrize(
    ("note", "sentence"),
    [
        (CardNote("Pip", "", ("red",)), "category is empty"),
        (CardNote("Pip", "cup", ()), "no properties"),
        (CardNote("<Pip>", "cup", ("red",)), "holds < or >"),
        (CardNote("P" * 50, "cup", ("red",)), "longer than 40"),
    ],
)
def test_rules_of_cards(note: CardNote, sentence: str) -> None:
    with pytest.raises(Unusable, match=sentence):
        checked_card(note, CROP)


def test_the_model_is_shown_the_picture_and_all_that_is_known(peer: OpenAIPeer, connect: Connect) -> None:
    annotator = connect()
    run(annotator, annotator.card(CROP))
    run(annotator, annotator.scene(SCENE))
    assert isinstance(peer.writer, NoteWriter)
    crop, scene = peer.writer.shown
    assert abs(crop.getpixel((5, 5))[0] - 200) < 5  # type: ignore[index]
    assert scene.size == PICTURE.size
    card, told = (body["messages"][1]["content"][1]["text"] for body in peer.requests)
    assert "labelled as: cup" in card
    assert "a cup with a chip" in card
    assert "- <bo>: dog, on the left of the photo. A brown dog." in told
    assert "A small dog sits by a red cup." in told


def test_nothing_is_asked_twice(peer: OpenAIPeer, connect: Connect, kept: Kept) -> None:
    first = connect()
    note = run(first, first.scene(SCENE))
    again = connect()
    assert run(again, again.scene(SCENE)) == note
    assert (len(peer.requests), again.asked) == (1, 0)
    other = replace(SCENE, picture=Image.new("RGB", (80, 60), "white"))
    run(again, again.scene(other))
    assert len(peer.requests) == 2, "another picture is another question"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("I'm sorry, but I can't help with identifying people.", "The model refused."),
        ("A nice cup.", "The answer holds no JSON object."),
        ('{"name": "Pip", ', "The answer holds no JSON object."),
        ('{"name": "Pip", "category" "cup"}', "The answer is not valid JSON."),
        ('{"name": "Pip", "category": "cup"}', "not of the form that was asked for: properties: Field required."),
        ('{"name": "Pip", "category": 3, "properties": []}', "category: Input should be a valid string."),
        ('{"name": "Pip", "category": "cup", "properties": []}', "There are no properties."),
        (" ", "The answer is empty."),
    ],
)
def test_a_wrong_answer_is_asked_for_again_and_then_set_aside(
    peer: OpenAIPeer, connect: Connect, kept: Kept, wrong: str, reason: str
) -> None:
    assert isinstance(peer.writer, NoteWriter)
    annotator = connect()
    peer.writer.wrong = [wrong] * 2
    assert run(annotator, annotator.card(CROP)).name == "Pip", "the third try"
    assert [body["temperature"] for body in peer.requests] == [0.0, 0.7, 0.7]
    peer.writer.wrong = [wrong] * 3
    task = replace(CROP, picture=PICTURE)
    with pytest.raises(Unusable, match=re.escape(reason)):
        run(annotator, annotator.card(task))
    asked = len(peer.requests)
    with pytest.raises(Unusable, match=re.escape(reason)):
        run(annotator, annotator.card(task))
    assert len(peer.requests) == asked, "what was set aside is not paid for again"
    kept.forget_failures()
    assert run(annotator, annotator.card(task)).name == "Pip"


def test_trouble_of_the_service_passes_and_is_not_held_against_the_picture(
    peer: OpenAIPeer, connect: Connect, kept: Kept
) -> None:
    annotator = connect()
    peer.faults += [Fault("status", 500), Fault("hang up"), Fault("status", 429, (("Retry-After", "0"),))]
    assert run(annotator, annotator.card(CROP)).name == "Pip"
    peer.faults += [Fault("status", 503)] * 9
    task = replace(CROP, picture=PICTURE)
    with pytest.raises(Unusable, match="gave no answer"):
        run(annotator, annotator.card(task))
    assert run(annotator, annotator.card(task)).name == "Pip"
    peer.faults += [Fault("status", 503)] * 90
    results = run(annotator, all_one_by_one(annotator, [replace(SCENE, captions=(str(one),)) for one in range(9)]))
    assert re.search("20 times in a row", str(results[-1]))
    assert len(results) == 7, "and then nothing more is asked"
    peer.faults.clear()


def test_a_key_that_is_withdrawn_ends_the_run(peer: OpenAIPeer, connect: Connect) -> None:
    annotator = connect()
    peer.faults.append(Fault("status", 401))
    with pytest.raises(Stopped, match=r"refuses any request \(error 401\)"):
        run(annotator, annotator.card(CROP))
    peer.faults.append(Fault("status", 400, message="blocked by the content policy"))
    peer.faults.append(Fault("status", 400, message="blocked by the content policy"))
    assert run(annotator, annotator.card(CROP)).name == "Pip"


def test_a_wrong_address_key_or_model_is_told_at_once(peer: OpenAIPeer, kept: Kept) -> None:
    with pytest.raises(ConfigError, match='has no model "ears"\\. It has: eyes\\.'):
        open_service(peer.url, "", "ears", kept, Budget(kept))
    peer.key = "right"
    with pytest.raises(ConfigError, match="refuses the key"):
        open_service(peer.url, "wrong", "eyes", kept, Budget(kept))


def test_the_budget_is_never_exceeded_and_counts_earlier_runs(
    peer: OpenAIPeer, connect: Connect, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = wire.completion

    def with_usage(*given: Any, **more: Any) -> dict[str, Any]:
        return plain(*given, **more) | {
            "usage": {"prompt_tokens": 1500, "completion_tokens": 100, "total_tokens": 1600}
        }

    monkeypatch.setattr(wire, "completion", with_usage)
    tasks = [replace(SCENE, captions=(f"Number {number}.",)) for number in range(30)]
    limits = {"price": Price(1.0, 10.0), "most": 0.05}

    async def all_of_them(annotator: ServiceAnnotator) -> list[Any]:
        return await asyncio.gather(*(annotator.scene(task) for task in tasks), return_exceptions=True)

    annotator = connect(**limits)
    results = run(annotator, all_of_them(annotator))
    stopped = [one for one in results if isinstance(one, Stopped)]
    assert stopped
    assert re.search(r"The budget ends here: .* of 0\.05 is spent", str(stopped[0]))
    assert kept.spent() == (1500 * len(peer.requests), 100 * len(peer.requests))
    assert 0 < annotator.budget.money <= 0.05
    # Alone, requests are answered until the next could be too much; a request costs .0025 and may cost some .0139.
    while not isinstance(run(annotator, all_one_by_one(annotator, tasks))[-1], Stopped):
        pass
    assert 0.03 < annotator.budget.money <= 0.05
    asked = len(peer.requests)
    again = connect(**limits)
    with pytest.raises(Stopped):
        run(again, again.scene(replace(SCENE, captions=("Another.",))))
    assert len(peer.requests) == asked
    larger = connect(**limits | {"most": 1.0})
    assert all(isinstance(one, SceneNote) for one in run(larger, all_of_them(larger)))
    assert len(peer.requests) == 30, "each once"


async def all_one_by_one(annotator: ServiceAnnotator, tasks: list[SceneTask]) -> list[Any]:
    results: list[Any] = []
    for task in tasks:
        try:
            results.append(await annotator.scene(task))
        except Unusable as error:
            results.append(error)
        except Stopped as error:
            return [*results, error]
    return results


def test_tokens_per_minute_are_kept(kept: Kept) -> None:
    now, waited = [0.0], []

    async def wait(seconds: float) -> None:
        waited.append(seconds)
        now[0] += seconds

    budget = Budget(kept, tokens_per_minute=1000, clock=lambda: now[0], wait=wait)

    async def ask() -> list[float]:
        times = []
        for _ in range(5):
            await budget.reserve(300, 100)
            times.append(now[0])
        await budget.reserve(5000, 0)
        return [*times, now[0]]

    assert asyncio.run(ask()) == [0.0, 0.0, 60.0, 60.0, 120.0, 180.0]
    assert sum(waited) == 180.0


def test_requests_run_at_the_same_time(peer: OpenAIPeer, connect: Connect, tmp_path: Path) -> None:
    folders(tmp_path / "data")
    room = check(READERS["folders"], tmp_path / "data", tmp_path / "room").room
    annotator = connect()
    done = run(annotator, Run(select([room], 10, 3, 0, 0), tmp_path / "source", annotator, together=2).work())
    assert (done.concepts, done.set_aside, done.stopped) == (2, [], "")
    assert peer.at_once == 2


def test_a_whole_run_gives_what_composes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From four data sets, without a service, to samples of every kind."""
    monkeypatch.setattr(selection, "_SMALLEST", 10)  # the pictures of this test are tiny
    makers = {"coco": coco, "vid": vid, "llava": llava, "rap": rap}
    rooms = []
    for name, make in makers.items():
        make(tmp_path / name)
        rooms.append(check(READERS[name], tmp_path / name, tmp_path / "rooms" / name).room)
    source = tmp_path / "source"
    words = ["annotate", *map(str, rooms), "--into", str(source), "--concepts", "40", "--seed", "3"]
    told = CliRunner().invoke(cli, words)
    assert told.exit_code == 0, told.output
    read = read_source(source)
    assert sorted(entry.category for entry in read.concepts.values()) == ["cup", "dog", "dog"]
    assert [photo.caption for photo in read.photos if photo.concepts]
    assert len(read.general) == 2
    assert len(read.finished) == 1
    assert any(not photo.concepts for photo in read.photos)
    samples = Composer(read, tmp_path, Plan(120, seed=1)).samples()
    assert {sample.kind for sample in samples} == {*KINDS, "basic"}
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    assert CliRunner().invoke(cli, words).exit_code == 0
    assert {path: path.read_bytes() for path in source.rglob("*") if path.is_file()} == before


"""The same again: resumed, nothing changes."""


def test_the_command_asks_a_service_and_goes_on_where_it_stopped(
    peer: OpenAIPeer, impatient: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.key = "secret-of-nobody"
    monkeypatch.setenv("RAPBOT_ANNOTATOR_KEY", peer.key)
    assert isinstance(peer.writer, NoteWriter)
    folders(tmp_path / "data")
    room = check(READERS["folders"], tmp_path / "data", tmp_path / "room").room
    source = tmp_path / "source"
    words = ["annotate", str(room), "--into", str(source), "--url", peer.url, "--model", "eyes", "--together", "1"]
    peer.writer.wrong = ["I cannot help with that."] * 3
    told = CliRunner().invoke(cli, words)
    assert told.exit_code == 0, told.output
    assert "1 concepts, 1 photos (1 with texts)" in told.output
    assert "1 set aside" in told.output
    [row] = [json.loads(line) for line in (source / SET_ASIDE).read_text().splitlines()]
    assert (row["what"], row["reason"]) == ("card", "The model refused.")
    asked = len(peer.requests)
    assert "1 set aside" in CliRunner().invoke(cli, words).output
    assert len(peer.requests) == asked
    told = CliRunner().invoke(cli, [*words, "--again"])
    assert "2 concepts, 2 photos (2 with texts)" in told.output
    assert not (source / SET_ASIDE).exists()
    names = {entry.name: entry.info for entry in read_rap_database(source / "concepts")}
    assert names == {"Bo": "Its rim is chipped.", "mug": "Its rim is chipped."}
    short = CliRunner().invoke(cli, [*words, "--budget", "0.001", "--price", "1,10", "--seed", "1", "--photos", "1"])
    assert short.exit_code == 0, "all is known: nothing is asked, nothing is spent"
    for path in source.rglob("*"):
        assert not path.is_file() or peer.key.encode() not in path.read_bytes()


def test_a_killed_run_goes_on_and_asks_for_nothing_twice(peer: OpenAIPeer, tmp_path: Path) -> None:
    for number in range(6):
        folder = tmp_path / f"data/thing-{number}"
        folder.mkdir(parents=True)
        (folder / "1.jpg").write_bytes(jpeg(Image.new("RGB", (60, 60 + number), "red")))
    room = check(READERS["folders"], tmp_path / "data", tmp_path / "room").room
    words = ["annotate", str(room), "--into", str(tmp_path / "source"), "--url", peer.url, "--model", "eyes"]
    words += ["--together", "1"]
    script = (
        "import os, signal, sys\nfrom training.annotate.kept import Kept\nfrom training.cli import cli\n"
        "keep, count = Kept.keep, []\n"
        "def kept(self, key, answer):\n    keep(self, key, answer)\n    count.append(key)\n"
        "    if len(count) == 4:\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "Kept.keep = kept\ncli(sys.argv[1:])\n"
    )
    root = Path(__file__).parents[1]
    killed = subprocess.run([sys.executable, "-c", script, *words], cwd=root, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(peer.requests) == 4
    told = CliRunner().invoke(cli, words)
    assert "6 concepts, 6 photos (6 with texts)" in told.output
    assert len(peer.requests) == 12, "six cards and six photos, each once"


def test_what_people_taught_goes_to_a_service_only_with_consent(
    peer: OpenAIPeer, impatient: None, tmp_path: Path
) -> None:
    write_rap_zip(tmp_path / "export.zip", [RapEntry("bo", "dog", "Our dog.", (jpeg(PICTURE),))])
    room = check(reader_of("own", consent=True), tmp_path / "export.zip", tmp_path / "room").room
    words = ["annotate", str(room), "--into", str(tmp_path / "source")]
    asked = [*words, "--url", peer.url, "--model", "eyes"]
    refused = CliRunner().invoke(cli, asked)
    assert isinstance(refused.exception, ConfigError)
    assert not peer.requests
    assert CliRunner().invoke(cli, words).exit_code == 0, "nothing leaves the machine"
    assert read_source(tmp_path / "source").concepts["bo"].info == "Our dog."
    assert CliRunner().invoke(cli, [*asked, "--consent"]).exit_code == 0
    assert peer.requests


def test_conversations_are_drawn_up_to_a_number(tmp_path: Path) -> None:
    llava(tmp_path / "llava")
    rap(tmp_path / "rap")
    rooms = [check(READERS[name], tmp_path / name, tmp_path / f"{name}-room").room for name in ("llava", "rap")]
    drawn = select(rooms, 5, 1, 0, 0, conversations=1).conversations
    assert [found.source for found in drawn] == ["llava", "rap"]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--model", "eyes"], "needs both --url and --model"),
        (["--budget", "3"], "--budget needs --price"),
        (["--budget", "3", "--price", "cheap"], '"cheap" is not a price'),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, more: list[str], sentence: str) -> None:
    failed = CliRunner().invoke(cli, ["annotate", str(tmp_path), "--into", str(tmp_path / "s"), *more])
    assert isinstance(failed.exception, ConfigError)
    assert sentence in str(failed.exception)


@pytest.mark.parametrize(
    ("caption", "said"),
    [
        ("A small brown dog sleeps on a couch .", "<bo> sleeps on a couch."),
        ("There is a puppy in the grass", "There is <bo> in the grass."),
        ("A DOG RUNS", "<bo> runs."),
        ("Two dogs play.", None),
        ("A dog and another dog.", None),
        ("A dog house in a yard.", None),
        ("A man with his dog's leash.", None),
        ("A quiet street.", None),
    ],
)
def test_names_are_put_into_captions_only_where_that_is_sure(caption: str, said: str | None) -> None:
    assert with_names(caption, [Seen("bo", "dog")], [Seen("", "couch")]) == said
    assert with_names(caption, [Seen("bo", "dog")], [Seen("", "dog")]) is None, "which of the two is meant?"


def test_offline_cards_tell_what_lasts_and_what_is_measured() -> None:
    annotator = OfflineAnnotator()
    dog = CropTask(Image.new("RGB", (60, 60), (110, 70, 30)), Seen("", "dog", None, BO.phrases))
    assert asyncio.run(annotator.card(dog)).info == "The brown dog with a collar. Mostly brown."
    said = ("a woman", "has black hair", "wears glasses", "is smiling")
    person = CropTask(PICTURE, Seen("", "person", None, said))
    assert asyncio.run(annotator.card(person)).info == "A woman who has black hair and wears glasses."
    nothing = CropTask(PICTURE, Seen("mug", "", None))
    assert asyncio.run(annotator.card(nothing)).category == "thing"


def test_offline_scenes_are_true_and_read_well() -> None:
    note = asyncio.run(OfflineAnnotator().scene(SCENE))
    assert note.caption == "<bo> sits by <mug>."
    assert note.description == (
        "<bo> sits by <mug>. <bo> is on the left of the photo. <mug> is on the right of the photo. "
        "A chair can be seen too."
    )
    assert ("What kind of thing is <bo>?", "<bo> is a dog.") in note.questions
    assert ("Where is <mug> in the photo?", "<mug> is on the right.") in note.questions
    [(asked, answer)] = [turn for turn in note.questions if " to the " in turn[0]]
    first, side, second = re.findall(r"<bo>|<mug>|left|right", asked)
    assert (answer == "Yes.") == ((side == "left") == (first == "<bo>"))
    assert second != first
    skis = SceneTask(PICTURE, (Seen("Max", "skis", LEFT),))
    assert asyncio.run(OfflineAnnotator().scene(skis)).caption == "<Max> are on the left of the photo."


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ((250, 250, 250), "white"),
        ((12, 10, 14), "black"),
        ((128, 126, 130), "grey"),
        ((220, 20, 30), "red"),
        ((30, 60, 200), "blue"),
        ((60, 160, 60), "green"),
        ((250, 220, 40), "yellow"),
        ((250, 140, 20), "orange"),
        ((110, 70, 35), "brown"),
        ((240, 90, 180), "pink"),
        ((225, 205, 170), "beige"),
    ],
)
def test_colours_are_called_what_people_call_them(colour: tuple[int, int, int], name: str) -> None:
    assert colours(Image.new("RGB", (30, 30), colour)) == {name: 1.0}


def test_names_suit_and_differ() -> None:
    dice = random.Random(0)
    taken = {"bo", "milo 2"}
    assert unused("Bo", taken) == "Bo_2"
    assert unused("<Rex>", taken) == "Rex"
    for _ in range(200):
        assert re.fullmatch("[A-Z][a-zé]+", name_for("banana", dice)), 'never "blue_mug"'


def test_things_are_spread_over_kinds_and_their_avatars_are_other_photos(tmp_path: Path) -> None:
    vid(tmp_path / "vid")
    room = check(READERS["vid"], tmp_path / "vid", tmp_path / "vid-room").room
    chosen = select([room], 5, 3, 0, 0).chosen
    assert not chosen, "none is large enough"
    for name in ("cat", "dog"):
        for number in range(5):
            folder = tmp_path / f"own/{name}-{number}"
            folder.mkdir(parents=True)
            for file in ("1.jpg", "2.jpg"):
                (folder / file).write_bytes(jpeg(Image.new("RGB", (200, 200), "red")))
            write(folder / "card.json", {"category": name})
    room = check(READERS["folders"], tmp_path / "own", tmp_path / "own-room").room
    spread = select([room], 4, 3, 2, 0)
    assert sorted(one.thing.category for one in spread.chosen) == ["cat", "cat", "dog", "dog"]
    for one in spread.chosen:
        assert one.avatar.record.file not in {photo.record.file for photo in one.photos}
    shown = {thing.id for found in spread.empty for thing in found.record.things}
    assert len(spread.empty) == 2
    assert not shown & {one.id for one in spread.chosen}
