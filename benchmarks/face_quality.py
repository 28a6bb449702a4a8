"""How well people are recognised: `python -m benchmarks.face_quality DATABASE PHOTOS [--negatives FOLDER ...]`.

DATABASE is the folder of a RAP `database.json` (concepts of category "person" count), PHOTOS a JSON-lines file of
{"file": path beside it, "concepts": [names]}, each FOLDER holds photos of strangers or of nobody. For the figures of
docs/: `python -m benchmarks.face_quality ../shared/data/people ../shared/data/people/photos.jsonl
--negatives ../shared/data/everyday ../shared/data/concepts/photos --draws 30 --crowds 20`.

Recall: of the names that photos should get, the part that they get. Wrong: part of the photos that get a name they
should not. A draw learns every person from another of their own photos (one that shows one plain face) instead of the
avatar, and asks for the rest: what people may expect who choose any photo. A crowd is a picture put together of 30
heads (`face_crowds`): one photo's head of each person among those of other people, from the photos (their family and
colleagues, who look alike) and the negatives; or of other people only. Last come these other people from the photos
one by one: the hardest case, because nobody beside them takes the name.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.face_crowds import LAYOUTS, alone, crowds, heads, whose
from rapbot.concepts.rap_format import read_rap_database
from rapbot.config import Settings
from rapbot.inference.face_matching import FaceRules, KnownFaces, match_faces
from rapbot.inference.faces import Face, FaceEngine
from rapbot.inference.weights import FACES, ensure
from rapbot.photos import open_photo

MOST_PIXELS_A_SIDE = 1600
PLAIN_SCORE, PLAIN_SIDE = 0.9, 80
"""Of a face from which one would learn somebody: it looks into the camera and is not tiny."""
SOMEBODY_ELSE = 0.17
"""The only face that is found in a photo of somebody may be another's: so far from the avatar it is."""
PICTURES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(slots=True)
class Seen:
    """One photo: who should be named, and what the engine found in it."""

    name: str
    truth: frozenset[str]
    faces: tuple[Face, ...]
    learnt: Face | None = None
    """Its face as an avatar, where it shows just one."""
    path: Path = Path()


@dataclass(slots=True)
class Tally:
    """Sums over photos, and over draws."""

    photos: int = 0
    wrong: int = 0
    due: dict[str, int] = field(default_factory=dict)
    hit: dict[str, int] = field(default_factory=dict)
    negatives: int = 0
    false: int = 0

    def line(self, title: str) -> str:
        people = "  ".join(f"{name} {self.hit.get(name, 0) / due:.2f}" for name, due in sorted(self.due.items()))
        recall = sum(self.hit.values()) / max(1, sum(self.due.values()))
        false = f"{self.false / self.negatives:9.4f}" if self.negatives else "        -"
        return f"{title:<22}{recall:8.3f}{self.wrong / max(1, self.photos):8.3f}{false}  {people}"


