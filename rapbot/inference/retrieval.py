"""Which of the person's concepts are in a photo: keys of its regions against the keys of the avatars.

Method: RAP, Section 3.1, with what the reference implementation lacks: a calibrated threshold, a margin between
look-alikes and counterexamples. Pure numpy; the search is exact and its cost is far below that of encoding one
crop, whatever the number of concepts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rapbot.inference.job import Candidate, Card, IndexRow, Region, VisibleConcepts
from rapbot.messages import Box, Sighting

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

TOO_FAR = "too far"
FITS_BETTER = "another concept fits better"
YOU_SAID_NO = "you said it is not"

_NOWHERE = 4.0
"""Instead of a distance where there is none; twice the largest one."""


@dataclass(frozen=True, slots=True)
class RetrievalRules:
    """When a region shows a concept. Distances are Euclidean, of L2-normalised keys: 0 = same picture, 2 = opposite."""

    window_distance: float = 0.915
    """A window farther than this from every avatar of a concept does not show it."""
    whole_distance: float = 0.915
    """The same for the whole picture."""
    margin: float = 0.03
    """A concept may be at most this much farther from a region than the concept that is nearest to it."""
    shared: float = 0.7
    """Regions of which the smaller lies in the larger by at least this part may show one and the same thing..."""
    alike: float = 0.2
    """...and do so for concepts whose distances from one of them differ by less than this: the nearer concept stays."""
    counterexample_reach: float = 0.915
    """A counterexample speaks only about regions nearer to it than this."""
    softness: float = 0.03
    """Distance beyond the threshold over which the confidence falls from .5 to .27."""
    per_region: int = 2
    """Concepts that one region may put forward."""
    shown: int = 8
    """Rejected candidates kept for *Why?*, beside those that were asked for."""


@dataclass(frozen=True, slots=True)
class AvatarKeys:
    """The avatars' keys taken out of the serialized index: `keys` float32[A, D], `avatars` and `columns` int64[A].

    `columns[i]` is the position in `concept_ids` of the concept that avatar i belongs to.
    """

    keys: Floats
    avatars: Integers
    columns: Integers
    counterexample: Flags
    concept_ids: tuple[int, ...] = field(default=())

    @classmethod
    def read(cls, concepts: VisibleConcepts) -> AvatarKeys:
        """The keys of all avatars whose concept has a card; rows and cards that stand alone are left out."""
        vectors, ids = _vectors(concepts.index)
        rows: dict[int, IndexRow] = {row.avatar_id: row for row in concepts.rows}
        column = {card.concept_id: i for i, card in enumerate(concepts.cards)}
        kept = [i for i, avatar in enumerate(ids) if avatar in rows and rows[avatar].concept_id in column]
        found = [rows[ids[i]] for i in kept]
        return cls(
            keys=vectors[kept],
            avatars=np.array([row.avatar_id for row in found], np.int64),
            columns=np.array([column[row.concept_id] for row in found], np.int64),
            counterexample=np.array([row.counterexample for row in found], np.bool_),
            concept_ids=tuple(column),
        )

    @property
    def positive(self) -> Floats:
        """float32[P, D]: keys of true avatars only."""
        return self.keys[~self.counterexample]


def _vectors(index: bytes) -> tuple[Floats, list[int]]:
    """float32[N, D] and N ids of `faiss.serialize_index(IndexIDMap2(IndexFlatL2))`."""
    if not index:
        return np.zeros((0, 0), np.float32), []
    import faiss

    owner = faiss.deserialize_index(np.frombuffer(index, np.uint8))  # frees everything below when it goes
    mapped: Any = faiss.downcast_index(owner)
    flat: Any = faiss.downcast_index(mapped.index)
    vectors: Floats = flat.reconstruct_n(0, flat.ntotal).astype(np.float32, copy=False)
    return vectors, [int(i) for i in faiss.vector_to_array(mapped.id_map)]


def retrieve(
    keys: Floats, regions: Sequence[Region], concepts: VisibleConcepts, mentioned: Sequence[int], rules: RetrievalRules
) -> tuple[tuple[Sighting, ...], tuple[Candidate, ...]]:
    """Sightings (accepted, one per concept, best first) and candidates (best first, the rejected ones with the reason).

    `keys` is float32[R, D], L2-normalised, one row per region. Each concept of `mentioned` that has
    an avatar gets a candidate, accepted or not.
    """
    avatars = AvatarKeys.read(concepts)
    if not len(regions) or not len(avatars.positive):
        return (), ()
    match = _match(keys, regions, avatars, rules)
    best_region = match.confidence.argmax(axis=0)
    best = match.confidence[best_region, np.arange(best_region.size)]
    wanted = {avatars.concept_ids.index(c) for c in mentioned if c in avatars.concept_ids}
    near = [int(c) for c in np.argsort(-best, kind="stable") if match.known[c]]
    accepted = [c for c in near if best[c] >= 0.5]
    put_forward = _put_forward(match, rules)
    rejected = [c for c in near if best[c] < 0.5 and c in put_forward][: rules.shown]
    listed = set(accepted) | set(rejected) | (wanted & set(near))
    candidates = tuple(_candidate(match, avatars, int(best_region[c]), c) for c in near if c in listed)
    cards = {card.concept_id: card for card in concepts.cards}
    sightings = tuple(
        _sighting(candidate, regions, cards[candidate.concept_id]) for candidate in candidates if candidate.accepted
    )
    return sightings, candidates


@dataclass(frozen=True, slots=True)
class _Match:
    """All regions against all concepts: arrays [R, C]. `known` bool[C]: the concept has an avatar."""

    distance: Floats
    avatar: Integers
    confidence: Floats
    vetoed: Flags
    outdone: Flags
    known: Flags


def _match(keys: Floats, regions: Sequence[Region], avatars: AvatarKeys, rules: RetrievalRules) -> _Match:
    distances = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * (keys @ avatars.keys.T))).astype(np.float32)
    distance, avatar = _nearest(distances, avatars, ~avatars.counterexample)
    against, _ = _nearest(distances, avatars, avatars.counterexample)
    vetoed = (against < distance) & (against < rules.counterexample_reach)
    allowed: Floats = np.where(vetoed, _NOWHERE, distance).astype(np.float32)
    limits = [rules.whole_distance if region.whole else rules.window_distance for region in regions]
    room = np.array(limits, np.float32)[:, None] - distance
    lead = _lead(allowed, regions, room >= 0.0, rules)
    slack = np.minimum(room, lead)
    likely = 1.0 / (1.0 + np.exp(np.minimum(-slack / rules.softness, 80.0)))
    confidence: Floats = np.where(vetoed, np.minimum(likely, 0.01), likely).astype(np.float32)
    known = np.asarray((distance < _NOWHERE).any(axis=0))
    return _Match(distance, avatar, confidence, vetoed, lead < room, known)


def _lead(distance: Floats, regions: Sequence[Region], near: Flags, rules: RetrievalRules) -> Floats:
    """[R, C]: how far each concept is from giving way to one that fits better; infinite where there is none.

    Better may be another concept in the same region, or a look-alike in a region that shows the same thing.
    """
    rival = distance.min(axis=1, keepdims=True)
    lead: Floats = np.where(distance > rival, rival + rules.margin - distance, np.inf).astype(np.float32)
    together = _shared([region.box for region in regions]) >= rules.shared
    for r, c in np.argwhere(near & (lead >= 0.0)):  # few: those that would be accepted
        alike = distance[r] < distance[r, c] + rules.alike
        alike[c] = False
        nearest = distance[together[r]][:, alike].min(initial=_NOWHERE)
        if nearest < distance[r, c]:
            lead[r, c] = min(lead[r, c], nearest + rules.margin - distance[r, c])
    return lead


def _shared(boxes: Sequence[Box]) -> Floats:
    """[R, R]: which part of the smaller of two boxes lies in the larger."""
    sides = np.array([(box.left, box.top, box.right, box.bottom) for box in boxes], np.float32)
    low = np.maximum(sides[:, None, :2], sides[None, :, :2])
    high = np.minimum(sides[:, None, 2:], sides[None, :, 2:])
    common = np.maximum(high - low, 0.0).prod(axis=2)
    area = (sides[:, 2:] - sides[:, :2]).prod(axis=1)
    shared: Floats = common / np.maximum(np.minimum(area[:, None], area[None, :]), 1e-9)
    return shared


def _nearest(distances: Floats, avatars: AvatarKeys, among: Flags) -> tuple[Floats, Integers]:
    """Distance [R, C] to the nearest avatar of each concept (_NOWHERE without any) and that avatar's id [R, C]."""
    shape = (distances.shape[0], len(avatars.concept_ids))
    nearest = np.full(shape, _NOWHERE, np.float32)
    which = np.zeros(shape, np.int64)
    chosen = np.flatnonzero(among)
    if chosen.size:
        # Farthest first, so that the nearest avatar of a concept is written last and stays.
        order = chosen[np.argsort(-distances[:, chosen], axis=1, kind="stable")]
        rows = np.arange(shape[0])[:, None]
        nearest[rows, avatars.columns[order]] = distances[rows, order]
        which[rows, avatars.columns[order]] = avatars.avatars[order]
    return nearest, which


