"""What a free text is taken to want."""

from __future__ import annotations

import re

import pytest

from rapbot.concepts.category import guess_category
from rapbot.inference.job import Task
from rapbot.understanding import has_pronoun, understand, unknown_subject


def wish(text: str) -> Task:
    """`text` with every name in brackets."""
    spans = []
    plain = ""
    for piece in re.split(r"(\[\w+\])", text):
        if piece.startswith("["):
            spans.append((len(plain), len(plain) + len(piece) - 2))
            plain += piece[1:-1]
        else:
            plain += piece
    return understand(plain, tuple(spans)).task


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("", Task.CAPTION),
        ("caption this please", Task.CAPTION),
        ("Give a caption of the image.", Task.CAPTION),
        ("describe the photo", Task.DESCRIBE),
        ("What do you see?", Task.DESCRIBE),
        ("is [Lala] in this photo?", Task.RECOGNISE),
        ("Is [Lala] here?", Task.RECOGNISE),
        ("is this [Lala]?", Task.RECOGNISE),
        ("are [Lala] and [Bo] here?", Task.RECOGNISE),
        ("Can you see [Lala]?", Task.RECOGNISE),
        ("Is [Lala] in this image? Answer with a single word or phrase.", Task.RECOGNISE),
        ("where is [Lala]?", Task.LOCATE),
        ("Where's [Lala] in the picture?", Task.LOCATE),
        ("find [Bo]", Task.LOCATE),
        ("Give [Bo]'s bounding box in the image.", Task.LOCATE),
        ("who is here?", Task.FIND),
        ("who is this", Task.FIND),
        ("what is here?", Task.FIND),
        ("do you recognise anyone?", Task.FIND),
        ("what does [Lala] eat?", Task.QUESTION),
        ("where does [Lala] sleep?", Task.QUESTION),
        ("Where is [Lala] from?", Task.QUESTION),
        ("who is [Lala]?", Task.QUESTION),
        ("is [Lala] afraid of thunder?", Task.QUESTION),
        ("what is [Lala] doing?", Task.QUESTION),
        ("is there a dog in this photo?", Task.QUESTION),
    ],
)
def test_a_text_is_understood(text: str, task: Task) -> None:
    assert wish(text) is task


def test_a_question_about_what_is_seen_means_the_last_photo_and_one_about_the_card_does_not() -> None:
    assert understand("what is she wearing?", ()).about_picture
    assert not understand("when does she get her pills?", ()).about_picture


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("is Rex in this photo?", "Rex"),
        ("Where is Rex?", "Rex"),
        ("is there a dog here?", None),
        ("is it here?", None),
        ("Is She here?", None),
    ],
)
def test_a_name_nobody_taught_is_noticed(text: str, name: str | None) -> None:
    assert unknown_subject(text) == name


def test_pronouns_refer_back() -> None:
    assert has_pronoun("what does she eat?")
    assert not has_pronoun("what does Lala eat?")


@pytest.mark.parametrize(
    ("info", "category"),
    [
        ("A white and gray dog. She loves cheese.", "dog"),
        ("My sister, she lives in Berlin", "sister"),
        ("Julian is an investor with hair", "investor"),
        ("This is my old coffee mug from Rome", "mug"),
        ("a small, fluffy, white rabbit", "rabbit"),
        ("A red backpack covered with round patches.", "backpack"),
        ("My corgi, born in May 2019. He sleeps a lot.", "corgi"),
        ("A corgi, born in May", "corgi"),
        ("our cat, very old", "cat"),
        ("our cat, black", "cat"),
        ("a big, juicy orange", "orange"),
        ("my and, with x", ""),
        ("a big, brown and lazy dog", "dog"),
        ("a red, white and blue scarf", "scarf"),
        ("my sister, a nurse", "sister"),
        ("My van, bought 2019 in Ulm", "van"),
        ("She loves cheese", ""),
        ("", ""),
    ],
)
def test_the_kind_of_thing_is_read_off_the_first_sentence(info: str, category: str) -> None:
    assert guess_category(info) == category