class Stopwatch:
    """Seconds of each call: on the clock, and of the processor by all threads of this process."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.processor: list[float] = []

    def find(self, engine: FaceEngine, path: Path, known: Mapping[str, Face]) -> tuple[Face, ...]:
        return self.look(engine, _open(path), known)

    def look(self, engine: FaceEngine, picture: Image.Image, known: Mapping[str, Face]) -> tuple[Face, ...]:
        began, worked = time.perf_counter(), time.process_time()
        faces = engine.find(picture, np.stack([face.key for face in known.values()]))
        self.seconds.append(time.perf_counter() - began)
        self.processor.append(time.process_time() - worked)
        return faces

    def line(self, what: str) -> str:
        def told(seconds: Sequence[float]) -> str:
            return f"best {min(seconds):.3f}, median {np.median(seconds):.3f}, worst {max(seconds):.3f}"

        return f"seconds {what}: {told(self.seconds)}; of the processor: {told(self.processor)}"


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    engine = FaceEngine.load(ensure(FACES, Settings().weights_dir.expanduser()))
    avatars = _avatars(engine, options.database)
    watch = Stopwatch()
    lines = options.photos.read_text(encoding="utf-8").splitlines()
    photos = [_seen(engine, watch, line, options.photos.parent, avatars) for line in lines]
    files = {folder: _pictures(folder) for folder in options.negatives}
    negatives = {str(folder): [watch.find(engine, path, avatars) for path in paths] for folder, paths in files.items()}
    rules = FaceRules()
    print(f"{len(avatars)} people, {len(photos)} photos; limit {rules.limit}")
    print(f"{'':<22}{'recall':>8}{'wrong':>8}{'false':>9}  recall of each")
    for folder, faces in negatives.items():
        print(_tally([avatars], photos, faces, rules).line(f"avatars, {Path(folder).name}"))
    if not negatives:
        print(_tally([avatars], photos, [], rules).line("avatars"))
    everything = [faces for group in negatives.values() for faces in group]
    for name in sorted(avatars):
        print(_tally([{name: avatars[name]}], photos, everything, rules).line(f"only {name} known"))
    if options.draws:
        print(
            _tally(_draws(photos, avatars, options.draws), photos, everything, rules).line(
                f"{options.draws} draws of avatars"
            )
        )
    print(watch.line("a photo"))
    if options.crowds:
        everybody = [path for folder, paths in files.items() for path in paths]
        strangers = [
            head for path, faces in zip(everybody, everything, strict=True) for head in heads(_open(path), faces)
        ]
        _tell_crowds(engine, photos, strangers, avatars, options.crowds)


def _open(path: Path) -> Image.Image:
    return open_photo(path.read_bytes(), max_side=MOST_PIXELS_A_SIDE)


def _pictures(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURES]


def _tell_crowds(
    engine: FaceEngine,
    photos: Sequence[Seen],
    strangers: Sequence[Image.Image],
    avatars: Mapping[str, Face],
    count: int,
) -> None:
    portraits, alike = _cut_out(photos, avatars)
    others, rules = [*alike, *strangers], FaceRules()
    print(f"crowds of {len(others)} other people's heads, {len(alike)} of them from the photos")
    for layout in LAYOUTS:
        watch = Stopwatch()
        for title, known in (("with them", portraits), ("without", {})):
            found = [watch.look(engine, crowd, avatars) for crowd in crowds(known, others, layout, count)]
            seen = [Seen("crowd", frozenset(known), faces) for faces in found]
            heads_seen = np.mean([len(faces) for faces in found])
            line = _tally([avatars], seen, [], rules).line(f"{count} {layout.name}, {title}")
            print(f"{line}  {heads_seen:.1f} heads found")
        print(watch.line("a crowd"))
    one_by_one = [Seen("alone", frozenset(), engine.find(alone(head))) for head in alike]
    print(_tally([avatars], one_by_one, [], rules).line(f"{len(alike)} others alone"))


def _cut_out(
    photos: Sequence[Seen], avatars: Mapping[str, Face]
) -> tuple[dict[str, list[Image.Image]], list[Image.Image]]:
    """(each person's heads, everybody else's) of the photos."""
    portraits: dict[str, list[Image.Image]] = {}
    others: list[Image.Image] = []
    for photo in photos:
        (name,) = photo.truth
        faces = [face for face in photo.faces if face.sure]
        cut = heads(_open(photo.path), faces)
        mine = whose(photo.name, faces, avatars[name])
        if mine is not None:
            portraits.setdefault(name, []).append(cut.pop(mine))
        others += cut
    return portraits, others


def _avatars(engine: FaceEngine, database: Path) -> dict[str, Face]:
    """The largest face of the first avatar of each person."""
    found: dict[str, Face] = {}
    for entry in read_rap_database(database):
        if entry.category == "person":
            image = entry.images[0]
            picture = open_photo(image.read_bytes() if isinstance(image, Path) else image, max_side=MOST_PIXELS_A_SIDE)
            found[entry.name] = engine.find_avatar(picture)[0]
    return found


def _seen(engine: FaceEngine, watch: Stopwatch, line: str, folder: Path, avatars: Mapping[str, Face]) -> Seen:
    row = json.loads(line)
    path = folder / row["file"]
    faces = watch.find(engine, path, avatars)
    plain = [face for face in faces if face.sure]
    learnt = None
    if len(plain) == 1 and len(row["concepts"]) == 1 and plain[0].score >= PLAIN_SCORE and plain[0].size >= PLAIN_SIDE:
        learnt = next((face for face in engine.find_avatar(_open(path)) if face.sure), None)
    return Seen(path.stem, frozenset(row["concepts"]), faces, learnt, path)


def _draws(photos: Sequence[Seen], avatars: Mapping[str, Face], count: int) -> list[dict[str, Face]]:
    """Another photo as the avatar of every person, `count` times; the same ones in every run."""
    chance = random.Random(8)
    choice: dict[str, list[Face]] = {}
    for photo in photos:
        for name in photo.truth & avatars.keys():
            if photo.learnt is not None and _apart(photo.learnt, avatars[name]) < SOMEBODY_ELSE:
                choice.setdefault(name, []).append(photo.learnt)
    return [{name: chance.choice(faces) for name, faces in choice.items()} for _ in range(count)]


def _apart(one: Face, other: Face) -> float:
    return float(np.linalg.norm(one.key[:-1] - other.key[:-1]))


def _tally(
    draws: Sequence[Mapping[str, Face]],
    photos: Sequence[Seen],
    negatives: Sequence[Sequence[Face]],
    rules: FaceRules,
) -> Tally:
    tally = Tally()
    for avatars in draws:
        names = list(avatars)
        known = KnownFaces.of(np.stack([avatars[name].key for name in names]), range(len(names)))
        for photo in photos:
            if any(photo.learnt is face for face in avatars.values()):
                continue
            named = {names[m.concept_id] for m in match_faces(photo.faces, known, rules) if m.accepted}
            tally.photos += 1
            tally.wrong += bool(named - photo.truth)
            for name in photo.truth & avatars.keys():
                tally.due[name] = tally.due.get(name, 0) + 1
                tally.hit[name] = tally.hit.get(name, 0) + (name in named)
        for faces in negatives:
            tally.negatives += 1
            tally.false += any(m.accepted for m in match_faces(faces, known, rules))
    return tally


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--negatives", type=Path, nargs="*", default=[])
    parser.add_argument("--draws", type=int, default=0)
    parser.add_argument("--crowds", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
