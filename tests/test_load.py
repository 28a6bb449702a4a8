"""The load generator, for some seconds: the real bot on both platforms, of which it must find every answer."""

from __future__ import annotations

import asyncio
import time

from telegram import Bot

from benchmarks.load import MIX, Crowd, arrivals, hops_of, house, report, run
from tests.peers.telegram import TelegramPeer


async def test_nothing_is_lost_or_doubled_and_every_hop_is_known() -> None:
    async with house(40, batch_s=(0.02, 0.01)) as there:
        measured = await run(there, lambda: arrivals(there.crowd, 6.0, 3.0))
        told = report(measured, 6.0, core_hour=1.0, worker_hour=1.0)
    assert {question.platform for question in measured.asked} == {"telegram", "discord"}
    assert {question.kind for question in measured.asked} == set(MIX)
    assert (told["lost"], told["doubled"], told["shed"]) == (0, 0, 0)
    assert len(measured.told.hops) == len(measured.asked)
    ways = hops_of(measured)
    assert ways["command"]["worker"] == 0.0
    for kind in ("photo", "question"):
        way = ways[kind]
        assert way["worker"] >= 30  # a message takes 20 ms and 10 more, whatever the machine does
        assert way["queue"] > 0
        assert way["delivery"] > 0
    assert told["a_thousand_messages"]["worker_busy_s"] > 0
    assert min(told["cpu_s_a_message"].values()) > 0


async def test_what_is_not_answered_is_lost_and_what_is_said_twice_is_counted() -> None:
    """The stand-in's own bot: it answers nothing to the first, once to the second and twice to the third."""
    async with TelegramPeer.start() as telegram:
        crowd = Crowd(telegram, None, 3, seed=1)
        bot = Bot(telegram.token, base_url=telegram.base_url, base_file_url=telegram.base_file_url)
        listening = asyncio.create_task(crowd.listen())
        async with bot:
            for number in range(3):
                crowd.ask("question", time.monotonic())
                for _ in range(number):
                    await bot.send_message(int(crowd.asked[-1].person.removeprefix("telegram:")), "She loves tuna.")
        async with asyncio.timeout(30):
            while telegram.calls:  # noqa: ASYNC110  (hearing it is no change that the stand-in would tell)
                await asyncio.sleep(0)
        listening.cancel()
    assert [len(one.answers) for one in crowd.asked] == [0, 1, 2]
    assert [one.answered is not None for one in crowd.asked] == [False, True, True]
