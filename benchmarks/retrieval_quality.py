"""How well concepts are found again: `python -m benchmarks.retrieval_quality DATABASE PHOTOS [--negatives FOLDER]`.

DATABASE is the folder of a RAP `database.json` with one avatar per concept, PHOTOS a JSON-lines file of
{"file": path beside it, "concepts": [names]}, FOLDER holds photos that show none of the concepts.
Metrics: RAP (CVPR 2025), Section 4; the strict F1 counts every wrong name.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rapbot.concepts.rap_format import RapEntry, read_rap_database
from rapbot.inference.detectors import DenseMapDetector
from rapbot.inference.encoders import EfficientNetEncoder
from rapbot.inference.eyes import Eyes
from rapbot.inference.job import Candidate, Card, IndexRow, VisibleConcepts
from rapbot.inference.retrieval import AvatarKeys, RetrievalRules, retrieve
from rapbot.inference.seams import Target
from rapbot.photos import open_photo

MOST_PIXELS_A_SIDE = 1600


@dataclass(slots=True)
class Found:
    """The answer for one photo: concept ids in it, candidates for every concept, seconds per stage."""

    truth: frozenset[int]
    candidates: tuple[Candidate, ...]
    seconds: dict[str, float]

    @property
    def accepted(self) -> frozenset[int]:
        return frozenset(c.concept_id for c in self.candidates if c.accepted)


@dataclass(slots=True)
class Bench:
    """Encoder, eyes and rules, as the pocket profile uses them."""

    encoder: EfficientNetEncoder
    rules: RetrievalRules = field(default_factory=RetrievalRules)

    def teach(self, entries: Sequence[RapEntry]) -> VisibleConcepts:
        """The concepts of a RAP database, numbered from 1, one avatar each."""
        import faiss

        index = faiss.IndexIDMap2(faiss.IndexFlatL2(self.encoder.dimension))
        for number, entry in enumerate(entries, 1):
            image = entry.images[0]
            picture = open_photo(image.read_bytes() if isinstance(image, Path) else image)
            index.add_with_ids(self.encoder.encode_avatar(picture)[None], np.array([number], np.int64))
        numbered = list(enumerate(entries, 1))
        return VisibleConcepts(
            cards=tuple(Card(n, e.name, e.category, e.info) for n, e in numbered),
            rows=tuple(IndexRow(n, n) for n, _ in numbered),
            index=faiss.serialize_index(index).tobytes(),
        )

    def find(self, photo: Path, concepts: VisibleConcepts, truth: frozenset[int]) -> Found:
        """Look at one photo as the worker does."""
        began = time.perf_counter()
        picture = open_photo(photo.read_bytes(), max_side=MOST_PIXELS_A_SIDE)
        decoded = time.perf_counter()
        eyes = Eyes(DenseMapDetector(self.encoder), self.encoder)
        avatars = AvatarKeys.read(concepts)
        target = Target(tuple(card.category for card in concepts.cards), avatars.positive)
        seen = eyes.look([picture], [target])[0]
        looked = time.perf_counter()
        everyone = [card.concept_id for card in concepts.cards]
        _, candidates = retrieve(seen.keys, seen.regions, avatars, everyone, self.rules)
        seconds = {"decode": decoded - began, "look": looked - decoded, "retrieve": time.perf_counter() - looked}
        return Found(truth, candidates, seconds)


def report(found: Sequence[Found], concepts: int, negatives: Sequence[Found]) -> dict[str, float]:
    """All metrics by name."""
    table: dict[str, float] = {}
    ranked = [sorted(f.candidates, key=lambda c: c.distance) for f in found]
    for k in (1, 2, 5):
        hits = [bool(f.truth & {c.concept_id for c in near[:k]}) for f, near in zip(found, ranked, strict=True)]
        table[f"top-{k}"] = float(np.mean(hits))
    right = sum(len(f.accepted & f.truth) for f in found)
    named = sum(len(f.accepted) for f in found)
    there = sum(len(f.truth) for f in found)
    absent = len(found) * concepts - there
    table["recognition +"] = right / there
    table["recognition -"] = 1.0 - (named - right) / absent
    table["recognition weighted"] = (table["recognition +"] + table["recognition -"]) / 2
    table["strict F1"] = 2 * right / (named + there)
    if negatives:
        table["named though absent"] = float(np.mean([bool(f.accepted) for f in negatives]))
    for stage in found[0].seconds:
        table[f"ms {stage}"] = 1000 * float(np.median([f.seconds[stage] for f in found]))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--negatives", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--faults", action="store_true", help="print every photo with a wrong or a missing name")
    given = parser.parse_args()
    bench = Bench(EfficientNetEncoder.load(given.threads))
    concepts = bench.teach(read_rap_database(given.database))
    ids = {card.name: card.concept_id for card in concepts.cards}
    names = {number: name for name, number in ids.items()}
    found: list[Found] = []
    for line in given.photos.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        truth = frozenset(ids[name] for name in row["concepts"] if name in ids)
        found.append(bench.find(given.photos.parent / row["file"], concepts, truth))
        if given.faults and found[-1].accepted != truth:
            print(row["file"], "named", [names[n] for n in found[-1].accepted])
    empty = sorted(given.negatives.rglob("*.jpg")) if given.negatives else []
    negatives = [bench.find(path, concepts, frozenset()) for path in empty]
    for metric, value in report(found, len(ids), negatives).items():
        print(f"{metric:22} {value:.3f}")


if __name__ == "__main__":
    main()
