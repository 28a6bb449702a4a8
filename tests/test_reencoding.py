"""A change of encoder: the old keys serve until every avatar is encoded again, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from rapbot.app import running
from rapbot.assistant import Assistant
from rapbot.concepts.index import IndexCache
from rapbot.concepts.sql_encodings import Place
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.config import ModelSettings, Settings
from rapbot.conversation import Conversations
from rapbot.errors import RapbotError
from rapbot.inference.job import Answer, Job, Task
from rapbot.inference.planning import plan, worker_start
from rapbot.inference.queue import JobQueue
from rapbot.inference.specs import EncoderSpec
from rapbot.inference.worker import Worker
from rapbot.messages import WHOLE, Actor, Chat, ChatKind, Photo, ProgressListener, Reply, Request
from rapbot.reencoding import Reencoding, find_former
from tests.pictures import astronaut, cat, cat_elsewhere_jpeg, cat_jpeg, coffee, jpeg, rocket
from tests.second_encoder import SPEC

pytestmark = pytest.mark.asyncio(loop_scope="module")

POCKET = "efficientnet-lite2/1"
PEOPLE = ("Ann", "Ben", "Cem", "Dora", "Eve")
GROUP = Chat("test:group", ChatKind.GROUP)


def settings_of(folder: Path, weights: Path, encoder: str | None) -> Settings:
    return Settings(data_dir=folder, weights_dir=weights, models=ModelSettings(encoder=encoder))


@pytest.fixture(scope="module")
def before(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_of(tmp_path_factory.mktemp("before"), weights, None)


@pytest.fixture(scope="module")
def after(before: Settings) -> Settings:
    return before.model_copy(update={"models": ModelSettings(encoder=f"{SPEC.kind}:{SPEC.model}")})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def old_worker(before: Settings) -> AsyncIterator[Worker]:
    async with Worker(worker_start(before)) as worker:
        await worker.ready()
        yield worker


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def new_worker(after: Settings, taught: Path) -> AsyncIterator[Worker]:
    async with SqliteConceptStore.open(taught, plan(after).encoder.name) as store:
        former = await find_former(store, after)
    async with Worker(replace(worker_start(after), former=former)) as worker:
        assert (await worker.ready()).encoders == (SPEC.name, POCKET)
        yield worker


class Watched:
    """The real worker; a test may see what is run, and do something between a batch and what is made of it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.batches: list[list[Job]] = []
        self.meanwhile: Callable[[Sequence[Job]], Awaitable[None]] | None = None
        self.change: Callable[[Answer], Answer] = lambda answer: answer

    @property
    def awake(self) -> bool:
        return self._worker.awake

    async def run(self, jobs: Sequence[Job], listeners: dict[str, ProgressListener]) -> list[Answer | RapbotError]:
        self.batches.append(list(jobs))
        results = await self._worker.run(jobs, listeners)
        if self.meanwhile is not None:
            await self.meanwhile(jobs)
        return [self.change(result) if isinstance(result, Answer) else result for result in results]

    def stop(self, job_id: str) -> None:
        self._worker.stop(job_id)


@dataclass(frozen=True, slots=True)
class House:
    """A store, its assistant and the change of its encoder."""

    path: Path
    store: SqliteConceptStore
    assistant: Assistant
    reencoding: Reencoding
    runner: Watched
    queue: JobQueue

    async def finds(self, person: str, chat: Chat | None = None) -> Reply:
        """What `person` is told about a photo with a cat and a cup."""
        photo = Photo(cat_elsewhere_jpeg())
        return await self.assistant.find(Request(actor(person), chat or private(person), "", (photo,)))

    async def served(self, person: str) -> str:
        collection = await self.store.read(actor(person).id)
        assert collection is not None
        return collection.keys.encoder

    async def steps_until(self, done: int) -> None:
        while (await self.store.encodings.pending()).done < done:
            assert await self.reencoding.step() is not None

    def stored(self) -> set[tuple[str, int]]:
        """(encoder, avatar) of every key in the file."""
        with closing(sqlite3.connect(self.path)) as db:
            return set(db.execute("SELECT name, avatar_id FROM keys JOIN encoders ON no = encoder_no"))

    def avatars(self) -> set[int]:
        with closing(sqlite3.connect(self.path)) as db:
            return {number for (number,) in db.execute("SELECT id FROM avatars")}

    def all_bytes(self) -> bytes:
        return b"".join(file.read_bytes() for file in self.path.parent.glob(self.path.name + "*"))


