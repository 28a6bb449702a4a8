"""One turn from question to answer, with a channel that writes down what a person would see."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.delivery import Turns
from adapters.sentences import sentence
from adapters.shown import Shown
from adapters.splitting import split_text, utf16_length
from adapters.telegram.albums import Albums
from adapters.waiting import Pace
from rapbot.errors import ConceptError, ConfigError, DiskFull, NameUnknown, RapbotError, StoreError, WeightsError
from rapbot.messages import Progress, ProgressListener, Stage

QUICK = Pace(typing=0.01, before_typing=0.0, patience=0.02, edits=0.01)


@dataclass
class Paper:
    """A chat on paper: the messages as they stand now."""

    messages: dict[int, str] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)
    typings: int = 0
    broken: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def typing(self) -> None:
        self.typings += 1
        self.changed.set()
        if self.broken:
            raise OSError("no typing here")

    async def send(self, shown: Shown) -> int:
        number = len(self.history)
        return await self.edit(number, shown)

    async def edit(self, sent: int, shown: Shown) -> int:
        self.history.append(shown.text)
        self.messages[sent] = shown.text
        self.changed.set()
        return sent

    async def delete(self, sent: int) -> None:
        del self.messages[sent]

    async def until(self, text: str) -> None:
        while not any(text in message for message in self.messages.values()):
            self.changed.clear()
            await self.changed.wait()


async def says(text: str) -> Shown:
    return Shown(text)


async def test_who_waits_for_models_that_start_is_told_so_and_the_answer_takes_its_place() -> None:
    paper, turns = Paper(), Turns[int](QUICK)

    async def starting(listener: ProgressListener) -> Shown:
        listener(Progress(Stage.STARTING))
        await paper.until("models are just starting")
        return Shown("a cat")

    await turns.answer("1", paper, starting)
    assert paper.messages == {0: "a cat"}


async def test_an_answer_is_sent_once() -> None:
    paper, turns = Paper(), Turns[int](QUICK)
    assert await turns.answer("1", paper, lambda _: says("hello")) == 0
    assert paper.messages == {0: "hello"}
    assert paper.history == ["hello"]


async def test_a_quick_answer_needs_no_typing() -> None:
    paper, turns = Paper(), Turns[int]()
    await turns.answer("1", paper, lambda _: says("hello"))
    assert paper.typings == 0


async def test_typing_stays_on_and_its_failure_fails_nothing() -> None:
    paper, turns = Paper(broken=True), Turns[int](QUICK)

    async def work(_: ProgressListener) -> Shown:
        while paper.typings < 3:
            paper.changed.clear()
            await paper.changed.wait()
        return Shown("done")

    await turns.answer("1", paper, work)
    assert paper.messages == {0: "done"}


async def test_an_edited_question_edits_its_answer() -> None:
    paper, turns = Paper(), Turns[int](QUICK)
    await turns.answer("1", paper, lambda _: says("first"))
    await turns.answer("2", paper, lambda _: says("other"))
    await turns.answer("1", paper, lambda _: says("second"))
    assert paper.messages == {0: "second", 1: "other"}


async def test_an_edit_while_the_first_is_answered_replaces_it() -> None:
    paper, turns = Paper(), Turns[int](QUICK)
    started = asyncio.Event()

    async def slow(_: ProgressListener) -> Shown:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    first = asyncio.create_task(turns.answer("1", paper, slow))
    await started.wait()
    await turns.answer("1", paper, lambda _: says("second"))
    await first
    assert paper.history == ["second"]


async def test_a_deleted_question_is_cancelled_and_its_placeholder_goes() -> None:
    paper, turns = Paper(), Turns[int](QUICK)
    cancelled = asyncio.Event()

    async def slow(listener: ProgressListener) -> Shown:
        listener(Progress(Stage.QUEUED, 7))
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    turn = asyncio.create_task(turns.answer("1", paper, slow))
    await paper.until("7 messages before yours")
    assert turns.cancel("1")
    assert await turn is None
    assert cancelled.is_set()
    assert paper.messages == {}
    assert not turns.cancel("1")


async def test_who_waits_long_is_told_their_place_and_the_answer_replaces_it() -> None:
    paper, turns = Paper(), Turns[int](QUICK)

    async def queued(listener: ProgressListener) -> Shown:
        listener(Progress(Stage.QUEUED, 2))
        await paper.until("2 messages before yours")
        listener(Progress(Stage.QUEUED, 1))
        await paper.until("1 message before yours")
        return Shown("done")

    await turns.answer("1", paper, queued)
    assert paper.messages == {0: "done"}
    assert len(paper.history) == 3


async def test_who_is_served_at_once_sees_no_placeholder() -> None:
    paper, turns = Paper(), Turns[int](QUICK)

    async def looking(listener: ProgressListener) -> Shown:
        listener(Progress(Stage.QUEUED, 2))
        listener(Progress(Stage.LOOKING))
        while paper.typings < 6:  # longer than the patience
            paper.changed.clear()
            await paper.changed.wait()
        return Shown("done")

    await turns.answer("1", paper, looking)
    assert paper.history == ["done"]


async def test_an_answer_is_shown_while_it_grows_and_then_replaced_by_the_whole() -> None:
    paper, turns = Paper(), Turns[int](Pace(typing=0.01, before_typing=0.0, patience=60, edits=0.01))

    async def growing(listener: ProgressListener) -> Shown:
        listener(Progress(Stage.LOOKING))
        listener(Progress(Stage.WRITING, text="Lala sits"))
        await paper.until("Lala sits …")
        listener(Progress(Stage.WRITING, text="Lala sits on a couch"))
        await paper.until("Lala sits on a couch …")
        return Shown("Lala sits on a couch.")

    await turns.answer("1", paper, growing)
    assert paper.messages == {0: "Lala sits on a couch."}
    assert paper.history == ["Lala sits …", "Lala sits on a couch …", "Lala sits on a couch."]


async def test_words_that_come_faster_than_the_pace_are_not_all_shown() -> None:
    paper, turns = Paper(), Turns[int](Pace(typing=0.01, before_typing=0.0, patience=60, edits=60))

    async def growing(listener: ProgressListener) -> Shown:
        listener(Progress(Stage.WRITING, text="one"))
        await paper.until("one …")
        for end in range(1, 50):
            listener(Progress(Stage.WRITING, text="one " * end))
            await asyncio.sleep(0)
        return Shown("done")

    await turns.answer("1", paper, growing)
    assert paper.history == ["one …", "done"]


async def test_errors_are_one_sentence_in_the_persons_language() -> None:
    paper, turns = Paper(), Turns[int](QUICK)

    async def refused(_: ProgressListener) -> Shown:
        raise ConceptError("There is nothing to undo.")

    async def broken(_: ProgressListener) -> Shown:
        raise ZeroDivisionError("secret details")

    await turns.answer("1", paper, refused, "de-AT")
    await turns.answer("2", paper, broken)
    assert paper.messages[0] == "Es gibt nichts rückgängig zu machen."
    assert "broke" in paper.messages[1]
    assert "secret" not in paper.messages[1]


async def test_nothing_to_say_says_nothing() -> None:
    paper, turns = Paper(), Turns[int](QUICK)

    async def nothing(_: ProgressListener) -> None:
        return None

    assert await turns.answer("1", paper, nothing) is None
    assert paper.messages == {}


async def test_finish_lets_what_runs_end_and_cancels_the_rest() -> None:
    paper, turns = Paper(), Turns[int](QUICK)
    go = asyncio.Event()

    async def soon(_: ProgressListener) -> Shown:
        await go.wait()
        return Shown("soon")

    async def never(_: ProgressListener) -> Shown:
        go.set()
        await asyncio.Event().wait()
        raise AssertionError

    asked = [asyncio.create_task(turns.answer(key, paper, work)) for key, work in (("1", soon), ("2", never))]
    await go.wait()
    await turns.finish(0.05)
    assert await asyncio.gather(*asked) == [0, None]
    assert paper.messages == {0: "soon"}


async def test_an_album_is_handed_on_once_when_it_is_complete() -> None:
    albums: list[list[int]] = []
    done = asyncio.Event()

    async def ready(messages: list[int]) -> None:
        albums.append(messages)
        done.set()

    collecting = Albums[int](ready, quiet=0.03)
    for number in range(4):
        collecting.add("a", number)
        await asyncio.sleep(0)
    await done.wait()
    assert albums == [[0, 1, 2, 3]]
    collecting.add("b", 9)
    await collecting.finish()
    assert albums[1:] == [[9]]


@given(st.text(max_size=400), st.integers(2, 60))
def test_no_piece_is_too_long_and_no_word_is_lost(text: str, limit: int) -> None:
    pieces = split_text(text, limit, utf16_length)
    assert all(utf16_length(piece) <= limit for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_a_long_text_is_cut_at_the_end_of_a_sentence() -> None:
    assert split_text("Lala eats cheese. Bo eats fish, and more fish.", 30) == [
        "Lala eats cheese.",
        "Bo eats fish, and more fish.",
    ]


@pytest.mark.parametrize("short", ["", "short"])
def test_a_short_text_stays_whole(short: str) -> None:
    assert split_text(short, 30) == [short]


@pytest.mark.parametrize(
    "error",
    [
        StoreError("The database /srv/rapbot/rapbot.sqlite3 is damaged."),
        WeightsError("The file ~/models/x.gguf cannot be read."),
        ConfigError("The server http://10.0.0.7:8000/v1 does not answer."),
    ],
)
def test_people_in_chats_read_no_path_and_no_address_of_the_machine(error: RapbotError) -> None:
    assert sentence(error) == "Something broke inside me. Sorry! Please try that again."


def test_what_people_can_act_on_is_told_as_it_is() -> None:
    for error in (DiskFull(), NameUnknown("Lala", ()), ConceptError("Show me one with /addphoto Lala.")):
        assert sentence(error) == error.sentence
