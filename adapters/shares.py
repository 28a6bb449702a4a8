"""A fair share of something that only so many can have at once: photos under way, connections for downloads."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_Waiting = tuple[int, asyncio.Future[None]]


class Shares:
    """`whole` in all, at most `each` of one person. Who waits is served in turn between people, in order within one.

    A share that is larger than `each` is given to who has nothing else.
    """

    def __init__(self, whole: int, each: int) -> None:
        self._whole = whole
        self._each = each
        self._taken: dict[str, int] = {}
        self._lines: OrderedDict[str, deque[_Waiting]] = OrderedDict()

    @asynccontextmanager
    async def of(self, person: str, weight: int = 1) -> AsyncIterator[None]:
        """Waits for a share of this weight; nothing needs no share."""
        if not weight:
            yield
            return
        await self._enter(person, weight)
        try:
            yield
        finally:
            self._leave(person, weight)

    async def _enter(self, person: str, weight: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(person, deque()).append((weight, turn))
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(person, weight)
            raise

    def _leave(self, person: str, weight: int) -> None:
        self._taken[person] -= weight
        if not self._taken[person]:
            del self._taken[person]
        self._hand_out()

    def _hand_out(self) -> None:
        """One to each in turn, until nothing fits any more."""
        given = True
        while given:
            given = False
            for person in list(self._lines):
                line = self._lines[person]
                while line and line[0][1].done():  # cancelled while it waited
                    line.popleft()
                if line and self._fits(person, line[0][0]):
                    weight, turn = line.popleft()
                    self._taken[person] = self._taken.get(person, 0) + weight
                    self._lines.move_to_end(person)
                    turn.set_result(None)
                    given = True
                if not line:
                    del self._lines[person]

    def _fits(self, person: str, weight: int) -> bool:
        own, all_of_it = self._taken.get(person, 0), sum(self._taken.values())
        fits_own = not own or own + weight <= self._each
        return fits_own and (not all_of_it or all_of_it + weight <= self._whole)
