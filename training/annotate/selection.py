"""Which things become concepts, and on which photos they are shown: seeded, and spread over kinds of things."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from training.sources.index import RECORDS, read_about
from training.sources.records import TRAIN, Record, Thing, read_records

_SMALLEST = 48
"""Pixels of the shorter side of a crop: smaller ones show nothing."""
_LEAST, _MOST = 0.01, 0.95
"""Part of a photo that a thing may be, where there is more on it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A record of a source and where its pictures are."""

    source: str
    root: Path
    record: Record

    @property
    def file(self) -> Path:
        return self.root / self.record.file


@dataclass(frozen=True, slots=True)
class Chosen:
    """A thing that becomes a concept: its avatar is cut out of `avatar`, it is shown on `photos`."""

    id: str
    avatar: Found
    thing: Thing
    photos: tuple[Found, ...]


@dataclass(slots=True)
class Selection:
    chosen: list[Chosen] = field(default_factory=list)
    photos: list[Found] = field(default_factory=list)
    """All photos of all concepts, each once."""
    empty: list[Found] = field(default_factory=list)
    """Photos on which no concept is."""
    conversations: list[Found] = field(default_factory=list)


def select(
    rooms: Sequence[Path], concepts: int, photos: int, empty: int, seed: int, conversations: int | None = None
) -> Selection:
    """Of checked sources (`rooms`: their indexes) `concepts` things, up to `photos` photos of each.

    `conversations`: those about no concept, at most; samples that are ready (RAP-260K) all come. Raises SourceError.
    Things that are on several pictures come first: their avatar is then none of the photos that are asked about.
    """
    dice = random.Random(seed)
    selection = Selection()
    pools: list[dict[str, list[tuple[Found, Thing]]]] = []
    plain: list[Found] = []
    for room in rooms:
        about = read_about(room)
        shown: dict[str, list[tuple[Found, Thing]]] = {}
        for record in read_records(room / RECORDS):
            found = Found(about["source"], about["root"], record)
            if record.sample is not None:
                selection.conversations.append(found)
            elif record.split == TRAIN:
                fitting = [thing for thing in record.things if _fits(record, thing)]
                for thing in fitting:
                    shown.setdefault(thing.id, []).append((found, thing))
                if not fitting:
                    plain.append(found)
        pools.append(shown)
    for number, pool in enumerate(pools):
        share = concepts * (number + 1) // len(pools) - concepts * number // len(pools)
        selection.chosen += [_chosen(one, pool[one], photos) for one in _spread(pool, share, dice)]
    taken = {(one.root, one.record.file): one for chosen in selection.chosen for one in chosen.photos}
    selection.photos = list(taken.values())
    ids = {chosen.id for chosen in selection.chosen}
    plain += [found for pool in pools for shown in pool.values() for found, _ in shown]
    free: dict[tuple[Path, str], Found] = {}
    for found in plain:
        if not ids & {thing.id for thing in found.record.things}:
            free.setdefault((found.root, found.record.file), found)
    ready = [found for found in selection.conversations if found.source == "rap"]
    talk = [found for found in selection.conversations if found.source != "rap"]
    if conversations is not None and conversations < len(talk):
        talk = dice.sample(talk, conversations)
    selection.conversations = talk + ready
    selection.empty = dice.sample(list(free.values()), min(empty, len(free)))
    return selection


def of_concepts(record: Record, ids: Iterable[str]) -> list[Thing]:
    """The things of `record` that are concepts."""
    wanted = set(ids)
    return [thing for thing in record.things if thing.id in wanted]


def _fits(record: Record, thing: Thing) -> bool:
    box = record.box(thing)
    if box is None:
        return thing.corners is None
    width, height = (box.right - box.left) * record.size[0], (box.bottom - box.top) * record.size[1]
    return min(width, height) >= _SMALLEST and _LEAST <= box.area <= (_MOST if len(record.things) > 1 else 1.0)


def _spread(pool: dict[str, list[tuple[Found, Thing]]], count: int, dice: random.Random) -> list[str]:
    """Of each category by turns; those that are on several pictures first."""
    kinds: dict[str, list[str]] = {}
    order = sorted(pool)
    dice.shuffle(order)
    for one in sorted(order, key=lambda one: len(pool[one]) == 1):
        kinds.setdefault(pool[one][0][1].category, []).append(one)
    turns = list(kinds.values())
    dice.shuffle(turns)
    picked: list[str] = []
    depth = 0
    while len(picked) < count and any(depth < len(turn) for turn in turns):
        picked += [turn[depth] for turn in turns if depth < len(turn)]
        depth += 1
    return picked[:count]


def _chosen(own: str, shown: list[tuple[Found, Thing]], photos: int) -> Chosen:
    """The avatar is where the thing is largest; the photos are spread over the others."""

    def pixels(one: tuple[Found, Thing]) -> float:
        found, thing = one
        box = found.record.box(thing)
        width, height = found.record.size
        return (box.area if box else 1.0) * width * height

    best = max(shown, key=pixels)
    others = [found for found, thing in shown if found is not best[0]] or [best[0]]
    step = max(1.0, len(others) / photos)
    some = [others[int(number * step)] for number in range(min(len(others), photos))]
    phrases = tuple(dict.fromkeys(phrase for _, thing in shown for phrase in thing.phrases))
    # A person's attributes are of the one picture that is shown.
    thing = best[1] if best[1].category == "person" and len(shown) > 1 else replace(best[1], phrases=phrases)
    return Chosen(own, best[0], thing, tuple(some))
