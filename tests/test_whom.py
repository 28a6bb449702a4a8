"""Whom a question is for where it names nobody: by kind, which of many, by age, by what the chat said before."""

from __future__ import annotations

import time

import pytest

from rapbot.command_words import split_name
from rapbot.following import asked_again, is_elliptic, meant_before
from rapbot.inference.ages import compared
from rapbot.inference.job import Card
from rapbot.inference.kindred import kind_named, kindred
from rapbot.inference.overview import asks_for_all, counted_or_listed
from rapbot.inference.small_talk import reply_to
from rapbot.inference.whose import about_each, exists
from rapbot.understanding import introduced, unknown_subject

LALA = Card(1, "Lala", "corgi", "My corgi, 5 years. She loves cheese.")
BELLO = Card(2, "Bello", "chow chow", "9 yrs. Sleeps on the balcony.")
MILO = Card(3, "Milo", "cat", "An orange tabby cat. He loves tuna.")
RED = Card(4, "Red One", "mug", "A red mug from Rome.")
BLUE = Card(5, "Blue One", "mug", "Anna's blue mug. Holds half a litre.")
ANNA = Card(6, "Anna", "sister", "Plays the piano.")
HEINZ = Card(7, "Heinz", "grandfather", "87, a retired train driver.")
PILLS = Card(8, "Tom", "cat", "Gets a pill every 2 weeks.")
SHOES = Card(9, "Eva", "sister", "Her shoe size is 38. Her dog is 5 years old.")
EVERYONE = (LALA, BELLO, MILO, RED, BLUE, ANNA, HEINZ)


@pytest.mark.parametrize(
    ("text", "said", "names"),
    [
        ("what does my dog eat?", "my dog", "Lala Bello"),
        ("what does the cat eat", "the cat", "Milo"),
        ("which of my pets likes rain?", "which of my pets", "Lala Bello Milo"),
        ("where is the red mug", "the red mug", "Red One"),
        ("where did I buy Anna's mug?", "Anna's mug", "Blue One"),
        ("is the corgi old?", "the corgi", "Lala"),
        ("and the puppy?", "the puppy", "Lala Bello"),
        ("my sister's instrument", "my sister", "Anna"),
        ("where does grandpa live", "grandpa", "Heinz"),
        ("which people do you know", "which people", "Anna Heinz"),
        ("who eats fish?", None, ""),
        ("what is the capital of France?", None, ""),
        ("does the poodle bite?", None, ""),
        ("where's my red mug?", "my red mug", "Red One"),
        ("does my neighbour's dog bite?", None, ""),
    ],
)
def test_whom_a_kind_means(text: str, said: str | None, names: str) -> None:
    phrase = kindred(text, EVERYONE)
    assert (text[phrase.start : phrase.end] if phrase else None) == said
    meant = " ".join(card.name for card in EVERYONE if phrase and card.concept_id in phrase.ids)
    assert meant == names


@pytest.mark.parametrize(
    ("info", "kind"),
    [
        ("Rose-gold sunglasses with pink lenses, bought in Lisbon.", "sunglasses"),
        ("Black cat, 3 years", "cat"),
        ("golden retriever\nloves fish", "retriever"),
        ("Likes cheese", ""),
        ("red with patches", ""),
        ("", ""),
    ],
)
def test_a_kind_that_is_written_without_an_article(info: str, kind: str) -> None:
    assert kind_named(info) == kind


@pytest.mark.parametrize(
    ("question", "of_one"),
    [
        ("Who hates storms?", "Is X the one who hates storms?"),
        ("who is scared of water", "Is X scared of water?"),
        ("so which of my dogs can swim?", "Can X swim?"),
        ("which of them sleeps outside?", "Is X the one who sleeps outside?"),
        ("What did I buy in Portugal?", "Did I buy X in Portugal?"),
        ("who has been to Rome", "Is X the one who has been to Rome?"),
        ("Does anyone like fish?", "Does X like fish?"),
        ("anybody allergic to nuts?", "Is X allergic to nuts?"),
        ("do you know anyone who plays chess?", "Is X the one who plays chess?"),
        ("who's vegan?", "Is X vegan?"),
        ("which dog did he give me", "Did he give X me?"),
        ("which mugs do we have from Rome", "Do we have X from Rome?"),
        ("which room is he in?", None),  # no kind of thing that has a card
        ("what year was it built?", None),
        ("does no one like fish?", None),
        ("what about you?", None),
        ("what breed?", None),
        ("What does she eat?", None),
        ("Who is she?", None),
        ("Where is it kept?", None),
        ("who is the oldest?", None),
    ],
)
def test_which_of_many_becomes_a_question_about_one(question: str, of_one: str | None) -> None:
    assert about_each(question, "X") == of_one


def test_whether_there_is_anyone_is_answered_with_yes() -> None:
    assert exists("Does anyone like fish?")
    assert not exists("Who likes fish?")


