"""The index finds what is in the store, no more and no less, whatever was taught, changed and forgotten before."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rapbot.concepts import faiss_bytes, sql_rows
from rapbot.concepts.concept import Concept, Role
from rapbot.concepts.faiss_bytes import read_flat_index, write_flat_index
from rapbot.concepts.index import ConceptIndex, IndexCache, Share, visible_concepts
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.concepts.store import (
    AddAvatar,
    Applied,
    Change,
    Changed,
    Collection,
    ConceptStore,
    Edit,
    EraseOwner,
    Forget,
    Remember,
    RemoveAvatar,
    Undo,
)
from rapbot.concepts.visible import IndexRow
from rapbot.errors import ConceptError, NothingToUndo
from tests.concept_samples import DIMENSIONS, ENCODER, avatar, everything, key, lala, taught


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ConceptStore]:
    async with SqliteConceptStore.open(tmp_path / "rapbot.db", ENCODER) as opened:
        yield opened


@dataclass
class Counting:
    """A store that counts how often a whole collection was read."""

    store: ConceptStore
    reads: int = 0

    async def read(self, owner: str, known_revision: int | None = None) -> Collection | None:
        collection = await self.store.read(owner, known_revision)
        self.reads += collection is not None
        return collection

    async def write(self, owner: str, change: Change) -> Changed:
        return await self.store.write(owner, change)

    async def photo(self, owner: str, avatar_id: int) -> bytes:
        return await self.store.photo(owner, avatar_id)

    async def applied(self, work: bytes) -> Applied | None:
        return await self.store.applied(work)


def test_the_nearest_keys_are_found_with_their_distances() -> None:
    keys = np.stack([key(seed) for seed in range(50)])
    ids = np.arange(50, dtype=np.int64) * 7 + 1000
    distances, found = ConceptIndex.build(ids, keys).search(keys[:3], 4)
    expected = np.linalg.norm(keys[:3, None] - keys[None], axis=2)
    order = np.argsort(expected, axis=1)[:, :4]
    assert found.tolist() == ids[order].tolist()
    np.testing.assert_allclose(distances, np.take_along_axis(expected, order, axis=1), atol=1e-3)


def test_an_index_of_one_key_answers_with_one_key() -> None:
    distances, ids = ConceptIndex.build(np.array([5]), key(1)[None]).search(np.stack([key(1), key(2)]), 2)
    assert (distances.shape, ids.tolist()) == ((2, 1), [[5], [5]])
    assert distances[0, 0] == pytest.approx(0.0, abs=1e-3)


def test_an_index_travels_as_bytes() -> None:
    again = ConceptIndex.from_bytes(write_flat_index([3, 9], [key(1).tobytes(), key(2).tobytes()]))
    assert len(again) == 2
    assert again.search(key(2)[None], 1)[1].tolist() == [[9]]


def by_faiss(ids: list[int], keys: np.ndarray) -> bytes:
    index = faiss.IndexIDMap2(faiss.IndexFlatL2(keys.shape[1]))
    index.add_with_ids(keys, np.array(ids, np.int64))
    return faiss.serialize_index(index).tobytes()


@pytest.fixture
def no_layout_is_remembered() -> Iterator[None]:
    faiss_bytes._faiss_writes_this_layout.cache_clear()
    yield
    faiss_bytes._faiss_writes_this_layout.cache_clear()


SIZES = [(1, 1), (1, 16), (3, 7), (40, 512), (129, 1281)]


@pytest.mark.parametrize(("count", "dimensions"), SIZES)
def test_the_bytes_are_those_of_faiss_itself_and_are_read_back(count: int, dimensions: int) -> None:
    keys = np.stack([key(seed, dimensions) for seed in range(count)])
    ids = [2**40 - 7 * number for number in range(count)]
    data = write_flat_index(ids, [row.tobytes() for row in keys])
    assert data == by_faiss(ids, keys)
    found, numbers = read_flat_index(data)
    assert found.flags.aligned
    assert numbers.tolist() == ids
    np.testing.assert_array_equal(found, keys)


@pytest.mark.parametrize(("count", "dimensions"), SIZES)
def test_a_faiss_with_another_layout_writes_and_reads_itself(
    count: int, dimensions: int, monkeypatch: pytest.MonkeyPatch, no_layout_is_remembered: None
) -> None:
    monkeypatch.setattr(faiss_bytes, "_METRIC_L2", 99)  # as if FAISS had changed one number in its headers
    keys = np.stack([key(seed, dimensions) for seed in range(count)])
    ids = list(range(5, 5 + count))
    data = write_flat_index(ids, [row.tobytes() for row in keys])
    assert data == by_faiss(ids, keys)
    found, numbers = read_flat_index(data)
    assert numbers.tolist() == ids
    np.testing.assert_array_equal(found, keys)


def test_keys_of_different_lengths_are_no_index() -> None:
    with pytest.raises(ValueError, match="one length"):
        write_flat_index([1, 2], [key(1).tobytes(), key(2, 8).tobytes()])


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:20], lambda data: b"\0" * len(data)])
def test_bytes_that_are_no_index_are_refused(damage: Callable[[bytes], bytes]) -> None:
    data = write_flat_index([1, 2], [key(1).tobytes(), key(2).tobytes()])
    with pytest.raises(RuntimeError):
        read_flat_index(damage(data))


async def test_opening_an_index_makes_no_concept_until_one_is_asked_for(
    store: ConceptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making them takes longer than all the rest: of a thousand concepts, 6 ms of 15 (benchmarks/store_speed.py)."""
    ids = [(await taught(store, lala(f"Lala {number}", number))).id for number in range(5)]
    made: list[int] = []

    def noted(number: int, *fields: object) -> Concept:
        made.append(number)
        return Concept(number, *fields)  # type: ignore[arg-type]

    monkeypatch.setattr(sql_rows, "Concept", noted)
    opened = await IndexCache(store).get("me")
    assert (len(opened.visible.cards), made) == (5, [])
    one = opened.collection.concept(ids[3])
    assert (one and one.name, made) == ("Lala 3", ids[3:4])
    assert opened.collection.concept(404) is None
    assert [concept.id for concept in opened.collection.concepts] == ids
    assert opened.collection.concepts[3] == one
    assert made == [ids[3], *ids]


