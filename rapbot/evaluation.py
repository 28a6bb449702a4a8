"""`rapbot eval`: the paper's metrics (scores.py) over the way that a chat message takes, in a store of its own."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rapbot.app import App, running
from rapbot.assistant import Ask
from rapbot.concepts.category import is_person
from rapbot.concepts.rap_format import RapEntry, read_rap_database
from rapbot.config import Settings
from rapbot.errors import ConceptError
from rapbot.messages import Actor, Chat, Photo, Reply, Request
from rapbot.progress import track_progress
from rapbot.scores import NameCounts, Recognitions, likeliest, ratio, share
from rapbot.transfer import teach_entry

ACTOR = Actor("eval:eval")
_PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".heic", ".gif"})


@dataclass(frozen=True, slots=True)
class LabelledPhoto:
    path: Path
    concepts: frozenset[str]


@dataclass(frozen=True, slots=True)
class Question:
    concept: str
    info: str
    text: str
    options: tuple[str, ...]
    answer: int
    photo: Path | None = None
    """What it is about, beside the card of the database; None: about the words of `info` alone."""


@dataclass(slots=True)
class Counts:
    """What was counted; the report divides it."""

    top: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0, 5: 0})
    names: NameCounts = field(default_factory=NameCounts)
    recognitions: Recognitions = field(default_factory=Recognitions)
    false_named: list[bool] = field(default_factory=list)
    answers: list[bool] = field(default_factory=list)
    answers_by_sight: list[bool] = field(default_factory=list)
    bytes_per_concept: int | None = None
    """On disk, avatars included."""
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"remember": [], "caption": [], "answer": []})


async def evaluate_files(
    settings: Settings, database: Path, photos: Path | None, negatives: Path | None, questions: Path | None
) -> dict[str, Any]:
    """The report as plain values. Raises RapbotError when a file is missing or not in its format."""
    entries = read_rap_database(database)
    labelled = read_photos(photos, {entry.name for entry in entries}) if photos else []
    others = pictures_in(negatives) if negatives else []
    asked = read_questions(questions, {entry.name for entry in entries}) if questions else []
    counts = Counts()
    with tempfile.TemporaryDirectory(prefix="rapbot-eval-") as folder, track_progress() as track:
        roomy = settings.model_copy(
            update={"limits": settings.limits.model_copy(update={"concepts_per_person": 10_000})}
        )
        file = Path(folder) / "eval.sqlite3"
        async with running(roomy, database=file) as app:
            await app.worker.ready()
            begun = size_of(file)
            counts.seconds["remember"] = await teach(app, track(entries, "teach"))
            counts.bytes_per_concept = (size_of(file) - begun) // len(entries) if entries else None
            for photo in track(labelled, "photos"):
                await _one_photo(app, photo, counts)
            for path in track(others, "negatives"):
                reply = await _caption(app, path, counts)
                counts.false_named.append(bool(reply.named))
            await _ask_all(app, track(asked, "questions"), counts)
    return _report(counts, len(entries), len(labelled), len(others))


def pictures_in(place: Path) -> list[Path]:
    """The photos of a folder, or of JSON lines {file}. Raises ConceptError."""
    if place.is_dir():
        return sorted(path for path in place.rglob("*") if path.suffix.lower() in _PHOTO_SUFFIXES)
    return [_file_of(place, number, record) for number, record in _read_lines(place)]


def _file_of(path: Path, number: int, record: dict[str, Any]) -> Path:
    try:
        file: Path = path.parent / record["file"]
    except (KeyError, TypeError) as error:
        raise ConceptError(f"{path}, line {number} needs the field file.") from error
    if not file.is_file():
        raise ConceptError(f"{path}, line {number}: there is no photo {file}.")
    return file


def _read_lines(path: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConceptError(f"I cannot read {path}: {error.strerror}.") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise ConceptError(f"{path}, line {number} is not JSON.") from error
            if not isinstance(record, dict):
                raise ConceptError(f"{path}, line {number} is not an object.")
            yield number, record


def read_photos(path: Path, names: set[str]) -> list[LabelledPhoto]:
    """JSON lines {file, concepts}; `names` are the concepts there are. Raises ConceptError."""
    photos = []
    for number, record in _read_lines(path):
        try:
            concepts = frozenset(c.strip("<>") for c in record["concepts"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ConceptError(f"{path}, line {number} needs the fields file and concepts.") from error
        if unknown := concepts - names:
            raise ConceptError(f"{path}, line {number} names {sorted(unknown)[0]}, which the database does not have.")
        photos.append(LabelledPhoto(_file_of(path, number, record), concepts))
    return photos


def read_questions(path: Path, names: set[str]) -> list[Question]:
    """JSON lines {concept, info, question, options, answer: "B"}; with {file}, about a photo of a concept in `names`.

    Raises ConceptError.
    """
    questions = []
    for number, record in _read_lines(path):
        try:
            options = record["options"]
            letters = sorted(options) if isinstance(options, dict) else [chr(65 + i) for i in range(len(options))]
            texts = [options[key] for key in letters] if isinstance(options, dict) else list(options)
            answer = letters.index(str(record["answer"]).strip().upper()[:1])
            concept, asked = record["concept"].strip("<>"), record["question"]
            info = str(record.get("info", "")) if "file" in record else record["info"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConceptError(f"{path}, line {number} needs concept, info, question, options and answer.") from error
        photo = _file_of(path, number, record) if "file" in record else None
        if photo and concept not in names:
            raise ConceptError(f"{path}, line {number} names {concept}, which the database does not have.")
        questions.append(Question(concept, info, asked, tuple(map(str, texts)), answer, photo))
    return questions


async def teach(app: App, entries: Iterable[RapEntry]) -> list[float]:
    """Every card with its pictures; returns the seconds that a picture of each took."""
    chat, seconds = Chat("eval:teach"), []
    for entry in entries:
        began = time.perf_counter()
        await teach_entry(app.assistant, ACTOR, chat, entry)
        if is_person(entry.category):  # whoever evaluates with people's pictures has their consent
            with suppress(ConceptError):
                await app.assistant.allow_face(ACTOR, entry.name)
        seconds.append((time.perf_counter() - began) / len(entry.images))
    return seconds


def size_of(database: Path) -> int:
    """Bytes that a store takes, whether they stand in its file already or in its journal yet."""
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as opened:
        pages, free, size = (
            opened.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


def shuffled(question: Question, dice: random.Random) -> tuple[tuple[str, ...], int]:
    """(the options in another order, where the right one is): in the published set the answer is nearly always A."""
    order = list(range(len(question.options)))
    dice.shuffle(order)
    return tuple(question.options[i] for i in order), order.index(question.answer)


async def _caption(app: App, path: Path, counts: Counts) -> Reply:
    request = Request(ACTOR, Chat("eval:photo"), "", (Photo(await asyncio.to_thread(path.read_bytes), path.name),))
    began = time.perf_counter()
    reply = await app.assistant.caption(request)
    counts.seconds["caption"].append(time.perf_counter() - began)
    return reply


async def _one_photo(app: App, photo: LabelledPhoto, counts: Counts) -> None:
    """Caption the photo, then ask for every concept of the database whether it is in the photo."""
    reply = await _caption(app, photo.path, counts)
    known = {concept.id: concept.name for concept in await app.assistant.memory.concepts(ACTOR)}
    named = {known[concept_id] for concept_id in reply.named}
    counts.names.add(named, set(photo.concepts))
    record = app.conversations.answer(reply.answer_id or "", ACTOR.id)
    ranking = [known[c.concept_id] for c in record.scene.candidates] if record else []
    for k in counts.top:
        counts.top[k] += len(photo.concepts & set(ranking[:k]))
    for name in known.values():
        request = Request(ACTOR, Chat("eval:photo"), f"Is <{name}> in this image?", ())
        answer = await app.assistant.respond(request, ask=Ask(picture=False))
        said_yes = any(sighting.name == name for sighting in answer.sightings)
        counts.recognitions.add(name in photo.concepts, said_yes)


async def _ask_all(app: App, questions: Iterable[Question], counts: Counts) -> None:
    """Options shuffled. A question without a photo is asked of somebody who has its own card only."""
    dice = random.Random(0)  # noqa: S311 - the same order each time
    for number, question in enumerate(questions):
        options, right = shuffled(question, dice)
        actor = ACTOR
        photos: tuple[Photo, ...] = ()
        if question.photo is not None:
            content = await asyncio.to_thread(question.photo.read_bytes)
            photos = (Photo(content, question.photo.name),)
        else:
            actor = Actor(f"eval:question-{number}")
            await _write_card(app, actor, question)
        request = Request(actor, Chat(f"eval:question-{number}"), question.text, photos)
        began = time.perf_counter()
        reply = await app.assistant.respond(request, ask=Ask(options=options, about=(question.concept,)))
        counts.seconds["answer"].append(time.perf_counter() - began)
        answers = counts.answers if question.photo is None else counts.answers_by_sight
        answers.append(likeliest(reply.option_scores) == right)


async def _write_card(app: App, actor: Actor, question: Question) -> None:
    """A card without looking at any photo: the question is about its words."""
    import numpy as np

    from rapbot.concepts.category import guess_category
    from rapbot.concepts.concept import NewAvatar
    from rapbot.concepts.store import Remember
    from rapbot.inference.planning import plan
    from rapbot.messages import WHOLE

    avatar = NewAvatar(b"", np.ones(1, np.float32), plan(app.settings).encoder.name + "/none", WHOLE)
    category = guess_category(question.info) or "thing"
    await app.store.write(actor.id, Remember(question.concept, category, question.info, avatar))


def _report(counts: Counts, concepts: int, photos: int, negatives: int) -> dict[str, Any]:
    asked = counts.answers + counts.answers_by_sight
    return {
        "retrieval": {f"top{k}": ratio(hits, counts.names.wanted) for k, hits in counts.top.items()},
        "caption": counts.names.strict(),
        "caption_published": counts.names.published(),
        "recognition": counts.recognitions.in_numbers(),
        "negatives": {"false_name_rate": share(counts.false_named)},
        "questions": {
            "accuracy": share(asked),
            "text_only": share(counts.answers),
            "visual": share(counts.answers_by_sight),
        },
        "seconds": {
            f"{kind}_p50": round(statistics.median(values), 4) if values else None
            for kind, values in counts.seconds.items()
        },
        "cost": {"bytes_per_concept": counts.bytes_per_concept},
        "count": {
            "concepts": concepts,
            "photos": photos,
            "labels": counts.names.wanted,
            "recognition_pairs": len(counts.recognitions.positive) + len(counts.recognitions.negative),
            "negatives": negatives,
            "questions": len(asked),
        },
    }


def print_report(report: dict[str, Any]) -> None:
    """One row per number."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "value", title="rapbot eval")
    for section, values in report.items():
        for name, value in values.items():
            table.add_row(f"{section}.{name}", "-" if value is None else f"{value:g}")
    Console().print(table)
