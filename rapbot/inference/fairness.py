"""Whose turn it is at the worker: everybody in turn; who asks for far more than others, only while nobody else waits.

A person is *heavy* who has had a tenth of the worker's time lately, and more than an album, and stays so for as long
as anything of theirs waits without a break. As long as somebody else
uses the program too, a heavy person's jobs run one at a time and with rests between them, so that whoever comes seldom
finds the worker taken: a job that has begun cannot be put off. Nobody starves: every `LONGEST_WAIT_S` one heavy job
goes first. Alone, or among heavy people only, nobody is held back.

`benchmarks/fair_shares.py` measures what a flooder costs the others.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from itertools import islice

WINDOW_S = 300.0
MUCH_S = 30.0
"""Of the worker's time within the window: less holds up nobody."""
ALBUM = 10
"""Jobs that are nobody's flood, however slow the machine is."""
COMPANY_S = 900.0
"""Who had an answer so recently may ask again at any moment."""
REST = 4.0
"""Times the seconds that a heavy job took: such jobs get a fifth of the worker's free time."""
LONGEST_WAIT_S = 120.0
_KNOWN = 10_000
"""People: more than have answers of one program within that time."""


class Fairness:
    """What each person had of the worker lately. All times are seconds on one clock that never goes back.

    It is asked several times for each job, so nothing here looks at everybody who was there.
    """

    def __init__(self) -> None:
        self._had: OrderedDict[str, deque[tuple[float, float]]] = OrderedDict()
        """(when it ended, how long it took) of each job; whose last one ended longest ago comes first."""
        self._many: set[str] = set()
        """Who had more jobs than an album: nobody else can be heavy."""
        self._heavy: set[str] = set()
        self._rested_at = 0.0
        self._heavy_at = 0.0

    def had(self, person: str, seconds: float, now: float) -> None:
        """A job of this person has ended."""
        jobs = self._had.setdefault(person, deque())
        jobs.append((now, seconds))
        self._had.move_to_end(person)
        if len(jobs) > ALBUM:
            self._many.add(person)

    def rest(self, seconds: float, now: float) -> None:
        """A job of a heavy person took so long."""
        self._heavy_at = now
        self._rested_at = now + min(REST * seconds, LONGEST_WAIT_S)

    def go_on_resting(self, seconds: float) -> None:
        """So long others were served: rests are made of time in which nobody wants anything."""
        self._rested_at += seconds

    def heavy(self, waiting: Iterable[str], now: float) -> frozenset[str]:
        """Who of those here is held back; nobody unless somebody else is here too."""
        waiting = set(waiting)
        self._forget(now)
        lasting = self._heavy & waiting
        self._heavy = lasting | {person for person in self._many - lasting if self._had_much(person, now)}
        others = len(self._had) > len(self._had.keys() & self._heavy) or waiting - self._heavy
        return frozenset(self._heavy) if others else frozenset()

    def alone(self, waiting: Iterable[str], now: float) -> bool:
        """Whether nobody waits, or had a turn lately, beside one person."""
        self._forget(now)
        return len({*waiting, *islice(self._had, 2)}) < 2

    def _forget(self, now: float) -> None:
        while self._had and (len(self._had) > _KNOWN or next(iter(self._had.values()))[-1][0] < now - COMPANY_S):
            person, _jobs = self._had.popitem(last=False)
            self._many.discard(person)

    def rest_left(self, now: float) -> float:
        """Seconds until a heavy person's job may begin while nobody else waits."""
        return max(0.0, self._rested_at - now)

    def overdue(self, since: float, now: float) -> bool:
        """Whether a heavy job that waits since then goes first."""
        return now - max(since, self._heavy_at) >= LONGEST_WAIT_S

    def _had_much(self, person: str, now: float) -> bool:
        jobs = self._had[person]
        while len(jobs) > 1 and jobs[0][0] < now - WINDOW_S:
            jobs.popleft()
        if len(jobs) <= ALBUM:
            self._many.discard(person)
        lately = [seconds for ended, seconds in jobs if ended >= now - WINDOW_S]
        return len(lately) > ALBUM and sum(lately) > MUCH_S
