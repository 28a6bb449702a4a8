"""People in a photo: their faces beside the faces that the visible concepts' people agreed to be recognised by.

The face models are loaded when the first job needs them: most people never teach a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from rapbot.inference.job import AvatarFace, Candidate, Region, VisibleConcepts
from rapbot.messages import Sighting

if TYPE_CHECKING:
    from rapbot.inference.face_matching import FaceMatch, KnownFaces
    from rapbot.inference.faces import Face, FaceEngine

_CLEAR = 0.135
"""Spread of a key beyond which the face is blurred or turned away: such avatars invite wrong names."""
_LIKELY = 0.3
"""Confidence from which on a face may be one that must not be named: rather not named than named against their will."""


@dataclass(frozen=True, slots=True)
class Met:
    """Who is in a photo; `regions` follow the regions that the photo had before."""

    sightings: tuple[Sighting, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    regions: tuple[Region, ...] = ()
    strangers: int = 0


class FaceEyes:
    """Finds faces and knows people by them."""

    def __init__(self, weights_dir: Path) -> None:
        self._weights_dir = weights_dir
        self._engine: FaceEngine | None = None

    def look(self, picture: Image.Image, concepts: VisibleConcepts) -> tuple[Face, ...]:
        """The faces of a photo, to be compared with those of `concepts`.

        Raises WeightsError when the models are not there.
        """
        return self._loaded().find(picture, _table([*(face.key for face in concepts.faces), *concepts.unwanted]))

    def look_at_avatar(self, picture: Image.Image) -> tuple[AvatarFace, ...]:
        """The faces by which somebody may be recognised, largest first."""
        faces = self._loaded().find_avatar(picture)
        return tuple(
            AvatarFace(face.box, face.key.astype("<f4").tobytes(), face.sure and face.spread <= _CLEAR)
            for face in faces
        )

    def _loaded(self) -> FaceEngine:
        if self._engine is None:
            from rapbot.inference.faces import FaceEngine
            from rapbot.inference.weights import FACES, ensure

            self._engine = FaceEngine.load(ensure(FACES, self._weights_dir))
        return self._engine


def meet(faces: Sequence[Face], concepts: VisibleConcepts, regions_before: int) -> Met:
    """Who of the visible people is there: each at most once, each face at most one of them."""
    from rapbot.inference.face_matching import match_faces

    cards = {card.concept_id: card for card in concepts.cards}
    names = {number: card.name for number, card in cards.items()}
    sightings: list[Sighting] = []
    candidates: list[Candidate] = []
    unnamed = _unwanted(faces, concepts)
    matches = [match for match in match_faces(faces, _known(concepts)) if match.face not in unnamed]
    for match in matches:
        card = cards.get(match.concept_id)
        if card is None:  # it went meanwhile
            continue
        region = regions_before + match.face
        candidates.append(
            Candidate(
                region,
                match.concept_id,
                match.avatar_id,
                match.distance,
                match.confidence,
                match.accepted,
                match.reason,
            )
        )
        if match.accepted:
            sightings.append(
                Sighting(
                    match.concept_id,
                    _called(match, names),
                    faces[match.face].box,
                    match.distance,
                    match.confidence,
                    match.avatar_id,
                    region,
                    card.owner_name,
                )
            )
    named = {match.face for match in matches if match.accepted and match.concept_id in cards}
    strangers = sum(face.sure for number, face in enumerate(faces) if number not in named)
    by_confidence = sorted(candidates, key=lambda one: -one.confidence)
    return Met(tuple(sightings), tuple(by_confidence), tuple(Region(face.box) for face in faces), strangers)


def _called(match: FaceMatch, names: dict[int, str]) -> str:
    """Two people who cannot be told apart are both named."""
    return " or ".join([names[match.concept_id], *(names[other] for other in match.either if other in names)])


def _unwanted(faces: Sequence[Face], concepts: VisibleConcepts) -> set[int]:
    """Faces of those who said that nobody's card may name them here, whomever else they look like."""
    from rapbot.inference.face_matching import KnownFaces, match_faces

    if not concepts.unwanted:
        return set()
    known = KnownFaces.of(_table(concepts.unwanted), range(len(concepts.unwanted)))
    return {match.face for match in match_faces(faces, known) if match.confidence >= _LIKELY}


def _known(concepts: VisibleConcepts) -> KnownFaces:
    from rapbot.inference.face_matching import KnownFaces

    keys = [face.key for face in concepts.faces]
    avatars = [face.avatar_id for face in concepts.faces]
    against = [face.counterexample for face in concepts.faces]
    return KnownFaces.of(_table(keys), [face.concept_id for face in concepts.faces], avatars, against)


def _table(keys: Sequence[bytes]) -> npt.NDArray[np.float32]:
    return np.frombuffer(b"".join(keys), np.float32).reshape(len(keys), -1)
