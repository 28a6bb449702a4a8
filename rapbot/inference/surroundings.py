"""What else a photo shows, beside the concepts found: the few words that are sure enough to be said.

The words come from an ImageNet head looking at windows, so most are noise; saying one thing too few is better than
naming a thing that is not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rapbot.inference.job import Card, Region, Scene
from rapbot.inference.kinds import alike
from rapbot.inference.vocabulary import words
from rapbot.messages import Box

WINDOW_SURE = 0.80
"""Probability from which one window's word is believed."""
WHOLE_SURE = 0.45
"""The same for the whole picture, where the word is rarely wrong."""
AGREED = 0.60
"""Probability that suffices when two windows say the same."""

_ODD = words(
    "website stage menu prison bubble match nail scale ruler screw switch safety_pin sea_cow military_vehicle"
    " guillotine gong altar maze coil reel hook eraser envelope oil_filter neck_brace adhesive_bandage gas_pump"
    " gymnastics_bar slot_machine fire_screen syringe potter's_wheel electronic_device gauge computer_part weight"
    " armor shield stretcher drilling_rig muzzle robe packet case box rack lid tray pole net crib mask wig diaper"
    " plunger hair_clip spindle swimsuit bra bib makeup rifle gun cassette jar sign"
)
"""Words an ImageNet head likes to say of things that are none of them."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One kind of thing that is in the photo. `box` is the window that shows it best."""

    word: str
    probability: float
    box: Box
    whole: bool


def other_things(scene: Scene, cards: Iterable[Card], limit: int = 2) -> list[Thing]:
    """Things that are sure, surest first, none of which is one of the sighted concepts (`cards`) under another word."""
    taken = _words_of_sightings(scene, {card.concept_id: card for card in cards})
    best: dict[str, Thing] = {}
    votes: dict[str, int] = {}
    for region in scene.regions:
        covered = any(_overlap(region.box, sighting.box) > 0.4 for sighting in scene.sightings)
        for tag in region.tags:
            word = tag.word
            if covered or word in taken or word in _ODD:
                continue
            if tag.probability >= AGREED:
                votes[word] = votes.get(word, 0) + 1
            if word not in best or tag.probability > best[word].probability:
                best[word] = Thing(word, tag.probability, region.box, region.whole)
    sure = [thing for thing in best.values() if _is_sure(thing, votes.get(thing.word, 0))]
    return _distinct(sorted(sure, key=lambda thing: -thing.probability))[:limit]


def _is_sure(thing: Thing, votes: int) -> bool:
    enough = WHOLE_SURE if thing.whole else AGREED if votes > 1 else WINDOW_SURE
    return thing.probability >= enough


def _distinct(things: list[Thing]) -> list[Thing]:
    """Without a second word for the same kind of thing ("table lamp", "lamp"): the everyday one stays."""
    kept: list[Thing] = []
    for thing in things:
        said = alike(thing.word)
        same = next((one for one in kept if one.word in said or thing.word in alike(one.word)), None)
        if same is None:
            kept.append(thing)
        elif len(thing.word) < len(same.word) and same.word.endswith(thing.word):
            kept[kept.index(same)] = thing
    return kept


def _words_of_sightings(scene: Scene, cards: dict[int, Card]) -> set[str]:
    """Every word that could mean one of the found concepts: kind, name, description, and what its own window shows."""
    taken: set[str] = set()
    for sighting in scene.sightings:
        card = cards.get(sighting.concept_id)
        said = [sighting.name, *((card.category, card.info) if card else ())]
        for text in said:
            for word in (text.casefold().replace("_", " "), *text.casefold().replace("_", " ").split()):
                taken |= alike(word.strip(".,;:!?"))
        for number, region in enumerate(scene.regions):
            if number == sighting.region or _overlap(region.box, sighting.box) > 0.4:
                taken |= _tag_words(region)
    return taken


def _tag_words(region: Region) -> set[str]:
    return {word for tag in region.tags for word in alike(tag.word)}


def _overlap(one: Box, other: Box) -> float:
    """Shared area over the smaller area."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    smaller = min(one.area, other.area)
    return max(0.0, width) * max(0.0, height) / smaller if smaller else 0.0
