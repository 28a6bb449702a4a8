"""What the eyes find on the photos of an evaluation: looked at once, by the worker that serves, for all arms."""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rapbot.app import App, running
from rapbot.concepts.index import IndexCache
from rapbot.concepts.rap_format import read_rap_database
from rapbot.config import Settings
from rapbot.evaluation import ACTOR, LabelledPhoto, Question, pictures_in, read_photos, read_questions, size_of, teach
from rapbot.inference.job import Job, Scene, Task, VisibleConcepts
from rapbot.messages import WHOLE, Sighting
from rapbot.progress import track_progress
from rapbot.scores import ratio

TOP = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Files:
    """What is evaluated on."""

    database: Path
    photos: Path
    negatives: Path | None = None
    questions: Path | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """A photo, what the eyes found on it, and the ids of the concepts that really are there."""

    path: Path
    scene: Scene
    there: frozenset[int]


@dataclass(frozen=True, slots=True)
class Seen:
    """All that an arm is measured on."""

    concepts: VisibleConcepts
    avatars: dict[int, bytes]
    """JPEG of each concept's first picture."""
    photos: tuple[Look, ...]
    negatives: tuple[Look, ...]
    questions: tuple[tuple[Question, Look | None], ...]
    top: dict[str, float | None]
    """Recall of the first concepts that the retriever puts forward."""
    cost: dict[str, float | None]
    """Seconds and bytes of a concept, seconds of a photo; medians, without any language model."""


def chosen(files: Files, limit: int | None) -> tuple[list[LabelledPhoto], list[Path], list[Question]]:
    """(photos, negatives, questions), `limit` of each, drawn the same way each time. Raises RapbotError."""
    names = {entry.name for entry in read_rap_database(files.database)}
    photos = read_photos(files.photos, names)
    negatives = pictures_in(files.negatives) if files.negatives else []
    questions = read_questions(files.questions, names) if files.questions else []
    return _some(photos, limit), _some(negatives, limit), _some(questions, limit)


async def look(settings: Settings, files: Files, limit: int | None = None) -> Seen:
    """In a store of its own. The configured eyes look; the language model of the profile is not loaded.

    Raises RapbotError.
    """
    photos, negatives, questions = chosen(files, limit)
    entries = read_rap_database(files.database)
    shown = {question.photo for question in questions if question.photo} - {photo.path for photo in photos}
    with tempfile.TemporaryDirectory(prefix="rapbot-ablations-") as folder, track_progress() as track:
        file = Path(folder) / "eval.sqlite3"
        async with running(_eyes_alone(settings), database=file) as app:
            await app.worker.ready()
            begun = size_of(file)
            seconds = await teach(app, track(entries, "teach"))
            size = size_of(file) - begun
            visible = (await IndexCache(app.store).get(ACTOR.id)).visible
            known = {card.name: card.concept_id for card in visible.cards}
            avatars = await _avatars(app, visible)
            spent: list[float] = []
            looks = [
                Look(
                    photo.path, await _scene(app, photo.path, visible, spent), frozenset(map(known.__getitem__, there))
                )
                for photo, there in track([(photo, photo.concepts) for photo in photos], "photos")
            ]
            empty = [
                Look(path, await _scene(app, path, visible, spent), frozenset())
                for path in track(negatives, "negatives")
            ]
            more = {
                path: Look(path, await _scene(app, path, visible, spent), frozenset())
                for path in track(sorted(shown), "questions")
            }
    about = more | {one.path: one for one in looks}
    labels = sum(len(one.there) for one in looks)
    return Seen(
        visible,
        avatars,
        tuple(looks),
        tuple(empty),
        tuple((question, about[question.photo] if question.photo else None) for question in questions),
        {f"top{k}": ratio(sum(len(one.there & set(nearest(one.scene)[:k])) for one in looks), labels) for k in TOP},
        {
            "seconds_per_concept": round(statistics.median(seconds), 4) if seconds else None,
            "bytes_per_concept": ratio(size, len(entries)),
            "seconds_per_photo": round(statistics.median(spent), 4) if spent else None,
        },
    )


def nearest(scene: Scene) -> list[int]:
    """Distinct concepts, best first, accepted or not: what the paper's retriever, which has no threshold, returns."""
    return list(dict.fromkeys(candidate.concept_id for candidate in scene.candidates))


def perfect(one: Look, concepts: VisibleConcepts) -> Look:
    """As if the retriever had found exactly who is there; where it found them at all, in that place."""
    names = {card.concept_id: card for card in concepts.cards}
    boxes = {c.concept_id: one.scene.regions[c.region].box for c in reversed(one.scene.candidates)}
    sightings = tuple(
        Sighting(concept, names[concept].name, boxes.get(concept, WHOLE), 0.0, 1.0, 0, 0)
        for concept in sorted(one.there)
    )
    return replace(one, scene=replace(one.scene, sightings=sightings, candidates=()))


def _eyes_alone(settings: Settings) -> Settings:
    """A large model would stand in memory twice, once for nothing."""
    models = settings.models.model_copy(
        update={"generator": "smollm2:", "adapters": {}, "adapter": "", "judge": False, "quantization": None}
    )
    limits = settings.limits.model_copy(update={"concepts_per_person": 100_000})
    return settings.model_copy(update={"models": models, "lora": None, "limits": limits})


async def _scene(app: App, path: Path, visible: VisibleConcepts, spent: list[float]) -> Scene:
    photo = await asyncio.to_thread(path.read_bytes)
    job = Job(uuid.uuid4().hex, ACTOR.id, Task.FIND, photo=photo, concepts=visible, picture=False, deadline=600.0)
    began = time.perf_counter()
    answer = await app.queue.submit(job)
    spent.append(time.perf_counter() - began)
    assert answer.scene is not None  # a photo was given
    return answer.scene


async def _avatars(app: App, visible: VisibleConcepts) -> dict[int, bytes]:
    first: dict[int, int] = {}
    for row in visible.rows:
        if not row.counterexample:
            first.setdefault(row.concept_id, row.avatar_id)
    return {concept: await app.assistant.memory.picture(ACTOR, avatar) for concept, avatar in first.items()}


def _some(things: Sequence[Any], limit: int | None) -> list[Any]:
    if limit is None or limit >= len(things):
        return list(things)
    return [things[number] for number in sorted(random.Random(0).sample(range(len(things)), limit))]
