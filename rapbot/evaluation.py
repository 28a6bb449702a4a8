"""`rapbot eval`: the paper's metrics over the same code path that a chat message takes, in a store of its own.

Source of the metrics: RAP (CVPR 2025), section 4 and its scorer; the strict variants count every wrong name.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
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


@dataclass(slots=True)
class Counts:
    """What was counted; the report divides it."""

    top: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0, 5: 0})
    wanted: int = 0
    right: int = 0
    named: int = 0
    published_named: int = 0
    positive: list[bool] = field(default_factory=list)
    negative: list[bool] = field(default_factory=list)
    false_named: list[bool] = field(default_factory=list)
    answers: list[bool] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"remember": [], "caption": [], "answer": []})


async def evaluate_files(
    settings: Settings, database: Path, photos: Path | None, negatives: Path | None, questions: Path | None
) -> dict[str, Any]:
    """The report as plain values. Raises RapbotError when a file is missing or not in its format."""
    entries = read_rap_database(database)
    labelled = read_photos(photos, {entry.name for entry in entries}) if photos else []
    others = pictures_in(negatives) if negatives else []
    asked = _read_questions(questions) if questions else []
    counts = Counts()
    with tempfile.TemporaryDirectory(prefix="rapbot-eval-") as folder, track_progress() as track:
        roomy = settings.model_copy(
            update={"limits": settings.limits.model_copy(update={"concepts_per_person": 10_000})}
        )
        async with running(roomy, database=Path(folder) / "eval.sqlite3") as app:
            await app.worker.ready()
            await _teach(app, track(entries, "teach"), counts)
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


def _read_questions(path: Path) -> list[Question]:
    questions = []
    for number, record in _read_lines(path):
        try:
            options = record["options"]
            letters = sorted(options) if isinstance(options, dict) else [chr(65 + i) for i in range(len(options))]
            texts = [options[key] for key in letters] if isinstance(options, dict) else list(options)
            answer = letters.index(str(record["answer"]).strip().upper()[:1])
            questions.append(
                Question(
                    record["concept"].strip("<>"), record["info"], record["question"], tuple(map(str, texts)), answer
                )
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConceptError(f"{path}, line {number} needs concept, info, question, options and answer.") from error
    return questions


async def _teach(app: App, entries: Iterable[RapEntry], counts: Counts) -> None:
    chat = Chat("eval:teach")
    for entry in entries:
        began = time.perf_counter()
        await teach_entry(app.assistant, ACTOR, chat, entry)
        if is_person(entry.category):  # whoever evaluates with people's pictures has their consent
            with suppress(ConceptError):
                await app.assistant.allow_face(ACTOR, entry.name)
        counts.seconds["remember"].append((time.perf_counter() - began) / len(entry.images))


async def _caption(app: App, path: Path, counts: Counts) -> Reply:
    request = Request(ACTOR, Chat("eval:photo"), "", (Photo(await asyncio.to_thread(path.read_bytes), path.name),))
    began = time.perf_counter()
    reply = await app.assistant.caption(request)
    counts.seconds["caption"].append(time.perf_counter() - began)
    return reply


async def _one_photo(app: App, photo: LabelledPhoto, counts: Counts) -> None:
    """Caption the photo, then ask for every concept of the database whether it is in the photo."""
    reply = await _caption(app, photo.path, counts)
    known = {concept.id: concept.name for concept in await app.assistant.concepts(ACTOR)}
    named = {known[concept_id] for concept_id in reply.named}
    right = named & photo.concepts
    counts.wanted += len(photo.concepts)
    counts.right += len(right)
    counts.named += len(named)
    counts.published_named += len(right) if right else len(named)
    record = app.conversations.answer(reply.answer_id or "", ACTOR.id)
    ranking = [known[c.concept_id] for c in record.scene.candidates] if record else []
    for k in counts.top:
        counts.top[k] += len(photo.concepts & set(ranking[:k]))
    for name in known.values():
        request = Request(ACTOR, Chat("eval:photo"), f"Is <{name}> in this image?", ())
        answer = await app.assistant.respond(request, ask=Ask(picture=False))
        said_yes = any(sighting.name == name for sighting in answer.sightings)
        present = name in photo.concepts
        (counts.positive if present else counts.negative).append(said_yes == present)


async def _ask_all(app: App, questions: Iterable[Question], counts: Counts) -> None:
    """Each question with its own card only, options shuffled: in the published set the answer is nearly always A."""
    shuffler = random.Random(0)  # noqa: S311 - the same order each time
    for number, question in enumerate(questions):
        actor = Actor(f"eval:question-{number}")
        await _write_card(app, actor, question)
        order = list(range(len(question.options)))
        shuffler.shuffle(order)
        options = tuple(question.options[i] for i in order)
        request = Request(actor, Chat(f"eval:question-{number}"), question.text)
        began = time.perf_counter()
        reply = await app.assistant.respond(request, ask=Ask(options=options, about=(question.concept,)))
        counts.seconds["answer"].append(time.perf_counter() - began)
        best = max(range(len(options)), key=lambda i, scores=reply.option_scores: scores[i])  # type: ignore[misc]
        counts.answers.append(order[best] == question.answer)


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


def _ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def _mean(values: Sequence[bool]) -> float | None:
    return _ratio(sum(values), len(values))


def _scores(right: int, wanted: int, named: int) -> dict[str, float | None]:
    recall, precision = _ratio(right, wanted), _ratio(right, named)
    f1 = _ratio(2 * right, wanted + named)
    return {"recall": recall, "precision": precision, "f1": f1}


def _report(counts: Counts, concepts: int, photos: int, negatives: int) -> dict[str, Any]:
    positive, negative = _mean(counts.positive), _mean(counts.negative)
    weighted = round((positive + negative) / 2, 4) if positive is not None and negative is not None else None
    return {
        "retrieval": {f"top{k}": _ratio(hits, counts.wanted) for k, hits in counts.top.items()},
        "caption": _scores(counts.right, counts.wanted, counts.named),
        "caption_published": _scores(counts.right, counts.wanted, counts.published_named),
        "recognition": {"positive": positive, "negative": negative, "weighted": weighted},
        "negatives": {"false_name_rate": _mean(counts.false_named)},
        "questions": {"accuracy": _mean(counts.answers)},
        "seconds": {
            f"{kind}_p50": round(statistics.median(values), 4) if values else None
            for kind, values in counts.seconds.items()
        },
        "count": {
            "concepts": concepts,
            "photos": photos,
            "labels": counts.wanted,
            "recognition_pairs": len(counts.positive) + len(counts.negative),
            "negatives": negatives,
            "questions": len(counts.answers),
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
