"""What else a photo shows, beside the concepts found: the few words that are sure enough to be said.

The words come from an ImageNet head looking at windows, so most are noise; saying one thing too few is better than
naming a thing that is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rapbot.inference.job import Card, Region, Scene, Tag
from rapbot.inference.kinds import alike, is_clothing, is_person
from rapbot.inference.vocabulary import words
from rapbot.messages import Box, Sighting

EVIDENCE = 3.0
"""Summed probability from which a word is believed; a window counts once, the whole picture three times.

With this and `WHOLE_SURE`, four of five words stand in the captions or objects of 159 everyday photos (COCO); the
highest single probability, whatever the threshold, gives three of four.
"""
WHOLE_SURE = 0.6
"""Probability of the whole picture that suffices alone."""
GROUPED = 1.0
"""Summed probability of all words of one group that suffices for the group's own word: four of five are right as well,
and half of the photos in which no single word is sure get one."""
GUESSED = 1.0
"""Summed probability from which a guess is worth saying as a guess."""
_WHOLE_COUNTS = 3.0

_ODD = words(
    "website stage menu prison bubble match nail scale ruler screw switch safety_pin sea_cow military_vehicle"
    " guillotine gong altar maze coil reel hook eraser envelope oil_filter neck_brace adhesive_bandage gas_pump"
    " gymnastics_bar slot_machine fire_screen syringe potter's_wheel electronic_device gauge computer_part weight"
    " armor shield stretcher drilling_rig muzzle robe packet case box rack lid tray pole net crib mask wig diaper"
    " plunger hair_clip spindle swimsuit bra bib makeup rifle gun cassette jar sign scoreboard wheel trombone"
    " railing folder stage theater match torch ball_pen"
)
"""Words an ImageNet head likes to say of things that are none of them."""


_GROUPS = {
    "a kitchen": words(
        "microwave stove refrigerator oven dishwasher toaster pan pot kitchen_tool coffee_maker sink waffle_iron"
    ),
    "a bathroom": words("toilet tub sink towel paper_roll washing_machine plunger"),
    "a bedroom": words("bed pillow blanket crib"),
    "a living room": words("couch television bookshelves fire_screen rug lamp curtain"),
    "a desk with a computer": words("computer keyboard screen computer_mouse printer desk"),
    "a street": words("traffic_light parking_meter bus car truck sign trash_can pole train"),
    "some food": words(
        "food pizza plate dish hot_dog burger dessert bread fruit vegetable soup pasta squash dough corn mushroom pie"
    ),
    "a sports scene": words("ball racket scoreboard gymnastics_bar person helmet"),
    "a snowy place": words("ski sled snowmobile mountain cliff"),
    "a place by the water": words("beach coast boat ship pier lake breakwater swimsuit submarine paddle"),
    "an animal": words(
        "dog cat bird fish insect monkey big_cat cow sheep bear horse elephant zebra goat fox wolf camel antelope pig"
        " llama ape panda rabbit"
    ),
}
"""What a photo shows when its words are unsure but agree in kind."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One kind of thing that is in the photo. `box` is the window that shows it best."""

    word: str
    probability: float
    box: Box
    whole: bool


def other_things(scene: Scene, cards: Iterable[Card], limit: int = 2) -> list[Thing]:
    """Things that are sure, surest first, none of which is one of the sighted concepts (`cards`) under another word."""
    by_id = {card.concept_id: card for card in cards}
    people = [one for one in scene.sightings if one.concept_id in by_id and is_person(by_id[one.concept_id].category)]
    taken = _words_of_sightings(scene, by_id, people)
    hidden = [one.box for one in scene.sightings if one not in people]
    found = [one for one in _things(scene, hidden) if one.thing.word not in taken]
    if people:
        found = [one for one in found if not is_clothing(one.thing.word)]
    sure = [one.thing for one in found if one.evidence >= EVIDENCE or one.whole >= WHOLE_SURE]
    return _distinct(sure)[:limit]


def kind_of_photo(scene: Scene) -> str | None:
    """ "a kitchen", "some food", "an animal": what many unsure words have in common."""
    evidence = {one.thing.word: one.evidence for one in _things(scene, (), odd=True)}
    sums = {phrase: sum(evidence.get(word, 0.0) for word in group) for phrase, group in _GROUPS.items()}
    phrase = max(sums, key=sums.__getitem__)
    return phrase if sums[phrase] >= GROUPED else None


def likeliest_thing(scene: Scene) -> Thing | None:
    """The best guess at what a photo shows when nothing is sure; for a sentence that says it is a guess."""
    found = _things(scene, ())
    return found[0].thing if found and found[0].evidence >= GUESSED else None


@dataclass(frozen=True, slots=True)
class _Weighed:
    thing: Thing
    evidence: float
    whole: float


def _things(scene: Scene, hidden: Sequence[Box], *, odd: bool = False) -> list[_Weighed]:
    """Every word said of any region, most evidence first; regions inside `hidden` boxes do not count."""
    total: dict[str, float] = {}
    whole: dict[str, float] = {}
    best: dict[str, Thing] = {}
    for region in scene.regions:
        if not region.whole and any(_overlap(region.box, box) > 0.4 for box in hidden):
            continue
        for tag in _everyday(region):
            word = tag.word
            if word in _ODD and not odd:
                continue
            total[word] = total.get(word, 0.0) + tag.probability * (_WHOLE_COUNTS if region.whole else 1.0)
            if region.whole:
                whole[word] = tag.probability
            if word not in best or tag.probability > best[word].probability:
                best[word] = Thing(word, tag.probability, region.box, region.whole)
    weighed = [_Weighed(best[word], evidence, whole.get(word, 0.0)) for word, evidence in total.items()]
    return sorted(weighed, key=lambda one: -one.evidence)


def _everyday(region: Region) -> list[Tag]:
    """Tags without exact words ("Pembroke corgi" before "dog"): those stand right before the everyday word they are
    part of, which is at least as probable."""
    following = [tag.probability for tag in region.tags[1:]] + [0.0] * bool(region.tags)
    return [tag for tag, after in zip(region.tags, following, strict=True) if after < tag.probability]


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


def _words_of_sightings(scene: Scene, cards: dict[int, Card], people: Sequence[Sighting]) -> set[str]:
    """Every word that could mean one of the found concepts: kind, name, description, and what its own window shows.

    Not what the window of a person shows: ImageNet has no word for people, only for what they hold and wear.
    """
    taken: set[str] = set()
    for sighting in scene.sightings:
        card = cards.get(sighting.concept_id)
        said = [sighting.name, *((card.category, card.info) if card else ())]
        for text in said:
            for word in (text.casefold().replace("_", " "), *text.casefold().replace("_", " ").split()):
                taken |= alike(word.strip(".,;:!?"))
        for number, region in enumerate(scene.regions if sighting not in people else ()):
            near = _overlap(region.box, sighting.box) > 0.4 and (not region.whole or sighting.box.area > 0.3)
            if number == sighting.region or near:
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
