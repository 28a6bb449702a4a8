"""How often clothes tell who somebody is: `python -m benchmarks.clothes_quality DATABASE PHOTOS [--strangers FOLDER]`.

DATABASE and PHOTOS as for `benchmarks.face_quality`; the people of ../shared/data/people wear the same in most photos.
An album is a photo in which somebody is recognised by face, and one other photo:

- "face hidden": any other photo with that person, as if no face in it said anything;
- "another shot": the same photo mirrored, turned by 8 degrees, at 60 % of its size and darker, faces hidden;
- "somebody else": a photo without that person (also of FOLDER), faces hidden;
- "as built": every pair of photos, with what the faces say.

Right and wrong are the parts of the albums in which somebody is named rightly, and wrongly, by the clothes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from benchmarks.face_quality import MOST_PIXELS_A_SIDE
from rapbot.clothes import Worn, guesses
from rapbot.concepts.rap_format import read_rap_database
from rapbot.concepts.visible import Card, FaceRow, VisibleConcepts
from rapbot.config import Settings
from rapbot.inference.clothes import outfits
from rapbot.inference.encoders import EfficientNetEncoder
from rapbot.inference.faces import FaceEngine
from rapbot.inference.job import Outfit
from rapbot.inference.meeting import meet
from rapbot.inference.retrieval import RetrievalRules
from rapbot.inference.weights import FACES, ensure
from rapbot.photos import open_photo


@dataclass(frozen=True, slots=True)
class Shot:
    """A photo: who is in it, and the outfits with what the faces above them say."""

    path: Path
    truth: frozenset[int]
    outfits: tuple[Outfit, ...]

    def hidden(self, person: int) -> Shot:
        """As if any face in it might be this person's."""
        return replace(self, outfits=tuple(replace(one, concept_id=person, named=False) for one in self.outfits))

    def whose(self, region: int) -> int:
        """Whom the face above an outfit shows: -1 where it is nobody's who was recognised."""
        return next((one.concept_id for one in self.outfits if one.region == region and one.named), -1)


class Looking:
    def __init__(self, database: Path) -> None:
        self._engine = FaceEngine.load(ensure(FACES, Settings().weights_dir.expanduser()))
        self._encoder = EfficientNetEncoder.load()
        self._rules = RetrievalRules()
        people = [entry for entry in read_rap_database(database) if entry.category == "person"]
        self.numbers = {entry.name: number for number, entry in enumerate(people, 1)}
        keys = [self._engine.find_avatar(_picture(entry.images[0]))[0].key for entry in people]
        self._concepts = VisibleConcepts(
            tuple(Card(number, name, "person", "") for name, number in self.numbers.items()),
            faces=tuple(FaceRow(n, n, key.astype("<f4").tobytes()) for n, key in enumerate(keys, 1)),
        )
        self._known = np.stack(keys)

    def at(self, path: Path, truth: frozenset[int], *, another: bool = False) -> Shot:
        picture = _picture(path)
        if another:
            picture = ImageOps.mirror(picture).rotate(8, Image.Resampling.BICUBIC)
            picture = ImageEnhance.Brightness(ImageOps.scale(picture, 0.6)).enhance(0.75)
        heads = meet(self._engine.find(picture, self._known), self._concepts, 0).heads
        # An outfit is looked at only where somebody could be named: here each is, and nobody's face is told after.
        worn = outfits(
            picture, [replace(head, concept_id=head.concept_id or 1) for head in heads], self._encoder, self._rules
        )
        said = {head.region: head for head in heads}
        return Shot(path, truth, tuple(replace(one, concept_id=said[one.region].concept_id) for one in worn))


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    looking = Looking(options.database)
    rows = [json.loads(line) for line in options.photos.read_text(encoding="utf-8").splitlines()]
    files = {options.photos.parent / row["file"]: row["concepts"] for row in rows}
    truth = {path: frozenset(looking.numbers[name] for name in names) for path, names in files.items()}
    shots = [looking.at(path, who) for path, who in truth.items()]
    again = {path: looking.at(path, who, another=True) for path, who in truth.items()}
    strangers = [looking.at(p, frozenset()) for folder in options.strangers for p in sorted(folder.rglob("*.jpg"))]
    tellers = [(shot, one.concept_id) for shot in shots for one in shot.outfits if one.named]
    hidden = [(s, o, n) for s, n in tellers for o in shots if o is not s and n in o.truth]
    _report("face hidden", [(s, o.hidden(n), o) for s, o, n in hidden if any(one.named for one in o.outfits)])
    retaken = [(s, again[s.path], n) for s, n in tellers if any(one.concept_id == n for one in again[s.path].outfits)]
    _report("another shot", [(s, o.hidden(n), o) for s, o, n in retaken])
    others = [(s, o, n) for s, n in tellers for o in (*shots, *strangers) if n not in o.truth and o.outfits]
    _report("somebody else", [(s, o.hidden(n), o) for s, o, n in others])
    everything = [(s, o, o) for s in shots for o in (*shots, *strangers) if o is not s and o.outfits and s.outfits]
    _report("as built", everything)


def _report(title: str, albums: Sequence[tuple[Shot, Shot, Shot]]) -> None:
    """Of (photo that names, photo asked about, the same with what its faces say)."""
    right = wrong = 0
    for teller, asked, told in albums:
        for guess in guesses([Worn(teller.outfits), Worn(asked.outfits)])[1]:
            whose = told.whose(guess.region)
            is_right = whose == guess.concept_id or (whose < 0 and guess.concept_id in told.truth)
            right, wrong = right + is_right, wrong + (not is_right)
            if not is_right:
                print(f"  wrong: {teller.path.name} -> {asked.path.name} {guess.distance:.2f}")
    count = max(1, len(albums))
    parts = f"right {right:>4} ({right / count:6.1%})  wrong {wrong:>3} ({wrong / count:6.2%})"
    print(f"{title:<16}{len(albums):>6} albums  {parts}")


def _picture(image: bytes | Path) -> Image.Image:
    return open_photo(image.read_bytes() if isinstance(image, Path) else image, max_side=MOST_PIXELS_A_SIDE)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--strangers", type=Path, nargs="*", default=[])
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
