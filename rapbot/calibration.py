"""`rapbot calibrate`: the thresholds of an encoder, measured on labelled photos.

The photos take the path of a message (queue, worker, detector, encoder) in a store of its own; then the rules that find
most of what is there are searched, among those that name something in few enough of the photos that show none of it.
What is reported is cross-validated: each photo is judged by rules that were chosen without the photos of its concept.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import tempfile
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rapbot.app import App, running
from rapbot.concepts.index import IndexCache
from rapbot.concepts.rap_format import read_rap_database
from rapbot.concepts.visible import VisibleConcepts
from rapbot.config import Settings
from rapbot.errors import ConceptError, ConfigError, PhotoError
from rapbot.evaluation import ACTOR, pictures_in, read_photos
from rapbot.inference.job import Job, Region, Task
from rapbot.inference.planning import plan
from rapbot.inference.profiles import calibration_file
from rapbot.inference.retrieval import AvatarKeys, RetrievalRules, retrieve
from rapbot.messages import Chat
from rapbot.progress import track_progress
from rapbot.transfer import teach_entry

FEWEST = 10
"""Photos of each kind; from fewer nothing can be told."""
_DEADLINE = 600.0
"""Seconds for a few photos: nobody waits in a chat."""
_FOLDS = 5
_STEP = 0.01
_MARGINS = (0.0, 0.015, 0.03, 0.05, 0.08)
_OFFSETS = (-0.06, -0.04, -0.02, 0.0, 0.02, 0.04, 0.06)
"""Of the threshold for the whole picture, from that for windows."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Look:
    """What the eyes saw in one photo, `keys` float32[R, D]; `truth` are the concepts it shows, none in a negative."""

    regions: tuple[Region, ...]
    keys: npt.NDArray[np.float32]
    truth: frozenset[int]
    fold: int


@dataclass(frozen=True, slots=True)
class Score:
    """Counts: concepts that are there, those found, all that were named; negatives, and those in which any was."""

    wanted: int
    right: int
    named: int
    negatives: int
    false: int

    @property
    def f1(self) -> float:
        return 2 * self.right / max(1, self.wanted + self.named)

    @property
    def false_rate(self) -> float:
        return self.false / max(1, self.negatives)

    def in_numbers(self) -> dict[str, Any]:
        return {
            "recall": round(self.right / max(1, self.wanted), 4),
            "recall_95": interval(self.right, self.wanted),
            "precision": round(self.right / max(1, self.named), 4),
            "f1": round(self.f1, 4),
            "false_name_rate": round(self.false_rate, 4),
            "false_name_rate_95": interval(self.false, self.negatives),
        }


@dataclass(frozen=True, slots=True)
class Calibration:
    """`expected` is cross-validated, `fitted` is on the very photos the rules were chosen by; `table` rows are
    (window distance, score) around the chosen one."""

    encoder: str
    rules: RetrievalRules
    expected: Score
    fitted: Score
    table: tuple[tuple[float, Score], ...]
    distances: dict[str, tuple[float, ...]]
    photos: int
    limit: float

    def as_json(self) -> dict[str, Any]:
        """What `profiles.with_calibration` reads, and where it comes from."""
        names = ("window_distance", "whole_distance", "margin", "counterexample_reach")
        return {
            "encoder": self.encoder,
            "rules": {name: round(getattr(self.rules, name), 4) for name in names},
            "measured": self.expected.in_numbers(),
            "fitted": self.fitted.in_numbers(),
            "distances": {name: [round(value, 4) for value in values] for name, values in self.distances.items()},
            "count": {"photos": self.photos, "labels": self.expected.wanted, "negatives": self.expected.negatives},
            "false_names": self.limit,
            "made": datetime.now(UTC).date().isoformat(),
        }


async def calibrate_files(
    settings: Settings, database: Path, photos: Path, negatives: Path, limit: float, out: Path | None = None
) -> tuple[Calibration, Path]:
    """Measure, choose and write. Raises RapbotError when a file is missing, wrong, or shows too little."""
    encoder = plan(settings).encoder.name
    path = out or calibration_file(settings.data_dir.expanduser() / "calibration", encoder)
    looks, visible = await _look(settings, database, photos, negatives)
    calibration = choose(looks, visible, plan(settings).rules, limit, encoder)
    _write(path, calibration.as_json())
    return calibration, path


