"""RapPipeline: decode -> look (detect, encode) -> retrieve -> write -> draw, for a batch of jobs of many people.

The method is RAP (CVPR 2025, section 3.1): remember, retrieve, generate.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from rapbot.errors import ConfigError, InferenceError, PhotoError, RapbotError
from rapbot.i18n import mark
from rapbot.inference.avatars import choose_avatar_box
from rapbot.inference.clothes import outfits
from rapbot.inference.decoding import Decoder
from rapbot.inference.drawing import draw_candidates, draw_sightings
from rapbot.inference.eyes import Eyes, Seen, cut
from rapbot.inference.illustrating import Illustrator, with_boxes
from rapbot.inference.job import Answer, AvatarFace, EncodedAvatar, Job, Scene, Task
from rapbot.inference.meeting import FaceEyes, Met
from rapbot.inference.perception import Perception, PerceptionCache, look_name
from rapbot.inference.prompt import Pictures
from rapbot.inference.retrieval import AvatarKeys, RetrievalRules, retrieve
from rapbot.inference.seams import Detector, Encoder, Generator, Target
from rapbot.inference.serving import Failure
from rapbot.inference.specs import AdapterSpec
from rapbot.inference.writing import JobListener, Material, write_answers
from rapbot.messages import WHOLE, Stage
from rapbot.photos import PhotoLimits, to_avatar_jpeg

_CLOSE_UP = 0.12
"""Part of a photo that a face takes at least where the photo is of that person."""

Report = Callable[[Sequence[str], Stage], None]
"""Told which jobs reached which stage."""


@dataclass(frozen=True, slots=True)
class Former:
    """The encoder that was configured before, with its thresholds: old keys serve until all are made anew."""

    detector: Detector
    encoder: Encoder
    rules: RetrievalRules


@dataclass(frozen=True, slots=True)
class Models:
    """What a profile loads: three seams, and how to use them."""

    detector: Detector
    encoder: Encoder
    generator: Generator
    rules: RetrievalRules
    faces: FaceEyes
    former: Former | None = None
    former_missing: str = ""
    """Why the former encoder could not be loaded, where there should be one."""
    judge: bool = False
    """Let the model that sees check doubtful sightings."""


@dataclass(frozen=True, slots=True)
class _Space:
    """Keys of one encoder can only be compared with each other."""

    encoder: Encoder
    eyes: Eyes
    rules: RetrievalRules


@dataclass(slots=True)
class _Work:
    """One job on its way through the batch."""

    job: Job
    picture: Image.Image | None = None
    known: AvatarKeys | None = None
    """The job's concepts, once they were needed."""
    look: bytes = b""
    """Name of the look at the photo, for the cache."""
    perception: Perception | None = None
    scene: Scene | None = None
    avatars_seen: dict[int, Image.Image] = field(default_factory=dict)
    """By concept: the pictures that the model which sees is shown."""
    answer: Answer | None = None
    failure: Failure | None = None
    timings: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def avatars(self) -> AvatarKeys:
        """Read out of the job once, to look and to compare."""
        if self.known is None:
            self.known = AvatarKeys.read(self.job.concepts)
        return self.known