async def test_a_job_carries_the_very_bytes_that_were_read(store: ConceptStore) -> None:
    await taught(store, lala())
    opened = await IndexCache(store).get("me")
    assert opened.visible.index is opened.collection.keys.index


async def test_an_unchanged_collection_is_built_once(store: ConceptStore) -> None:
    counting = Counting(store)
    cache = IndexCache(counting)
    await store.write("me", lala())
    first = await cache.get("me")
    assert await cache.get("me") is first
    assert counting.reads == 1
    await store.write("someone else", lala())
    assert await cache.get("me") is first
    await store.write("me", lala("Bo", 1))
    assert [card.name for card in (await cache.get("me")).visible.cards] == ["Lala", "Bo"]


async def test_only_the_people_who_were_here_last_are_kept(store: ConceptStore) -> None:
    counting = Counting(store)
    cache = IndexCache(counting, capacity=2)
    for owner in ("a", "b", "a", "c", "a"):
        await cache.get(owner)
    assert counting.reads == 3
    await cache.get("b")
    assert counting.reads == 4


async def test_what_is_dropped_is_read_again(store: ConceptStore) -> None:
    counting = Counting(store)
    cache = IndexCache(counting)
    await cache.get("me")
    cache.drop("me")
    cache.drop("nobody")
    await cache.get("me")
    assert counting.reads == 2


async def test_requests_at_the_same_time_leave_the_latest_state(store: ConceptStore) -> None:
    cache = IndexCache(store)
    changes = [store.write("me", lala(f"Lala {number}", number)) for number in range(8)]
    await asyncio.gather(*changes, *(cache.get("me") for _ in range(8)))
    assert len((await cache.get("me")).visible.cards) == 8


async def test_a_slow_reader_does_not_put_an_older_state_back(store: ConceptStore) -> None:
    read, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Counting):
        async def read(self, owner: str, known_revision: int | None = None) -> Collection | None:
            collection = await super().read(owner, known_revision)
            if self.reads == 1:
                read.set()
                await go_on.wait()
            return collection

    slow = Slow(store)
    cache = IndexCache(slow)
    late = asyncio.ensure_future(cache.get("me"))
    await read.wait()
    await store.write("me", lala())
    latest = await cache.get("me")
    go_on.set()
    assert (await late).visible.cards == ()
    assert await cache.get("me") is latest