@pytest.mark.parametrize(
    ("question", "cards", "told"),
    [
        ("who is the oldest?", EVERYONE, "<Heinz>: 87, a retired train driver."),
        ("which dog is younger?", (LALA, BELLO), "<Lala> is 5 years. <Bello>: 9 yrs."),
        ("who is older than 5?", EVERYONE, ""),
        ("who is the oldest?", (LALA, ANNA), ""),  # one age tells nothing
        ("how old is Lala?", EVERYONE, ""),
        ("what does my older sister do?", EVERYONE, ""),
        ("who is the oldest?", (PILLS, SHOES, ANNA), ""),
    ],
)
def test_ages_are_compared(question: str, cards: tuple[Card, ...], told: str) -> None:
    assert compared(question, cards) == told


@pytest.mark.parametrize(
    ("text", "named", "again"),
    [
        ("and Milo?", ["Milo"], "what does Milo eat?"),
        ("what about Milo and Bello?", ["Milo", "Bello"], "what does Milo and Bello eat?"),
        ("does Milo?", ["Milo"], "what does Milo eat?"),
        ("and where is Milo?", ["Milo"], None),
        ("thanks", [], None),
    ],
)
def test_the_last_question_is_asked_again(text: str, named: list[str], again: str | None) -> None:
    assert asked_again(text, named, "what does Lala eat?", ["Lala"]) == again


@pytest.mark.parametrize(
    ("before", "again"),
    [
        ("what does she like?", "what does Milo like?"),
        ("what is her age?", "what is Milo's age?"),
        ("who bites?", "Is Milo the one who bites?"),
        ("what is there to eat?", "what is there to eat?"),
    ],
)
def test_the_question_before_need_not_hold_a_name(before: str, again: str) -> None:
    assert asked_again("and Milo?", ["Milo"], before, ["Lala"]) == again


def test_nothing_is_asked_again_after_nothing() -> None:
    assert asked_again("and Milo?", ["Milo"], "", ["Lala"]) is None
    assert asked_again("and Milo?", ["Milo"], "hello", []) is None
    assert asked_again("and Milo?", ["Milo"], "compare Lala and Bello", ["Lala", "Bello"]) is None


@pytest.mark.parametrize("text", ["since when?", "how old", "in which city?", "what colour?", "and when?", "why"])
def test_short_questions_are_about_whom_the_chat_speaks_of(text: str) -> None:
    assert is_elliptic(text)


@pytest.mark.parametrize("text", ["who likes fish?", "where is the key kept?", "what do you know?"])
def test_whole_questions_are_not(text: str) -> None:
    assert not is_elliptic(text)


@pytest.mark.parametrize(
    ("text", "spoken_of", "others", "names"),
    [
        ("what does she eat?", [HEINZ, ANNA], [], "Anna"),
        ("is he deaf?", [ANNA], [HEINZ], "Heinz"),
        ("how much does it hold?", [ANNA], [BLUE], "Blue One"),
        ("what does she play?", [BLUE], [ANNA], "Anna"),  # "Anna's blue mug": no mug plays
        ("does she bite?", [LALA], [], "Lala"),
        ("do they like rain?", [LALA, MILO], [], "Lala Milo"),
        ("which of them likes rain?", [LALA], [], ""),
        ("is she nice?", [HEINZ], [], "Heinz"),  # nobody fits: whoever was spoken of
    ],
)
def test_whom_a_pronoun_means(text: str, spoken_of: list[Card], others: list[Card], names: str) -> None:
    meant = meant_before(text, spoken_of, others)
    assert " ".join(card.name for card in EVERYONE if card.concept_id in meant) == names


@pytest.mark.parametrize(
    "text",
    [
        "who is " + "A" * 1990 + "!",
        "who is " + "Ab " * 600 + "!",
        "and " + " " * 1990 + "x",
        "which of my " * 160,
        "how many " + "do you " * 280,
        "this is my " + "a " * 900,
    ],
)
def test_no_text_keeps_anybody_busy(text: str) -> None:
    """2,000 characters are read. What may be said in many ways reads 300, and the rest of it in one go."""
    for said in (text, text[:299]):
        began = time.process_time()
        kindred(said, EVERYONE)
        about_each(said, "X")
        compared(said, EVERYONE)
        is_elliptic(said)
        asked_again(said, ["Lala"], said, ["Lala"])
        asks_for_all(said, EVERYONE)
        counted_or_listed(said, EVERYONE)
        reply_to(said)
        introduced(said)
        unknown_subject(said)
        split_name(said)
        assert time.process_time() - began < 0.5  # some 20 ms; minutes where a pattern tries every way to read it


def test_a_name_is_no_pattern() -> None:
    assert asked_again("and A\\1 B?", ["A\\1 B"], "what does Lala eat?", ["Lala"]) == "what does A\\1 B eat?"
