"""Chats with everything real behind them: what people say without a name, beside a photo, and to the bot itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from benchmarks.conversations import hold, talks
from rapbot.app import App, running
from rapbot.commands import handle
from rapbot.config import Settings
from rapbot.errors import NameUnknown
from rapbot.messages import Actor, Chat, Photo, Request
from tests.pictures import cat_elsewhere_jpeg, cat_jpeg, coffee, jpeg, rocket

pytestmark = pytest.mark.asyncio(loop_scope="module")
_ENOUGH = 0.7
"""Of the messages of six chats; .82 of all chats of this set (docs/chat.md)."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), weights_dir=weights)
    async with running(settings) as started:
        await started.worker.ready()
        yield started


class Talk:
    """One person's chat."""

    def __init__(self, app: App, name: str) -> None:
        self._app, self._name = app, name

    async def says(self, text: str, *photos: bytes) -> str:
        pictures = tuple(Photo(data) for data in photos)
        request = Request(Actor(f"talk:{self._name}"), Chat(f"talk:{self._name}"), text, pictures)
        return (await handle(self._app.assistant, request)).text


@pytest_asyncio.fixture(loop_scope="module")
async def owner(app: App, request: pytest.FixtureRequest) -> Talk:
    """Somebody with a cat, a mug and a rocket."""
    talk = Talk(app, request.node.name)
    await talk.says("/remember my cat Lala, she loves cheese and is afraid of thunder", cat_jpeg())
    await talk.says("/remember Old Mug\nA white coffee mug from Lisbon. It belongs to Aunt Rosa.", jpeg(coffee()))
    await talk.says("/remember Saturn A white toy rocket. It stands on the balcony.", jpeg(rocket()))
    return talk


async def test_whoever_is_meant_without_a_name(owner: Talk) -> None:
    assert "Lala loves cheese" in await owner.says("what does my cat eat?")
    assert "Lisbon" in await owner.says("where did I buy the mug?")
    assert (await owner.says("who hates storms?")).startswith("Lala is afraid of thunder")
    assert "Saturn" in await owner.says("what is kept outside?")
    assert "Old Mug" in await owner.says("which of them belongs to Rosa?")


async def test_a_follow_up_asks_the_last_question_again(owner: Talk) -> None:
    assert "cheese" in await owner.says("what does Lala love?")
    assert "does not say" in await owner.says("and Saturn?")
    assert "balcony" in await owner.says("where does Saturn stand?")
    assert "thunder" in await owner.says("what is she afraid of?")  # no rocket is a she


async def test_everything_about_one_and_how_many_there_are(owner: Talk) -> None:
    told = await owner.says("tell me about my mug")
    assert told == "Old Mug: A white coffee mug from Lisbon. It belongs to Aunt Rosa."
    assert await owner.says("how many things do you know?") == "I know 3: Lala, Old Mug and Saturn."
    assert await owner.says("what is my cat called?") == "Lala."


async def test_nobody_is_made_up(owner: Talk) -> None:
    assert await owner.says("who plays the violin?") == "None of your cards says that."
    with pytest.raises(NameUnknown, match="Garfield"):
        await owner.says("who is Garfield?")


async def test_small_talk_is_answered_by_a_sentence(owner: Talk) -> None:
    assert (await owner.says("hello!")).startswith("Hello!")
    assert await owner.says("thanks a lot") == "You're welcome!"
    joke = await owner.says("tell me a joke")
    assert len(joke.split()) > 3
    assert "card" not in joke


async def test_a_remark_beside_a_photo_gets_a_caption(owner: Talk) -> None:
    assert "Lala" in await owner.says("look at this!", cat_elsewhere_jpeg())
    assert "cheese" in await owner.says("what does she love?")


async def test_a_pronoun_beside_a_photo_means_who_is_in_it(owner: Talk) -> None:
    await owner.says("where does Saturn stand?")
    assert "cheese" in await owner.says("what does she love?", cat_elsewhere_jpeg())


async def test_who_is_introduced_may_be_taught_with_one_line(app: App) -> None:
    ann = Talk(app, "ann")
    said = await ann.says("This is my cat Momo, she loves tuna", cat_jpeg())
    command = said.splitlines()[-1].split("send: ")[1]
    assert command == "/remember my cat Momo, she loves tuna"
    assert "Momo (cat)" in await ann.says(command)  # the photo is still known
    assert "tuna" in await ann.says("what does Momo love?")


async def test_whole_chats(app: App) -> None:
    counts: Counter[str] = Counter()
    for number, talk in enumerate(list(talks(["a"]))[:6]):
        said = await hold(app, number, talk)
        counts.update(message.found(answer) for message, answer in said)
    assert counts["right"] / counts.total() >= _ENOUGH, counts
