"""People on Telegram and Discord who do not wait for one another: how quickly they are answered, and what it costs.

    python -m benchmarks.load [--rate 2] [--seconds 60] [--people 500] [--models light] [--batch-ms 40,60]

Messages arrive as a Poisson process of `--rate` a second over both platforms, whether earlier ones are answered or not
(open loop; times count from the moment a message was due, not from when a busy generator got to send it). The bot is
`rapbot serve` in processes of its own, with the real adapters, inbox, store, queue and worker, behind stand-ins of both
platforms that speak their protocols (tests/peers). `--models real` are the weights of profile pocket; `light` ones
weigh nothing, and with `--batch-ms A,B` they take A ms for a batch and B ms more for each message in it, as a GPU
might: then the figures say something about everything around the models, and about the queue.

The mix is 30 % photos to caption, 40 % questions, 30 % commands. `benchmarks/capacity.py` predicts what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from benchmarks.load_bot import Bot, Hops, Running, Told, started
from tests.peers.discord import DiscordPeer, Interaction
from tests.peers.discord.people import File
from tests.peers.telegram import TelegramPeer
from tests.pictures import cat_elsewhere_jpeg

MIX = {"photo": 3, "question": 4, "command": 3}
QUEUE, CARRY, WORKER, ALL = "queue", "carry to the worker and back", "worker", "all"
"""Parts of a message's way."""
PATIENCE_S = 120.0
"""For answers after the last message; what comes later is lost."""
QUESTION = "What does Lala love?"
_LOOK_S = 0.003
_TOKEN = 25
"""Letters: everything else in an address is shorter."""
_SHED = ("so I leave this out", "that I leave this out")
"""How answers begin or end that tell somebody that they are not answered."""


@dataclass(slots=True)
class Question:
    """One message. Seconds of the monotonic clock."""

    kind: str
    platform: str
    person: str
    due: float
    sent: float = 0.0
    answers: dict[Any, float] = field(default_factory=dict)
    """When each answer was complete, by its message; more than one is one too many."""
    shed: bool = False

    @property
    def answered(self) -> float | None:
        return min(self.answers.values(), default=None)


class Crowd:
    """The people, what they send, and what comes back. One message of a person is open at a time."""

    def __init__(self, telegram: TelegramPeer, discord: DiscordPeer | None, people: int, seed: int) -> None:
        self.telegram = telegram
        self.discord = discord
        self.chance = random.Random(seed)
        self.asked: list[Question] = []
        self._open: dict[str, Question] = {}
        self.nobody_waits = asyncio.Event()
        self._last: dict[str, Question] = {}
        self._called: dict[str, float] = {}
        """When the bot called last about an interaction, by its token."""
        self._interactions: list[tuple[Question, Interaction]] = []
        self._answered: list[tuple[Question, Interaction]] = []
        self._number = 0
        half = people // 2 if discord else 0
        some = [telegram.person(f"Ann {number}") for number in range(people - half)]
        self._chats = {f"telegram:{one.id}": (telegram.private(one), one) for one in some}
        self._channels = {}
        if discord is not None:
            others = [discord.person(f"Bob {number}") for number in range(half)]
            self._channels = {f"discord:{one.id}": (discord.dm(one), one) for one in others}

    @property
    def people(self) -> tuple[str, ...]:
        return (*self._chats, *self._channels)

    def ask(self, kind: str, due: float) -> None:
        """Somebody who has nothing open sends a message. Where everybody has, one message more of somebody's."""
        free = (person for person in self.chance.sample(self.people, min(50, len(self.people))))
        person = next((one for one in free if one not in self._open), "")
        if not person:
            person = next((one for one in self.people if one not in self._open), "")
        assert person, "more messages are open than there are people: take more --people"
        question = Question(kind, person.partition(":")[0], person, due, time.monotonic())
        self._open[person] = self._last[person] = question
        self.nobody_waits.clear()
        self.asked.append(question)
        self._number += 1
        if person in self._chats:
            self._on_telegram(person, kind)
        else:
            self._interactions.append((question, self._on_discord(person, kind)))

    def _photo(self) -> bytes:
        """Another file with the same picture each time: no cached perception."""
        return cat_elsewhere_jpeg() + self._number.to_bytes(4, "big")

    def _on_telegram(self, person: str, kind: str) -> None:
        chat, one = self._chats[person]
        if kind == "photo":
            self.telegram.send_photo(chat, one, self._photo())
        else:
            self.telegram.say(chat, one, QUESTION if kind == "question" else "/help")

    def _on_discord(self, person: str, kind: str) -> Interaction:
        channel, one = self._channels[person]
        assert self.discord is not None
        if kind == "photo":
            photo: File = ("cat.jpg", self._photo())
            return self.discord.slash(channel, one, "caption", photo=photo)
        if kind == "question":
            return self.discord.slash(channel, one, "ask", question=QUESTION)
        return self.discord.slash(channel, one, "help")

    async def listen(self) -> None:
        """Until it is cancelled: what the bot says becomes answers."""
        unanswered: list[Any] = []
        while True:
            calls = unanswered + self.telegram.calls
            self.telegram.calls.clear()  # the stand-in remembers every call, which is not what is measured
            unanswered = [call for call in calls if call.answer is None and call.method != "getUpdates"]
            for call in calls:
                if call.answer is not None and call.ok:
                    self._hear(call)
            self._look()
            await asyncio.sleep(_LOOK_S)

    def _hear(self, call: Any) -> None:
        question = self._last.get(f"telegram:{call.arguments.get('chat_id')}")
        if question is None or call.method == "sendChatAction":
            return
        text = call.arguments.get("text") or call.arguments.get("caption") or ""
        if call.method == "deleteMessage":
            question.answers.pop(call.arguments["message_id"], None)
        elif call.method.startswith(("send", "edit")) and not text.endswith("…"):
            result = call.answer["result"]
            number = result["message_id"] if isinstance(result, dict) else call.arguments["message_id"]
            self._complete(question, number, call.at, text)

    def _look(self) -> None:
        """A message of Discord's does not tell when its last words came; the calls do, by the interaction's token."""
        if self.discord is not None:
            for call in self.discord.calls:
                self._called.update((part, call.at) for part in call.route.split("/") if len(part) > _TOKEN)
            self.discord.calls.clear()
        still: list[tuple[Question, Interaction]] = []
        for question, interaction in self._interactions:
            said = [one for one in interaction.messages if not one.text.endswith("…")]
            for message in said:
                self._complete(question, message.id, self._called.pop(interaction.token, message.at), message.text)
            (self._answered if said else still).append((question, interaction))
        self._interactions = still

    def _complete(self, question: Question, number: Any, at: float, text: str) -> None:
        question.answers.setdefault(number, at)
        question.shed = question.shed or any(words in text for words in _SHED)
        if self._open.get(question.person) is question:
            del self._open[question.person]
        if not self._open:
            self.nobody_waits.set()

    def look_again(self) -> None:
        """At the end: whether a command on Discord has got a second answer meanwhile."""
        for question, interaction in self._answered:
            for message in interaction.messages:
                question.answers.setdefault(message.id, message.at)
        self._answered.clear()


