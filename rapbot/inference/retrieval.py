"""Which of the person's concepts are in a photo: keys of its regions against the keys of the avatars.

Method: RAP, Section 3.1, with what the reference implementation lacks: a calibrated threshold, a margin between
look-alikes and counterexamples. Pure numpy; the search is exact and its cost is far below that of encoding one
crop, whatever the number of concepts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rapbot.concepts.category import is_person
from rapbot.concepts.faiss_bytes import read_flat_index
from rapbot.i18n import mark
from rapbot.inference.job import Candidate, Card, Region, VisibleConcepts
from rapbot.messages import Box, Sighting

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

TOO_FAR = mark("too far")
FITS_BETTER = mark("another concept fits better")
YOU_SAID_NO = mark("you said it is not")

_NOWHERE = 4.0
"""Instead of a distance where there is none; twice the largest one."""
_VETO = -4.6
"""Slack of what a person said it is not, in units of the softness: a confidence of .01."""


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
    """The visible concepts ready to be compared: `keys` float32[A, D], `avatars` and `columns` int64[A].

    `columns[i]` is the position in `cards` of the concept that avatar i belongs to.
    """

    keys: Floats
    avatars: Integers
    columns: Integers
    counterexample: Flags
    cards: tuple[Card, ...]

    @classmethod
    def read(cls, concepts: VisibleConcepts) -> AvatarKeys:
        """The keys of all avatars whose concept has a card; rows and cards that stand alone are left out.

        So are people: the same person in another coat is another thing. They are recognised by their faces.
        """
        keys, avatars = read_flat_index(concepts.index)
        people = {face.concept_id for face in concepts.faces}
        cards = {
            card.concept_id: card
            for card in concepts.cards
            if card.concept_id not in people and not is_person(card.category)
        }
        column = {concept: i for i, concept in enumerate(cards)}
        column_of = {row.avatar_id: column.get(row.concept_id, -1) for row in concepts.rows}
        against = {row.avatar_id for row in concepts.rows if row.counterexample}
        ids = avatars.tolist()
        columns = np.array([column_of.get(avatar, -1) for avatar in ids], np.int64)
        counterexample = np.array([avatar in against for avatar in ids], np.bool_)
        known = columns >= 0
        if not known.all():  # rare; otherwise the keys need no second copy
            keys, avatars, columns, counterexample = keys[known], avatars[known], columns[known], counterexample[known]
        return cls(keys, avatars, columns, counterexample, tuple(cards.values()))

    @property
    def positive(self) -> Floats:
        """float32[P, D]: keys of true avatars only."""
        return self.keys[~self.counterexample] if self.counterexample.any() else self.keys


def retrieve(
    keys: Floats, regions: Sequence[Region], avatars: AvatarKeys, mentioned: Sequence[int], rules: RetrievalRules
) -> tuple[tuple[Sighting, ...], tuple[Candidate, ...]]:
    """Sightings (accepted, one per concept, best first) and candidates (best first, the rejected ones with the reason).

    `keys` is float32[R, D], L2-normalised, one row per region. Each concept of `mentioned` that has
    an avatar gets a candidate, accepted or not.
    """
    if not len(regions) or avatars.counterexample.all():
        return (), ()
    match = _match(keys, regions, avatars, rules)
    forward = _put_forward(match, rules)
    # A concept stands for a region that puts it forward; one that none does (somebody asked for it) for any.
    best_region = np.where(forward | ~forward.any(axis=0), match.slack, -np.inf).argmax(axis=0)
    at_best = (best_region, np.arange(best_region.size))
    best = match.confidence[at_best]
    wanted = {column for column, card in enumerate(avatars.cards) if card.concept_id in mentioned}
    near = [int(c) for c in np.argsort(-match.slack[at_best], kind="stable") if match.known[c]]
    put_forward = set(np.flatnonzero(forward.any(axis=0)).tolist())
    accepted = [c for c in near if best[c] >= 0.5 and c in put_forward]
    rejected = [c for c in near if best[c] < 0.5 and c in put_forward][: rules.shown]
    listed = set(accepted) | set(rejected) | (wanted & set(near))
    found = [(_candidate(match, avatars, int(best_region[c]), c), avatars.cards[c]) for c in near if c in listed]
    sightings = tuple(sighting_of(candidate, regions, card) for candidate, card in found if candidate.accepted)
    return sightings, tuple(candidate for candidate, _ in found)


@dataclass(frozen=True, slots=True)
class _Match:
    """All regions against all concepts: arrays [R, C]. `known` bool[C]: the concept has an avatar.

    `slack` is how much farther a concept might be and still be accepted. It orders what is so near that every
    confidence is 1.
    """

    distance: Floats
    avatar: Integers
    slack: Floats
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
    slack = np.where(vetoed, np.minimum(slack, _VETO * rules.softness), slack).astype(np.float32)
    return _Match(distance, avatar, slack, confidence, vetoed, lead < room, known)


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
    shape = (distances.shape[0], len(avatars.cards))
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


def _put_forward(match: _Match, rules: RetrievalRules) -> Flags:
    """bool[R, C]: the concepts that are among the nearest of a region."""
    order = np.argsort(match.distance, axis=1, kind="stable")[:, : rules.per_region]
    forward = np.zeros(match.distance.shape, np.bool_)
    forward[np.arange(len(order))[:, None], order] = True
    return forward & match.known


def _candidate(match: _Match, avatars: AvatarKeys, region: int, column: int) -> Candidate:
    confidence = float(match.confidence[region, column])
    accepted = confidence >= 0.5
    reason = ""
    if not accepted:
        reason = FITS_BETTER if match.outdone[region, column] else TOO_FAR
        reason = YOU_SAID_NO if match.vetoed[region, column] else reason
    return Candidate(
        region=region,
        concept_id=avatars.cards[column].concept_id,
        avatar_id=int(match.avatar[region, column]),
        distance=float(match.distance[region, column]),
        confidence=confidence,
        accepted=accepted,
        reason=reason,
    )


def sighting_of(candidate: Candidate, regions: Sequence[Region], card: Card) -> Sighting:
    """What an accepted candidate says to people."""
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
