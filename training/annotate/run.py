"""The whole run: choose concepts, annotate them and their photos, write the folder that rap-compose reads."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from rapbot.concepts.concept import fold_name
from rapbot.concepts.rap_format import RapEntry, write_rap_folder
from rapbot.errors import PhotoError
from rapbot.messages import Box
from rapbot.photos import open_photo, to_jpeg
from training.annotate.naming import unused
from training.annotate.notes import Annotator, CardNote, CropTask, SceneNote, SceneTask, Seen, Stopped, Unusable
from training.annotate.selection import Chosen, Found, Selection
from training.rap.samples import Sample, write_samples
from training.rap.scenes import AVATAR_SIDE, PHOTO_SIDE
from training.rap.sources import FINISHED, GENERAL, OUTLINES, PHOTOS
from training.sources.records import Record, SourceError, Thing

SET_ASIDE = "set_aside.jsonl"
_MARGIN = 0.06
"""Around a crop, part of its width and height."""
_OTHERS = 8
"""Labelled things beside the concepts that an annotator hears of."""
T = TypeVar("T")
Told = Callable[[int, int], None]


@dataclass(slots=True)
class Done:
    """What a run made."""

    concepts: int = 0
    photos: int = 0
    annotated: int = 0
    """Photos with texts of the annotator."""
    conversations: int = 0
    set_aside: list[dict[str, str]] = field(default_factory=list)
    stopped: str = ""
    """Why it ended early."""


@dataclass(frozen=True, slots=True)
class _Concept:
    chosen: Chosen
    card: CardNote


class Run:
    """Writes `into`; `together` annotations are asked for at a time."""

    def __init__(self, selection: Selection, into: Path, annotator: Annotator, together: int = 8) -> None:
        self._selection = selection
        self._into = into
        self._annotator = annotator
        self._together = together
        self._done = Done()

    async def work(self, told: Told = lambda done, total: None) -> Done:
        """Everything. Raises SourceError (a picture that was there is not any more)."""
        chosen, photos = self._selection.chosen, self._selection.photos
        whole = len(chosen) + len(photos)
        cards = await self._all([self._card(one) for one in chosen], lambda done: told(done, whole))
        concepts = self._named([_Concept(one, card) for one, card in zip(chosen, cards, strict=True) if card])
        if not concepts:
            raise SourceError(f"No concept could be annotated. {self._done.stopped or self._first_reason()}")
        scenes: Sequence[SceneNote | None] = await self._all(
            [self._scene(found, concepts) for found in photos], lambda done: told(len(chosen) + done, whole)
        )
        self._write(concepts, dict(zip(map(_key, photos), scenes, strict=True)))
        return self._done

    async def _all(self, work: Sequence[Awaitable[T | None]], told: Callable[[int], None]) -> list[T | None]:
        """All results in order; None where there is none. Once stopped, nothing more is asked."""
        slots = asyncio.Semaphore(self._together)
        done = 0

        async def one(each: Awaitable[T | None]) -> T | None:
            nonlocal done
            async with slots:
                try:
                    return await each
                except Stopped as error:
                    self._done.stopped = self._done.stopped or str(error)
                    return None
                finally:
                    done += 1
                    told(done)

        tasks = [asyncio.create_task(one(each)) for each in work]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _card(self, chosen: Chosen) -> CardNote | None:
        if self._done.stopped:
            return None
        thing = chosen.thing
        seen = Seen(thing.name, thing.category, None, thing.phrases, thing.info)
        try:
            task = CropTask(_crop(_opened(chosen.avatar), chosen.avatar.record.box(thing)), seen)
            return await self._annotator.card(task)
        except Unusable as error:
            self._aside("card", chosen.avatar, chosen.id, error)
            return None

    async def _scene(self, found: Found, concepts: dict[str, _Concept]) -> SceneNote | None:
        if self._done.stopped:
            return None
        things, others = _seen(found.record, concepts)
        task = SceneTask(_opened(found), things, others, found.record.captions)
        try:
            return await self._annotator.scene(task) if things else None
        except Unusable as error:
            self._aside("scene", found, ", ".join(thing.name for thing in things), error)
            return None

    def _named(self, concepts: Sequence[_Concept]) -> dict[str, _Concept]:
        """By id, with names that differ."""
        taken: set[str] = set()
        named = {}
        for one in concepts:
            name = unused(one.card.name, taken)
            taken.add(fold_name(name))
            named[one.chosen.id] = _Concept(one.chosen, replace(one.card, name=name))
        return named

    def _aside(self, what: str, found: Found, thing: str, error: Unusable) -> None:
        row = {"what": what, "picture": str(found.file), "thing": thing, "reason": str(error)}
        self._done.set_aside.append(row)

    def _first_reason(self) -> str:
        return self._done.set_aside[0]["reason"] if self._done.set_aside else "None fits: all are too small."

    def _write(self, concepts: dict[str, _Concept], scenes: dict[tuple[Path, str], SceneNote | None]) -> None:
        (self._into / "photos").mkdir(parents=True, exist_ok=True)
        self._write_concepts(concepts)
        rows = []
        shown = [one for one in self._selection.photos if any(thing.id in concepts for thing in one.record.things)]
        for found in (*shown, *self._selection.empty):
            row = self._photo_row(found, concepts, scenes.get(_key(found)))
            rows.append(json.dumps(row, ensure_ascii=False) + "\n")
        _replace(self._into / PHOTOS, "".join(rows))
        self._write_conversations()
        aside = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self._done.set_aside)
        (self._into / SET_ASIDE).unlink(missing_ok=True)
        if aside:
            _replace(self._into / SET_ASIDE, aside)
        self._done.concepts, self._done.photos = len(concepts), len(rows)

    def _write_concepts(self, concepts: dict[str, _Concept]) -> None:
        entries, outlines = [], {}
        for one in concepts.values():
            record, thing = one.chosen.avatar.record, one.chosen.thing
            box = record.box(thing)
            crop = to_jpeg(_crop(_opened(one.chosen.avatar), box))
            entries.append(RapEntry(one.card.name, one.card.category, one.card.info, (crop,)))
            outlines[f"<{one.card.name}>"] = _outline(record, thing, box.grown(_MARGIN)) if box else []
        draft = self._into / "concepts.part"
        shutil.rmtree(draft, ignore_errors=True)
        write_rap_folder(draft, entries)
        database = json.loads((draft / "database.json").read_text(encoding="utf-8"))["concept_dict"]
        known = {database[name]["image"]: outline for name, outline in outlines.items() if outline}
        (draft / Path(OUTLINES).name).write_text(json.dumps(known), encoding="utf-8")
        shutil.rmtree(self._into / "concepts", ignore_errors=True)
        draft.replace(self._into / "concepts")

    def _photo_row(self, found: Found, concepts: dict[str, _Concept], note: SceneNote | None) -> dict[str, Any]:
        """The row of photos.jsonl; its picture is written, small, beside it."""
        things = [thing for thing in found.record.things if thing.id in concepts]
        names = {thing.id: concepts[thing.id].card.name for thing in things}
        row: dict[str, Any] = {"file": self._copied(found), "concepts": list(dict.fromkeys(names.values()))}
        boxes = {names[thing.id]: box for thing in things if (box := found.record.box(thing))}
        row["boxes"] = {name: [box.left, box.top, box.right, box.bottom] for name, box in boxes.items()}
        outlines = {names[thing.id]: _outline(found.record, thing) for thing in things if names[thing.id] in boxes}
        row["outlines"] = {name: parts for name, parts in outlines.items() if parts}
        if note is not None:
            self._done.annotated += 1
            row |= {"caption": note.caption, "description": note.description, "questions": note.questions}
        return row

    def _write_conversations(self) -> None:
        general: list[Sample] = []
        finished: list[Sample] = []
        for found in self._selection.conversations:
            sample = found.record.sample
            assert sample is not None
            crops = tuple(replace(crop, picture=self._copied(found, crop.picture)) for crop in sample.crops)
            ready = replace(sample, image=self._copied(found) if sample.image else "", crops=crops)
            (finished if found.source == "rap" else general).append(ready)
        for name, samples in ((GENERAL, general), (FINISHED, finished)):
            (self._into / name).unlink(missing_ok=True)
            if samples:
                write_samples(self._into / name, samples)
        self._done.conversations = len(general) + len(finished)

    def _copied(self, found: Found, picture: str = "") -> str:
        """A picture of a source as `into`/photos/..., upright and no larger than training needs."""
        file = picture or found.record.file
        path = found.root / file
        stem = "".join(one if one.isascii() and one.isalnum() else "_" for one in path.stem)[-40:]
        # Files of the same name lie in other folders, and a file may have been replaced by another.
        whole = hashlib.sha256(f"{path}\0{path.stat().st_size}".encode()).hexdigest()[:12]
        name = f"photos/{found.source}-{stem}-{whole}.jpg"
        if not (self._into / name).is_file():
            data = to_jpeg(_opened(found, file), PHOTO_SIDE)
            part = (self._into / name).with_suffix(".part")
            part.write_bytes(data)
            part.replace(self._into / name)
        return name


def _seen(record: Record, concepts: dict[str, _Concept]) -> tuple[tuple[Seen, ...], tuple[Seen, ...]]:
    things, others = [], []
    for thing in record.things:
        box = record.box(thing)
        if known := concepts.get(thing.id):
            things.append(Seen(known.card.name, known.card.category, box, thing.phrases, known.card.info))
        else:
            others.append(Seen("", thing.category, box, thing.phrases))
    others.sort(key=lambda one: -(one.box.area if one.box else 0.0))
    return tuple(things), tuple(others)


def _opened(found: Found, file: str = "") -> Image.Image:
    """Upright RGB. Raises SourceError."""
    path = found.root / (file or found.record.file)
    try:
        return open_photo(path.read_bytes())
    except (OSError, PhotoError) as error:
        raise SourceError(f"{path} cannot be read any more ({error}): run rapbot-train sources again.") from error


def _crop(picture: Image.Image, box: Box | None) -> Image.Image:
    part = picture if box is None else picture.crop(box.grown(_MARGIN).pixels(*picture.size))
    part.thumbnail((AVATAR_SIDE, AVATAR_SIDE), Image.Resampling.LANCZOS)
    return part


def _outline(record: Record, thing: Thing, within: Box | None = None) -> list[list[float]]:
    """In fractions of the picture, or of the part `within` of it."""
    frame = within or Box(0.0, 0.0, 1.0, 1.0)
    width, height = record.size

    def moved(value: float, size: int, start: float, end: float) -> float:
        return round(min(1.0, max(0.0, (value / size - start) / (end - start))), 5)

    across, down = (width, frame.left, frame.right), (height, frame.top, frame.bottom)
    return [
        [moved(value, *(down if at % 2 else across)) for at, value in enumerate(part)]
        for part in thing.outline
        if len(part) >= 6 and len(part) % 2 == 0
    ]


def _key(found: Found) -> tuple[Path, str]:
    return (found.root, found.record.file)


def _replace(file: Path, text: str) -> None:
    part = file.with_name(file.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)
