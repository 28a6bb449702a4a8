"""Our retrieval and prompt beside the reference algorithm of RAP, written here as slowly and obviously as possible.

What RAP.md lists as faults of the reference is corrected in ours; with those corrections switched off (no threshold, no
margin, the whole image taken out) the two must agree on ids, order and the text of the prompt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import faiss
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rapbot.inference.encoders import EfficientNetEncoder
from rapbot.inference.eyes import cut
from rapbot.inference.job import Card, IndexRow, Job, Region, Scene, Task, VisibleConcepts
from rapbot.inference.prompt import Pictures, build_prompt, select_cards
from rapbot.inference.retrieval import AvatarKeys, RetrievalRules, retrieve
from rapbot.messages import Box
from tests.pictures import cat

Floats = npt.NDArray[np.float32]
UNCORRECTED = RetrievalRules(
    window_distance=3.0, whole_distance=3.0, margin=10.0, shared=2.0, alike=0.0, counterexample_reach=0.0
)
TOP = 2
"""Images that each region puts forward in the reference."""


@dataclass(frozen=True)
class Known:
    """One concept, one avatar, as in the paper."""

    name: str
    info: str
    key: list[float]


def reference(regions: Sequence[Sequence[float]], database: Sequence[Known], k: int) -> list[str]:
    """Names of the K nearest distinct concepts: RAP.md, "Retrieve"."""
    hits = []
    for region in regions:
        distances = [(math.dist(region, known.key), known.name) for known in database]
        hits += sorted(distances)[:TOP]
    names: list[str] = []
    for _, name in sorted(hits):
        if name not in names:
            names.append(name)
    return names[:k]


def reference_prompt(names: Sequence[str], database: Sequence[Known], request: str, photo: bool) -> str:
    """RAP.md, "Prompt, exact"."""
    prompt = "<image>\n" if photo else ""
    if names:
        prompt += "["
        for number, name in enumerate(names):
            info = next(known.info for known in database if known.name == name)
            prompt += str(number + 1) + ".<image>\n Name: <" + name + ">, Info: " + info + "\n"
        prompt += "]"
    return prompt + request


def ours(
    regions: Floats, boxes: Sequence[Region], database: Sequence[Known], k: int, mentioned: tuple[int, ...] = ()
) -> tuple[Job, Scene, tuple[Card, ...]]:
    cards = tuple(Card(number, known.name, "thing", known.info) for number, known in enumerate(database, 1))
    index = faiss.IndexIDMap2(faiss.IndexFlatL2(regions.shape[1]))
    keys = np.array([known.key for known in database], np.float32)
    index.add_with_ids(keys, np.arange(1, len(database) + 1))
    rows = tuple(IndexRow(number, number) for number in range(1, len(database) + 1))
    visible = VisibleConcepts(cards, rows, faiss.serialize_index(index).tobytes())
    sightings, candidates = retrieve(regions, boxes, AvatarKeys.read(visible), mentioned, UNCORRECTED)
    scene = Scene(640, 480, tuple(boxes), sightings, candidates)
    job = Job("job", "me", Task.CAPTION, photo=b"jpeg", concepts=visible, mentioned=mentioned)
    return job, scene, select_cards(job, scene, k)


def unit(rows: Floats) -> Floats:
    normalised: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return normalised


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), regions=st.integers(1, 12), concepts=st.integers(1, 30), k=st.sampled_from([2, 3])
)
@example(seed=5183792, regions=11, concepts=17, k=3)  # a third-nearest that another region puts forward
def test_the_same_concepts_in_the_same_order_and_the_same_prompt(
    seed: int, regions: int, concepts: int, k: int
) -> None:
    chance = np.random.default_rng(seed)
    keys = unit(chance.normal(size=(concepts, 16)).astype(np.float32))
    seen = unit((keys[chance.integers(0, concepts, regions)] + chance.normal(size=(regions, 16))).astype(np.float32))
    database = [Known(f"c{number}", f"Info {number}.", keys[number].tolist()) for number in range(concepts)]
    boxes = [Region(Box(0.05 * number, 0.1, 0.05 * number + 0.3, 0.6)) for number in range(regions)]

    names = reference([row.tolist() for row in seen], database, k)
    job, scene, cards = ours(seen, boxes, database, k)
    assert [card.name for card in cards] == names

    pictures = Pictures(cat(), {card.concept_id: cat() for card in cards})
    [(_, text)] = build_prompt("rap", job, scene, cards, pictures).messages
    assert text == reference_prompt(names, database, "Give a caption of the image.", photo=True)


def test_with_the_keys_of_a_real_encoder_too() -> None:
    encoder = EfficientNetEncoder.load(2)
    picture = cat()
    boxes = [Box(x, y, x + 0.5, y + 0.5) for x in (0.0, 0.25, 0.5) for y in (0.0, 0.25, 0.5)]
    regions = encoder.encode([cut(picture, box) for box in boxes]).keys
    shown = [picture.rotate(90), picture.crop((0, 0, 200, 200)), picture.crop((200, 100, 450, 300)), picture]
    database = [
        Known(f"part {number}", "A part.", encoder.encode_avatar(one).tolist()) for number, one in enumerate(shown)
    ]
    for k in (2, 3):
        names = reference(regions.tolist(), database, k)
        _, _, cards = ours(regions, [Region(box) for box in boxes], database, k)
        assert [card.name for card in cards] == names


@pytest.mark.parametrize("question", ["what does c1 eat?", "describe c1"])
def test_a_named_concept_comes_first_without_any_photo(question: str) -> None:
    database = [Known("c0", "Zero.", [1.0, 0.0]), Known("c1", "One.", [0.0, 1.0])]
    cards = (Card(1, "c0", "thing", "Zero."), Card(2, "c1", "thing", "One."))
    job = Job("job", "me", Task.QUESTION, question, concepts=VisibleConcepts(cards), mentioned=(2,))
    chosen = select_cards(job, None, 2)
    [(_, text)] = build_prompt("rap", job, None, chosen, Pictures(None, {2: cat()})).messages
    assert text == reference_prompt(["c1"], database, question, photo=False)