class RapPipeline:
    """All model work of the worker process. Not thread-safe: one batch at a time."""

    def __init__(self, models: Models, limits: PhotoLimits, decode_seconds: float | None = None) -> None:
        """`decode_seconds`: what a photo may take before the process ends itself (inference/decoding.py)."""
        self._models = models
        self._decoder = Decoder(limits, decode_seconds)
        loaded: list[Models | Former] = [models, *([models.former] if models.former else [])]
        self._spaces = {
            one.encoder.name: _Space(one.encoder, Eyes(one.detector, one.encoder), one.rules) for one in loaded
        }
        self._illustrator = Illustrator(models.generator, limits, judges=models.judge)
        self._seen = PerceptionCache()

    @property
    def encoder_name(self) -> str:
        return self._models.encoder.name

    @property
    def encoders(self) -> tuple[str, ...]:
        """Names of all encoders that are loaded, the current one first."""
        return tuple(self._spaces)

    @property
    def former_missing(self) -> str:
        """Why the encoder that was configured before could not be loaded; empty where it was, or there is none."""
        return self._models.former_missing

    def swap(self, adapters: Sequence[AdapterSpec]) -> None:
        """Other LoRAs from the next batch on; the models stay loaded. Raises ConfigError, WeightsError."""
        swap = getattr(self._models.generator, "swap", None)
        if swap is None:
            raise ConfigError("This profile's model takes other LoRAs only at a restart.")
        swap(adapters)

    def run(self, jobs: Sequence[Job], report: Report, listener: JobListener | None = None) -> list[Answer | Failure]:
        """One answer or failure per job, in order. Out of memory for a batch: halve it and try again.

        `listener` follows the texts while they are written.
        """
        try:
            return self._run(jobs, report, listener)
        except (MemoryError, RuntimeError) as error:
            # torch's own ways to say so, on a processor and on a GPU
            if isinstance(error, RuntimeError) and not re.search("allocate memory|out of memory", str(error)):
                raise
            if len(jobs) == 1:
                return [
                    Failure(
                        "InferenceError", mark("That picture needs more memory than I have. Please send a smaller one.")
                    )
                ]
            half = len(jobs) // 2
            return self.run(jobs[:half], report, listener) + self.run(jobs[half:], report, listener)

    def _run(self, jobs: Sequence[Job], report: Report, listener: JobListener | None) -> list[Answer | Failure]:
        batch = [_Work(self._comparable(job)) for job in jobs]
        report([job.id for job in jobs if job.photo is not None and job.scene is None], Stage.LOOKING)
        for work in batch:
            with _guarded(work), _timed([work], "decode"):
                self._decode(work)
        self._perceive([work for work in batch if work.picture is not None or work.perception is not None])
        report([job.id for job in jobs], Stage.RECALLING)
        for work in batch:
            if work.failure is None:
                with _guarded(work):
                    self._recall(work)
        if self._illustrator.needed:
            for work in batch:
                if work.answer is None and work.failure is None:
                    with _guarded(work):
                        self._illustrate(work)
        self._write([work for work in batch if work.answer is None and work.failure is None], report, listener)
        for work in batch:
            if work.answer is not None and work.failure is None:
                with _guarded(work), _timed([work], "draw"):
                    self._draw(work)
        return [self._finish(work) for work in batch]

    def _comparable(self, job: Job) -> Job:
        """The job without keys that no encoder here could be compared with: its concepts match nothing."""
        if not job.concepts.encoder or job.concepts.encoder in self._spaces:
            return job
        return replace(job, concepts=replace(job.concepts, rows=(), index=b"", encoder=""))

    def _space(self, work: _Work) -> _Space:
        return self._spaces[work.job.concepts.encoder or self.encoder_name]

    def _finish(self, work: _Work) -> Answer | Failure:
        if work.failure is not None or work.answer is None:
            return work.failure or Failure("InferenceError", mark("I have no answer to that."))
        return replace(work.answer, timings=dict(work.timings))

    def _decode(self, work: _Work) -> None:
        job = work.job
        if job.photo is None:
            return
        work.look = look_name(job.photo, self._looked_for(job))
        work.perception = self._seen.get(work.look)
        shown = job.picture or job.outfits or self._models.generator.sees
        if work.perception is None or shown or job.task in (Task.ENCODE, Task.EXPLAIN):
            work.picture = self._decoder.open(job.photo, max_side=1600)

    def _looked_for(self, job: Job) -> bytes:
        """What the same photo is looked at for: another index, faces too, other words to look for is another look."""
        words = "\n".join(_categories(job)) if getattr(self._models.detector, "tight", False) else ""
        known = job.concepts.faces  # in a crowd only faces near these are looked at well
        faces = b"".join([*(face.key for face in known), *(job.concepts.unwanted if known else ())])
        return job.concepts.index + job.concepts.encoder.encode() + faces + words.encode()

    def _perceive(self, batch: list[_Work]) -> None:
        """Fill `perception` of every photo: regions, keys and words; one batch for all."""
        fresh = [
            work
            for work in batch
            if work.perception is None and work.failure is None and work.job.box is None and work.job.scene is None
        ]
        pictures = [work.picture for work in fresh if work.picture is not None]
        if not pictures:
            return
        seen: dict[int, Seen] = {}
        with _timed(fresh, "look"):
            for space in self._spaces.values():
                here = [n for n, work in enumerate(fresh) if self._space(work) is space]
                looked = space.eyes.look([pictures[n] for n in here], [_target(fresh[n]) for n in here]) if here else []
                seen |= dict(zip(here, looked, strict=True))
        for n, (work, picture) in enumerate(zip(fresh, pictures, strict=True)):
            view = seen[n]
            work.perception = Perception(picture.width, picture.height, view.regions, view.keys)
            if work.job.concepts.faces:
                with _guarded(work), _timed([work], "faces"):
                    work.perception = replace(
                        work.perception, faces=self._models.faces.look(picture, work.job.concepts)
                    )
            if work.look:
                self._seen.put(work.look, work.perception)

    def _recall(self, work: _Work) -> None:
        job = work.job
        if job.task is Task.ENCODE:
            work.answer = self._encode_avatar(work)
        elif job.task is Task.EXPLAIN:
            work.scene = job.scene
            work.answer = Answer(job.id, scene=job.scene)
        elif job.task is Task.KEYS:
            work.answer = self._keys(work)
        elif job.scene is not None:
            work.scene = job.scene
        elif work.perception is not None:
            seen = work.perception
            with _timed([work], "retrieve"):
                rules = self._space(work).rules
                sightings, candidates = retrieve(seen.keys, seen.regions, work.avatars(), job.mentioned, rules)
                met = Met()
                if job.concepts.faces:
                    met = self._models.faces.meet(seen.faces, job.concepts, len(seen.regions))
            work.scene = Scene(
                seen.width,
                seen.height,
                (*seen.regions, *met.regions),
                (*met.sightings, *sightings),
                (*met.candidates, *candidates),
                met.strangers,
            )
            if job.outfits and met.heads and work.picture is not None:
                with _timed([work], "encode"):
                    worn = outfits(work.picture, met.heads, self._space(work).encoder, rules)
                work.scene = replace(work.scene, outfits=worn)

    def _keys(self, work: _Work) -> Answer:
        """Keys and nothing else: of the regions of a photo, or of stored avatars."""
        seen = work.perception
        if seen is not None:
            scene = Scene(seen.width, seen.height, seen.regions)
            return Answer(work.job.id, scene=scene, keys=seen.keys.tobytes())
        encoder = self._models.encoder
        keys = np.zeros((len(work.job.stored), encoder.dimension), np.float32)
        with _timed([work], "encode"):
            for row, jpeg in enumerate(work.job.stored):
                with suppress(PhotoError):
                    keys[row] = encoder.encode_avatar(self._decoder.open(jpeg))
        return Answer(work.job.id, keys=keys.tobytes())

    def _encode_avatar(self, work: _Work) -> Answer:
        """The stored form of one picture of a concept: JPEG, key, and where it was cut out."""
        job, picture = work.job, work.picture
        if picture is None:
            raise InferenceError(mark("Please send a photo with that."))
        box, seen = job.box, work.perception
        if box is None and job.faces and self._close_up(work, picture):
            box = WHOLE
        if box is None:
            box = choose_avatar_box(picture, seen.regions, job.category) if seen is not None else WHOLE
        with _timed([work], "encode"):
            part = cut(picture, box)
            key, *others = [space.encoder.encode_avatar(part) for space in self._spaces.values()]
            other_keys = tuple((name, other.tobytes()) for name, other in zip(self.encoders[1:], others, strict=True))
        tags = next((region.tags for region in seen.regions if region.box == box), ()) if seen is not None else ()
        faces = self._faces(work, cut(picture, box)) if job.faces else ()
        jpeg = to_avatar_jpeg(picture, box)
        with _timed([work], "generate"):
            traits = self._illustrator.traits(job.category, cut(picture, box))
        avatar = EncodedAvatar(jpeg, key.tobytes(), self.encoder_name, box, tags, faces, other_keys, traits)
        return Answer(job.id, avatar=avatar)

    def _faces(self, work: _Work, picture: Image.Image) -> tuple[AvatarFace, ...]:
        with _timed([work], "faces"):
            return self._models.faces.look_at_avatar(picture)

    def _close_up(self, work: _Work, picture: Image.Image) -> bool:
        """Whether a face is so large that it is what is taught, and no thing beside it, wherever the eyes would cut."""
        faces = self._faces(work, picture)
        return bool(faces) and faces[0].box.area > _CLOSE_UP

    def _illustrate(self, work: _Work) -> None:
        """Get the avatars that a model that sees needs: out of the job, or by asking for them."""
        if work.job.avatars is None:
            wanted = self._illustrator.wanted(work.job, work.scene)
            if wanted:
                work.answer = Answer(work.job.id, scene=work.scene, wanted=wanted)
            return
        with _timed([work], "decode"):
            work.avatars_seen = self._illustrator.pictures(work.job)
        if work.scene is not None and work.picture is not None:
            with _timed([work], "judge"):
                work.scene = self._illustrator.judged(work.job, work.scene, work.picture, work.avatars_seen)

    def _write(self, batch: list[_Work], report: Report, listener: JobListener | None) -> None:
        if not batch:
            return
        report([work.job.id for work in batch], Stage.WRITING)
        material = [Material(work.job, work.scene, Pictures(work.picture, work.avatars_seen)) for work in batch]
        try:
            with _timed(batch, "generate"):
                written = write_answers(self._models.generator, material, listener)
        except RapbotError as error:
            if len(batch) == 1:
                batch[0].failure = Failure(type(error).__name__, error.sentence)
            else:  # one of them cannot be answered: it takes nobody along
                for work in batch:
                    self._write([work], report, listener)
            return
        for work, words in zip(batch, written, strict=True):
            work.scene = with_boxes(work.scene, work.job.concepts.cards, words.boxes)
            work.answer = Answer(
                work.job.id, words.text, work.scene, named=words.named, option_scores=words.option_scores
            )

    def _draw(self, work: _Work) -> None:
        if work.picture is None or work.scene is None or work.answer is None:
            return
        if work.job.task is Task.EXPLAIN:
            work.answer = replace(work.answer, picture=draw_candidates(work.picture, work.scene))
        elif work.job.picture and work.scene.sightings:
            work.answer = replace(work.answer, picture=draw_sightings(work.picture, work.scene.sightings))


def _target(work: _Work) -> Target:
    """What to look for in the photo of this job. An avatar's own photo is looked at without prejudice."""
    return Target(_categories(work.job), work.avatars().positive)


def _categories(job: Job) -> tuple[str, ...]:
    """Kinds of thing to look for: those of the visible concepts, and of what is being taught."""
    taught = {job.category} if job.category else set()
    return tuple(sorted({card.category for card in job.concepts.cards} | taught))


@contextmanager
def _guarded(work: _Work) -> Iterator[None]:
    """What one job does wrong fails that job alone."""
    try:
        yield
    except RapbotError as error:
        work.failure = Failure(type(error).__name__, error.sentence)


@contextmanager
def _timed(batch: Sequence[_Work], stage: str) -> Iterator[None]:
    """Add the seconds of this stage to each job, shared evenly."""
    began = time.perf_counter()
    try:
        yield
    finally:
        share = (time.perf_counter() - began) / max(1, len(batch))
        for work in batch:
            work.timings[stage] += share
