"""The prompts: exact where a published model was trained on them, bounded everywhere."""

from __future__ import annotations

import pytest
from PIL import Image

from rapbot.inference.job import Card, Job, Region, Scene, Tag, Task, VisibleConcepts
from rapbot.inference.prompt import Pictures, build_asking_prompt, build_prompt, select_cards
from rapbot.messages import WHOLE, Box, Sighting

LALA = Card(1, "Lala", "dog", "A white and gray dog with long fur.")
BO = Card(2, "Bo", "cat", "Loves tuna.")
MUG = Card(3, "mug", "mug", "A blue mug.")
ANNA = Card(4, "Anna", "person", "My sister.")


def job(
    task: Task = Task.CAPTION, text: str = "", photo: bytes | None = b"jpeg", mentioned: tuple[int, ...] = ()
) -> Job:
    cards = VisibleConcepts((LALA, BO, MUG, ANNA))
    return Job("job", "me", task, text, photo=photo, concepts=cards, mentioned=mentioned)


def sighting(card: Card, distance: float, box: Box = WHOLE) -> Sighting:
    return Sighting(card.concept_id, card.name, box, distance, 0.9, card.concept_id, 1)


def pictures(*cards: Card, photo: bool = True) -> Pictures:
    avatars = {card.concept_id: Image.new("RGB", (8, 8), (card.concept_id, 0, 0)) for card in cards}
    return Pictures(Image.new("RGB", (16, 16)) if photo else None, avatars)


def scene(*sightings: Sighting) -> Scene:
    regions = (Region(WHOLE, whole=True, tags=(Tag("couch", 0.9),)), Region(Box(0.0, 0.3, 0.3, 0.8)))
    return Scene(640, 480, regions, sightings)


def test_the_rap_prompt_is_the_one_of_the_reference() -> None:
    prompt = build_prompt("rap", job(), None, [LALA, BO], pictures(LALA, BO))
    assert prompt.messages == (
        (
            "user",
            "<image>\n[1.<image>\n Name: <Lala>, Info: A white and gray dog with long fur.\n"
            "2.<image>\n Name: <Bo>, Info: Loves tuna.\n]Give a caption of the image.",
        ),
    )


@pytest.mark.parametrize(
    ("task", "request_text"),
    [
        (Task.RECOGNISE, "Is <Bo> in this image? Answer with a single word or phrase."),
        (Task.LOCATE, "Give <Bo>'s bounding box in the image."),
        (Task.CAPTION, "Give a caption of the image."),
    ],
)
def test_rap_requests_are_the_ones_of_the_reference(task: Task, request_text: str) -> None:
    [(_, text)] = build_prompt("rap", job(task), None, [BO]).messages
    assert text.endswith(f"]{request_text}")


def test_a_rap_question_without_a_photo_has_no_leading_image() -> None:
    [(_, text)] = build_prompt(
        "rap", job(Task.QUESTION, "What does Lala eat?", photo=None), None, [LALA], pictures(LALA, photo=False)
    ).messages
    assert text.startswith("[1.<image>\n Name: <Lala>")
    assert text.endswith("]What does Lala eat?")


def test_named_concepts_come_first_then_the_nearest_and_never_more_than_k() -> None:
    seen = scene(sighting(BO, 0.9), sighting(MUG, 0.3), sighting(LALA, 0.5))
    assert select_cards(job(mentioned=(4,)), seen, 3) == (ANNA, MUG, LALA)
    assert select_cards(job(mentioned=(1, 2, 3, 4)), seen, 2) == (LALA, BO)
    assert select_cards(job(mentioned=(1,)), seen, 3) == (LALA, MUG, BO)


def test_cards_that_are_not_visible_are_never_selected() -> None:
    stranger = Sighting(99, "Stranger", WHOLE, 0.1, 0.9, 1, 0)
    assert select_cards(job(mentioned=(98,)), scene(stranger), 3) == ()


def test_the_pocket_prompt_tells_the_scene_in_words() -> None:
    seen = scene(sighting(LALA, 0.4, Box(0.0, 0.3, 0.3, 0.8)))
    _, text = build_prompt("pocket", job(), seen, [LALA]).messages[-1]
    assert "<Lala>, a dog, on the left; a couch" in text


def test_the_pocket_question_carries_the_card_with_its_name_as_subject() -> None:
    _, text = build_prompt("pocket", job(Task.QUESTION, "What does  he\neat?", photo=None), None, [BO]).messages[-1]
    assert "<Bo> loves tuna." in text
    assert text.endswith("Question: What does he eat?")


def test_only_the_last_message_changes_from_job_to_job() -> None:
    """The rest is kept as keys and values between jobs."""
    one, other = (build_prompt("pocket", job(), scene(sighting(card, 0.4)), [card]) for card in (LALA, BO))
    assert one.messages[:-1] == other.messages[:-1]
    assert one.messages[-1] != other.messages[-1]


def test_statements_are_asked_about_without_brackets() -> None:
    assert build_asking_prompt("<Bo> loves tuna.").messages[-1] == ("user", "Bo loves tuna.")


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(ValueError, match="layout"):
        build_prompt("socket", job(), None, [])
