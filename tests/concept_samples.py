"""Concepts to store (small pictures, random directions as keys), and what tests often ask of a store."""

from __future__ import annotations

import numpy as np

from rapbot.concepts.concept import Concept, Key, NewAvatar
from rapbot.concepts.store import Collection, ConceptStore, Remember
from rapbot.messages import WHOLE

ENCODER = "test-encoder"
DIMENSIONS = 16


def key(seed: int, dimensions: int = DIMENSIONS) -> Key:
    """float32[D] of length 1, another one for every seed."""
    direction = np.random.default_rng(seed).standard_normal(dimensions)
    return (direction / np.linalg.norm(direction)).astype(np.float32)


def avatar(seed: int = 0, jpeg: bytes | None = None, encoder: str = ENCODER) -> NewAvatar:
    picture = jpeg if jpeg is not None else b"\xff\xd8\xff picture %d" % seed
    return NewAvatar(picture, key(seed), encoder, WHOLE)


def lala(name: str = "Lala", seed: int = 0) -> Remember:
    return Remember(name, "dog", "A white and gray dog with long fur.", avatar(seed))


async def taught(store: ConceptStore, change: Remember, owner: str = "me") -> Concept:
    concept = (await store.write(owner, change)).concept
    assert concept is not None
    return concept


async def everything(store: ConceptStore, owner: str = "me") -> Collection:
    collection = await store.read(owner)
    assert collection is not None
    return collection
