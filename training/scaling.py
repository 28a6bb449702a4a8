"""How well the retriever finds a few concepts among more and more others, and what a concept costs.

The paper's Figure 5: recall of the first K concepts against the size of the database. The others are things cut out of
photos that show none of the concepts; each gets one avatar, as people teach.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rapbot.app import App, running
from rapbot.calibration import region_keys
from rapbot.concepts.category import is_person
from rapbot.concepts.index import IndexCache
from rapbot.concepts.rap_format import read_rap_database
from rapbot.config import Settings
from rapbot.errors import ConceptError
from rapbot.evaluation import ACTOR, LabelledPhoto, pictures_in, read_photos, size_of
from rapbot.inference.planning import plan
from rapbot.inference.retrieval import AvatarKeys, retrieve
from rapbot.messages import Box, Chat, Photo
from rapbot.photos import open_photo
from rapbot.progress import track_progress
from rapbot.transfer import teach_entry

TOP = (1, 2, 5)
_CHAT = Chat("scaling:teach")
_SMALLEST = 0.01
"""Part of a photo that a thing takes at least to become a concept: of smaller ones nobody takes an avatar."""

Track = Callable[[Iterable[Any], str], Iterable[Any]]


@dataclass(frozen=True, slots=True)
class Thing:
    """Something in a photo that is none of the concepts."""

    photo: Path
    category: str
    box: Box


@dataclass(slots=True)
class Scaling:
    """`recall[N][K]`: share of the concepts in the photos that are among the first K of N. Seconds are medians."""

    recall: dict[int, dict[int, float]] = field(default_factory=dict)
    search_seconds: dict[int, float] = field(default_factory=dict)
    """For one photo, its keys being there."""
    teach_seconds: float = 0.0
    bytes_per_concept: int = 0
    """On disk, avatar picture included."""
    photos: int = 0
    labels: int = 0

    def table(self) -> str:
        rows = ["| concepts | " + " | ".join(f"top-{k}" for k in TOP) + " | search |", "|---:" * (len(TOP) + 2) + "|"]
        for size, found in sorted(self.recall.items()):
            shares = " | ".join(f"{found[k]:.3f}" for k in TOP)
            rows.append(f"| {size} | {shares} | {1000 * self.search_seconds[size]:.1f} ms |")
        rows.append("")
        rows.append(
            f"{self.labels} concepts in {self.photos} photos; teaching one takes {self.teach_seconds:.2f} s and "
            f"{self.bytes_per_concept / 1024:.0f} KiB."
        )
        return "\n".join(rows)

    def write(self, folder: Path) -> None:
        """scaling.json and scaling.png."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "scaling.json").write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        self._plot(folder / "scaling.png")

    def _plot(self, file: Path) -> None:
        from matplotlib.figure import Figure

        sizes = sorted(self.recall)
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.subplots()
        for k, style in zip(TOP, ("-", "--", ":"), strict=True):
            axes.plot(sizes, [self.recall[size][k] for size in sizes], style, marker="o", label=f"top-{k}")
        axes.axhline(0.9, color="lightgrey", label="paper: top-5 at 500 stays above")
        axes.set(xscale="log", xlabel="concepts in the database", ylabel="recall", ylim=(0, 1.02))
        axes.set_xticks(sizes, [str(size) for size in sizes], minor=False)
        axes.set_xticks([], minor=True)
        axes.legend(loc="lower left")
        figure.savefig(file, dpi=120)


def read(folder: Path) -> Scaling | None:
    """What `Scaling.write` left there."""
    file = folder / "scaling.json"
    if not file.is_file():
        return None
    made = Scaling(**json.loads(file.read_text(encoding="utf-8")))
    made.recall = {int(size): {int(k): share for k, share in row.items()} for size, row in made.recall.items()}
    made.search_seconds = {int(size): spent for size, spent in made.search_seconds.items()}
    return made


