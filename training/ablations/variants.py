"""The trainings that are compared: the same source, recipe and seed, with one thing left out of the samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from rapbot.errors import ConfigError
from rapbot.inference.mllm.manifest import read_manifest
from rapbot.inference.specs import Runtime
from training.ablations.arms import NO_AUGMENTATION, NO_NEGATIVES, VARIANTS
from training.augment.recipe import Augmentation
from training.rap.compose import Composer, Plan
from training.rap.publishing import publish
from training.rap.recipe import Recipe
from training.rap.samples import write_samples
from training.rap.sources import Source, read_source
from training.rap.train import train

SAMPLES = "train.jsonl"


@dataclass(frozen=True, slots=True)
class Trainings:
    """How the LoRAs of all variants are made, of a model that sees."""

    source: Path
    model: str
    recipe: Recipe
    plan: Plan
    family: str = ""
    runtime: Runtime = field(default_factory=Runtime)


def plan_of(variant: str, plan: Plan) -> Plan:
    """What the samples of a variant lack."""
    if variant == NO_NEGATIVES:
        return replace(plan, noise=0.0)
    if variant == NO_AUGMENTATION:
        plain = Augmentation()
        avatar, photo = replace(plain.avatar, views=1), replace(plain.photo, views=1)
        return replace(plan, augmentation=Augmentation(avatar, photo))
    return plan


def make_variants(trainings: Trainings, work: Path, told: Callable[[str], None]) -> dict[str, Path]:
    """The published adapters by variant. What is done is kept, what was killed goes on. Raises RapbotError."""
    source: Source | None = None
    made = {}
    for variant in VARIANTS:
        here = work / variant
        published = here / "published"
        made[variant] = published
        if (published / "README.md").is_file():  # it is written last
            continue
        if not (here / SAMPLES).is_file():
            source = source or read_source(trainings.source)
            here.mkdir(parents=True, exist_ok=True)
            told(f"{variant}: composing samples")
            write_samples(here / SAMPLES, Composer(source, here, plan_of(variant, trainings.plan)).samples())
        told(f"{variant}: training")
        trained = train(
            here,
            trainings.model,
            trainings.recipe,
            trainings.runtime,
            family=trainings.family,
            told=lambda line, variant=variant: told(f"{variant}: {line}"),  # type: ignore[misc]
        )
        publish(trained, published, trainings.model, trainings.recipe, "")
    return made


def note_metrics(adapter: Path, numbers: Mapping[str, Any]) -> None:
    """What was measured into the manifest of a published adapter: names such as "own.caption.f1"."""
    manifest = read_manifest(adapter)
    assert manifest is not None  # it was published here
    metrics = dict(_flat({way: numbers[way] for way in ("own", "served")}))
    manifest.model_copy(update={"metrics": metrics}).write(adapter)


def _flat(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        elif value is not None:
            yield f"{before}{name}", value


def refuse_the_trained(source: Path, evaluated: Sequence[Path]) -> None:
    """Raises ConfigError where a photo that is evaluated on is trained on as well."""
    trained = {_content(photo.file) for photo in read_source(source).photos}
    for photo in evaluated:
        if _content(photo) in trained:
            raise ConfigError(f"The photo {photo} is also in {source}: what was trained on proves nothing.")


def _content(file: Path) -> bytes:
    return sha256(file.read_bytes()).digest()
