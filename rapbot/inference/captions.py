"""Captions and descriptions put together from what is known: right and short, when the model's own words are not.

Every noun comes from a card or from a sure word of the eyes, so nothing is invented.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace

from rapbot.inference.job import Card, Scene
from rapbot.inference.kinds import is_animal, wider
from rapbot.inference.statements import pronoun, statements
from rapbot.inference.surroundings import Thing, kind_of_photo, likeliest_thing, other_things
from rapbot.inference.wording import fills, is_plural, listed, mark, sentence, side, strangers, with_article
from rapbot.messages import Sighting

UNSEEN = "I can't make out what this photo shows."


def compose_caption(scene: Scene | None, cards: Mapping[int, Card], avoid: Container[str] = ()) -> str:
    """One sentence that names every sighted concept; `cards` by concept id.

    `avoid` holds case-folded names of absent concepts, which are not said as kinds either ("the dog").
    """
    if scene is None:
        return UNSEEN
    things = [one for thing in other_things(scene, cards.values()) if (one := _sayable(thing, avoid))]
    seen = sorted(scene.sightings, key=lambda sighting: sighting.box.left + sighting.box.right)
    if not seen:
        return _plain(scene, things, avoid)
    if scene.strangers:
        names = [mark(sighting.name) for sighting in seen]
        return sentence(f"a photo of {listed([*names, strangers(scene.strangers)])}{_surrounded(things)}")
    if len(seen) == 1:
        return sentence(_alone(seen[0], cards.get(seen[0].concept_id), avoid) + _surrounded(things))
    return sentence(_together(seen, cards) + _surrounded(things))


def compose_description(scene: Scene | None, cards: Mapping[int, Card], caption: str) -> str:
    """The caption, then what the cards tell about those in it: at most three more sentences."""
    if scene is None or not scene.sightings:
        return caption
    told: list[str] = []
    several = len(scene.sightings) > 1
    for sighting in scene.sightings[:3]:
        card = cards.get(sighting.concept_id)
        if card is None:
            continue
        for number, statement in enumerate(statements(card)[: 1 if several else 3]):
            told.append(_again(statement, card) if number or not several else statement)
    return " ".join([caption, *told])


def _sayable(thing: Thing, avoid: Container[str]) -> Thing | None:
    """The thing under a word that is no absent concept's name: an animal for the dog, some food for the hot dog."""
    for word in (thing.word, wider(thing.word)):
        if word and word not in avoid and not any(part in avoid for part in word.split()):
            return replace(thing, word=word)
    return None


def _again(statement: str, card: Card) -> str:
    """With the pronoun for the name that was just said."""
    name, said = mark(card.name), pronoun(card)
    if not said or not statement.startswith(name):
        return statement
    rest = statement[len(name) :]
    if rest.startswith("'s"):
        return {"She": "Her", "He": "His", "It": "Its"}[said] + rest[2:]
    return statement if rest.startswith(":") else said + rest


def _plain(scene: Scene, things: Sequence[Thing], avoid: Container[str]) -> str:
    """A photo without any concept: what is surely there, else its kind, else a guess that says it is one."""
    if scene.strangers:
        return sentence(f"a photo of {strangers(scene.strangers)}{_surrounded(things)}")
    if things:
        return sentence(f"a photo of {listed([with_article(thing.word) for thing in things])}")
    if kind := kind_of_photo(scene):
        return sentence(f"a photo of {kind}")
    guess = likeliest_thing(scene)
    sayable = _sayable(guess, avoid) if guess else None
    return f"This could be {with_article(sayable.word)}, but I am not sure." if sayable else UNSEEN


def _alone(sighting: Sighting, card: Card | None, avoid: Container[str]) -> str:
    who = _called(sighting, card, avoid)
    if fills(sighting.box):
        return f"a close-up of {who}"
    where = side(sighting.box)
    return f"{who} {_be(card)} {where}" if where else f"a photo of {who}"


def _together(seen: Sequence[Sighting], cards: Mapping[int, Card]) -> str:
    names = [mark(sighting.name) for sighting in seen]
    places = [side(sighting.box) for sighting in seen]
    if len(seen) == 2 and all(places) and places[0] != places[1]:
        first, second = (cards.get(sighting.concept_id) for sighting in seen)
        return f"{names[0]} {_be(first)} {places[0]} and {names[1]} {_be(second)} {places[1]}"
    return f"a photo of {listed(names)}"


def _surrounded(things: Sequence[Thing]) -> str:
    if not things:
        return ""
    near = [with_article(thing.word) for thing in things if not thing.whole]
    behind = [with_article(thing.word) for thing in things if thing.whole]
    parts = [f"{listed(near)} nearby"] if near else []
    return f", with {' and '.join([*parts, *([f'{listed(behind)} in the background'] if behind else [])])}"


def _called(sighting: Sighting, card: Card | None, avoid: Container[str]) -> str:
    """ "<Lala> the dog": the kind helps where the name alone does not tell it."""
    name = mark(sighting.name)
    kind = card.category.casefold() if card else ""
    if not is_animal(kind) or kind in sighting.name.casefold() or kind in avoid:
        return name
    return f"{name} the {kind}"


def _be(card: Card | None) -> str:
    return "are" if card is not None and is_plural(card.category) else "is"
