"""Cards in the smallest sentences that stand alone, as people write cards."""

from __future__ import annotations

import pytest

from rapbot.inference.clause_choice import nameless
from rapbot.inference.clauses import clauses
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
        ("Knows two tricks: sit, roll over.", ["knows two tricks: sit, roll over"]),
        ("Allergic to two things: nuts and eggs.", ["is allergic to two things: nuts and eggs"]),
        ("Afraid of bikes, people in hats and thunder.", ["is afraid of bikes, people in hats and thunder"]),
        ("Loves burgers, shakes and fries.", ["loves burgers, shakes and fries"]),
        ("Scared of noise, ships off the coast, rain.", ["is scared of noise, ships off the coast, rain"]),
        ("They bite, they aren't fat.", ["bites", "isn't fat"]),
        ("Milo the cat - a tabby.", ["is a tabby"]),
        (
            "Chip no. 981, St. Anne's vet (Dr. Moore), born on 14 Feb. at 3:52 a.m.",
            [": Chip no. 981, St. Anne's vet (Dr. Moore)", "was born on 14 Feb. at 3:52 a.m"],
        ),
        ("Milo, who is 12 and deaf, sleeps a lot.", ["is 12 and deaf", "sleeps a lot"]),
        ("My brother Milo drives a bus.", ["is your brother", "drives a bus"]),
        (
            "Milo's from Tunis, he's got fleas & he's been to Rome.",
            ["is from Tunis", "has got fleas", "has been to Rome"],
        ),
        (
            "A round cushion, my kids fight over it, that's why the cat's upside down.",
            ["is a round cushion", ": your kids fight over it", ": that's why the cat's upside down"],
        ),
        ("The heater's broken. The cat's asleep at noon.", [": The heater's broken", "is asleep at noon"]),
        ("He has a friend named Zoe who lives in York.", ["has a friend named Zoe who lives in York"]),
        ("A cat tamed by a guy called Fiete who sings.", ["is a cat tamed by a guy called Fiete who sings"]),
        ("A gift from my aunt. She knitted it.", ["is a gift from your aunt", ": She knitted it"]),
        ("He is black. Her name is Greta.", ["is black", ": Her name is Greta"]),
        (
            "Bought it in Leeds. Came to us and bought a boat. Bought a year ago.",
            [": Bought it in Leeds", "came to you", "bought a boat", "was bought a year ago"],
        ),
        (
            "Stolen in 2020 and found again in a canal, covered in mud, sold to us.",
            ["was stolen in 2020", "was found again in a canal", "is covered in mud", "was sold to you"],
        ),
        ("Bit the vet, he bit my aunt, died in May.", [": Bit the vet", "bit your aunt", "died in May"]),
        (
            "Purrs, battery lasts 9 hours, Anna feeds him, bin must be emptied, open Fri 9-18, Sat 10-14.",
            ["purrs", ": battery lasts 9 hours", ": Anna feeds him", ": bin must be emptied, open Fri 9-18, Sat 10-14"],
        ),
        (
            "Purrs and the librarian, Mrs. Koch, knows everything.",
            ["purrs and the librarian, Mrs. Koch, knows everything"],
        ),
        ("A city bike, 7 gears, 3 kg.", ["is a city bike", ": 7 gears", "is 3 kg"]),
        (
            "Hates baths, avoid the chips, never add cream, vet: none, so shut the door.",
            ["hates baths", ": avoid the chips", ": never add cream", ": vet: none", ": shut the door"],
        ),
        ("Likes to swim, chase the ball and nap.", ["likes to swim, chase the ball and nap"]),
        ("One paw is white and covered with scars.", [": One paw is white and covered with scars"]),
        ("Worn at Woodstock, he says.", ["is worn at Woodstock, he says"]),
        (
            'Allergic to nuts!! his bed is red. says "no, she bites, Kevin".',
            ["is allergic to nuts!!", "'s bed is red", 'says "no, she bites, Kevin"'],
        ),
        ("Weighs < 5 kg.", ["weighs under 5 kg"]),
        ("i dont like her, she herds kids and you'll pay.", [": you dont like her", "herds kids", ": you'll pay"]),
        ("She'll steal. She'd bite. It slow. She like tea.", ["will steal", "would bite", "slow", "likes tea"]),
        ("My aunt's hat, she wore it daily.", ["is your aunt's hat", ": she wore it daily"]),
        (
            "Vet's number: 12. Walked by the maid, got it in Rome.",
            [": Vet's number: 12", "was walked by the maid", ": got it in Rome"],
        ),
        ("Milo, Fritz and Mo are brothers.", [": Milo, Fritz and Mo are brothers"]),
        ("Mask that hangs here and that my son fears.", [": Mask that hangs here and that your son fears"]),
        ("His mother was from Chile, his father is Dutch.", ["'s mother was from Chile", "'s father is Dutch"]),
        ("His mother is a nurse, lives in Rome and naps.", ["'s mother is a nurse, lives in Rome and naps"]),
        ("Likes car rides and walks with grandpa.", ["likes car rides and walks with grandpa"]),
        ("Scared of: men; rain; the moon. Nina's fine.", [": Scared of: men, rain, the moon", ": Nina's fine"]),
        ("Lives to be 60, says the vet. Hates Bo, who's fat.", ["lives to be 60, says the vet", "hates Bo, who's fat"]),
        ("His son is called Emil, he's seven.", ["'s son is called Emil, he's seven"]),
        (
            "Sleeps, made of wool. Milo naps and his toys are from Rome.",
            ["sleeps", "is made of wool", "naps", "'s toys are from Rome"],
        ),
        ("Is fed daily, walked by Bo and brushed weekly.", ["is fed daily", "is walked by Bo", "is brushed weekly"]),
        ("Milo, born in Rome, naps. He's retired now.", ["was born in Rome", "naps", "is retired now"]),
        ("The vet guessed ten. A toy, showers are cold.", [": The vet guessed ten", "is a toy", ": showers are cold"]),
        (
            "Wore it at my wedding. Is huge and thirsty: 14 l.",
            [": Wore it at your wedding", "is huge and thirsty: 14 l"],
        ),
        (
            "The chef used to be a sailor, scale bugs love him.",
            [": The chef used to be a sailor", ": scale bugs love him"],
        ),
        ("Married with two kids. He is the one who fixed it.", ["is married with two kids", "is the one who fixed it"]),
        ("Sticks so pull the door.", ["sticks", ": pull the door"]),
        ("I found Milo online, drove home and fell in love.", [": You found Milo online, drove home and fell in love"]),
        ("Milo left his owner, he made us laugh.", ["left his owner", "made you laugh"]),
        ("Milo, whom I met in Rome, naps.", [": whom you met in Rome", "naps"]),
        ("If it rains, he hides.", [": If it rains, he hides"]),
        ("My aunt's friend, retired teacher.", ["is your aunt's friend, retired teacher"]),
        ("Signed 'To Bill, 25 years', left on a bus.", ["was signed 'To Bill, 25 years'", "was left on a bus"]),
        ("A toy, left hand broken.", ["is a toy, left hand broken"]),
        ("A cat of Noah.", ["is a cat", "is of Noah"]),
        ("A cat of Mrs Baker from Leeds.", ["is a cat", "belongs to Mrs Baker", "is from Leeds"]),
        ("The queen of Spain.", ["is the queen of Spain"]),
        ("A toy of my uncle in size 40.", ["is a toy", "belongs to your uncle", "is in size 40"]),
        ("The son of my boss.", ["is the son of your boss"]),
        ("A present from a carpenter from Quito.", ["is a present from a carpenter from Quito"]),
        ("A vase from Rome from 1990.", ["is a vase", "is from Rome", "is from 1990"]),
        (
            "A toy from the north of Wales that hangs in the hall.",
            ["is a toy", "is from the north of Wales", "hangs in the hall"],
        ),
        ("Naps, honours a ship with his name.", ["naps", "honours a ship with his name"]),
        ("Likes cats and dogs the most.", ["likes cats and dogs the most"]),
        ("Crickets on Monday, greens the rest.", [": Crickets on Monday, greens the rest"]),
        ("Has a parrot and cheers for Leeds.", ["has a parrot", "cheers for Leeds"]),
        ("It saw Rome.", ["saw Rome"]),
        ("A gift and found its way to me.", ["is a gift", "found its way to you"]),
        ("Is bursting with joy.", ["is bursting with joy"]),
        ("Made to be worn with a scarf.", ["was made to be worn with a scarf"]),
        ("Is in the name of my brother.", ["is in the name of your brother"]),
        ("Is here today and vowed to love us.", ["is here today", "vowed to love you"]),
        # verbs that are more often things, modals, pasts and what they are done to
        ("Loves tuna, sports a moustache and might bite.", ["loves tuna", "sports a moustache", "might bite"]),
        ("Likes cats, sports and ropes.", ["likes cats, sports and ropes"]),
        ("Swigs milk and guzzles cream.", ["swigs milk", "guzzles cream"]),
        ("Sleeps a lot and beat you at chess.", ["sleeps a lot", "beat you at chess"]),
        ("Won a cup and carried off first prize.", ["won a cup", "carried off first prize"]),
        ("Was seen at noon and popped up in Rome.", ["was seen at noon", "popped up in Rome"]),
        ("Leans a lot, put a book under the leg.", ["leans a lot", ": put a book under the leg"]),
        ("Is three and already swims, hails from Rome.", ["is three", "already swims", "hails from Rome"]),
        (
            "Stuffed with straw. Is said to bite, bed 20 by 30.",
            ["is stuffed with straw", "is said to bite, bed 20 by 30"],
        ),
        ("A short walk from the river.", ["is a short walk from the river"]),
        ("A cat, eleven years old.", ["is a cat", "is eleven years old"]),
        ("Loves tuna, Not much else to tell.", ["loves tuna", ": Not much else to tell"]),
        ("Tuned in high F. It hums.", ["is tuned in high F", "hums"]),
        (
            "a toaster that was found in a second-hand shop in the old town of Rome\ncan be repaired",
            ["is a toaster", "was found in a second-hand shop in the old town of Rome", "can be repaired"],
        ),
        (
            "my cat\nsleeps on a chair that is as old as the house where we have lived\nbites",
            ["is your cat", "sleeps on a chair that is as old as the house where you have lived", "bites"],
        ),
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
    assert "<shades> belong to Mrs Baker." in clauses(Card(1, "shades", "sunglasses", "Sunglasses of Mrs Baker."))
    assert "<shades>: wear them in May." in clauses(Card(1, "shades", "sunglasses", "Pink, wear them in May."))
    smelling = clauses(Card(1, "shades", "sunglasses", "They were a gift, smell of roses and need glue."))
    assert smelling[:3] == ("<shades> were a gift.", "<shades> smell of roses.", "<shades> need glue.")


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
