"""Who somebody in an album probably is whose face does not tell it: by the clothes of a person named in another photo.

Clothes say something within one album of the same hour only, and they never outvote a face. Where anybody else's are
as near, nothing is said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from rapbot.inference.job import Outfit

MARGIN = 0.04
"""Anybody else's outfit in the two photos must be farther by this."""
HOUR = timedelta(hours=1)
_TIME = re.compile(rb"\b[12]\d{3}:[01]\d:[0-3]\d [0-2]\d:[0-5]\d:[0-5]\d\b")


@dataclass(frozen=True, slots=True)
class Worn:
    """The outfits of one photo of an album, and when it was taken, where its camera says so."""

    outfits: tuple[Outfit, ...]
    taken: datetime | None = None


@dataclass(frozen=True, slots=True)
class Guess:
    """Probably `concept_id`; `region` is the head, `distance` the one from their clothes in another photo."""

    region: int
    concept_id: int
    distance: float


def guesses(album: Sequence[Worn]) -> list[tuple[Guess, ...]]:
    """For each photo who probably is there beside those whose faces were recognised."""
    return [
        tuple(guess for outfit in photo.outfits if (guess := _guess(outfit, photo, album)) is not None)
        for photo in album
    ]


def _guess(outfit: Outfit, photo: Worn, album: Sequence[Worn]) -> Guess | None:
    if outfit.named or not outfit.concept_id:
        return None
    nearest: Guess | None = None
    for other in album:
        mine = [one for one in other.outfits if one.named and one.concept_id == outfit.concept_id]
        if other is photo or not mine or not _same_hour(photo, other):
            continue
        distance = _distance(outfit, mine[0])
        rivals = [_distance(outfit, one) for one in other.outfits if one is not mine[0]]
        rivals += [_distance(mine[0], one) for one in photo.outfits if one is not outfit]
        if min(rivals, default=np.inf) <= distance + MARGIN:
            return None
        if distance <= outfit.reach and (nearest is None or distance < nearest.distance):
            nearest = Guess(outfit.region, outfit.concept_id, distance)
    return nearest


def _same_hour(one: Worn, other: Worn) -> bool:
    """Photos that were sent together are of one hour unless their cameras say otherwise."""
    return one.taken is None or other.taken is None or abs(one.taken - other.taken) <= HOUR


def _distance(one: Outfit, other: Outfit) -> float:
    return float(np.linalg.norm(np.frombuffer(one.key, np.float32) - np.frombuffer(other.key, np.float32)))


def taken_at(photo: bytes) -> datetime | None:
    """When the camera says that the photo was taken; None where it does not.

    EXIF writes times as plain text (CIPA DC-008, 4.6.5), so nothing of a stranger's file has to be parsed; what
    was changed later has a later one.
    """
    told = []
    for when in _TIME.findall(photo):
        with suppress(ValueError):  # 0000:00:00 00:00:00 of a camera whose clock was never set
            told.append(datetime.strptime(when.decode(), "%Y:%m:%d %H:%M:%S"))  # noqa: DTZ007 - cameras know no zone
    return min(told, default=None)
