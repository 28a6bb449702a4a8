"""However many people there are: memory stays within its bounds, and nobody's message takes longer."""

from __future__ import annotations

import gc
import itertools
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from adapters import rates
from adapters.delivery import Turns
from benchmarks.growth import Visits, fill, person_of
from rapbot import conversation
from rapbot.concepts.bounded import Bounded
from rapbot.concepts.concept import NewAvatar
from rapbot.concepts.index import IndexCache, OwnerIndex
from rapbot.concepts.mentions import forget_names
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.concepts.store import Remember
from rapbot.conversation import Conversations
from rapbot.inference import fairness
from rapbot.inference.fairness import Fairness
from rapbot.messages import WHOLE

EACH = 150
"""Bytes that one more person may cost where everything is full: what measuring itself leaves behind."""


def test_what_was_asked_for_longest_ago_goes_first_by_number_and_by_bytes() -> None:
    kept: Bounded[str, int] = Bounded(3, 100)
    for number, name in enumerate("abc"):
        kept.put(name, number, 10)
    assert kept.get("a") == 0
    kept.put("d", 3, 10)
    assert (kept.get("b"), len(kept), kept.size) == (None, 3, 30)
    kept.put("e", 4, 90)
    assert (len(kept), kept.size) == (2, 100)
    assert kept.get("d") == 3
    kept.put("f", 5, 1000)  # larger than everything may be: alone
    assert (len(kept), kept.get("f"), kept.size) == (1, 5, 1000)
    kept.put("f", 6, 10)
    kept.drop("nobody")
    kept.drop_where(lambda name, value: value == 6)
    assert (len(kept), kept.size) == (0, 0)


async def test_the_indexes_of_people_who_taught_much_leave_room_for_others(tmp_path: Path) -> None:
    """A count alone would let 64 people of 500 concepts take more than a gigabyte."""
    async with SqliteConceptStore.open(tmp_path / "rapbot.db", "test") as store:
        key = np.ones(20_000, np.float32)
        for person, count in (("much", 6), *((f"little {number}", 1) for number in range(6))):
            for number in range(count):
                await store.write(person, Remember(f"C{number}", "", "", NewAvatar(b"x", key, "test", WHOLE)))
        cache = IndexCache(store, capacity=64, most_bytes=600_000)
        first = await cache.get("much")
        assert 480_000 < first.size < 500_000
        assert await cache.get("much") is first
        for number in range(6):
            await cache.get(f"little {number}")
        kept = cache._recent
        assert kept.size <= 600_000
        assert len(kept) == 6
        assert isinstance(kept.get("little 0"), OwnerIndex)


async def test_more_people_take_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that remembers people is full after the first few here; benchmarks/growth.py asks 100,000."""
    monkeypatch.setattr(conversation, "_CONTEXTS", 40)
    monkeypatch.setattr(rates, "_KNOWN", 40)
    monkeypatch.setattr(fairness, "_KNOWN", 40)
    monkeypatch.setattr("benchmarks.growth.Turns", lambda **more: Turns(kept=40, **more))
    first, more = 200, 600

    def traced() -> int:
        forget_names()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    async with Visits.to(tmp_path) as (app, visits):
        await fill(app.store, range(first + more), 64, 100)
        await visits.of(map(person_of, range(first)))
        tracemalloc.start()
        try:
            await visits.of(map(person_of, range(first)))
            before = traced()
            await visits.of(map(person_of, range(first, first + more)))
            grown = traced() - before
        finally:
            tracemalloc.stop()
    assert grown < more * EACH, f"{grown / more:.0f} bytes a person"


def best(work: Callable[[], object], times: int = 200) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


def test_whose_turn_it_is_takes_no_longer_with_many_people() -> None:
    """It is asked for at each message, on the event loop."""

    def seconds(people: int) -> float:
        lately = Fairness()
        for number in range(people):
            lately.had(str(number), 1.0, 0.0)
        return best(lambda: lately.heavy(["me", "you"], 1.0)) + best(lambda: lately.alone(["me"], 1.0))

    assert seconds(9_000) < 50 * seconds(5)


def test_the_memory_of_a_chat_is_found_as_quickly_among_many() -> None:
    def seconds(people: int) -> float:
        memory, numbers = Conversations(), itertools.count()
        for number in range(people):
            memory.context(f"chat {number}", "me")
        return best(lambda: memory.context(f"chat {next(numbers) % people}", "me"))

    assert seconds(4_000) < 50 * seconds(4)


def test_contexts_and_answers_end_with_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("rapbot.conversation.time.monotonic", lambda: now)
    memory = Conversations(lifetime=10.0)
    early = memory.context("early", "me")
    now = 5.0
    late = memory.context("late", "me")
    now = 9.0
    assert memory.context("early", "me") is early  # spoken to again: it is the younger one now
    now = 16.0
    assert memory.context("late", "me") is not late
    assert memory.context("early", "me") is early


def test_photos_shown_longest_ago_go_first() -> None:
    memory = Conversations(photos=2)
    contexts = [memory.context(str(number), "me") for number in range(3)]
    for number, context in enumerate(contexts):
        memory.show(context, bytes([number]))
    assert [context.photo for context in contexts] == [None, b"\1", b"\2"]
