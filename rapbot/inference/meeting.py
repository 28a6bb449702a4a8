"""People in a photo: their faces beside the faces that the visible concepts' people agreed to be recognised by.

The face models are loaded when the first job needs them: most people never teach a person.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from rapbot.inference.job import AvatarFace, Candidate, Region, VisibleConcepts
from rapbot.inference.loading import load_faces
from rapbot.inference.retrieval import YOU_SAID_NO
from rapbot.inference.specs import FaceSpec, Runtime
from rapbot.messages import Box, Sighting

if TYPE_CHECKING:
    from rapbot.inference.face_matching import FaceMatch, FaceRules, KnownFaces
    from rapbot.inference.faces import Face
    from rapbot.inference.seams import FaceFinder

_CLEAR = 0.135
"""Spread of a key beyond which the face is blurred or turned away: such avatars invite wrong names."""
_LIKELY = 0.3
"""Confidence from which on a face may be one that must not be named: rather not named than named against their will."""
_OPEN = 1.35
"""A face that nobody was recognised by may still be somebody's at this part of the limit (measured: people's own
faces that were not recognised lie at 1.0 to 1.3, those of others at 1.1 to 1.5)..."""
_OPEN_UNCLEAR = 1.75
"""...and at this part where it is tiny, blurred or half turned away, so that it says little."""


@dataclass(frozen=True, slots=True)
class Head:
    """A face and whose it is: `concept_id` for certain where `named`, else whom it leaves open; 0 is somebody else."""

    region: int
    box: Box
    concept_id: int = 0
    named: bool = False


@dataclass(frozen=True, slots=True)
class Met:
    """Who is in a photo; `regions` follow the regions that the photo had before."""

    sightings: tuple[Sighting, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    regions: tuple[Region, ...] = ()
    strangers: int = 0
    heads: tuple[Head, ...] = ()
    """Largest first."""


class FaceEyes:
    """Finds faces and knows people by them."""

    def __init__(self, weights_dir: Path, spec: FaceSpec | None = None, runtime: Runtime | None = None) -> None:
        """`spec` None: the models of dlib."""
        self._weights_dir = weights_dir
        self._spec = spec or FaceSpec()
        self._runtime = runtime or Runtime()
        self._engine: FaceFinder | None = None

    def look(self, picture: Image.Image, concepts: VisibleConcepts) -> tuple[Face, ...]:
        """The faces of a photo, to be compared with those of `concepts`.

        Raises WeightsError when the models are not there.
        """
        engine = self._loaded()
        keys = [*(face.key for face in concepts.faces), *concepts.unwanted]
        return engine.find(picture, _table([key for key in keys if len(key) == 4 * engine.dimension], engine.dimension))

    def meet(self, faces: Sequence[Face], concepts: VisibleConcepts, regions_before: int) -> Met:
        """Who of the visible people is there, by the rules of these models."""
        return meet(faces, concepts, regions_before, self._engine.rules if self._engine is not None else None)

    def look_at_avatar(self, picture: Image.Image) -> tuple[AvatarFace, ...]:
        """The faces by which somebody may be recognised, largest first."""
        faces = self._loaded().find_avatar(picture)
        return tuple(
            AvatarFace(face.box, face.key.astype("<f4").tobytes(), face.sure and face.spread <= _CLEAR)
            for face in faces
        )

    def _loaded(self) -> FaceFinder:
        if self._engine is None:
            self._engine = load_faces(self._spec, self._runtime, self._weights_dir)
        return self._engine


def meet(faces: Sequence[Face], concepts: VisibleConcepts, regions_before: int, rules: FaceRules | None = None) -> Met:
    """Who of the visible people is there: each at most once, each face at most one of them."""
    from rapbot.inference.face_matching import FaceRules, match_faces

    rules = rules or FaceRules()
    concepts = _comparable(concepts, faces[0].key.nbytes if faces else 0)
    cards = {card.concept_id: card for card in concepts.cards}
    names = {number: card.name for number, card in cards.items()}
    sightings: list[Sighting] = []
    candidates: list[Candidate] = []
    unnamed = _unwanted(faces, concepts, rules)
    matches = [match for match in match_faces(faces, _known(concepts), rules) if match.face not in unnamed]
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
    regions = tuple(Region(face.box) for face in faces)
    whose = {match.face: _whose(match, faces[match.face], names, sightings, rules) for match in matches}
    heads = (Head(regions_before + n, face.box, *whose.get(n, ())) for n, face in enumerate(faces))
    return Met(tuple(sightings), tuple(by_confidence), regions, strangers, tuple(heads))


def _comparable(concepts: VisibleConcepts, length: int) -> VisibleConcepts:
    """Without keys of another face model, which tell nothing. Where somebody refused under that one nobody is named:
    it might be them."""
    refused = any(len(key) != length for key in concepts.unwanted)
    faces = () if refused else tuple(face for face in concepts.faces if len(face.key) == length)
    return replace(concepts, faces=faces, unwanted=() if refused else concepts.unwanted)


def _whose(
    match: FaceMatch, face: Face, names: Container[int], seen: Sequence[Sighting], rules: FaceRules
) -> tuple[int, bool]:
    """`Head.concept_id` and `Head.named` of a face. Of two who cannot be told apart neither is certain."""
    if match.accepted:
        return (0, False) if match.either or match.concept_id not in names else (match.concept_id, True)
    clear = face.sure and face.size >= rules.side and face.sharpness >= rules.sharpness
    said_no = match.reason == YOU_SAID_NO or any(match.concept_id == one.concept_id for one in seen)
    far = match.distance > rules.limit * (_OPEN if clear else _OPEN_UNCLEAR)
    return (0 if said_no or far or match.concept_id not in names else match.concept_id), False


def _called(match: FaceMatch, names: dict[int, str]) -> str:
    """Two people who cannot be told apart are both named."""
    return " or ".join([names[match.concept_id], *(names[other] for other in match.either if other in names)])


def _unwanted(faces: Sequence[Face], concepts: VisibleConcepts, rules: FaceRules) -> set[int]:
    """Faces of those who said that nobody's card may name them here, whomever else they look like."""
    from rapbot.inference.face_matching import KnownFaces, match_faces

    if not concepts.unwanted:
        return set()
    known = KnownFaces.of(_table(concepts.unwanted), range(len(concepts.unwanted)))
    return {match.face for match in match_faces(faces, known, rules) if match.confidence >= _LIKELY}


def _known(concepts: VisibleConcepts) -> KnownFaces:
    from rapbot.inference.face_matching import KnownFaces

    keys = [face.key for face in concepts.faces]
    avatars = [face.avatar_id for face in concepts.faces]
    against = [face.counterexample for face in concepts.faces]
    return KnownFaces.of(_table(keys), [face.concept_id for face in concepts.faces], avatars, against)


def _table(keys: Sequence[bytes], length: int = -1) -> npt.NDArray[np.float32]:
    return np.frombuffer(b"".join(keys), np.float32).reshape(len(keys), length if keys or length > 0 else 0)