async def arrivals(crowd: Crowd, rate: float, seconds: float) -> None:
    """A Poisson process: what is late is sent at once, and counts from when it was due."""
    began = due = time.monotonic()
    kinds, weights = list(MIX), list(MIX.values())
    while (due := due + crowd.chance.expovariate(rate)) < began + seconds:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        crowd.ask(crowd.chance.choices(kinds, weights)[0], due)


async def answered(crowd: Crowd, patience: float = PATIENCE_S) -> None:
    """Waits until everything is answered, or nobody waits any more."""
    with suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await crowd.nobody_waits.wait()
    await asyncio.sleep(0.3)  # for answers that come twice


@dataclass(frozen=True, slots=True)
class House:
    """A running bot and the people before it."""

    crowd: Crowd
    bot: Running


@asynccontextmanager
async def house(
    people: int, models: str = "light", batch_s: tuple[float, float] | None = None, seed: int = 1
) -> AsyncIterator[House]:
    """Everybody knows one cat."""
    cat_elsewhere_jpeg()
    async with TelegramPeer.start() as telegram, DiscordPeer.start() as discord:
        crowd = Crowd(telegram, discord, people, seed)
        with tempfile.TemporaryDirectory() as folder:
            addresses = (
                (telegram.token, telegram.address),
                (
                    discord.token,
                    discord.world.base + "/api/v10",
                    str(discord.gateway.url),
                ),
            )
            told = Bot(*addresses, folder, models, batch_s, unlimited=True, know=crowd.people)
            async with started(told) as bot:
                listening = asyncio.create_task(crowd.listen())
                try:
                    yield House(crowd, bot)
                finally:
                    listening.cancel()
                    await asyncio.wait([listening])
        telegram.violations.clear()


@dataclass(frozen=True, slots=True)
class Measured:
    """One run."""

    asked: list[Question]
    told: Told
    seconds: float
    cpu_s: tuple[float, float]
    """(bot, worker)"""
    memory_mb: tuple[float, float]


async def run(house: House, doing: Callable[[], Any]) -> Measured:
    """What `doing` sends, until it is answered."""
    crowd, bot = house.crowd, house.bot
    await bot.told()
    crowd.asked = []
    before, began = bot.cpu(), time.monotonic()
    await doing()
    await answered(crowd)
    ended = max([question.answered or 0.0 for question in crowd.asked], default=began)
    after = bot.cpu()
    crowd.look_again()
    cpu = after[0] - before[0], after[1] - before[1]
    return Measured(crowd.asked, await bot.told(), ended - began, cpu, bot.memory_mb())


