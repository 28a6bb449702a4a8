"""All arms, one after the other: each result is kept in the work folder, so a run that was stopped goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from rapbot.config import Settings
from rapbot.errors import ConfigError
from rapbot.inference.generators import TextGenerator
from rapbot.inference.job import Task
from rapbot.inference.loading import load_generator
from rapbot.inference.planning import plan
from rapbot.inference.planning import runtime as runtime_of
from rapbot.inference.seams import Generator
from rapbot.inference.specs import AdapterSpec, GeneratorSpec
from training.ablations.arms import ARMS, FULL, Arm
from training.ablations.asking import Asking, Example, examples_of
from training.ablations.looks import Files, Seen, chosen, look
from training.ablations.measuring import measure
from training.ablations.variants import SAMPLES, Trainings, make_variants, note_metrics, refuse_the_trained
from training.rap.samples import read_samples

RUN, SEEN = "run.json", "retrieval.json"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One comparison."""

    files: Files
    settings: Settings
    trainings: Trainings | None = None
    """None: the text-only model of the settings, as it is."""
    limit: int | None = None
    """Photos, negatives and questions of each kind; None: all."""
    absent: int = 1
    shots: int = 1
    """Answered examples in the few-shot prompt of a model that sees."""


@dataclass(frozen=True, slots=True)
class Compared:
    """`arms`: (arm, its numbers) in the order of ARMS; `seen`: top-K recall, cost and counts."""

    arms: tuple[tuple[Arm, dict[str, Any]], ...]
    seen: dict[str, Any]
    model: str


def compare(wanted: Wanted, work: Path, told: Callable[[str], None]) -> Compared:
    """Train what is not trained, measure what is not measured. Raises RapbotError."""
    work.mkdir(parents=True, exist_ok=True)
    photos, negatives, questions = chosen(wanted.files, wanted.limit)
    evaluated = [*(photo.path for photo in photos), *negatives, *(one.photo for one in questions if one.photo)]
    _claim(work, wanted, [wanted.files.database, *evaluated])
    adapters: dict[str, Path] = {}
    if wanted.trainings is not None:
        refuse_the_trained(wanted.trainings.source, evaluated)
        adapters = make_variants(wanted.trainings, work / "variants", told)
    results = {arm.name: _kept(work, arm) for arm in _arms(wanted)}
    if not all(results.values()) or not (work / SEEN).is_file():
        told("looking at the photos")
        seen = asyncio.run(look(wanted.settings, wanted.files, wanted.limit))
        _write(work / SEEN, _summary(seen))
        known: dict[Any, Any] = {}
        for arm, generator in _generators(wanted, adapters, [arm for arm in _arms(wanted) if not results[arm.name]]):
            asking = Asking(arm, generator, seen, _examples(wanted, work) if arm.examples else None)
            told(f"{arm.title}: asking")
            numbers = measure(asking, generator, seen, wanted.absent, served=not arm.examples, known=known)
            _write(_file(work, arm), numbers)
            results[arm.name] = numbers
            if arm.variant in adapters and arm.info and not arm.perfect:
                note_metrics(adapters[arm.variant], numbers)
    found = tuple((arm, results[arm.name] or {}) for arm in _arms(wanted))
    model = wanted.trainings.model if wanted.trainings else plan(wanted.settings).generator.kind
    return Compared(found, json.loads((work / SEEN).read_text(encoding="utf-8")), Path(model).name)


def _arms(wanted: Wanted) -> list[Arm]:
    """A text-only model sees no picture: how its samples' pictures were varied is no question."""
    return [arm for arm in ARMS if wanted.trainings is not None or arm.variant in (FULL, None)]


def _generators(wanted: Wanted, adapters: Mapping[str, Path], arms: Sequence[Arm]) -> Iterator[tuple[Arm, Generator]]:
    """Each arm with its model; the large one is loaded once and changes its LoRA."""
    if not arms:
        return
    settings, trainings = wanted.settings, wanted.trainings
    weights = settings.weights_dir.expanduser()
    if trainings is None:
        from rapbot.inference.weights import LANGUAGE, ensure

        for arm in arms:
            if arm.variant is None:
                yield arm, TextGenerator.load(ensure(LANGUAGE, weights), settings.worker.threads)
            else:
                yield arm, load_generator(plan(settings).generator, runtime_of(settings), weights)
        return
    recipe = trainings.recipe
    spec = GeneratorSpec(
        "transformers",
        trainings.model,
        trainings.family,
        concepts_in_prompt=recipe.concepts,
        quantization=recipe.quantization,
        image_tokens=recipe.image_tokens,
    )
    generator: Any = load_generator(spec, trainings.runtime, weights)
    for arm in arms:
        generator.swap(() if arm.variant is None else (AdapterSpec(arm.variant, str(adapters[arm.variant])),))
        yield arm, generator


def _examples(wanted: Wanted, work: Path) -> dict[Task, tuple[Example, ...]] | None:
    if wanted.trainings is None:
        return None
    folder = work / "variants" / FULL
    return examples_of(read_samples(folder / SAMPLES), folder, wanted.shots)


def _summary(seen: Seen) -> dict[str, Any]:
    return {
        "top": seen.top,
        "cost": seen.cost,
        "count": {
            "concepts": len(seen.concepts.cards),
            "photos": len(seen.photos),
            "labels": sum(len(one.there) for one in seen.photos),
            "negatives": len(seen.negatives),
            "text_questions": sum(one is None for _, one in seen.questions),
            "visual_questions": sum(one is not None for _, one in seen.questions),
        },
    }


def _claim(work: Path, wanted: Wanted, files: Sequence[Path]) -> None:
    """Write down what is compared here, or hold it against what was. Raises ConfigError."""
    data = sha256()
    for file in (*files, *([wanted.files.questions] if wanted.files.questions else [])):
        data.update(file.read_bytes())
    training = wanted.trainings
    models = plan(wanted.settings)
    run = {
        "data": data.hexdigest(),
        "eyes": [asdict(models.detector), asdict(models.encoder), asdict(models.rules)],
        "generator": models.generator.kind if training is None else training.model,
        "lora": "" if training else str(wanted.settings.lora or ""),
        "recipe": training.recipe.fixed() if training else {},
        "samples": [training.plan.count, training.plan.seed] if training else [],
        "limit": wanted.limit,
        "absent": wanted.absent,
        "shots": wanted.shots if training else 0,
    }
    file = work / RUN
    if file.is_file():
        before = json.loads(file.read_text(encoding="utf-8"))
        if other := [name for name in run if before.get(name) != json.loads(json.dumps(run[name]))]:
            raise ConfigError(f"The results in {work} belong to another {other[0]}: choose another folder.")
    _write(file, run)


def _file(work: Path, arm: Arm) -> Path:
    return work / "arms" / f"{arm.name}.json"


def _kept(work: Path, arm: Arm) -> dict[str, Any] | None:
    file = _file(work, arm)
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _write(file: Path, value: Any) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(file)