@asynccontextmanager
async def opened(path: Path, settings: Settings, worker: Worker) -> AsyncIterator[House]:
    """As `running` does, with a worker that many tests share."""
    runner = Watched(worker)
    async with (
        SqliteConceptStore.open(path, plan(settings).encoder.name) as store,
        JobQueue(runner, batch_size=4) as queue,
    ):
        await find_former(store, settings)
        assistant = Assistant(store, store.places, IndexCache(store), queue, Conversations(), settings)
        yield House(path, store, assistant, Reencoding(store, worker, queue, 120.0), runner, queue)


def actor(person: str) -> Actor:
    return Actor(f"test:{person}", person)


def private(person: str) -> Chat:
    return Chat(f"test:private-{person}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def taught(before: Settings, old_worker: Worker) -> Path:
    """Five people with twelve avatars each, by pocket's encoder; Ann and Ben share with the group."""
    path = before.data_dir / "taught.db"
    things = {"Lala": cat(), "Mug": coffee(), "Rocky": rocket(), "Eileen": astronaut()}
    async with opened(path, before, old_worker) as house:
        for number, person in enumerate(PEOPLE):
            for name, picture in things.items():
                called = name if person in ("Ann", "Dora") or name != "Lala" else "Tom"
                small = picture.resize((240, 180 + 4 * number))
                teach = house.assistant.teaching.remember(
                    actor(person), private(person), called, category="thing", photo=Photo(jpeg(small)), box=WHOLE
                )
                await teach
                for turn in (3, -3):
                    photo = Photo(jpeg(small.rotate(turn + number)))
                    await house.assistant.teaching.add_photo(actor(person), private(person), called, photo, box=WHOLE)
        await house.assistant.share(actor("Ann"), GROUP, "Lala")
        await house.assistant.share(actor("Ben"), GROUP, "Mug")
        assert len(house.avatars()) == 60
    return path


@pytest.fixture
def path(taught: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(taught, tmp_path / "rapbot.sqlite3"))


@pytest_asyncio.fixture(loop_scope="module")
async def house(path: Path, after: Settings, new_worker: Worker) -> AsyncIterator[House]:
    async with opened(path, after, new_worker) as opened_house:
        yield opened_house


@pytest_asyncio.fixture(loop_scope="module")
async def small(path: Path, after: Settings, new_worker: Worker) -> AsyncIterator[House]:
    """The same with Ann and Ben alone."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("DELETE FROM owners WHERE id NOT IN (?, ?)", (actor("Ann").id, actor("Ben").id))
    async with opened(path, after, new_worker) as opened_house:
        assert len(opened_house.avatars()) == 24
        yield opened_house


async def test_old_keys_serve_until_the_new_ones_are_complete_and_are_then_gone(
    house: House, taught: Path, before: Settings, old_worker: Worker
) -> None:
    async with opened(taught, before, old_worker) as old:
        expected = await old.finds("Ann")
    reply = await house.finds("Ann")
    assert "Lala" in reply.text
    # Not only the same names: the photo is seen as it was, by the encoder that made the keys.
    assert [s.name for s in reply.sightings] == [s.name for s in expected.sightings]
    np.testing.assert_allclose([s.distance for s in reply.sightings], [s.distance for s in expected.sightings], 1e-4)
    await house.steps_until(12)  # Ann's; the walk goes person by person
    assert (await house.store.encodings.pending()).done < 24
    assert await house.served("Ann") == SPEC.name
    assert await house.served("Ben") == POCKET
    mine = await house.finds("Ann")
    assert "Lala" in mine.text
    assert {s.distance for s in mine.sightings}.isdisjoint({s.distance for s in reply.sightings})
    assert "Tom" in (await house.finds("Ben")).text
    # Ann has both kinds of key, Ben has not: what they see together is compared in the old space.
    assert "Ann's Lala" in (await house.finds("Ben", GROUP)).text
    with closing(sqlite3.connect(house.path)) as db:
        old_keys = [key for (key,) in db.execute("SELECT key FROM keys JOIN encoders ON no = encoder_no"
                                                 " WHERE name = ?", (POCKET,))]  # fmt: skip
    assert len(old_keys) == 60
    pending = await house.reencoding.run()
    assert (pending.total, pending.done, pending.others) == (60, 60, ())
    assert house.stored() == {(SPEC.name, avatar) for avatar in house.avatars()}
    image = house.all_bytes()
    assert not [key for key in old_keys if key[:32] in image]
    assert {await house.served(person) for person in PEOPLE} == {SPEC.name}
    assert "Tom" in (await house.finds("Eve")).text
    assert "Ann's Lala" in (await house.finds("Ben", GROUP)).text
    assert (await house.reencoding.run()).done == 60  # nothing to do any more


async def test_what_people_teach_and_take_back_meanwhile_stays_as_they_want_it(small: House) -> None:
    await small.steps_until(6)
    ann, chat = actor("Ann"), private("Ann")
    await small.assistant.teaching.remember(ann, chat, "Kit", category="cat", photo=Photo(cat_jpeg()), box=WHOLE)
    await small.assistant.teaching.undo(ann)
    await small.assistant.teaching.forget(ann, "Lala")
    await small.assistant.teaching.remember(ann, chat, "Nell", category="cat", photo=Photo(cat_jpeg()), box=WHOLE)
    new = max(small.avatars())
    assert {encoder for encoder, avatar in small.stored() if avatar == new} == {SPEC.name, POCKET}
    assert await small.served("Ann") == POCKET
    reply = await small.finds("Ann")
    assert "Nell" in reply.text
    assert "Lala" not in reply.text
    assert reply.answer_id is not None
    sighting = next(s for s in reply.sightings if s.name == "Nell")
    await small.assistant.teaching.wrong(ann, reply.answer_id, sighting.region, None, was="Nell")
    against = max(small.avatars())
    assert {encoder for encoder, avatar in small.stored() if avatar == against > new} == {SPEC.name, POCKET}
    await small.reencoding.run()
    assert small.stored() == {(SPEC.name, avatar) for avatar in small.avatars()}
    assert await small.served("Ann") == SPEC.name
    reply = await small.finds("Ann")
    assert "Lala" not in reply.text
    assert "Mug" in reply.text


async def test_who_starts_meanwhile_sees_and_is_seen_in_the_same_space(small: House) -> None:
    await small.assistant.teaching.remember(
        actor("Fay"), private("Fay"), "Nell", category="cat", photo=Photo(cat_jpeg()), box=WHOLE
    )
    await small.assistant.share(actor("Fay"), GROUP, "Nell")
    assert await small.served("Fay") == SPEC.name
    assert "Nell" in (await small.finds("Fay")).text
    # In the group with Ben, who has old keys only.
    reply = await small.finds("Ben", GROUP)
    assert {"Fay's Nell", "Ann's Lala", "Tom"} & {s.name for s in reply.sightings}
    assert "Mug" in reply.text


async def test_what_is_deleted_while_it_is_encoded_stays_deleted(house: House) -> None:
    lala = await house.assistant.memory.concept(actor("Ann"), "Lala")
    ben = {avatar.id for concept in await house.assistant.memory.concepts(actor("Ben")) for avatar in concept.avatars}

    async def forget_and_erase(jobs: Sequence[Job]) -> None:
        if any(job.task is Task.KEYS for job in jobs):
            house.runner.meanwhile = None
            await house.assistant.teaching.forget(actor("Ann"), "Lala")
            await house.assistant.erase(actor("Ben"))

    house.reencoding._count = 40  # Ann, Ben, Cem and some of Dora in one job
    house.runner.meanwhile = forget_and_erase
    assert await house.reencoding.step() == 40 - 3 - 12
    gone = ben | {avatar.id for avatar in lala.avatars}
    assert not gone & {avatar for _, avatar in house.stored()}
    await house.reencoding.run()
    assert not gone & {avatar for _, avatar in house.stored()}
    with closing(sqlite3.connect(house.path)) as db:
        assert db.execute("SELECT count(*) FROM owners WHERE id = ?", (actor("Ben").id,)).fetchone() == (0,)
    assert actor("Ben").id.encode() not in house.all_bytes()


async def test_switching_back_half_way_costs_nothing(
    path: Path, small: House, before: Settings, old_worker: Worker
) -> None:
    await small.steps_until(8)
    async with opened(path, before, old_worker) as old:
        assert (await old.store.encodings.pending()).done == 24
        pending = await old.reencoding.run()
        assert (pending.done, pending.others) == (24, ())
        assert not [job for batch in old.runner.batches for job in batch if job.task is Task.KEYS]
        assert old.stored() == {(POCKET, avatar) for avatar in old.avatars()}
        assert "Ann's Lala" in (await old.finds("Ben", GROUP)).text


async def test_messages_go_first(house: House) -> None:
    """However much there is to encode, a person waits for at most one of its jobs."""
    running_change = asyncio.create_task(house.reencoding.run())
    await asyncio.gather(*(house.finds(person) for person in PEOPLE[:3]))
    await running_change
    batches = house.runner.batches
    assert max(sum(job.task is Task.KEYS for job in batch) for batch in batches) == 1
    asked = [n for n, batch in enumerate(batches) if any(job.task is Task.FIND for job in batch)]
    assert asked[-1] - asked[0] < 3


async def test_an_encoder_that_makes_no_keys_costs_nobody_the_old_ones(small: House) -> None:
    def broken(answer: Answer) -> Answer:
        return replace(answer, keys=np.full(len(answer.keys) // 4, np.nan, np.float32).tobytes())

    small.runner.change = broken
    pending = await small.reencoding.run()
    assert (pending.done, pending.others) == (0, (POCKET,))
    small.runner.change = lambda answer: answer
    assert "Lala" in (await small.finds("Ann")).text
    assert (await small.reencoding.run()).done == 24


async def test_a_picture_that_cannot_be_read_any_more_does_not_hold_up_the_rest(small: House) -> None:
    with closing(sqlite3.connect(small.path)) as db, db:
        db.execute("UPDATE photos SET jpeg = ? WHERE avatar_id = 5", (b"damaged",))
    with capture_logs() as logs:
        pending = await small.reencoding.run()
    assert pending.others == ()
    assert small.stored() == {(SPEC.name, avatar) for avatar in small.avatars() - {5}}
    assert [log["avatars"] for log in logs if log["event"] == "reencoding.unreadable"] == [[5]]
    assert "damaged" not in str(logs)


async def test_progress_is_told_and_logged_without_names(small: House) -> None:
    shown: list[tuple[int, int]] = []
    with capture_logs() as logs:
        await small.reencoding.run(lambda pending: shown.append((pending.done, pending.total)))
    assert shown == sorted(shown)
    assert shown[-1] == (24, 24)
    assert [log["event"] for log in logs if log["event"].startswith("reencoding")][:: len(logs) - 1] == [
        "reencoding.begins",
        "reencoding.done",
    ]
    assert not [word for word in ("Lala", "Ann", "test:") if word in str(logs)]


async def test_where_the_old_encoder_is_gone_people_come_back_one_after_the_other(path: Path, after: Settings) -> None:
    gone = EncoderSpec("python", "tests.second_encoder:taken_away")
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE encoders SET name = ?", (gone.name,))
    with capture_logs() as logs:
        async with running(after, database=path) as app:
            [background] = [task for task in asyncio.all_tasks() if task.get_name() == "reencoding"]
            reply = await app.assistant.find(
                Request(actor("Eve"), private("Eve"), "", (Photo(cat_elsewhere_jpeg()),))
            )  # beside it; with some of the new keys, or none yet
            assert reply.text
            await background
            assert (await app.store.encodings.pending()).others == ()
            reply = await app.assistant.find(Request(actor("Eve"), private("Eve"), "", (Photo(cat_elsewhere_jpeg()),)))
            assert "Mug" in reply.text
    [told] = [log for log in logs if log["event"] == "reencoding.old_keys_unused"]
    assert told["encoders"] == [gone.name]
    assert "cannot be loaded" in told["reason"]


def rapbot(command: str, after: Settings, path: Path) -> subprocess.Popen[str]:
    """`rapbot <command>` in a process group of its own, on the database at `path`."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAPBOT_")} | {
        "RAPBOT_DATA_DIR": str(path.parent),
        "RAPBOT_WEIGHTS_DIR": str(after.weights_dir),
        "RAPBOT_MODELS__ENCODER": f"{SPEC.kind}:{SPEC.model}",
        "PYTHONPATH": str(Path(__file__).parent.parent),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "rapbot", command],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