def _put_forward(match: _Match, rules: RetrievalRules) -> set[int]:
    """Concepts that are among the nearest of at least one region."""
    order = np.argsort(match.distance, axis=1, kind="stable")[:, : rules.per_region]
    return {int(c) for c in order.ravel() if match.known[c]}


def _candidate(match: _Match, avatars: AvatarKeys, region: int, column: int) -> Candidate:
    confidence = float(match.confidence[region, column])
    accepted = confidence >= 0.5
    reason = ""
    if not accepted:
        reason = FITS_BETTER if match.outdone[region, column] else TOO_FAR
        reason = YOU_SAID_NO if match.vetoed[region, column] else reason
    return Candidate(
        region=region,
        concept_id=avatars.concept_ids[column],
        avatar_id=int(match.avatar[region, column]),
        distance=float(match.distance[region, column]),
        confidence=confidence,
        accepted=accepted,
        reason=reason,
    )


def _sighting(candidate: Candidate, regions: Sequence[Region], card: Card) -> Sighting:
    return Sighting(
        concept_id=candidate.concept_id,
        name=card.name,
        box=regions[candidate.region].box,
        distance=candidate.distance,
        confidence=candidate.confidence,
        avatar_id=candidate.avatar_id,
        region=candidate.region,
        owner_name=card.owner_name,
    )