def percentiles(values: Iterable[float]) -> dict[str, float]:
    found = sorted(values)
    if not found:
        return {}
    return {f"p{part}": found[min(len(found) - 1, int(len(found) * part / 100))] for part in (50, 95, 99)}


def latencies(asked: Sequence[Question], kind: str = "") -> list[float]:
    return [one.answered - one.due for one in asked if one.answered is not None and kind in ("", one.kind)]


def hops_of(
    measured: Measured, middle: Callable[[Iterable[float]], float] = statistics.median
) -> dict[str, dict[str, float]]:
    """Milliseconds of each part of the way, by kind of message; of those whose way is known entirely."""
    desk: dict[str, list[Hops]] = {}
    for hop in measured.told.hops:
        desk.setdefault(hop.person, []).append(hop)
    rows: dict[str, list[dict[str, float]]] = {}
    for question in measured.asked:
        line = desk.get(question.person, [])
        if not line or question.answered is None:
            continue
        hop = line.pop(0)  # a person's messages are answered in order
        rows.setdefault(question.kind, []).append(
            {
                "platform and adapter, in": hop.entered - question.sent,
                "desk and assistant": hop.assistant,
                QUEUE: hop.queue,
                CARRY: hop.carry,
                WORKER: hop.worker,
                "delivery": question.answered - hop.left,
                ALL: question.answered - question.sent,
                **{f"worker: {name}": seconds for name, seconds in hop.stages.items() if name != "worker"},
            }
        )
    return {kind: _middles_ms(some, middle) for kind, some in sorted(rows.items())}


def _middles_ms(rows: Sequence[dict[str, float]], middle: Callable[[Iterable[float]], float]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: 1000 * middle([row.get(name, 0.0) for row in rows]) for name in names}


def report(measured: Measured, rate: float, core_hour: float, worker_hour: float) -> dict[str, Any]:
    """`core_hour`, `worker_hour`: prices; the latter of what the worker runs on, per hour."""
    asked = measured.asked
    done = [one for one in asked if one.answers]
    busy = sum(batch.worker for batch in measured.told.batches)
    bot, worker = (seconds / max(1, len(done)) for seconds in measured.cpu_s)
    thousand = {"cpu_s": 1000 * (bot + worker), "worker_busy_s": 1000 * busy / max(1, len(done))}
    sizes = [len(batch.kinds) for batch in measured.told.batches]
    return {
        "rate": rate,
        "messages": len(asked),
        "answered_a_second": len(done) / measured.seconds,
        "lost": sum(not one.answers for one in asked),
        "doubled": sum(len(one.answers) > 1 for one in asked),
        "shed": sum(one.shed for one in asked),
        "seconds": {kind or "all": percentiles(latencies(asked, kind)) for kind in ("", *MIX)},
        "generator_late_p99_ms": 1000 * percentiles(one.sent - one.due for one in asked).get("p99", 0.0),
        "loop_late_p99_ms": 1000 * percentiles(late for late, _worked in measured.told.lags).get("p99", 0.0),
        "hops_ms": hops_of(measured),
        "batch_size": statistics.mean(sizes) if sizes else 0.0,
        "cpu_s_a_message": {"bot": bot, "worker": worker},
        "a_thousand_messages": {
            **thousand,
            "cpu_cost": thousand["cpu_s"] / 3600 * core_hour,
            "worker_cost": thousand["worker_busy_s"] / 3600 * worker_hour,
        },
        "memory_mb": {"bot": measured.memory_mb[0], "worker": measured.memory_mb[1]},
    }


def rounded(value: Any) -> Any:
    """For people: four digits."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    async with house(options.people, options.models, options.batch_s, options.seed) as there:
        await run(there, lambda: arrivals(there.crowd, options.rate, min(5.0, options.seconds)))  # everything is warm
        measured = await run(there, lambda: arrivals(there.crowd, options.rate, options.seconds))
        return report(measured, options.rate, options.core_hour, options.worker_hour)


def milliseconds(words: str) -> tuple[float, float]:
    """ "40,60" as seconds."""
    base, each = (float(word) / 1000 for word in words.split(","))
    return base, each


def add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", choices=["light", "real"], default="light")
    parser.add_argument("--batch-ms", dest="batch_s", type=milliseconds, metavar="A,B", help="how long light ones take")
    parser.add_argument("--people", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--core-hour", type=float, default=0.04, help="price of one processor core for an hour")
    parser.add_argument("--worker-hour", type=float, default=2.0, help="price of what the worker runs on, for an hour")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rate", type=float, default=2.0, help="messages a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    add_models(parser)
    print(json.dumps(rounded(asyncio.run(measure(parser.parse_args()))), indent=1))


if __name__ == "__main__":
    main()
