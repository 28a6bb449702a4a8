"""Which of the known people the faces of a photo show.

One threshold does not do: strangers of one family or region may look more alike to a network than two photos of one
person do elsewhere. So a distance is measured in two yardsticks before it is compared: how far the avatar's own key
moves under small changes of its picture (`Face.spread`), and how near the face comes to somebody who is certainly
another person (the other faces of the photo, the avatars of the other people; the idea of adaptive score normalisation,
Matejka et al., Interspeech 2017). Then every face gets at most one person and every person at most one face, so that
the whole photo fits best, not one face after the other. Pure numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rapbot.i18n import mark
from rapbot.inference.faces import Face
from rapbot.inference.retrieval import FITS_BETTER, TOO_FAR, YOU_SAID_NO

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

OTHER_FACE = mark("another face fits better")
TOO_BLURRED = mark("too small or too blurred")

_NOWHERE = 9.0
"""Instead of a distance where there is none."""


@dataclass(frozen=True, slots=True)
class FaceRules:
    """When a face shows a person. Distances are Euclidean, of keys of length 1, in the yardsticks described above."""

    limit: float = 0.141
    """A face farther than this from every avatar of a person does not show them."""
    spread: float = 0.11
    """Spread of an ordinary avatar, and what is taken where it was not measured."""
    widest_spread: float = 0.115
    """A spread beyond this comes from a blurred or half-turned avatar, which is no reason to be generous."""
    spread_power: float = 0.25
    stranger: float = 0.18
    """Distance from which on the nearest other person counts as far away."""
    stranger_power: float = 0.7
    nobody: float = 0.163
    """Taken for the distance of the nearest other person where only one person is known."""
    crowded: float = 0.85
    """The second yardstick never shrinks distances below this part, however near other people are."""
    perhaps_same: float = 0.13
    """Faces, or avatars of two concepts, that are nearer to each other than this may be one person: they say nothing
    about strangers."""
    side: int = 48
    sharpness: float = 0.07
    """A face of fewer pixels or less detail than this needs to be nearer..."""
    doubt: float = 0.15
    """...by up to this part of the limit."""
    alike: float = 0.008
    """Two people who fit a face equally well, up to this, cannot be told apart: both are named."""
    counterexample_reach: float = 0.141
    """A counterexample speaks only about faces nearer to it than this."""
    second: float = 0.2
    """Weight of the second nearest avatar of a person beside the nearest one."""
    softness: float = 0.012
    """Distance beyond the limit over which the confidence falls from .5 to .27."""


@dataclass(frozen=True, slots=True)
class KnownFaces:
    """The people of the visible set: `keys` float32[N, 2049] as `Face.key`, and whose avatar each row is."""

    keys: Floats
    concepts: Integers
    avatars: Integers
    counterexample: Flags

    @classmethod
    def of(
        cls,
        keys: Floats,
        concepts: Sequence[int],
        avatars: Sequence[int] | None = None,
        counterexample: Sequence[bool] | None = None,
    ) -> KnownFaces:
        """From plain sequences, one item per row of `keys`; without `avatars` these are numbered from 0."""
        count = len(concepts)
        return cls(
            keys,
            np.array(concepts, np.int64),
            np.array(range(count) if avatars is None else avatars, np.int64),
            np.array([False] * count if counterexample is None else counterexample, np.bool_),
        )


@dataclass(frozen=True, slots=True)
class FaceMatch:
    """A face beside the person it fits best or was given to; `face` is its position among the faces of the photo."""

    face: int
    concept_id: int
    avatar_id: int
    distance: float
    """In the yardsticks above; 0 = same picture."""
    confidence: float
    """In [0, 1]; 0.5 is the limit."""
    accepted: bool
    reason: str = ""
    """Why it was not accepted."""
    either: tuple[int, ...] = ()
    """Other people who fit as well as `concept_id`: "<A> or <B>"."""


def match_faces(faces: Sequence[Face], known: KnownFaces, rules: FaceRules | None = None) -> tuple[FaceMatch, ...]:
    """One match per face, in their order: the person it was given to, or the nearest one with the reason against it.

    Empty where there is no face or nobody is known. No concept and no face is accepted twice.
    """
    rules = rules or FaceRules()
    people = np.unique(known.concepts[~known.counterexample])
    if not faces or not people.size:
        return ()
    keys = np.stack([face.key for face in faces])
    distance, avatar, vetoed = _distances(keys, known, people, rules)
    limit = np.array([_limit(face, rules) for face in faces], np.float32)[:, None]
    room = np.where(vetoed, -_NOWHERE, limit - distance).astype(np.float32)
    given = assign(np.maximum(room, 0.0))
    return tuple(
        _match(i, given, room, distance, people[_best(room, distance, given, i)], people, avatar, vetoed, rules)
        for i in range(len(faces))
    )


def _best(room: Floats, distance: Floats, given: Integers, face: int) -> int:
    """The person a face was given to, else the nearest."""
    return int(given[face]) if given[face] >= 0 else int(distance[face].argmin())


def _match(
    face: int,
    given: Integers,
    room: Floats,
    distance: Floats,
    concept: np.int64,
    people: Integers,
    avatar: Integers,
    vetoed: Flags,
    rules: FaceRules,
) -> FaceMatch:
    column = int(np.searchsorted(people, concept))
    accepted = given[face] >= 0
    slack = float(room[face, column])
    confidence = 1.0 / (1.0 + float(np.exp(min(-slack / rules.softness, 80.0))))
    reason = ""
    if not accepted:
        confidence = min(confidence, 0.49)
        reason = TOO_FAR
        if vetoed[face, column]:
            reason, confidence = YOU_SAID_NO, min(confidence, 0.01)
        elif slack > 0.0:
            reason = OTHER_FACE if column in given else FITS_BETTER
        elif distance[face, column] <= rules.limit:
            reason = TOO_BLURRED
    return FaceMatch(
        face=face,
        concept_id=int(concept),
        avatar_id=int(avatar[face, column]),
        distance=float(distance[face, column]),
        confidence=confidence,
        accepted=bool(accepted),
        reason=reason,
        either=_as_well(face, given, room, people, rules) if accepted else (),
    )


def _as_well(face: int, given: Integers, room: Floats, people: Integers, rules: FaceRules) -> tuple[int, ...]:
    """Who could stand in for the person the face was given to without the photo as a whole fitting worse."""
    mine = int(given[face])
    others = []
    for column in np.flatnonzero(room[face] > 0.0):
        if column == mine:
            continue
        loss = room[face, mine] - room[face, column]
        holder = np.flatnonzero(given == column)
        if holder.size:  # the two would have to swap
            loss += room[holder[0], column] - room[holder[0], mine]
        if loss <= rules.alike:
            others.append(int(people[column]))
    return tuple(others)


def _distances(keys: Floats, known: KnownFaces, people: Integers, rules: FaceRules) -> tuple[Floats, Integers, Flags]:
    """[F, P] each: distance to each person's nearest avatar, its id, whether a counterexample is nearer."""
    to_avatars = _between(keys, known.keys)
    scaled = to_avatars / _spread_yardstick(known.keys, rules)[None]
    scaled = scaled / _stranger_yardstick(keys, to_avatars, known, rules)
    shape = (len(keys), len(people))
    nearest, against = np.full(shape, _NOWHERE, np.float32), np.full(shape, _NOWHERE, np.float32)
    which = np.zeros(shape, np.int64)
    for column, concept in enumerate(people):
        mine = known.concepts == concept
        rows = np.flatnonzero(mine & ~known.counterexample)
        best = rows[scaled[:, rows].argmin(axis=1)]
        nearest[:, column] = _together(scaled[:, rows], rules)
        which[:, column] = known.avatars[best]
        wrong = np.flatnonzero(mine & known.counterexample)
        if wrong.size:
            against[:, column] = scaled[:, wrong].min(axis=1)
    return nearest, which, (against < nearest) & (against < rules.counterexample_reach)


