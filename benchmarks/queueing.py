"""How long messages wait for a worker that takes what waits, up to a batch: the queue of rapbot in virtual time.

Messages arrive as a Poisson process. A free worker waits a moment for company (`batch_wait_ms`), a busy one takes at
once what came meanwhile; a batch takes a constant, something for each message in it by what it wants, and its chance,
as measured. With one message a batch this is the queue M/G/c of the textbooks, with which the tests compare it.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rapbot.config import WorkerSettings

Kinds = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """Seconds of a batch: `base` + `each` of what is in it, times one of the `chances` (measured / fitted).

    The chances are those of batches with the same costliest kind in them: what varies in a photo says nothing of texts.
    """

    base: float
    each: dict[str, float]
    chances: dict[str, tuple[float, ...]] = field(default_factory=dict)
    around: dict[str, float] = field(default_factory=dict)
    """Seconds of everything but queue and worker, by what a message wants."""

    @classmethod
    def fitted(cls, batches: Sequence[tuple[Kinds, float]]) -> Service:
        """Least squares, relative to what was measured; nothing is negative. Needs batches of different sizes."""
        names = sorted({kind for kinds, _seconds in batches for kind in kinds})
        seconds = np.array([taken for _kinds, taken in batches])
        counts = np.array([[1.0, *(kinds.count(name) for name in names)] for kinds, _taken in batches])
        left = np.ones(counts.shape[1], bool)
        found = np.zeros(counts.shape[1])
        while left.any():  # what comes out negative is nothing
            part, *_ = np.linalg.lstsq(counts[:, left] / seconds[:, None], np.ones(len(seconds)), rcond=None)
            found[:] = 0.0
            found[left] = part
            if (part >= 0).all():
                break
            left &= found > 0
        fitted = counts @ found
        each = dict(zip(names, map(float, found[1:]), strict=True))
        chances: dict[str, list[float]] = {}
        for (kinds, _taken), one in zip(batches, seconds / np.maximum(fitted, 1e-9), strict=True):
            chances.setdefault(max(kinds, key=lambda kind: each[kind]), []).append(float(one))
        return cls(float(found[0]), each, {kind: tuple(some) for kind, some in chances.items()})

    def mean(self, kinds: Kinds) -> float:
        chances = self._chances(kinds)
        return self._fitted(kinds) * sum(chances) / len(chances)

    def drawn(self, kinds: Kinds, chance: random.Random) -> float:
        return self._fitted(kinds) * chance.choice(self._chances(kinds))

    def _fitted(self, kinds: Kinds) -> float:
        return self.base + sum(self.each[kind] for kind in kinds)

    def _chances(self, kinds: Kinds) -> tuple[float, ...]:
        return self.chances.get(max(kinds, key=lambda kind: self.each[kind]), (1.0,))


@dataclass(frozen=True, slots=True)
class Workers:
    count: int = 1
    """Replicas, each with a queue of its own in common."""
    batch: int = WorkerSettings().batch_size
    wait: float = WorkerSettings().batch_wait_ms / 1000
    """Seconds for which a free worker waits for company."""


def most(service: Service, mix: Mapping[str, float], workers: Workers) -> float:
    """Messages a second that the workers get done when something always waits. `mix`: weights of the kinds."""
    chance = random.Random(0)
    drawn = [tuple(chance.choices(list(mix), list(mix.values()), k=workers.batch)) for _ in range(2000)]
    return workers.count * workers.batch * len(drawn) / sum(service.mean(kinds) for kinds in drawn)


def poisson(rate: float, mix: Mapping[str, float], count: int, chance: random.Random) -> list[tuple[float, str]]:
    at, arrivals = 0.0, []
    for kind in chance.choices(list(mix), list(mix.values()), k=count):
        at += chance.expovariate(rate)
        arrivals.append((at, kind))
    return arrivals


def waits(
    arrivals: Sequence[tuple[float, str]], seconds_of: Callable[[Kinds], float], workers: Workers
) -> list[tuple[str, float]]:
    """(kind, seconds from its arrival to the end of its batch) of each message, first come, first served."""
    free = [-1.0] * workers.count
    found: list[tuple[str, float]] = []
    first = 0
    while first < len(arrivals):
        start, came = heapq.heappop(free), arrivals[first][0]
        if came > start:  # nobody waited
            start = came + (workers.wait if workers.batch > 1 else 0.0)
        end = first + 1
        while end < len(arrivals) and end - first < workers.batch and arrivals[end][0] <= start:
            end += 1
        ends = start + seconds_of(tuple(kind for _at, kind in arrivals[first:end]))
        heapq.heappush(free, ends)
        found += [(kind, ends - at) for at, kind in arrivals[first:end]]
        first = end
    return found


def predicted(
    rate: float, service: Service, mix: Mapping[str, float], workers: Workers, count: int = 20_000, seed: int = 1
) -> list[tuple[str, float]]:
    """Of messages that come at `rate` a second; the first tenth, when nothing waits yet, is left out."""
    return replayed(poisson(rate, mix, count, random.Random(seed)), service, workers, seed)[count // 10 :]


def replayed(
    arrivals: Sequence[tuple[float, str]], service: Service, workers: Workers, seed: int = 1
) -> list[tuple[str, float]]:
    """(kind, seconds to its answer) of each of these very messages."""
    chance = random.Random(seed)
    told = waits(arrivals, lambda kinds: service.drawn(kinds, chance), workers)
    return [(kind, seconds + service.around.get(kind, 0.0)) for kind, seconds in told]


def percentile(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part / 100))]


def highest_rate(
    service: Service, mix: Mapping[str, float], workers: Workers, within: float, part: float = 95.0, **more: int
) -> float:
    """Messages a second at which `part` % are done within so many seconds; 0 where not even a single one is."""

    def fits(rate: float) -> bool:
        told = predicted(rate, service, mix, workers, **more)
        return percentile([seconds for _kind, seconds in told], part) <= within

    low, high = 0.0, most(service, mix, workers)
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