async def test_an_empty_collection_has_no_index(store: ConceptStore) -> None:
    visible = (await IndexCache(store).get("me")).visible
    assert (visible.cards, visible.rows, visible.index) == ((), (), b"")


async def test_shared_concepts_are_joined_with_ones_own(store: ConceptStore) -> None:
    mine = await taught(store, lala())
    shown = await taught(store, lala("Bo", 1), "mira")
    hidden = await taught(store, lala("Secret", 2), "mira")
    counter = (await store.write("mira", AddAvatar(shown.id, avatar(3), Role.COUNTEREXAMPLE))).avatar_ids[0]
    visible = visible_concepts(
        [
            Share(await everything(store)),
            Share(await everything(store, "mira"), "Mira", frozenset([shown.id])),
            Share(await everything(store, "stranger"), "Nobody"),
        ]
    )
    assert [(card.name, card.owner_name) for card in visible.cards] == [("Lala", None), ("Bo", "Mira")]
    assert visible.rows == (
        IndexRow(mine.avatars[0].id, mine.id),
        IndexRow(shown.avatars[0].id, shown.id),
        IndexRow(counter, shown.id, counterexample=True),
    )
    _, ids = ConceptIndex.from_bytes(visible.index).search(key(2)[None], 9)
    assert sorted(ids[0].tolist()) == [row.avatar_id for row in visible.rows]
    assert hidden.avatars[0].id not in ids


# Any order of changes


@dataclass
class Known:
    """What one concept should be: the words, and the seed of each avatar's key by its id."""

    name: str
    info: str
    avatars: dict[int, tuple[int, Role]]


@dataclass
class Person:
    concepts: dict[int, Known] = field(default_factory=dict)
    before: dict[int, Known] | None = None
    """The state that Undo goes back to; None when there is nothing to undo."""
    revision: int = -1


OWNERS = st.sampled_from(["me", "mira"])
SEEDS = st.integers(0, 200)
NAMES = st.sampled_from(["Lala", "LALA", "Bo", "Łatek", "小白", "may"])
ROLES = st.sampled_from(list(Role))
CHOICE = st.integers(0, 10**6)


