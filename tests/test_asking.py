"""What is asked behind the words that people put around a question."""

from __future__ import annotations

import pytest

from rapbot.inference.asking import is_yes_no


@pytest.mark.parametrize(
    "question",
    [
        "Is she deaf?",
        "isn't he old",
        "Sorry, does the aloe need water once a week?",
        "Just wondering: was she born in March?",
        "One more thing. Does he bite?",
        "And can she swim?",
        "Lala, is she old?",
        "Could you tell me whether she is deaf?",
        "Do you know if he bites?",
        "Is he called Bo? I can't remember.",
        "Shall I bring her flowers?",
        "Is he deaf or something?",
        "My bag holds twelve kilos, could I put him in?",
        "There are five of us plus the driver and two dogs. Do we fit in?",
        "An apple at nine in the evening, ok?",
        "She is a teenager, right?",
        "Do you have a spare?",
    ],
)
def test_yes_or_no_answers_it(question: str) -> None:
    assert is_yes_no(question)


@pytest.mark.parametrize(
    "question",
    [
        "What does she eat?",
        "Is she a cat or a dog?",
        "What is it, is it old?",
        "Hey, what is it?",
        "Could you tell me her age, please?",
        "Do you know her age?",
        "Do you have her number?",
        "My bag holds twelve kilos, how much does he weigh?",
        "What is right, blue or red, ok?",
        "He sleeps all day, and what does he eat?",
        "Did I tell you what she eats?",
        "Have I noted his shoe size?",
        "Is there anything about her age?",
        "Does the card say what she eats?",
        "",
    ],
)
def test_yes_or_no_is_no_answer(question: str) -> None:
    assert not is_yes_no(question)
