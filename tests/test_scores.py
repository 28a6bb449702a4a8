"""The metrics, on answers that can be counted by hand."""

from __future__ import annotations

import pytest

from rapbot.scores import NameCounts, Recognitions, choice_in, likeliest, names_in, with_letters, yes_or_no

OPTIONS = ("Red", "Not red", "A blue one", "Yes")


def test_the_published_scorer_forgives_a_wrong_name_beside_a_right_one() -> None:
    counts = NameCounts()
    counts.add({"Lala", "Bo"}, {"Lala"})
    counts.add({"Bo"}, {"Lala"})
    counts.add(set(), {"Lala", "Mug"})
    assert counts.strict() == {"recall": 0.25, "precision": 0.3333, "f1": 0.2857}
    assert counts.published() == {"recall": 0.25, "precision": 0.5, "f1": 0.3333}
    assert NameCounts().strict() == {"recall": None, "precision": None, "f1": None}


def test_a_reply_that_is_neither_yes_nor_no_is_wrong() -> None:
    counts = Recognitions()
    for there, reply in ((True, "Yes."), (True, "Maybe"), (False, "no, it is not"), (False, ""), (False, "Yes")):
        counts.add(there, yes_or_no(reply))
    assert counts.in_numbers() == {"positive": 0.5, "negative": 0.3333, "weighted": 0.4166}
    assert yes_or_no("Nobody is here") is None
    assert Recognitions([True]).in_numbers()["weighted"] is None


def test_invented_names_count_and_ordinary_words_do_not() -> None:
    known = {"Lala", "dog", "blue_mug"}
    assert names_in("<Lala> and <Rex>, a dog, beside the Blue_mug.", known) == {"Lala", "Rex", "blue_mug"}
    assert names_in("lala's <Dog>", known) == {"Lala", "dog"}
    assert names_in("Lalande has a big blue mug.", known) == set()


@pytest.mark.parametrize(
    ("reply", "chosen"),
    [
        ("B", 1),
        ("A.", 0),
        (" (C) a blue one", 2),
        ("It is not red.", 1),
        ("red", 0),
        ("a blue one", 2),
        ("Yes", 3),
        ("", None),
        ("  \n", None),
        ("Z", None),
        ("green", None),
        ("redder", None),
    ],
)
def test_a_choice_is_read_by_letter_or_words_and_an_empty_reply_is_none(reply: str, chosen: int | None) -> None:
    assert choice_in(reply, OPTIONS) == chosen


def test_two_options_in_one_reply_are_no_choice() -> None:
    assert choice_in("cat or dog", ("Cat", "Dog")) is None
    assert with_letters("Which?", ("Cat", "Dog")).splitlines()[1:3] == ["A. Cat", "B. Dog"]


def test_no_score_or_a_tie_is_no_choice() -> None:
    assert likeliest((-3.0, -1.0, -2.0)) == 1
    assert likeliest(()) is None
    assert likeliest((-1.0, -1.0)) is None
    assert likeliest((float("-inf"), float("-inf"))) is None
    assert likeliest((float("nan"), -5.0)) == 1