class AnyOrderOfChanges(RuleBasedStateMachine):
    """Two people change their collections; a plain dictionary says what must be found afterwards."""

    @initialize()
    def start(self) -> None:
        self.loop = asyncio.Runner()
        self.open_things = AsyncExitStack()
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "rapbot.db"
        self.store = self.loop.run(self.open_things.enter_async_context(SqliteConceptStore.open(path, ENCODER)))
        self.cache = IndexCache(self.store, capacity=1)
        self.people = {"me": Person(), "mira": Person()}

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.run(self.open_things.aclose())
            self.loop.close()
            self.folder.cleanup()

    def write(self, owner: str, change: Change) -> Concept | None:
        changed = self.loop.run(self.store.write(owner, change))
        person = self.people[owner]
        assert changed.revision > person.revision
        person.revision = changed.revision
        return changed.concept

    def remember_before(self, person: Person) -> None:
        person.before = {n: Known(k.name, k.info, dict(k.avatars)) for n, k in person.concepts.items()}

    def pick(self, owner: str, choice: int) -> tuple[int, Known] | None:
        concepts = sorted(self.people[owner].concepts.items())
        return concepts[choice % len(concepts)] if concepts else None

    def taken(self, owner: str, name: str, but: int | None = None) -> bool:
        others = {known.name.casefold() for n, known in self.people[owner].concepts.items() if n != but}
        return name.casefold() in others

    @rule(owner=OWNERS, name=NAMES, seed=SEEDS)
    def remember(self, owner: str, name: str, seed: int) -> None:
        person = self.people[owner]
        change = Remember(name, "dog", f"info {seed}", avatar(seed))
        if self.taken(owner, name):
            with pytest.raises(ConceptError):
                self.write(owner, change)
            return
        self.remember_before(person)
        concept = self.write(owner, change)
        assert concept is not None
        person.concepts[concept.id] = Known(name, f"info {seed}", {concept.avatars[0].id: (seed, Role.AVATAR)})

    @rule(owner=OWNERS, choice=CHOICE, name=NAMES, seed=SEEDS)
    def edit(self, owner: str, choice: int, name: str, seed: int) -> None:
        picked = self.pick(owner, choice)
        if picked is None or self.taken(owner, name, but=picked[0]):
            return
        self.remember_before(self.people[owner])
        self.write(owner, Edit(picked[0], name=name, info=f"edited {seed}"))
        picked[1].name, picked[1].info = name, f"edited {seed}"

    @rule(owner=OWNERS, choice=CHOICE, seed=SEEDS, role=ROLES)
    def add(self, owner: str, choice: int, seed: int, role: Role) -> None:
        picked = self.pick(owner, choice)
        if picked is None or sum(r is role for _, r in picked[1].avatars.values()) == 8:
            return
        self.remember_before(self.people[owner])
        concept = self.write(owner, AddAvatar(picked[0], avatar(seed), role))
        assert concept is not None
        picked[1].avatars[concept.avatars[-1].id] = (seed, role)

    @rule(owner=OWNERS, choice=CHOICE, which=CHOICE)
    def remove(self, owner: str, choice: int, which: int) -> None:
        picked = self.pick(owner, choice)
        if picked is None:
            return
        avatars = picked[1].avatars
        avatar_id = sorted(avatars)[which % len(avatars)]
        if [n for n, (_, role) in avatars.items() if role is Role.AVATAR] == [avatar_id]:
            with pytest.raises(ConceptError):
                self.write(owner, RemoveAvatar(avatar_id))
            return
        self.write(owner, RemoveAvatar(avatar_id))
        del avatars[avatar_id]
        self.people[owner].before = None

    @rule(owner=OWNERS, choice=CHOICE)
    def forget(self, owner: str, choice: int) -> None:
        picked = self.pick(owner, choice)
        if picked is None:
            return
        self.write(owner, Forget(picked[0]))
        del self.people[owner].concepts[picked[0]]
        self.people[owner].before = None

    @rule(owner=OWNERS)
    def undo(self, owner: str) -> None:
        person = self.people[owner]
        if person.before is None:
            with pytest.raises(NothingToUndo):
                self.write(owner, Undo())
            return
        self.write(owner, Undo())
        person.concepts, person.before = person.before, None

    @precondition(lambda self: any(person.concepts for person in self.people.values()))
    @rule(owner=OWNERS)
    def erase(self, owner: str) -> None:
        self.write(owner, EraseOwner())
        self.people[owner] = Person(revision=self.people[owner].revision)

    @invariant()
    def the_index_finds_what_brute_force_finds(self) -> None:
        for owner, person in getattr(self, "people", {}).items():
            current = self.loop.run(self.cache.get(owner))
            expected = [
                (n, known.name, known.info, sorted((a, role) for a, (_, role) in known.avatars.items()))
                for n, known in sorted(person.concepts.items())
            ]
            assert expected == [
                (c.id, c.name, c.info, sorted((a.id, a.role) for a in c.avatars)) for c in current.collection.concepts
            ]
            self.compare_search(person, current.visible.index, current.visible.rows)

    def compare_search(self, person: Person, index: bytes, rows: tuple[IndexRow, ...]) -> None:
        stored = {
            avatar_id: (number, seed, role)
            for number, known in person.concepts.items()
            for avatar_id, (seed, role) in known.avatars.items()
        }
        assert [(row.avatar_id, row.concept_id, row.counterexample) for row in rows] == [
            (avatar_id, stored[avatar_id][0], stored[avatar_id][2] is Role.COUNTEREXAMPLE)
            for avatar_id in sorted(stored)
        ]
        if not stored:
            assert index == b""
            return
        query = key(999)
        assert query.shape == (DIMENSIONS,)
        brute = sorted(float(np.linalg.norm(query - key(seed))) for _, seed, _ in stored.values())
        distances, ids = ConceptIndex.from_bytes(index).search(query[None], len(stored) + 5)
        assert sorted(ids[0].tolist()) == sorted(stored)
        np.testing.assert_allclose(distances[0], brute, atol=1e-3)
        for avatar_id, distance in zip(ids[0].tolist(), distances[0], strict=True):
            assert float(np.linalg.norm(query - key(stored[avatar_id][1]))) == pytest.approx(float(distance), abs=1e-3)


TestAnyOrderOfChanges = AnyOrderOfChanges.TestCase
TestAnyOrderOfChanges.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
