"""Whom a message means with a chat behind it: names, pronouns and what goes on with the last question."""

from __future__ import annotations

import pytest

from rapbot.concepts.concept import Concept
from rapbot.concepts.index import OwnerIndex
from rapbot.concepts.store import Collection
from rapbot.concepts.visibility import Sight
from rapbot.concepts.visible import Card, VisibleConcepts
from rapbot.conversation import ChatContext
from rapbot.errors import NameUnknown
from rapbot.inference.job import Turn
from rapbot.meaning import meaning_of

CARDS = (
    Card(1, "Lala", "dog", "A corgi. She loves cheese."),
    Card(2, "Anna", "sister", "Lives in Berlin. Best friend is Noor."),
    Card(3, "Aunt Peggy", "aunt", "Bakes bread."),
    Card(4, "Moomin", "mug", "A white mug, a present from Anna."),
)


def _no_concept(number: int) -> Concept:
    raise AssertionError(f"words are enough, not the concept {number}")


def sight() -> Sight:
    visible = VisibleConcepts(CARDS)
    names = tuple((card.concept_id, card.name) for card in CARDS)
    return Sight(OwnerIndex(Collection("me", 1, CARDS, (), _no_concept), visible), visible, names, {}, {})


def chat(*subjects: int, asked: str = "", answered: str = "") -> ChatContext:
    return ChatContext(subjects=subjects, turns=(Turn(asked, answered),) if asked else ())


@pytest.mark.parametrize(
    ("text", "context", "mentioned"),
    [
        ("what does Peggy bake?", chat(), (3,)),
        ("does she live with Anna?", chat(1), (1,)),
        ("is it Lala?", chat(4), (1,)),
        ("is she Lala?", chat(2), (1,)),
        ("what does she do?", chat(4, asked="who gave it to me?", answered="Moomin is a present from Anna."), (2,)),
        ("what does my dog eat?", chat(2), ()),  # by kind, where the cards are read
        ("what time is it?", chat(4), ()),
        ("who bakes bread?", chat(1), ()),
    ],
)
def test_whom_a_message_is_certainly_about(text: str, context: ChatContext, mentioned: tuple[int, ...]) -> None:
    assert meaning_of(text, context, sight()).mentioned == mentioned


def test_beside_a_new_photo_a_pronoun_is_open() -> None:
    meant = meaning_of("what does she eat?", chat(2), sight(), seen=True)
    assert (meant.mentioned, meant.spoken_of) == ((), (2,))


def test_a_follow_up_becomes_the_whole_question() -> None:
    meant = meaning_of("and Peggy?", chat(2, asked="where does Anna live?", answered="Anna lives in Berlin."), sight())
    assert (meant.text, meant.mentioned) == ("where does Peggy live?", (3,))
    meant = meaning_of("and the mug?", chat(1, asked="what does my dog love?", answered="Lala loves cheese."), sight())
    assert (meant.text, meant.mentioned) == ("what does Moomin love?", (4,))


def test_a_name_on_no_card_is_told_at_once() -> None:
    with pytest.raises(NameUnknown, match="Garfield"):
        meaning_of("who is Garfield?", chat(), sight())
    assert meaning_of("who is Noor?", chat(), sight()).mentioned == ()  # a card speaks of her