async def test_kill_9_in_the_middle_loses_nothing_and_the_next_start_goes_on(
    path: Path, after: Settings, new_worker: Worker
) -> None:
    assert path.name == after.database.name
    made = 0
    program = rapbot("reencode", after, path)
    with closing(sqlite3.connect(path)) as db:
        while not made:
            with pytest.raises(subprocess.TimeoutExpired):  # it still runs
                await asyncio.to_thread(program.wait, 0.005)
            ((made,),) = db.execute("SELECT count(*) FROM keys WHERE encoder_no = 2")
    os.killpg(program.pid, signal.SIGKILL)
    program.communicate()
    async with opened(path, after, new_worker) as house:
        pending = await house.store.encodings.pending()
        assert 0 < pending.done < 60
        assert pending.others == (POCKET,)
        assert "Mug" in (await house.finds("Eve")).text
        [first, *_] = await house.store.encodings.stale(Place(), 1)
        assert first.jpeg.startswith(b"\xff\xd8")
    program = rapbot("reencode", after, path)
    said, complaints = await asyncio.to_thread(program.communicate)
    assert program.returncode == 0, complaints
    assert said == "The keys of all 60 avatars are of the configured encoder.\n"
    async with opened(path, after, new_worker) as house:
        assert house.stored() == {(SPEC.name, avatar) for avatar in house.avatars()}
        assert "Lala" in (await house.finds("Ann")).text


async def test_a_name_of_an_encoder_leads_back_to_it() -> None:
    for spec in (EncoderSpec("efficientnet-lite2"), EncoderSpec("siglip", "google/siglip2-base-patch16-384"), SPEC):
        assert EncoderSpec.from_name(spec.name) == spec
    assert EncoderSpec.from_name("efficientnet-lite2/1/none") is None
    assert EncoderSpec.from_name("some-encoder") is None