def _together(distance: Floats, rules: FaceRules) -> Floats:
    """float32[F] of the distances to all avatars of one person, [F, A]: the nearest, and a little of the next nearest.

    The nearest of many alone would let strangers in by chance, the more the more avatars there are.
    """
    if distance.shape[1] == 1:
        return distance[:, 0]
    two = np.sort(distance, axis=1)[:, :2]
    together: Floats = (two[:, 0] * (1.0 - rules.second) + two[:, 1] * rules.second).astype(np.float32)
    return together


def _spread_yardstick(keys: Floats, rules: FaceRules) -> Floats:
    """float32[N]: 1 for an avatar of ordinary spread, less for one whose key hardly moves."""
    spread = np.minimum(np.where(keys[:, -1] > 0.0, keys[:, -1], rules.spread), rules.widest_spread)
    yardstick: Floats = (spread / rules.spread).astype(np.float32) ** rules.spread_power
    return yardstick


def _stranger_yardstick(keys: Floats, to_avatars: Floats, known: KnownFaces, rules: FaceRules) -> Floats:
    """float32[F, N]: 1 where nobody else looks like the face, less where another person does.

    Another person is an avatar of another concept, or another face of the photo; not one that may be the same.
    """
    between_avatars = _between(known.keys, known.keys)
    other = (known.concepts[:, None] != known.concepts[None]) & (between_avatars >= rules.perhaps_same)
    other &= ~known.counterexample[None]
    nearest = np.stack([np.where(other, row[None], _NOWHERE).min(axis=1) for row in to_avatars])  # [F, N]
    between_faces = _between(keys, keys)
    beside = np.where(between_faces >= rules.perhaps_same, between_faces, _NOWHERE).min(axis=1)
    nearest = np.minimum(np.where(nearest < _NOWHERE, nearest, rules.nobody), beside[:, None])
    yardstick: Floats = (np.minimum(nearest / rules.stranger, 1.0) ** rules.stranger_power).astype(np.float32)
    return np.maximum(yardstick, np.float32(rules.crowded))


