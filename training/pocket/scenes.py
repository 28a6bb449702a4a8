"""Photos in words and the captions that are true of them: composed ones, and what the eyes saw in real ones."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rapbot.inference.captions import UNSEEN
from rapbot.inference.job import Card, Region, Scene, Tag
from rapbot.inference.kinds import is_animal
from rapbot.inference.prompt import scene_in_words
from rapbot.inference.wording import is_plural, place, sentence
from rapbot.messages import WHOLE, Box, Sighting

_BOXES = (
    Box(0.0, 0.35, 0.3, 0.65),
    Box(0.05, 0.3, 0.32, 0.8),
    Box(0.7, 0.35, 1.0, 0.65),
    Box(0.68, 0.3, 0.95, 0.75),
    Box(0.35, 0.35, 0.65, 0.65),
    Box(0.4, 0.3, 0.6, 0.7),
    Box(0.35, 0.0, 0.65, 0.3),
    Box(0.4, 0.7, 0.6, 1.0),
    Box(0.0, 0.0, 0.3, 0.3),
    Box(0.7, 0.0, 1.0, 0.3),
    Box(0.0, 0.7, 0.3, 1.0),
    Box(0.7, 0.7, 1.0, 1.0),
    WHOLE,
)


@cache
def things() -> tuple[str, ...]:
    """Every word that the eyes of profile pocket can say."""
    from rapbot.inference.encoders import imagenet_words

    return tuple(dict.fromkeys(everyday.replace("_", " ") for _, everyday in imagenet_words()))


@cache
def real_scenes() -> tuple[tuple[str, ...], ...]:
    """The words that the pocket pipeline found in real photos (scenes.txt, a photo a line; written by seeing.py)."""
    file = Path(__file__).with_name("scenes.txt")
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return tuple(tuple(word for word in line.split("; ") if word) for line in lines)


@dataclass(frozen=True, slots=True)
class Placed:
    """A concept in a photo."""

    card: Card
    box: Box


def compose(placed: Sequence[Placed], things: Sequence[str]) -> Scene:
    """The scene whose words are these: things are tags of the whole picture that nobody doubts."""
    regions = [Region(WHOLE, whole=True, tags=tuple(Tag(thing, 0.99) for thing in things))]
    sightings = []
    for number, one in enumerate(placed, 1):
        regions.append(Region(one.box))
        sightings.append(Sighting(one.card.concept_id, one.card.name, one.box, 0.3, 0.9, one.card.concept_id, number))
    return Scene(640, 480, tuple(regions), tuple(sightings))


def place_cards(cards: Sequence[Card], rng: random.Random) -> list[Placed]:
    return [Placed(card, rng.choice(_BOXES)) for card in cards]


def draw_things(rng: random.Random) -> list[str]:
    """None, one or two words: those of a real photo, or invented."""
    if rng.random() < 0.5:
        return list(rng.choice(real_scenes()))
    return rng.sample(things(), rng.choice((0, 1, 1, 1, 2, 2)))


def caption(scene: Scene, cards: Sequence[Card], rng: random.Random) -> str:
    """A sentence that names exactly the concepts of `scene` and says only what its words say."""
    said = scene_in_words(scene, cards)
    if said == "nothing known":
        return UNSEEN
    by_id = {card.concept_id: card for card in cards}
    parts = said.split("; ")
    things = parts[len(scene.sightings) :]
    if not scene.sightings:
        return sentence(_things_alone(things, rng))
    seen = sorted(scene.sightings, key=lambda one: one.box.left + one.box.right)
    called = [_called(by_id[one.concept_id], rng) for one in seen]
    where = [place(one.box) for one in seen]
    be = ["are" if is_plural(by_id[one.concept_id].category) else "is" for one in seen]
    near = _near(things, rng)
    if len(called) == 1:
        who, at = called[0], where[0]
        return sentence(
            rng.choice(
                (
                    f"{who} {be[0]} {at}{near}",
                    f"{who} {at}{near}",
                    f"a photo of {who} {at}{near}",
                    f"here {be[0]} {who} {at}{near}",
                    f"{who} can be seen {at}{near}",
                    f"the photo shows {who} {at}{near}",
                    f"a photo of {who}{near}",
                    f"{who}{near}" if near else f"a photo with {who} {at}",
                    f"{who} {be[0]} in the picture, {at}{near}",
                )
            )
        )
    placed = [f"{who} {at}".strip() for who, at in zip(called, where, strict=True)]
    listed = _and(placed)
    if len(called) == 2 and all(where):
        pairs = (
            f"{called[0]} {be[0]} {where[0]} and {called[1]} {be[1]} {where[1]}{near}",
            f"{placed[0]}, {placed[1]}{near}",
            f"{called[0]} {be[0]} {where[0]}, with {placed[1]}{near}",
            f"{called[0]} {where[0]} and {called[1]} {where[1]}{near}",
        )
        if rng.random() < 0.6:
            return sentence(rng.choice(pairs))
    plain = _and(called)
    both = "both " if len(called) == 2 else ""
    return sentence(
        rng.choice(
            (
                f"a photo of {plain}{near}",
                f"{plain} together{near}",
                f"{plain} in one photo{near}",
                f"a photo of {listed}{near}",
                f"{plain} are {both}in the picture{near}",
                f"the photo shows {plain}{near}",
                f"here are {plain}{near}",
                f"{listed}{near}",
            )
        )
    )


def _called(card: Card, rng: random.Random) -> str:
    """ "<Milo> the cat": the kind only where the name does not hold it and nobody would laugh."""
    kind = card.category.casefold()
    helpful = is_animal(kind) and kind != "wooden horse" and kind not in card.name.casefold()
    return f"<{card.name}> the {kind}" if helpful and rng.random() < 0.5 else f"<{card.name}>"


def _near(things: Sequence[str], rng: random.Random) -> str:
    if not things:
        return ""
    both = _and(list(things))
    return rng.choice(
        (
            f", with {both} nearby",
            f", with {both} in the background",
            f" near {both}",
            f" beside {both}",
            f", with {both}",
            f", together with {both}",
            f" by {both}",
            f", with {both} in the picture",
            f". There is also {both}" if not is_plural(things[0]) else f", with {both}",
        )
    )


def _things_alone(things: Sequence[str], rng: random.Random) -> str:
    both = _and(list(things))
    if len(things) == 2 and rng.random() < 0.5:
        return rng.choice(
            (
                f"{things[0]} with {things[1]}",
                f"{things[0]} near {things[1]}",
                f"{things[0]} beside {things[1]}",
                f"{things[0]}, with {things[1]} in the background",
            )
        )
    return rng.choice(
        (f"a photo of {both}", f"the photo shows {both}", f"{both} in the picture", f"{both}", f"here is {both}")
    )


def _and(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
