"""What the model wrote becomes safe or is refused; false names never come through."""

from __future__ import annotations

import pytest

from rapbot.inference.guard import answer_or_none, caption_or_none, clean, mark_names, without_false_names
from rapbot.inference.job import Card

LALA = Card(1, "Lala", "dog", "A white and gray dog.")
BO = Card(2, "Bo", "cat", "Loves tuna.")
DOG = Card(3, "dog", "dog", "A corgi.")
CAN = Card(4, "can", "can", "A beer can.")
SPHERE = Card(5, "elephant_sphere", "toy", "A ball with an elephant.")
ELEPHANT = Card(6, "elephant", "plush toy", "A gray elephant.")

PLACES = {"Lala": "on the left", "Bo": "on the right"}


def caption(
    draft: str, *required: Card, others: tuple[Card, ...] = (), things: tuple[str, ...] = ("couch", "dog")
) -> str | None:
    return caption_or_none(draft, required or (LALA,), others, things, PLACES)


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("**Lala** is `here`.", "Lala is here."),
        ("Caption: A dog.", "A dog."),
        ("A dog. A dog. A dog.", "A dog."),
        ("See https://example.org/x?y for more.", "See for more."),
        ("Ask @everyone now.", "Ask now."),
        ("It is in /etc/passwd today.", "It is in today."),
        ("A\x00dog\u202e here.\nAnd  there.", "A dog here. And there."),
    ],
)
def test_markup_addresses_and_repetition_go(raw: str, plain: str) -> None:
    assert clean(raw) == plain


def test_a_right_caption_is_kept_and_its_name_marked() -> None:
    assert caption("Lala is on the left, next to a couch.") == "<Lala> is on the left, next to a couch."
    assert caption("<lala> is on a couch") == "<Lala> is on a couch."


@pytest.mark.parametrize(
    "draft",
    [
        "A dog on a couch.",  # the found one is dropped
        "<Lala> and <Lala> on a couch.",  # twice
        "<Lala> and Bo on a couch.",  # not found
        "<Lala> next to a bench.",  # invented thing
        "<Lala> the cat on a couch.",  # contradicts the tags
        "<Lala> is on the right.",  # wrong side
        "On the right, <Lala>.",
        "",
        "...",
    ],
)
def test_a_wrong_caption_is_refused(draft: str) -> None:
    assert caption(draft, others=(BO,)) is None


def test_sides_belong_to_the_name_before_them() -> None:
    assert caption("<Lala> is on the left and <Bo> is on the right.", LALA, BO) is not None
    assert caption("<Lala> is on the right and <Bo> is on the left.", LALA, BO) is None


def test_the_unfinished_end_of_a_draft_is_cut_off() -> None:
    assert caption("<Lala> is next to a couch. There is also a") == "<Lala> is next to a couch."


def test_a_name_that_is_an_ordinary_word_is_marked_only_in_brackets() -> None:
    assert mark_names("The can can stand near <can>.", [CAN]) == "The can can stand near <can>."
    assert mark_names("a dog and LALA's ball", [LALA, DOG]) == "a dog and <Lala>'s ball"


def test_the_longest_name_wins() -> None:
    assert mark_names("<elephant sphere>", [ELEPHANT, SPHERE]) == "<elephant_sphere>"
    assert mark_names("an Elephant_Sphere", [ELEPHANT, SPHERE]) == "an <elephant_sphere>"


def test_plain_words_that_are_names_of_absent_concepts_are_said_otherwise() -> None:
    assert without_false_names("A dog on a couch.", [DOG]) == "An animal on a couch."
    assert without_false_names("<elephant_sphere> and an elephant.", [ELEPHANT]) == "<elephant_sphere> and an animal."
    assert without_false_names("I can't see it.", [CAN]) == "I can't see it."
    assert without_false_names("<dog> and a Can.", [CAN]) == "<dog> and a drink."
    red_mug = Card(9, "red_mug", "mug", "")
    assert without_false_names("A Red  mug and a blue mug.", [red_mug, CAN]) == "A drink and a blue mug."


def test_an_answer_stays_within_the_statement() -> None:
    told, asked = "<Bo> loves tuna.", "What does Bo eat?"
    assert answer_or_none("Bo loves tuna.", BO, told, asked) == "<Bo> loves tuna."
    assert answer_or_none("<Bo> loves chicken.", BO, told, asked) is None
    assert answer_or_none("<Bo> does not love tuna.", BO, told, asked) is None
    assert answer_or_none("Tuna.", BO, told, asked) is None
    assert answer_or_none("What does <Bo> eat?", BO, told, asked) is None
