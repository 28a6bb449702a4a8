"""Cards as people write them, read as statements that stand alone."""

from __future__ import annotations

import pytest

from rapbot.inference.job import Card
from rapbot.inference.reading import Verdict, read
from rapbot.inference.statements import statements

SPOT = Card(1, "Spot", "dog", "")


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ("He digs holes and barks at the moon.", ["<Spot> digs holes.", "<Spot> barks at the moon."]),
        ("He loves cats and dogs.", ["<Spot> loves cats and dogs."]),
        ("He likes long walks and rides.", ["<Spot> likes long walks and rides."]),
        ("Steals socks, and he's scared of geese.", ["<Spot> steals socks.", "<Spot> is scared of geese."]),
        ("Spot, a spaniel, chases ducks.", ["<Spot> is a spaniel.", "<Spot> chases ducks."]),
        ("Spot, brown and white.", ["<Spot> is brown and white."]),
        ("Spot the dog guards the yard.", ["<Spot> guards the yard."]),
        (
            "a small dog. sleeps a lot. eats grass.",
            ["<Spot> is a small dog.", "<Spot> sleeps a lot.", "<Spot> eats grass."],
        ),
        ("Curly tail, snores at night.", ["<Spot>: Curly tail.", "<Spot> snores at night."]),
        ("Nine years old - limps a bit", ["<Spot> is nine years old.", "<Spot> limps a bit."]),
        ("Very shy with strangers.", ["<Spot> is very shy with strangers."]),
        ("Never give him grapes!", ["<Spot>: Never give him grapes!"]),
        ("There's a scar on his nose.", ["<Spot>: There's a scar on his nose."]),
        ("My old teacher gave him to me.", ["<Spot>: your old teacher gave him to you."]),
        ("The left ear hangs.", ["<Spot>: The left ear hangs."]),
        ("We found him in Rome and I'm his owner.", ["<Spot>: You found him in Rome and you are his owner."]),
        ("Keep him on a lead, he chases cats.", ["<Spot>: Keep him on a lead, he chases cats."]),
        ("Retired in 2019.", ["<Spot> retired in 2019."]),
        ("Retired police dog.", ["<Spot> is a retired police dog."]),
        ("Painted wooden dog from Oslo.", ["<Spot> is a painted wooden dog from Oslo."]),
        ("Painted by grandma.", ["<Spot> was painted by grandma."]),
        ("Boston Dynamics dog.", ["<Spot> is a Boston Dynamics dog."]),
        ("Old Leeds dog.", ["<Spot> is an old Leeds dog."]),
        ("Registered in Leeds / Married to Bella", ["<Spot> is registered in Leeds / Married to Bella."]),
        ("Believe it or not, he can swim.", ["<Spot> can swim."]),
        ("Fun fact: Spot has two beds. Also, loves tea.", ["<Spot> has two beds.", "<Spot> loves tea."]),
        ("IT support calls him. Never soap.", ["<Spot>: IT support calls him.", "<Spot>: Never soap."]),
        ("They haven't met a cat.", ["<Spot> hasn't met a cat."]),
        ("A hand-me-down from me.", ["<Spot> is a hand-me-down from you."]),
        ("Related to Bella. Hatched in May.", ["<Spot> is related to Bella.", "<Spot> hatched in May."]),
    ],
)
def test_a_card_is_told_clause_by_clause(info: str, told: list[str]) -> None:
    assert list(statements(SPOT._replace(info=info))) == told


def test_a_part_of_a_name_is_its_bearer() -> None:
    omar = Card(1, "Uncle Omar", "person", "Omar, my mother's brother, drives a taxi.")
    assert statements(omar) == ("<Uncle Omar> is your mother's brother.", "<Uncle Omar> drives a taxi.")


def test_who_wrote_a_shared_card_is_named() -> None:
    shared = Card(1, "Tom", "person", "My brother.", owner_name="Mira")
    assert statements(shared) == ("<Tom> is Mira's brother.",)


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ("my cat\nafraid of\nthe hoover", ("<Lu> is your cat.", "<Lu> is afraid of the hoover.")),
        ("Loves cheese,\nlong walks\nand tea", ("<Lu> loves cheese, long walks and tea.",)),
        (
            "Lu was found behind the old bakery on a rainy evening in the\nautumn of 2019 and came home with my sister "
            "in the basket of\nher bicycle.",
            ("rainy evening in the autumn of 2019.", "in the basket of her bicycle."),
        ),
        ("- loves tuna\n- born in May\n- hates the hoover", ("loves tuna", "born in May", "hates the hoover")),
        ("loves tuna\nborn in May", ("<Lu> loves tuna.", "<Lu> was born in May.")),
    ],
)
def test_a_line_is_a_sentence_unless_it_was_wrapped(info: str, told: tuple[str, ...]) -> None:
    said = statements(Card(1, "Lu", "cat", info))
    assert len(said) == len(told)
    assert all(part in one for part, one in zip(told, said, strict=True))


@pytest.mark.parametrize(
    ("info", "question", "verdict"),
    [
        ("A greedy goat.", "Is Lu greedy?", Verdict.YES),
        ("A greedy goat.", "Is Lu anything but greedy?", Verdict.TOLD),
        ("A green goat.", "Is Lu any colour but green?", Verdict.TOLD),
        ("Takes eye drops. Do not forget the eye drops!", "Does Lu take eye drops?", Verdict.YES),
        ("Must not have eye drops.", "Can Lu have eye drops?", Verdict.NO),
        ("He does not forget faces.", "Does Lu forget faces?", Verdict.NO),
        ("She eats everything but peanuts.", "Does Lu eat peanuts?", Verdict.TOLD),
        ("She likes everyone except children.", "Does Lu like children?", Verdict.TOLD),
    ],
)
def test_what_turns_a_sentence_into_its_contrary(info: str, question: str, verdict: Verdict) -> None:
    assert read(question, Card(1, "Lu", "goat", info)).verdict is verdict


@pytest.mark.parametrize(
    ("card", "question", "told"),
    [
        (Card(1, "Biscuit", "dog", "A puppy. She gets mince."), "What does Biscuit eat?", ""),
        (Card(1, "Bo", "dog", "A beagle. Walked at noon, fed twice a day."), "How often is Bo fed?", "twice a day"),
        (Card(1, "Tim", "person", "Tim, my brother, is 14 and plays chess."), "How old is Tim?", "is 14"),
        (Card(1, "Eva", "person", "She drives a taxi."), "What does Eva do for a living?", "drives a taxi"),
        (Card(1, "quilt", "quilt", "A quilt sewn by my aunt."), "Who made the quilt?", "sewn by your aunt"),
        (Card(1, "rug", "rug", "A red rug. It was 40 euros."), "How much did I pay for it?", "40 euros"),
        (Card(1, "rug", "rug", "A red rug. It weighs 4 kg."), "How much does the rug weigh?", "4 kg"),
        (Card(1, "Bo", "dog", "A rescue greyhound."), "What kind of dog is Bo?", "greyhound"),
        (Card(1, "Bo", "dog", "Born in Ireland, came two years ago."), "How old is Bo?", ""),
        (Card(1, "Bo", "dog", "Born in March 2021."), "How old is Bo?", "March 2021"),
        (Card(1, "rug", "rug", "A red rug from Lima."), "How much did the rug cost?", ""),
    ],
)
def test_what_is_asked_for_is_found_by_its_kind(card: Card, question: str, told: str) -> None:
    reading = read(question, card)
    assert (reading.verdict is Verdict.TOLD) == bool(told)
    assert told in reading.statement