def things_in(file: Path) -> list[Thing]:
    """From JSON lines {file, objects: [{category, box_xywh in pixels}]} or a folder of photos (each a thing).

    People are left out: they are recognised by their faces. Raises ConceptError.
    """
    if file.is_dir():
        return [Thing(path, "", Box(0.0, 0.0, 1.0, 1.0)) for path in pictures_in(file)]
    found = []
    for path, line in zip(pictures_in(file), file.read_text(encoding="utf-8").splitlines(), strict=True):
        width, height = open_photo(path.read_bytes()).size
        try:
            for item in json.loads(line)["objects"]:
                left, top, wide, high = item["box_xywh"]
                right, bottom = min(1.0, (left + wide) / width), min(1.0, (top + high) / height)
                box = Box(max(0.0, left / width), max(0.0, top / height), right, bottom)
                if box.area >= _SMALLEST and not is_person(item["category"]):
                    found.append(Thing(path, item["category"], box))
        except (KeyError, TypeError, ValueError) as error:
            raise ConceptError(f"{file}: the line of {path.name} needs objects with category and box_xywh.") from error
    return found


async def measure(settings: Settings, database: Path, photos: Path, others: Path, sizes: Sequence[int]) -> Scaling:
    """In a store of its own. Sizes that there are not enough things for are left out. Raises RapbotError."""
    entries = [entry for entry in read_rap_database(database) if not is_person(entry.category)]
    names = {entry.name for entry in entries}
    everybody = {entry.name for entry in read_rap_database(database)}
    labelled = [replace(photo, concepts=photo.concepts & names) for photo in read_photos(photos, everybody)]
    labelled = [photo for photo in labelled if photo.concepts]
    things = things_in(others)
    roomy = settings.model_copy(update={"limits": settings.limits.model_copy(update={"concepts_per_person": 100_000})})
    with tempfile.TemporaryDirectory(prefix="rapbot-scaling-") as folder, track_progress() as track:
        file = Path(folder) / "scaling.sqlite3"
        async with running(roomy, database=file) as app:
            await app.worker.ready()
            return await _measure(app, entries, labelled, things, sizes, track, file)


async def _measure(
    app: App,
    entries: Sequence[Any],
    photos: Sequence[LabelledPhoto],
    things: Sequence[Thing],
    sizes: Sequence[int],
    track: Track,
    file: Path,
) -> Scaling:
    for entry in track(entries, "teach"):
        await teach_entry(app.assistant, ACTOR, _CHAT, entry)
    index = await IndexCache(app.store).get(ACTOR.id)
    looks = [await region_keys(app, photo.path, index.visible) for photo in track(photos, "look")]
    made = Scaling(photos=len(photos), labels=sum(len(photo.concepts) for photo in photos))
    rules = replace(plan(app.settings).rules, shown=max(TOP) + len(entries))
    taught, seconds, begun = 0, [0.0], size_of(file)
    for size in track(sorted({*sizes, len(entries)}), "sizes"):
        if not len(entries) <= size <= len(entries) + len(things):
            continue
        while len(entries) + taught < size:
            seconds.append(await _teach(app, things[taught], taught))
            taught += 1
        visible = (await IndexCache(app.store).get(ACTOR.id)).visible
        avatars = AvatarKeys.read(visible)
        known = {card.concept_id: card.name for card in visible.cards}
        right, spent = dict.fromkeys(TOP, 0), []
        for photo, (regions, keys) in zip(photos, looks, strict=True):
            began = time.perf_counter()
            _, candidates = retrieve(keys, regions, avatars, (), rules)
            spent.append(time.perf_counter() - began)
            ranking = [known[candidate.concept_id] for candidate in candidates]
            for k in TOP:
                right[k] += len(photo.concepts & set(ranking[:k]))
        made.recall[size] = {k: round(right[k] / max(1, made.labels), 4) for k in TOP}
        made.search_seconds[size] = round(statistics.median(spent), 6)
    if taught:
        made.teach_seconds = round(statistics.median(seconds[1:]), 4)
        made.bytes_per_concept = (size_of(file) - begun) // taught
    return made


async def _teach(app: App, thing: Thing, number: int) -> float:
    photo = Photo(thing.photo.read_bytes(), thing.photo.name)
    began = time.perf_counter()
    await app.assistant.teaching.remember(
        ACTOR, _CHAT, f"other{number}", category=thing.category or "thing", photo=photo, box=thing.box
    )
    return time.perf_counter() - began