async def _look(
    settings: Settings, database: Path, photos: Path, negatives: Path
) -> tuple[list[Look], VisibleConcepts]:
    entries = read_rap_database(database)
    labelled, others = read_photos(photos, {entry.name for entry in entries}), pictures_in(negatives)
    for count, what in ((len(labelled), f"photos in {photos}"), (len(others), f"negatives in {negatives}")):
        if count < FEWEST:
            raise ConceptError(f"There are {count} {what}; to calibrate I need at least {FEWEST}, better 100.")
    roomy = settings.model_copy(update={"limits": settings.limits.model_copy(update={"concepts_per_person": 10_000})})
    with tempfile.TemporaryDirectory(prefix="rapbot-calibrate-") as folder, track_progress() as track:
        async with running(roomy, database=Path(folder) / "calibrate.sqlite3") as app:
            await app.worker.ready()
            for entry in track(entries, "teach"):
                await teach_entry(app.assistant, ACTOR, Chat("calibrate:teach"), entry)
            visible = (await IndexCache(app.store).get(ACTOR.id)).visible
            # People are recognised by their faces: their keys are not compared.
            known = {card.name: card.concept_id for card in AvatarKeys.read(visible).cards}
            files = [(photo.path, frozenset(known[c] for c in photo.concepts if c in known)) for photo in labelled]
            files = [(path, truth) for path, truth in files if truth]
            if len(files) < FEWEST:
                raise ConceptError(f"Only {len(files)} photos show one of the concepts; I need at least {FEWEST}.")
            files += [(path, frozenset()) for path in others]
            looks = [look async for look in _looks(app, files, visible, track)]
    return looks, visible


async def _looks(
    app: App,
    files: Sequence[tuple[Path, frozenset[int]]],
    visible: VisibleConcepts,
    track: Callable[[Iterable[Any], str], Iterable[Any]],
) -> Any:
    concepts = sorted({min(truth) for _, truth in files if truth})
    width = app.settings.worker.batch_size
    for first in track(range(0, len(files), width), "look"):
        part = files[first : first + width]
        for n, (answer, (_, truth)) in enumerate(
            zip(await asyncio.gather(*(region_keys(app, path, visible) for path, _ in part)), part, strict=True), first
        ):
            # Folds by concept: thresholds must hold for things they were not chosen by.
            fold = concepts.index(min(truth)) if truth and len(concepts) >= _FOLDS else n
            regions, keys = answer
            yield Look(regions, keys, truth, fold % _FOLDS)


async def region_keys(
    app: App, path: Path, visible: VisibleConcepts
) -> tuple[tuple[Region, ...], npt.NDArray[np.float32]]:
    """The regions of a photo and their keys, float32[R, D]. Raises PhotoError with the file's name."""
    photo = await asyncio.to_thread(path.read_bytes)
    job = Job(uuid.uuid4().hex, ACTOR.id, Task.KEYS, photo=photo, concepts=visible, picture=False, deadline=_DEADLINE)
    try:
        answer = await app.queue.submit(job)
    except PhotoError as error:
        raise PhotoError(f"{path}: {error.sentence}") from error
    assert answer.scene is not None
    regions = answer.scene.regions
    return regions, np.frombuffer(answer.keys, np.float32).reshape(len(regions), -1)


def choose(
    looks: Sequence[Look], visible: VisibleConcepts, start: RetrievalRules, limit: float, encoder: str = ""
) -> Calibration:
    """The rules with the best F1 among those that name something in at most `limit` of the negatives.

    One setting after the other: the threshold, its difference for the whole picture, the margin. Of equals the
    stricter is taken.
    """
    avatars = AvatarKeys.read(visible)

    @cache
    def counts(rules: RetrievalRules) -> Numbers:
        """[N, 3]: of each photo, how many of its concepts were found, how many were named, whether any was."""
        rows = []
        for look in looks:
            sightings, _ = retrieve(look.keys, look.regions, avatars, (), rules)
            named = {sighting.concept_id for sighting in sightings}
            rows.append((len(named & look.truth), len(named), bool(named)))
        return np.array(rows, np.float64)

    wanted = np.array([len(look.truth) for look in looks])
    negative = wanted == 0
    folds = np.array([look.fold for look in looks])

    def score(rules: RetrievalRules, among: npt.NDArray[np.bool_]) -> Score:
        right, named, any_named = counts(rules).T
        shown, empty = among & ~negative, among & negative
        return Score(
            int(wanted[shown].sum()),
            int(right[shown].sum()),
            int(named[shown].sum()),
            int(empty.sum()),
            int(any_named[empty].sum()),
        )

    def best(candidates: Iterable[RetrievalRules], among: npt.NDArray[np.bool_]) -> RetrievalRules:
        scored = [(score(rules, among), rules) for rules in candidates]
        allowed = [pair for pair in scored if pair[0].false_rate <= limit] or scored[:1]
        return max(allowed, key=lambda pair: (round(pair[0].f1, 6), -pair[0].false))[1]

    true, false = _matches(looks, avatars)
    grid = np.arange(min(*true, *false) - _STEP, max(true) + 4 * _STEP, 4 * _STEP)

    def chosen(among: npt.NDArray[np.bool_]) -> RetrievalRules:
        rules = best((_at(start, float(distance)) for distance in grid), among)
        near = (rules.window_distance + step * _STEP for step in range(-3, 4))
        rules = best((_at(start, distance) for distance in near), among)
        window = rules.window_distance
        rules = best((replace(rules, whole_distance=window + offset) for offset in _OFFSETS), among)
        return best((replace(rules, margin=margin) for margin in _MARGINS), among)

    everything = np.ones(len(looks), np.bool_)
    rules = chosen(everything)
    parts = [score(chosen(folds != fold), folds == fold) for fold in sorted(set(folds.tolist()))]
    expected = Score(*(sum(getattr(part, name) for part in parts) for name in Score.__slots__))
    offset = rules.whole_distance - rules.window_distance
    around = [rules.window_distance + step * _STEP for step in (-12, -8, -5, -3, -1, 0, 1, 3, 5, 8, 12)]
    table = tuple(
        (distance, score(replace(_at(rules, distance), whole_distance=distance + offset), everything))
        for distance in around
    )
    return Calibration(
        encoder,
        rules,
        expected,
        score(rules, everything),
        table,
        {"true": _spread(true), "false": _spread(false)},
        int((~negative).sum()),
        limit,
    )


