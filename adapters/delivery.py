"""What the platforms share about answering: one turn from question to answer, whatever the chat.

A platform gives a `Channel` (how to show something in answer to one question) and a piece of work; `Turns` keeps
typing alive, tells the place in the queue, turns errors into a sentence, answers an edited question by editing the
first answer, and cancels a deleted one.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic

from adapters.rates import Asker, Rates, Verdict
from adapters.sentences import sentence
from adapters.shown import Channel, Sent, Shown
from adapters.waiting import Pace, Placeholder, Standing, typing
from rapbot.config import LimitSettings
from rapbot.i18n import _, speaking
from rapbot.inbox import handling
from rapbot.logs import get_logger
from rapbot.messages import ProgressListener
from rapbot.watching import Reason, Shed, delivering, refused, tell

_log = get_logger(__name__)

Work = Callable[[ProgressListener], Awaitable[Shown | None]]
"""Makes the answer; None: nothing is to be said."""


@dataclass(slots=True)
class _Turn(Generic[Sent]):
    standing: Standing[Sent] = field(default_factory=Standing)
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Turns(Generic[Sent]):
    """The turns of one platform. `key` names a question: chat and message."""

    pace: Pace = field(default_factory=Pace)
    kept: int = 2000
    """How many questions are remembered for later edits."""
    described: Callable[[Sent], Any] | None = None
    """What was sent, as JSON can hold it: noted in the inbox, so that after a crash this very answer is edited."""
    rates: Rates = field(default_factory=lambda: Rates(LimitSettings()))
    _turns: OrderedDict[str, _Turn[Sent]] = field(default_factory=OrderedDict)
    _open: bool = True

    async def answer(
        self,
        key: str,
        channel: Channel[Sent],
        work: Work,
        language: str | None = None,
        asker: Asker | None = None,
    ) -> Sent | None:
        """Do the work and show its answer. A question asked again (an edit) gets its first answer edited.

        Returns what was sent; None when there was nothing to say or the question was deleted meanwhile. Who asks too
        much is told so instead, then nothing; what an earlier run of the program left is not counted.
        """
        admitted = self._admitted(asker, work)
        if admitted is None:
            return None
        turn = self._turns.setdefault(key, _Turn())
        self._turns.move_to_end(key)
        while len(self._turns) > self.kept:
            self._turns.popitem(last=False)
        # An edit while an earlier version is still being answered; "while", because several may wait here, in order.
        while (earlier := turn.task) is not None:
            earlier.cancel()
            await asyncio.wait([earlier])
            if turn.task is earlier:
                turn.task = None
        task = asyncio.create_task(self._run(key, turn.standing, channel, admitted, language), name="turn")
        turn.task = task
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            if turn.task is task:
                turn.task = None
        if task.cancelled() and not self._open and handling() is not None:
            raise asyncio.CancelledError  # the program ends before the answer: it is owed, unlike one that was replaced
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
        return turn.standing.sent

    def _admitted(self, asker: Asker | None, work: Work) -> Work | None:
        """The work; a sentence in its place for who asks too much; None for who was told that already."""
        update = handling()
        if asker is None or (update is not None and update.again):
            return work
        verdict = self.rates.admit(asker)
        if verdict is Verdict.WELCOME:
            return work
        tell(Shed(Reason.RATE))
        return _too_much if verdict is Verdict.TOO_MUCH else None

    def knows(self, key: str) -> bool:
        """Whether this question was answered or is being answered."""
        return key in self._turns

    def noted(self, key: str) -> str:
        """How the answer to this question is noted in the inbox; empty when there is none yet."""
        turn = self._turns.get(key)
        if turn is None or turn.standing.sent is None or self.described is None:
            return ""
        described = self.described(turn.standing.sent)
        return json.dumps({"sent": described, "placeholder": turn.standing.placeholder}) if described else ""

    def restore(self, key: str, note: str, read: Callable[[Any], Sent]) -> None:
        """After a restart: this question was answered so far as `noted` says."""
        told = json.loads(note)
        self._turns[key] = _Turn(Standing(read(told["sent"]), told["placeholder"]))

    def cancel(self, key: str) -> bool:
        """The question was deleted: stop working on it. True when there was something to stop."""
        turn = self._turns.pop(key, None)
        return turn is not None and turn.task is not None and turn.task.cancel()

    async def finish(self, grace: float) -> None:
        """Let what runs end for at most `grace` seconds, then cancel it."""
        running = [turn.task for turn in self._turns.values() if turn.task is not None]
        if not running:
            return
        _, late = await asyncio.wait(running, timeout=grace)
        self._open = False
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _run(
        self, key: str, standing: Standing[Sent], channel: Channel[Sent], work: Work, language: str | None
    ) -> None:
        async def note() -> None:
            if (update := handling()) is not None and self.described is not None:
                await update.inbox.note(update.arrived, self.noted(key))

        if standing.sent is not None and (update := handling()) is not None and not update.arrived.answer:
            await note()
        with speaking(language):
            placeholder = Placeholder(channel, self.pace, standing, note)
            try:
                async with typing(channel.typing, self.pace, placeholder.working), placeholder.shown():
                    shown = await work(placeholder.listen)
            except Exception as error:
                refused(error)
                shown = Shown(sentence(error))
            except asyncio.CancelledError:
                await placeholder.remove()
                raise
            if shown is None:
                await placeholder.remove()
                return
            await _only_if_ours()
            with delivering():
                standing.sent = await (
                    channel.send(shown) if standing.sent is None else channel.edit(standing.sent, shown)
                )
            standing.placeholder = False
            if (update := handling()) is not None:  # before reactions and whatever else follows
                await update.inbox.done(update.arrived)


async def _only_if_ours() -> None:
    """Raises CancelledError when another process has taken over what is at work here: it will answer."""
    update = handling()
    if update is not None and update.inbox.sharing is not None and not await update.inbox.sharing.holds(update.arrived):
        _log.warning("answer left to another process", platform=update.arrived.platform)
        raise asyncio.CancelledError


async def _too_much(_listener: ProgressListener) -> Shown:
    return Shown(_("That is more than I can answer at once. Please wait a minute, then send again what I left out."))