def _limit(face: Face, rules: FaceRules) -> float:
    """The limit for this face: tiny and blurred ones need more."""
    quality = min(1.0, face.size / rules.side) * min(1.0, face.sharpness / rules.sharpness)
    return rules.limit * (1.0 - rules.doubt * (1.0 - quality))


def _between(one: Floats, other: Floats) -> Floats:
    """float32[N, M]: distances of the directions in two sets of keys."""
    distance: Floats = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * (one[:, :-1] @ other[:, :-1].T))).astype(np.float32)
    return distance


def assign(gain: Floats) -> Integers:
    """int64[F]: the column given to each row so that the sum of `gain` float[F, P] is largest; -1 where it gets none.

    No column is given twice; a gain of 0 or less is never taken. Method: shortest augmenting paths with potentials
    (Kuhn 1955, Munkres 1957; the O(F^2 P) form of Jonker and Volgenant 1987).
    """
    rows = gain.shape[0]
    useful = np.flatnonzero((gain > 0.0).any(axis=0)) if gain.size else np.zeros(0, np.int64)
    # A column of its own for each row stands for "nobody", so every row finds a place.
    cost = np.concatenate([-np.maximum(gain[:, useful], 0.0), np.zeros((rows, rows))], axis=1).astype(np.float64)
    columns = cost.shape[1]
    row_price, column_price = np.zeros(rows + 1), np.zeros(columns + 1)
    holder = np.full(columns + 1, -1)  # the last column is where a search starts
    for row in range(rows):
        holder[columns], at = row, columns
        least, came_from = np.full(columns, np.inf), np.full(columns, columns)
        seen = np.zeros(columns + 1, np.bool_)
        while holder[at] >= 0:
            seen[at] = True
            reduced = cost[holder[at]] - row_price[holder[at]] - column_price[:columns]
            free = ~seen[:columns]
            better = free & (reduced < least)
            least[better], came_from[better] = reduced[better], at
            following = int(np.where(free, least, np.inf).argmin())
            step = least[following]
            row_price[holder[seen]] += step
            column_price[seen] -= step
            least[free] -= step
            at = following
        while at != columns:
            before = int(came_from[at])
            holder[at] = holder[before]
            at = before
    given = np.full(rows, -1, np.int64)
    for position, column in enumerate(useful):
        row = holder[position]
        if row >= 0 and gain[row, column] > 0.0:
            given[row] = column
    return given