def _at(rules: RetrievalRules, distance: float) -> RetrievalRules:
    distance = round(distance, 4)
    return replace(rules, window_distance=distance, whole_distance=distance, counterexample_reach=distance)


def _matches(looks: Sequence[Look], avatars: AvatarKeys) -> tuple[list[float], list[float]]:
    """Distance of each concept that is there to the region nearest to it; of each negative to any concept."""
    ids = np.array([card.concept_id for card in avatars.cards])[avatars.columns]
    true: list[float] = []
    false: list[float] = []
    for look in looks:
        distances = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * (look.keys @ avatars.keys.T)))
        distances[:, avatars.counterexample] = 2.0
        true += [float(distances[:, ids == concept].min(initial=2.0)) for concept in look.truth]
        false += [] if look.truth else [float(distances.min(initial=2.0))]
    return true, false


def _spread(values: Sequence[float]) -> tuple[float, ...]:
    """5th percentile, median, 95th percentile."""
    return tuple(float(value) for value in np.percentile(values, (5, 50, 95)))


def interval(hits: int, count: int) -> tuple[float, float]:
    """Where a rate lies with 95 % probability, when `hits` of `count` were seen (Wilson, 1927)."""
    if not count:
        return 0.0, 1.0
    z, rate = 1.96, hits / count
    middle = rate + z * z / (2 * count)
    half = z * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    return round(max(0.0, (middle - half) / scale), 4), round(min(1.0, (middle + half) / scale), 4)


def _write(path: Path, table: dict[str, Any]) -> None:
    """Whole or not at all: rapbot refuses to start with half a calibration."""
    draft = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
        os.replace(draft, path)  # noqa: PTH105
    except OSError as error:
        raise ConfigError(f"The calibration {path} cannot be written: {error.strerror}.") from error


def print_calibration(calibration: Calibration) -> None:
    """The trade-off, what was chosen, and how sure it is."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("distance", "recall", "precision", "F1", "false names", title=f"{calibration.encoder}, on all photos")
    for distance, score in calibration.table:
        mark = " *" if abs(distance - calibration.rules.window_distance) < 1e-9 else ""
        numbers = score.in_numbers()
        cells = (numbers["recall"], numbers["precision"], numbers["f1"], numbers["false_name_rate"])
        table.add_row(f"{distance:.3f}{mark}", *(f"{cell:.3f}" for cell in cells))
    console.print(table)
    rules, expected = calibration.rules, calibration.expected.in_numbers()
    low, high = expected["false_name_rate_95"]
    recall_low, recall_high = expected["recall_95"]
    console.print(
        f"Chosen: window_distance {rules.window_distance:.3f}, whole_distance {rules.whole_distance:.3f},"
        f" margin {rules.margin:g}.\n"
        f"On what it was not chosen by (cross-validated): it finds {expected['recall']:.0%} of what is there"
        f" ({recall_low:.0%} to {recall_high:.0%}), and says a name in {expected['false_name_rate']:.1%} of the photos"
        f" that show none ({low:.1%} to {high:.1%}), both with 95 % confidence.",
        soft_wrap=True,
    )
    if high > 2 * calibration.limit + 0.01:
        console.print(
            f"From {calibration.expected.negatives} negatives one cannot tell that it stays below"
            f" {calibration.limit:.0%}: take more of them.",
            soft_wrap=True,
        )
