"""Too much at once: limits and rates of people and groups, fair shares of downloads, and what works without models."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from adapters.delivery import Turns
from adapters.rates import Asker, Rates, Verdict
from adapters.shares import Shares
from rapbot.app import App
from rapbot.concepts.visible import Card, VisibleConcepts
from rapbot.config import LimitSettings
from rapbot.inference.job import Job, Task
from rapbot.inference.offhand import answer_offhand
from tests.peers.telegram import TelegramPeer
from tests.pictures import cat_jpeg
from tests.telegram_visitor import PATIENCE, answer, bot, telegram, words
from tests.telegram_visitor import app as app
from tests.test_delivery import QUICK, Paper, says

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


LIMITS = LimitSettings(
    messages_at_once=4, messages_per_minute=60, group_messages_at_once=6, group_messages_per_minute=60
)


# -- rates ------------------------------------------------------------------------------------------------------


async def test_more_than_the_rate_is_told_once_then_met_with_silence_until_it_is_calm() -> None:
    clock = Clock()
    rates = Rates(LIMITS, clock)
    told = [rates.admit(Asker("ann")) for _ in range(8)]
    assert told == [Verdict.WELCOME] * 4 + [Verdict.TOO_MUCH] + [Verdict.SILENCE] * 3
    assert rates.admit(Asker("ben")) is Verdict.WELCOME, "somebody else's rate"
    clock.now = 1.0
    assert [rates.admit(Asker("ann")) for _ in range(3)] == [Verdict.WELCOME] + [Verdict.SILENCE] * 2
    clock.now = 100.0
    assert [rates.admit(Asker("ann")) for _ in range(6)].count(Verdict.TOO_MUCH) == 1


async def test_a_group_has_a_rate_and_who_did_not_ask_is_told_nothing() -> None:
    rates = Rates(LIMITS, Clock())
    asked = [rates.admit(Asker(f"person {number}", "group", unasked=True)) for number in range(8)]
    assert asked == [Verdict.WELCOME] * 6 + [Verdict.SILENCE] * 2
    assert rates.admit(Asker("ann", "group")) is Verdict.TOO_MUCH
    assert rates.admit(Asker("ann")) is Verdict.WELCOME, "in private"
    opened = [rates.admit(Asker("ben", "group", open=True)) for _ in range(3)]
    assert opened == [Verdict.TOO_MUCH] * 3, "a command that shows a spinner must get an answer"


async def test_a_flood_gets_one_sentence_and_takes_no_work() -> None:
    paper, turns = Paper(), Turns[int](QUICK, rates=Rates(LIMITS))
    for number in range(10):
        await turns.answer(str(number), paper, lambda _: says("hello"), None, Asker("ann"))
    assert list(paper.messages.values())[:4] == ["hello"] * 4
    assert len(paper.messages) == 5
    assert "more than I can answer" in paper.messages[4]


# -- shares -----------------------------------------------------------------------------------------------------


async def test_one_person_takes_only_their_share_and_order_is_kept() -> None:
    shares, gate, begun = Shares(8, 4), asyncio.Event(), list[str]()

    async def fetch(person: str, number: int, weight: int = 1) -> None:
        async with shares.of(person, weight):
            begun.append(f"{person}{number}")
            await gate.wait()

    tasks = [asyncio.create_task(fetch("flooder", number)) for number in range(30)]
    tasks += [asyncio.create_task(fetch("ann", 0)), asyncio.create_task(fetch("album", 0, 10))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert begun == [*(f"flooder{number}" for number in range(4)), "ann0"], "the album is too large for what is left"
    tasks[5].cancel()
    gate.set()
    await asyncio.wait(tasks)
    mine = [int(name.removeprefix("flooder")) for name in begun if name.startswith("flooder")]
    assert mine == [number for number in range(30) if number != 5]
    assert "album0" in begun


# -- without models ---------------------------------------------------------------------------------------------

LALA = Card(1, "Lala", "dog", "A white and gray dog. She loves cheese.")
BO = Card(2, "Bo", "cat", "A cat. He is afraid of thunder.")


@pytest.mark.parametrize(
    ("question", "mentioned", "said"),
    [
        ("What does Lala love?", (1,), "cheese"),
        ("Does Lala love cheese?", (1,), "Yes"),
        ("Who is afraid of thunder?", (), "thunder"),
        ("How old is Lala?", (1,), None),
    ],
)
async def test_cards_answer_in_their_own_words(question: str, mentioned: tuple[int, ...], said: str | None) -> None:
    job = Job("job", "me", Task.QUESTION, question, concepts=VisibleConcepts((LALA, BO)), mentioned=mentioned)
    answer = answer_offhand(job)
    assert (answer is None) if said is None else (answer is not None and said in answer.text)


@pytest_asyncio.fixture(loop_scope="module")
async def peer() -> AsyncIterator[TelegramPeer]:
    async with telegram() as started:
        yield started


async def test_while_the_worker_restarts_texts_are_answered_and_photos_wait(app: App, peer: TelegramPeer) -> None:
    ann = peer.person("Ann")
    chat = peer.private(ann)
    async with bot(app, peer):
        peer.send_photo(chat, ann, cat_jpeg(), "/remember Lala A ginger cat. She loves cheese.")
        await answer(peer, chat)
        assert app.worker.pid is not None
        os.kill(app.worker.pid, signal.SIGKILL)
        photo = peer.send_photo(chat, ann, cat_jpeg() + b"1")
        async with asyncio.timeout(PATIENCE):
            while app.worker.awake:  # noqa: ASYNC110 - nothing else tells of it
                await asyncio.sleep(0.01)
        for asked, said in (("/concepts", "Lala"), ("What does Lala love?", "cheese")):
            question = peer.say(chat, ann, asked)["message_id"]
            told = await peer.wait_for(
                lambda question=question: [one for one in peer.sent(chat) if one.reply_to == question],  # type: ignore[misc]
                PATIENCE,
            )
            assert said in words(told[0])
            assert not app.worker.awake, "answered before the models were there again"
        done = await peer.wait_for(
            lambda: [
                one for one in peer.sent(chat) if one.reply_to == photo["message_id"] and not words(one).endswith("…")
            ],
            PATIENCE,
        )
        assert "Lala" in words(done[0])


async def test_a_flood_of_commands_is_answered_up_to_the_limit_and_then_told_once(app: App, peer: TelegramPeer) -> None:
    flooder, ann = peer.person("Flooder"), peer.person("Ann")
    chat, hers = peer.private(flooder), peer.private(ann)
    most = app.settings.limits.messages_at_once
    async with bot(app, peer):
        for _message in range(most + 15):
            peer.say(chat, flooder, "/privacy")
        peer.say(hers, ann, "/privacy")
        await answer(peer, hers)
        await peer.wait_for(lambda: len(peer.sent(chat)) > most, PATIENCE)
    said = [words(one) for one in peer.sent(chat)]  # the bot has stopped in order: no more comes
    told = [text for text in said if "more than I can answer" in text]
    assert len(told) == 1
    # On a slow machine some of the minute's further messages fit in while the flood is being read.
    assert most + 1 <= len(said) <= most + 5
