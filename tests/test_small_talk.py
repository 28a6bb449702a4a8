"""What asks for no single fact: greetings and thanks, whole cards, lists and counts, what is written beside a photo."""

from __future__ import annotations

import pytest

from rapbot.inference.job import Card
from rapbot.inference.overview import asks_for_all, counted_or_listed, whole
from rapbot.inference.small_talk import is_personal, is_talk, reply_to
from rapbot.understanding import introduced, is_remark

LALA = Card(1, "Lala", "dog", "My dog, a corgi. She loves cheese.")
BELLO = Card(2, "Bello", "chow chow", "")
MILO = Card(3, "Milo", "cat", "orange\nloves tuna")
ANNA = Card(4, "Anna", "sister", "Plays the piano.")
EVERYONE = (LALA, BELLO, MILO, ANNA)


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("hi", "Hello!"),
        ("Heyyy rapbot!", "Hello!"),
        ("ok thanks a lot :)", "You're welcome!"),
        ("thnaks", "You're welcome!"),
        ("Cooool", "Thank you"),
        ("good night everyone", "Goodbye"),
        ("How are you today?", "I am fine"),
        ("who are you?", "I am rapbot"),
        ("what can you do?", "Send me a photo"),
        ("good bot", "Thank you"),
        ("that's wrong", "I am sorry"),
        ("lol", "All right!"),
    ],
)
def test_what_is_said_to_the_bot_is_answered_kindly(text: str, begins: str) -> None:
    assert reply_to(text).startswith(begins)


@pytest.mark.parametrize(
    "text",
    [
        "correct?",
        "that's incorrect",
        "very unhelpful",
        "sleeps well?",
        "can you help her",
        "who is Anna?",
        "does Milo like fish",
        "hi, what does Milo eat?",
        "",
        "?",
        "42",
        "тест",
        "nice dog",
        "Bo",
    ],
)
def test_everything_else_is_no_small_talk(text: str) -> None:
    assert reply_to(text) == ""


def test_what_has_no_single_answer_is_left_to_a_model() -> None:
    assert is_talk("hey, tell me a joke")
    assert is_talk("I am so tired today")
    assert not is_talk("tell me about Milo")
    assert not is_talk("I'm tired, where is my mug?")


@pytest.mark.parametrize("text", ["I really like your style", "how old are you?", "let's play!", "do you sleep?"])
def test_what_is_said_to_the_bot_is_personal(text: str) -> None:
    assert is_personal(text)


@pytest.mark.parametrize(
    "text", ["do you know my birthday?", "who likes fish?", "red mug from Rome", "where's the key"]
)
def test_what_is_asked_of_the_cards_is_not(text: str) -> None:
    assert not is_personal(text)


@pytest.mark.parametrize(
    "text",
    [
        "tell me about Lala",
        "Can you tell me everything you know about Lala, please?",
        "what do you know about Lala?",
        "who is Lala?",
        "Lala?",
        "info on lala",
        "hey, describe Lala",
        "compare Lala and Milo",
        "what about her?",
        "tell me about my dog Lala",
        "remind me of Lala",
        "give me all the details of Lala",
        "more please",
    ],
)
def test_whatever_a_card_tells_answers_these(text: str) -> None:
    assert asks_for_all(text, (LALA, MILO))


@pytest.mark.parametrize(
    "text",
    [
        *("what does Lala eat?", "who is Lala's owner?", "A storm or a bath, Lala?", "and her age?"),
        *("tell me the age of Lala", "remind me of the birthday of Lala", "give me the name of the owner of Lala"),
    ],
)
def test_these_ask_for_one_thing(text: str) -> None:
    assert not asks_for_all(text, (LALA,))


@pytest.mark.parametrize(
    ("card", "told"),
    [
        (LALA, "<Lala>: Your dog, a corgi. She loves cheese."),
        (MILO, "<Milo> (cat): Orange. Loves tuna."),
        (BELLO, "<Bello> is a chow chow. The card says nothing more."),
        (ANNA, "<Anna> plays the piano."),
    ],
)
def test_a_whole_card_is_told_in_its_own_words(card: Card, told: str) -> None:
    assert whole(card) == told


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("how many dogs do I have?", "I know 2: <Lala> and <Bello>."),
        ("how many things have I taught you so far?", "I know 4: <Lala>, <Bello>, <Milo> and <Anna>."),
        ("which pets do you know", "<Lala>, <Bello> and <Milo>."),
        ("what is my sister called?", "<Anna>."),
        ("list my pets please", "<Lala>, <Bello> and <Milo>."),
        ("who do you know?", "<Lala>, <Bello>, <Milo> and <Anna>."),
        ("how many parrots do I have?", "I know none."),
        ("how many legs does Milo have?", ""),
        ("how many dogs like rain?", ""),
        ("how many times a day do I feed my dog?", ""),
        ("the number of my sister", ""),
        ("give me the address of my sister", ""),
        ("how many women do you know?", "I know 1: <Anna>."),
        ("what do you know about Milo?", ""),
    ],
)
def test_cards_are_counted_and_listed(question: str, answer: str) -> None:
    assert counted_or_listed(question, EVERYONE) == answer


def test_a_long_list_says_how_many_more_there_are() -> None:
    many = [Card(number, f"N{number}", "mug", "") for number in range(40)]
    assert counted_or_listed("list my mugs", many).endswith("<N24> and 15 more.")


@pytest.mark.parametrize("text", ["look at this!", "my breakfast", "This is so cute", "this is my dog Lala"])
def test_what_asks_for_nothing_beside_a_photo_is_a_remark(text: str) -> None:
    assert is_remark(text, ())


@pytest.mark.parametrize(
    "text", ["what is this", "is this Bo?", "find Lala", "describe this", "the colour of the car", ""]
)
def test_what_asks_for_something_is_none(text: str) -> None:
    assert not is_remark(text, ())


def test_a_name_at_the_beginning_makes_a_remark() -> None:
    assert is_remark("Lala at the beach", ((0, 4),))
    assert not is_remark("Lala eats what?", ((0, 4),))


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("This is my dog Lala, she loves cheese", "my dog Lala, she loves cheese"),
        ("hey, meet Bo, our new kitten", "Bo, our new kitten"),
        ("this is Lala", "Lala"),
        ("this is so cute", ""),
        ("THIS IS SO CUTE", ""),
        ("It's Friday, finally", ""),
        ("meet me at 5", ""),
        ("this is Юля, my friend", "Юля, my friend"),
        ("This is Bello!", "Bello"),
        ("please remember Bello, he is my dog", "Bello, he is my dog"),
        ("is this Lala?", ""),
    ],
)
def test_who_is_introduced_may_be_remembered(text: str, who: str) -> None:
    assert introduced(text) == who
