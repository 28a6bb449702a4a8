"""Cards in the smallest sentences that stand alone, as people write cards."""

from __future__ import annotations

import pytest

from rapbot.inference.clause_choice import nameless
from rapbot.inference.clauses import clause_around, clauses
from rapbot.inference.job import Card

APOSTROPHE = "'"


@pytest.mark.parametrize(
    ("info", "told"),
    [
        (
            "A grey cat with a white bib from Rome. He loves tuna and is four years old.",
            ["is a grey cat", "has a white bib", "is from Rome", "loves tuna", "is four years old"],
        ),
        (
            "My neighbour's cat, eight years old, with bad teeth. Bought in Lisbon, but she sleeps at ours.",
            [
                "is your neighbour's cat",
                "is eight years old",
                "has bad teeth",
                "was bought in Lisbon",
                "sleeps at yours",
            ],
        ),
        ("Since last year she limps, hates cars and snores.", [": Since last year she limps", "hates cars", "snores"]),
        ("A cat who chases bees and which belongs to Mira.", ["is a cat", "chases bees", "belongs to Mira"]),
        ("A present from my boss.", ["is a present from your boss"]),  # nothing without what follows
        ("A cat covered with patches.", ["is a cat covered with patches"]),
        ("She loves cheese, apples and long walks.", ["loves cheese, apples and long walks"]),
        ("Food: tuna / Bed: on the sofa", [": Food: tuna", ": Bed: on the sofa"]),
        (
            "Came to us in July, joined the club and cost 30 euros.",
            ["came to you in July", "joined the club", "cost 30 euros"],
        ),
        ("A brown tree. It is tall and bears fruit in May.", ["is a brown tree", "is tall", "bears fruit in May"]),
        (
            "is orange / Every morning at quarter to five: up! / from Leeds",
            ["is orange", ": Every morning at quarter to five: up!", ": from Leeds"],
        ),
        ("Cost 60 euros, Look on the balcony.", ["cost 60 euros", ": Look on the balcony"]),
        ("His vet: Dr. Larsson, who is kind.", ["'s vet: Dr. Larsson, who is kind"]),
        ("Vet: Dr. Larsson / chip: none", [": Vet: Dr. Larsson", ": chip: none"]),
        ("Name: Milo, Maine Coon\nBorn: 3 May", [": Name: Milo, Maine Coon", ": Born: 3 May"]),
        (
            "He freaks out at fireworks, his sister lives with Ines and the flap is broken.",
            ["freaks out at fireworks", "'s sister lives with Ines", ": the flap is broken"],
        ),
        ("Paid 1,200 kronor, no vet yet, please brush.", [": Paid 1,200 kronor", ": no vet yet", ": please brush"]),
        ("Purrs (loudly, he says) so no naps at ours.", ["purrs (loudly, he says)", ": no naps at yours"]),
        (
            "milo is our old tom he sleeps in the laundry basket all day dont shut the lid he hates that",
            ["is your old tom", "sleeps in the laundry basket all day", ": dont shut the lid", "hates that"],
        ),
        ("They have kittens, they don't bite.", ["has kittens", "doesn't bite"]),
        ("Milo Petersen is at war with Nadia.", ["Petersen is at war with Nadia"]),
        ("Milo (the fat one) turned 9 in May.", ["(the fat one) turned 9 in May"]),
        ("Milo the cat - a tabby.", ["is a tabby"]),
        ("", []),
    ],
)
def test_every_clause_stands_alone(info: str, told: list[str]) -> None:
    said = list(clauses(Card(1, "Milo", "cat", info)))
    expected = [
        f"<Milo>{'' if one[0] in (':', APOSTROPHE) else ' '}{one}{'' if one[-1] == '!' else '.'}" for one in told
    ]
    kind = [] if "is a cat" in told else ["<Milo> is a cat."]
    assert said == expected + kind


def test_things_of_several_parts_take_the_plural() -> None:
    said = clauses(Card(1, "shades", "sunglasses", "Round sunglasses with pink lenses, bought in Lisbon."))
    assert "<shades> have pink lenses." in said
    assert "<shades> were bought in Lisbon." in said
    smelling = clauses(Card(1, "shades", "sunglasses", "They were a gift, smell of roses and need glue."))
    assert smelling[:3] == ("<shades> were a gift.", "<shades> smell of roses.", "<shades> need glue.")


def test_part_of_a_sentence_keeps_what_belongs_to_its_verb() -> None:
    info = "My quilt is a patchwork quilt sewn by my aunt from old uniforms, won a prize and smells of smoke."
    card = Card(1, "quilt", "quilt", info)
    statement = "<quilt> is a patchwork quilt sewn by your aunt from old uniforms, won a prize and smells of smoke."
    whole = "<quilt> is a patchwork quilt sewn by your aunt from old uniforms."
    from_what, prize = "<quilt> is from old uniforms.", "<quilt> won a prize."
    assert clause_around(statement, card, [from_what]) == (whole, from_what)
    assert clause_around(statement, card, ["<quilt> snores.", prize]) == (prize, prize)
    assert clause_around(statement, card, ["<quilt> snores."]) == (statement, None)


@pytest.mark.parametrize(
    ("name", "text", "plain"),
    [
        ("Lala", "What does <Lala> eat, and is lala's bowl red?", "What does X eat, and is X's bowl red?"),
        ("red_mug", "Where is my red  mug?", "Where is my X?"),
        ("Bo", "Is Bob Bo?", "Is Bob X?"),
        ("小白", "小白 eats fish.", "X eats fish."),
        ("", "Anything?", "Anything?"),
    ],
)
def test_names_are_taken_out_of_what_the_model_judges(name: str, text: str, plain: str) -> None:
    assert nameless(text, Card(1, name, "", "")) == plain
