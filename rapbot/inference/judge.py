"""A second opinion on doubtful sightings: the model that sees compares the region with the avatar.

After R2P (retrieval and reasoning for personalization) and RAP's recognition prompt: a yes/no check, only where the
distance of the keys leaves doubt, because each costs a pass of the large model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from rapbot.concepts.category import is_person
from rapbot.i18n import mark
from rapbot.inference.eyes import cut
from rapbot.inference.job import Candidate, Card, Scene
from rapbot.inference.prompt import build_judge_prompt
from rapbot.inference.retrieval import YOU_SAID_NO, sighting_of
from rapbot.inference.seams import Generator

NOT_BY_SIGHT = mark("looked at closely, it is not")
BY_SIGHT = mark("looked at closely, it is")
_ANSWERS = ("Yes", "No")


@dataclass(frozen=True, slots=True)
class Doubt:
    """Which sightings are looked at again: confidences around the threshold of .5."""

    low: float = 0.25
    high: float = 0.7
    most: int = 3
    """Checks for one photo, the likeliest first."""


def doubtful(scene: Scene, cards: Sequence[Card], doubt: Doubt | None = None) -> tuple[Candidate, ...]:
    """The candidates of a photo that deserve a second look, likeliest first.

    What a person corrected does not; nor do people: they are recognised by their faces, with consent, or not at all.
    """
    doubt = doubt or Doubt()
    things = {card.concept_id for card in cards if not is_person(card.category)}
    unsure = [
        one
        for one in scene.candidates
        if doubt.low <= one.confidence <= doubt.high and one.reason != YOU_SAID_NO and one.concept_id in things
    ]
    return tuple(sorted(unsure, key=lambda candidate: -candidate.confidence)[: doubt.most])


def judge(
    generator: Generator,
    scene: Scene,
    picture: Image.Image,
    cards: Sequence[Card],
    avatars: Mapping[int, Image.Image],
    unsure: Sequence[Candidate],
) -> Scene:
    """The scene with the verdicts on `unsure`: sightings taken out or added, candidates with the reason.

    `avatars` are upright RGB pictures by concept id; a candidate without one stays as it is.
    """
    by_id = {card.concept_id: card for card in cards}
    for candidate in unsure:
        card, avatar = by_id.get(candidate.concept_id), avatars.get(candidate.concept_id)
        if card is None or avatar is None:
            continue
        crop = cut(picture, scene.regions[candidate.region].box)
        yes, no = generator.score(build_judge_prompt(generator.layout, card, crop, avatar), _ANSWERS)
        scene = _with_verdict(scene, candidate, card, yes > no)
    return scene


def _with_verdict(scene: Scene, candidate: Candidate, card: Card, there: bool) -> Scene:
    if there == candidate.accepted:
        return scene
    judged = replace(
        candidate,
        accepted=there,
        confidence=max(candidate.confidence, 0.5) if there else min(candidate.confidence, 0.49),
        reason=BY_SIGHT if there else NOT_BY_SIGHT,
    )
    candidates = tuple(judged if one == candidate else one for one in scene.candidates)
    sightings = tuple(one for one in scene.sightings if one.concept_id != candidate.concept_id)
    if there:
        sightings = (*sightings, sighting_of(judged, scene.regions, card))
    return replace(scene, candidates=candidates, sightings=sightings)
