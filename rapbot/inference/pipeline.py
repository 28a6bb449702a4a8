"""RapPipeline: decode -> look (detect, encode) -> retrieve -> write -> draw, for a batch of jobs of many people.

The method is RAP (CVPR 2025, section 3.1): remember, retrieve, generate.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from PIL import Image

from rapbot.errors import InferenceError, RapbotError
from rapbot.i18n import mark
from rapbot.inference.avatars import choose_avatar_box
from rapbot.inference.drawing import draw_candidates, draw_sightings
from rapbot.inference.eyes import Eyes, cut
from rapbot.inference.job import Answer, AvatarFace, EncodedAvatar, Job, Scene, Task
from rapbot.inference.meeting import FaceEyes, Met, meet
from rapbot.inference.perception import Perception, PerceptionCache
from rapbot.inference.retrieval import AvatarKeys, RetrievalRules, retrieve
from rapbot.inference.seams import Detector, Encoder, Generator, Target
from rapbot.inference.serving import Failure
from rapbot.inference.writing import write_answers
from rapbot.messages import WHOLE, Stage
from rapbot.photos import PhotoLimits, open_photo, to_avatar_jpeg

Report = Callable[[Sequence[str], Stage], None]
"""Told which jobs reached which stage."""


@dataclass(frozen=True, slots=True)
class Models:
    """What a profile loads: three seams, and how to use them."""

    detector: Detector
    encoder: Encoder
    generator: Generator
    rules: RetrievalRules
    layout: str
    """Prompt layout: "pocket" for text-only models, "rap" for those that see."""
    concepts_in_prompt: int
    """K of the paper."""
    faces: FaceEyes


@dataclass(slots=True)
class _Work:
    """One job on its way through the batch."""

    job: Job
    picture: Image.Image | None = None
    known: AvatarKeys | None = None
    """The job's concepts, once they were needed."""
    perception: Perception | None = None
    scene: Scene | None = None
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

    def __init__(self, models: Models, limits: PhotoLimits) -> None:
        self._models = models
        self._limits = limits
        self._eyes = Eyes(models.detector, models.encoder)
        self._seen = PerceptionCache()

    @property
    def encoder_name(self) -> str:
        return self._models.encoder.name

    def run(self, jobs: Sequence[Job], report: Report) -> list[Answer | Failure]:
        """One answer or failure per job, in order. Out of memory for a batch: halve it and try again."""
        try:
            return self._run(jobs, report)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "allocate memory" not in str(error):  # torch's own way to say so
                raise
            if len(jobs) == 1:
                return [
                    Failure(
                        "InferenceError", mark("That picture needs more memory than I have. Please send a smaller one.")
                    )
                ]
            half = len(jobs) // 2
            return self.run(jobs[:half], report) + self.run(jobs[half:], report)

    def _run(self, jobs: Sequence[Job], report: Report) -> list[Answer | Failure]:
        batch = [_Work(job) for job in jobs]
        report([job.id for job in jobs if job.photo is not None], Stage.LOOKING)
        for work in batch:
            with _guarded(work), _timed([work], "decode"):
                self._decode(work)
        self._perceive([work for work in batch if work.picture is not None or work.perception is not None])
        report([job.id for job in jobs], Stage.RECALLING)
        for work in batch:
            if work.failure is None:
                with _guarded(work):
                    self._recall(work)
        self._write([work for work in batch if work.answer is None and work.failure is None], report)
        for work in batch:
            if work.answer is not None and work.failure is None:
                with _guarded(work), _timed([work], "draw"):
                    self._draw(work)
        return [self._finish(work) for work in batch]

    def _finish(self, work: _Work) -> Answer | Failure:
        if work.failure is not None or work.answer is None:
            return work.failure or Failure("InferenceError", mark("I have no answer to that."))
        return replace(work.answer, timings=dict(work.timings))

    def _decode(self, work: _Work) -> None:
        job = work.job
        if job.photo is None:
            return
        work.perception = self._seen.get(job.photo, _looked_for(job))
        if work.perception is None or job.picture or job.task in (Task.ENCODE, Task.EXPLAIN):
            work.picture = open_photo(job.photo, self._limits, max_side=1600)

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
        with _timed(fresh, "look"):
            seen = self._eyes.look(pictures, [_target(work) for work in fresh])
        for work, picture, view in zip(fresh, pictures, seen, strict=True):
            work.perception = Perception(picture.width, picture.height, view.regions, view.keys)
            if work.job.concepts.faces:
                with _guarded(work), _timed([work], "faces"):
                    work.perception = replace(work.perception, faces=self._models.faces.look(picture))
            if work.job.photo is not None:
                self._seen.put(work.job.photo, _looked_for(work.job), work.perception)

    def _recall(self, work: _Work) -> None:
        job = work.job
        if job.task is Task.ENCODE:
            work.answer = self._encode_avatar(work)
        elif job.task is Task.EXPLAIN:
            work.scene = job.scene
            work.answer = Answer(job.id, scene=job.scene)
        elif work.perception is not None:
            seen = work.perception
            with _timed([work], "retrieve"):
                sightings, candidates = retrieve(
                    seen.keys, seen.regions, work.avatars(), job.mentioned, self._models.rules
                )
                met = meet(seen.faces, job.concepts, len(seen.regions)) if job.concepts.faces else Met()
            work.scene = Scene(
                seen.width,
                seen.height,
                (*seen.regions, *met.regions),
                (*met.sightings, *sightings),
                (*met.candidates, *candidates),
                met.strangers,
            )

    def _encode_avatar(self, work: _Work) -> Answer:
        """The stored form of one picture of a concept: JPEG, key, and where it was cut out."""
        job, picture = work.job, work.picture
        if picture is None:
            raise InferenceError(mark("Please send a photo with that."))
        box, seen = job.box, work.perception
        if box is None:
            box = choose_avatar_box(picture, seen.regions, job.category) if seen is not None else WHOLE
        with _timed([work], "encode"):
            key = self._models.encoder.encode_avatar(cut(picture, box))
        tags = next((region.tags for region in seen.regions if region.box == box), ()) if seen is not None else ()
        faces: tuple[AvatarFace, ...] = ()
        if job.faces:
            with _timed([work], "faces"):
                faces = self._models.faces.look_at_avatar(cut(picture, box))
        jpeg = to_avatar_jpeg(picture, box)
        avatar = EncodedAvatar(jpeg, key.tobytes(), self._models.encoder.name, box, tags, faces)
        return Answer(job.id, avatar=avatar)

    def _write(self, batch: list[_Work], report: Report) -> None:
        if not batch:
            return
        report([work.job.id for work in batch], Stage.WRITING)
        models = self._models
        with _timed(batch, "generate"):
            written = write_answers(
                models.generator,
                [(work.job, work.scene) for work in batch],
                layout=models.layout,
                concepts_in_prompt=models.concepts_in_prompt,
            )
        for work, words in zip(batch, written, strict=True):
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


def _looked_for(job: Job) -> bytes:
    """What the same photo is looked at for: another index, or faces too, is another look."""
    return job.concepts.index + (b"faces" if job.concepts.faces else b"")


def _target(work: _Work) -> Target:
    """What to look for in the photo of this job. An avatar's own photo is looked at without prejudice."""
    categories = tuple(sorted({card.category for card in work.job.concepts.cards}))
    return Target(categories, work.avatars().positive)


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
