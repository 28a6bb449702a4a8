"""The command rapbot-train ablations."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rapbot.errors import ConfigError

if TYPE_CHECKING:
    from training.ablations.run import Wanted
    from training.ablations.variants import Trainings


def ablations(
    work: Annotated[Path, typer.Argument(metavar="WORK", help="A folder for trainings, results, tables and plots.")],
    database: Annotated[Path, typer.Option(help="What is looked for: a database.json in the RAP format.")],
    photos: Annotated[Path, typer.Option(help="Photos of them: JSON lines {file, concepts}.")],
    negatives: Annotated[Path | None, typer.Option(help="Photos of none of them: a folder, or JSON lines.")] = None,
    questions: Annotated[
        Path | None,
        typer.Option(help="JSON lines {concept, info, question, options, answer}; with {file}, about a photo."),
    ] = None,
    others: Annotated[
        Path | None, typer.Option(help="Other things, for top-K recall against the size: as rapbot-train scaling.")
    ] = None,
    sizes: Annotated[str, typer.Option(help="Sizes of the database.")] = "16,50,100,200,500",
    limit: Annotated[int | None, typer.Option(min=1, help="Photos and questions of each kind at most.")] = None,
    absent: Annotated[int, typer.Option(min=0, help="Concepts not on a photo that are asked for, each photo.")] = 1,
    model: Annotated[str, typer.Option(help="A model that sees: a folder, or its id on the hub. Else pocket's.")] = "",
    source: Annotated[
        Path | None, typer.Option(help="What such a model is trained on, as rap-compose takes it.")
    ] = None,
    family: Annotated[str, typer.Option(help="How it is spoken to, where its config does not tell.")] = "",
    samples: Annotated[int, typer.Option(min=10, help="Samples composed for each training.")] = 2000,
    steps: Annotated[int | None, typer.Option(min=1, help="So many steps of each training, not a whole pass.")] = None,
    rank: Annotated[int, typer.Option(min=1, help="Rank of the LoRA; alpha is twice that.")] = 128,
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 1e-4,
    batch: Annotated[int, typer.Option(min=1, help="Samples of one step.")] = 64,
    together: Annotated[int, typer.Option(min=1, help="Samples of one forward pass.")] = 4,
    concepts: Annotated[int, typer.Option(min=1, help="K: concepts in a prompt.")] = 2,
    qlora: Annotated[bool, typer.Option("--qlora", help="The language model in 4 bits.")] = False,
    shots: Annotated[int, typer.Option(min=1, help="Answered examples in the few-shot prompt of such a model.")] = 1,
    workers: Annotated[int, typer.Option(min=0, help="Processes that open pictures.")] = 2,
    seed: Annotated[int, typer.Option()] = 0,
    device: Annotated[str, typer.Option(help='Of such a model: "auto", "cpu" or "cuda:0".')] = "auto",
) -> None:
    """The paper's ablations and baselines in one table beside the published ones; resumable, seeded.

    Of the configured profile (config.toml, RAPBOT_*): its eyes, and its text-only model as it is. With --model and
    --source: of a model that sees, trained three times (everything, no augmentation, no negatives).
    """
    from rapbot.config import load_settings
    from training.ablations.looks import Files
    from training.ablations.report import write
    from training.ablations.run import Wanted, compare
    from training.ablations.variants import Trainings
    from training.rap.compose import Plan
    from training.rap.recipe import Recipe

    settings = load_settings(log_level="warning")
    trainings: Trainings | None = None
    if bool(model) != (source is not None):
        raise ConfigError("--model and --source belong together: a model that sees is trained for each comparison.")
    if source is not None:
        from rapbot.inference.specs import Runtime

        recipe = Recipe(
            rank=rank,
            alpha=2 * rank,
            rate=rate,
            steps=steps,
            batch=batch,
            together=together,
            concepts=concepts,
            quantization="nf4" if qlora else "none",
            seed=seed,
            workers=workers,
        )
        plan = Plan(samples, concepts, seed)
        runtime = Runtime(settings.worker.threads, device)
        trainings = Trainings(source, model, recipe, plan, family, runtime)
    wanted = Wanted(Files(database, photos, negatives, questions), settings, trainings, limit, absent, shots)
    compared = compare(wanted, work, typer.echo)
    scaling = ""
    if others is not None:
        scaling = _scaling(wanted, work, others, sizes)
    typer.echo(write(compared, work, scaling))
    typer.echo(f"\n{work / 'ablations.md'}, ablations.json, ablations.png")


def _scaling(wanted: Wanted, work: Path, others: Path, sizes: str) -> str:
    """The table of top-K recall against the size of the database; scaling.json and scaling.png are written."""
    from training.scaling import measure, read

    made = read(work)
    if made is None:
        files = wanted.files
        numbers = [int(size) for size in sizes.split(",")]
        made = asyncio.run(measure(wanted.settings, files.database, files.photos, others, numbers))
        made.write(work)
    return made.table()
