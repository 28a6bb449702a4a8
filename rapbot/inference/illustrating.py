"""What a model that sees is shown beside the photo, and what its own look adds to the scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from PIL import Image

from rapbot.concepts.category import is_person
from rapbot.inference.guard import clean
from rapbot.inference.job import Candidate, Card, Job, Region, Scene, Task
from rapbot.inference.judge import doubtful, judge
from rapbot.inference.prompt import build_traits_prompt, select_cards
from rapbot.inference.seams import Generator
from rapbot.messages import Box, Sighting
from rapbot.photos import PhotoLimits, open_photo

MOST_TRAITS = 200
"""Characters."""
_ILLUSTRATED = frozenset({Task.CAPTION, Task.DESCRIBE, Task.QUESTION, Task.LOCATE})
"""Tasks for which a model that sees is shown avatars."""


class Illustrator:
    """The part of the pipeline that only models which see need."""

    def __init__(self, generator: Generator, limits: PhotoLimits, *, judges: bool) -> None:
        self._generator = generator
        self._limits = limits
        self._judges = judges and generator.sees

    @property
    def needed(self) -> bool:
        return self._generator.sees

    def wanted(self, job: Job, scene: Scene | None) -> tuple[tuple[int, int], ...]:
        """(avatar id, concept id) of the pictures that the model must be shown for this job."""
        wanted = {candidate.concept_id: candidate.avatar_id for candidate in self._doubtful(job, scene)}
        if job.task in _ILLUSTRATED:
            cards = select_cards(job, scene, self._generator.concepts_in_prompt)
            wanted |= _avatars_of(cards, scene, job)
        return tuple((avatar, concept) for concept, avatar in wanted.items())

    def pictures(self, job: Job) -> dict[int, Image.Image]:
        """The avatars that came with the job, by concept; upright RGB. Raises PhotoError."""
        return {shown.concept_id: open_photo(shown.jpeg, self._limits) for shown in job.avatars or ()}

    def judged(self, job: Job, scene: Scene, picture: Image.Image, avatars: Mapping[int, Image.Image]) -> Scene:
        """The scene after a second look at what was doubtful in it."""
        unsure = self._doubtful(job, scene)
        return judge(self._generator, scene, picture, job.concepts.cards, avatars, unsure) if unsure else scene

    def traits(self, category: str, picture: Image.Image) -> str:
        """What tells the thing from others of its kind, written once when it is taught (R2P); "" for people."""
        if not self._judges or is_person(category):
            return ""
        [written] = self._generator.generate([build_traits_prompt(category, picture)])
        return clean(written)[:MOST_TRAITS]

    def _doubtful(self, job: Job, scene: Scene | None) -> tuple[Candidate, ...]:
        if not self._judges or scene is None or job.options:
            return ()
        return doubtful(scene, job.concepts.cards)


def with_boxes(scene: Scene | None, cards: Sequence[Card], boxes: Sequence[tuple[int, Box]]) -> Scene | None:
    """The scene with what only the model that sees found (concept id, box), marked as unsure."""
    if scene is None or not boxes:
        return scene
    by_id = {card.concept_id: card for card in cards}
    regions, sightings = list(scene.regions), list(scene.sightings)
    for concept, box in boxes:
        card = by_id[concept]
        sightings.append(Sighting(concept, card.name, box, 2.0, 0.4, 0, len(regions), card.owner_name, unsure=True))
        regions.append(Region(box))
    return replace(scene, regions=tuple(regions), sightings=tuple(sightings))


def _avatars_of(cards: Sequence[Card], scene: Scene | None, job: Job) -> dict[int, int]:
    """Concept id -> the avatar to show for it: the one that the photo resembles, else its first."""
    first: dict[int, int] = {}
    for row in job.concepts.rows:
        if not row.counterexample:
            first.setdefault(row.concept_id, row.avatar_id)
    seen = {sighting.concept_id: sighting.avatar_id for sighting in scene.sightings} if scene else {}
    chosen = {card.concept_id: seen.get(card.concept_id) or first.get(card.concept_id) for card in cards}
    return {concept: avatar for concept, avatar in chosen.items() if avatar is not None}
