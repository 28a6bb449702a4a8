"""Where the name ends in what people type after a command."""

import pytest

from rapbot.command_words import split_name


@pytest.mark.parametrize(
    ("typed", "name", "info"),
    [
        ("Lala A dog. She eats fish.", "Lala", "A dog. She eats fish."),
        ("Lala, a dog", "Lala", "a dog"),
        ('"Rose of Lima" A cat.', "Rose of Lima", "A cat."),
        ("Rose of Lima: A cat.", "Rose of Lima", "A cat."),
        ("Old Gertie\n1987 Raleigh", "Old Gertie", "1987 Raleigh"),
        ("Momo\nA cat.\nShe sleeps.", "Momo", "A cat.\nShe sleeps."),
        ("Lala is\na dog", "Lala", "is\na dog"),
        ("小白\n一只狗", "小白", "一只狗"),
        ("Aunt Mary likes tea", "Aunt Mary", "likes tea"),
        ("Mr. Pickles A cat. He likes\ncucumbers", "Mr. Pickles", "A cat. He likes\ncucumbers"),
        ("The Beast", "The Beast", ""),
        ("Uncle He fixes bicycles", "Uncle", "He fixes bicycles"),
        ("Little A small mug", "Little", "A small mug"),
        ("Mylo A cat", "Mylo", "A cat"),
    ],
)
def test_a_name_ends_where_people_mean_it_to(typed: str, name: str, info: str) -> None:
    assert split_name(typed) == (name, info)


@pytest.mark.parametrize(
    ("typed", "name", "info"),
    [
        ("my dog Lala, she loves cheese", "Lala", "My dog. She loves cheese"),
        ("this is my dog Lala", "Lala", "My dog."),
        ("My sister Anna Maria, plays the piano", "Anna Maria", "My sister. Plays the piano"),
        ("My sister Anna who sings", "Anna", "My sister who sings"),
        ("our cat called Milo sleeps a lot", "Milo", "Our cat sleeps a lot"),
        ("my old teddy bear Fred\nbrown", "Fred", "My old teddy bear. Brown"),
        ("my mug", "mug", ""),
        ("my mug A blue one", "mug", "my mug A blue one"),
        ("my Lala A dog", "Lala", "A dog"),
        ("my new dog, Bello", "Bello", "My new dog."),
        ("this is my dog, Lala", "Lala", "My dog."),
        ("this is Lala, my dog", "Lala", "my dog"),
        ("my new dog", "dog", ""),
        ("my mug from Rome", "mug", "my mug from Rome"),
        ("my mug has a Moomin on it", "mug", "my mug has a Moomin on it"),
        ("my dog is called Lala", "Lala", "My dog."),
        ("our neighbour Mr. Smith, he fixes bicycles", "Mr. Smith", "Our neighbour. He fixes bicycles"),
        ("my sister Anna's dog", "sister", "my sister Anna's dog"),
        ("Bello.", "Bello", ""),
        ("Mr. Pickles: a cat", "Mr. Pickles", "a cat"),
    ],
)
def test_what_is_mine_is_not_called_my(typed: str, name: str, info: str) -> None:
    assert split_name(typed) == (name, info)
