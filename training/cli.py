"""rapbot-train: from nothing to the LoRA that rapbot serves, in four steps that can each be run alone."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rapbot.errors import RapbotError
from training.ablations.commands import ablations
from training.annotate.commands import annotate
from training.rap.commands import add_commands
from training.sources.commands import sources

if TYPE_CHECKING:
    from training.loop import Progress

cli = typer.Typer(
    name="rapbot-train",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Make the LoRA that rapbot serves: of the text-only model of profile [bold]pocket[/bold] on an ordinary "
        "processor, or of a model that sees (sources, annotate, rap-compose, rap).\n\n"
        "rapbot-train pocket WORK            everything: compose, train, evaluate, publish (some 9 hours)\n\n"
        "The single steps, in order, each reads what the one before wrote into the folder WORK:\n\n"
        "rapbot-train compose WORK           train.jsonl and held.jsonl: invented cards, questions, captions\n\n"
        "rapbot-train train WORK             adapter/; killed or stopped, the same command goes on\n\n"
        "rapbot-train evaluate WORK          metrics.json: with and without the LoRA, on unseen cards and wordings\n\n"
        "rapbot-train publish WORK FOLDER    what config.toml takes as lora\n\n"
        "For models that see, from data sets to the adapter:\n\n"
        "rapbot-train sources                      which data sets there are; sources NAME DIR checks a download\n\n"
        "rapbot-train annotate INDEX --into SOURCE concepts with cards, photos with texts (a service, or grammar)\n\n"
        "rapbot-train rap-compose SOURCE WORK      samples out of photos and taught concepts\n\n"
        "rapbot-train rap WORK --model FOLDER      train on them (extra gpu), publish to WORK/published\n\n"
        "rapbot-train ablations WORK ...           what each part gains: tables and plots beside the paper's"
    ),
)

Work = Annotated[Path, typer.Argument(metavar="WORK", help="A folder for samples, checkpoints and results.")]
Count = Annotated[int, typer.Option("--samples", min=20, help="How many samples to train on; about 48 tokens each.")]
Captions = Annotated[
    float, typer.Option("--captions", min=0, max=0.9, help="Share of captions among the groups of samples.")
]
Drills = Annotated[
    float, typer.Option("--drills", min=0, max=0.9, help="Share of short cards with many questions each.")
]
People = Annotated[
    float, typer.Option("--written", min=0, max=0.9, help="Share of cards and questions that people wrote.")
]
Held = Annotated[int, typer.Option("--held", min=20, help="How many held-back samples to compose for the evaluation.")]
Seed = Annotated[int, typer.Option("--seed", help="Another seed gives other cards, in training and evaluation.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Threads of torch; no more than there are free cores.")]
Passes = Annotated[int, typer.Option("--passes", min=1, help="How often every sample is read.")]
Start = Annotated[
    Path | None, typer.Option("--start", metavar="ADAPTER", help="Train this adapter of an earlier round further.")
]
Half = Annotated[
    bool | None,
    typer.Option("--bf16/--no-bf16", help="Compute in bfloat16; where nothing is said: if the processor has it."),
]
Rate = Annotated[
    float | None,
    typer.Option("--rate", min=0.01, max=2, help="Share of the full learning rate; else 1, with --start 0.5."),
]
Rank = Annotated[int, typer.Option("--rank", min=1, help="Of the LoRA; with --start at least that of the adapter.")]
Questions = Annotated[Path | None, typer.Option("--questions", help="Other multiple-choice questions (JSON lines).")]

SAMPLES, HELD_SAMPLES = 14_000, 4_000
CAPTION_SHARE = 0.16
_MOST_OF_ALL = 0.9
"""Captions, drills and written cards."""


@dataclass(frozen=True, slots=True)
class Round:
    """Samples, with the shares of their groups; share of the full learning rate, and rank of the LoRA. What goes on
    is the mean of this round's adapter and that of `back` rounds before (averaging.py), `share` of it this round's."""

    samples: int
    captions: float = CAPTION_SHARE
    drills: float = 0.0
    written: float = 0.0
    rate: float = 0.5
    rank: int = 16
    share: float = 1.0
    back: int = 1


ROUNDS = (
    Round(SAMPLES, rate=1.0),
    Round(3_600),
    Round(18_000, captions=0.3),
    Round(5_000, captions=0.2),
    Round(18_000, captions=0.2),
    Round(15_000, captions=0.12, drills=0.55, rate=0.75, share=0.5),
    Round(33_400, captions=0.1, drills=0.14, written=0.6, rate=0.75, rank=32, share=0.6),
    Round(12_600, captions=0.1, drills=0.14, written=0.6, rate=0.75, rank=32),
    Round(28_800, captions=0.06, drills=0.3, written=0.3, rate=0.75, rank=32, share=0.6, back=2),
)
"""Of the shipped adapter, every round on the last one's adapter."""


@cli.command()
def compose(
    work: Work,
    samples: Count = SAMPLES,
    held: Held = HELD_SAMPLES,
    seed: Seed = 1,
    captions: Captions = CAPTION_SHARE,
    drills: Drills = 0.0,
    written: People = 0.0,
) -> None:
    """Invent cards and write samples; no model is needed. Prints how many there are of each kind."""
    from training.pocket.grammar import HELD, TRAIN
    from training.pocket.samples import compose_samples, write_samples

    if captions + drills + written > _MOST_OF_ALL:
        raise typer.BadParameter("captions, drills and written cards together leave no room for ordinary cards.")
    work.mkdir(parents=True, exist_ok=True)
    for split, count in ((TRAIN, samples), (HELD, held)):
        shares = (captions, drills, written) if split == TRAIN else (captions,)
        counts = write_samples(compose_samples(count, seed, split, *shares), work / f"{split}.jsonl")
        typer.echo(f"{split}.jsonl: " + ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())))


@cli.command()
def train(
    work: Work,
    passes: Passes = 1,
    threads: Threads = 2,
    start: Start = None,
    bf16: Half = None,
    rate: Rate = None,
    rank: Rank = 16,
) -> None:
    """Train on train.jsonl. A checkpoint every two minutes; run the same command again to go on."""
    file = _file(work / "train.jsonl")
    # Layers are so small that waking a thread for each costs as much as its work: waiting ones stay awake (read when
    # torch is loaded).
    os.environ.setdefault("OMP_WAIT_POLICY", "active")
    from training.loop import train as run
    from training.pocket.encoding import encode, recipe_for
    from training.pocket.samples import read_samples

    base = _base()
    share = rate or (0.5 if start is not None else 1.0)
    recipe = recipe_for(base, passes=passes, threads=threads, rate=share, rank=rank, half=bf16)
    with (work / "log.jsonl").open("a", encoding="utf-8") as log:

        def told(progress: Progress) -> None:
            log.write(json.dumps(progress.as_row()) + "\n")
            log.flush()
            if progress.step % 10 == 0 or progress.step == progress.steps:
                typer.echo(progress.line())

        adapter = run(base, encode(read_samples(file), base), work, recipe, told, start)
    typer.echo(f"Trained: {adapter}")


@cli.command()
def evaluate(
    work: Work,
    questions: Questions = None,
    limit: Annotated[int, typer.Option(help="Held-back samples of each kind that are asked.")] = 300,
    captions: Annotated[int, typer.Option(help="Captions that are written.")] = 1000,
    threads: Threads = 2,
) -> None:
    """Ask the model with and without the LoRA, raw and as served. Writes metrics.json and answers.jsonl."""
    from training.pocket.report import measure

    adapter = work / "published"
    _publish(work, adapter, {})
    measured = measure(_base(), adapter, _file(work / "held.jsonl"), questions, limit, captions, threads, typer.echo)
    measured.write(work)
    typer.echo(measured.table())


@cli.command()
def publish(work: Work, folder: Annotated[Path, typer.Argument(help="Where the adapter is written.")]) -> None:
    """Write the adapter folder: fp16 matrices, manifest (rapbot.json) and model card."""
    file = work / "metrics.json"
    metrics = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    _publish(work, folder, metrics.get("with", {}))
    typer.echo(f'Published. To use it: lora = "{folder}" in config.toml')


@cli.command()
def see(
    photos: Annotated[Path, typer.Argument(help="A folder of photos.")],
    into: Annotated[Path, typer.Option(help="The file of words to write.")] = Path("scenes.txt"),
    threads: Threads = 2,
) -> None:
    """Look at photos with the eyes of profile pocket and keep what they say in words (training/pocket/scenes.txt)."""
    from training.pocket.seeing import pictures_in
    from training.pocket.seeing import see as look

    files = pictures_in(photos) if photos.is_dir() else []
    if not files:
        typer.echo(f"There are no photos in {photos}: nothing to look at.", err=True)
        raise typer.Exit(1)
    with into.open("w", encoding="utf-8") as lines:
        for number, words in enumerate(look(files, threads), 1):
            lines.write("; ".join(words) + "\n")
            lines.flush()
            if number % 20 == 0:
                typer.echo(f"{number}/{len(files)}")


@cli.command()
def scaling(
    database: Annotated[Path, typer.Option(help="What is looked for: a database.json in the RAP format.")],
    photos: Annotated[Path, typer.Option(help="Photos of them: JSON lines {file, concepts}.")],
    others: Annotated[
        Path,
        typer.Option(help="Other things: JSON lines {file, objects: [{category, box_xywh}]}, or photos."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for scaling.json and scaling.png.")] = Path("scaling"),
    sizes: Annotated[str, typer.Option(help="Sizes of the database.")] = "16,50,100,200,500",
) -> None:
    """Recall of the first 1, 2 and 5 concepts against the size of the database (the paper's figure 5), and the cost."""
    import asyncio

    from rapbot.config import Settings
    from training.scaling import measure

    found = asyncio.run(measure(Settings(), database, photos, others, [int(size) for size in sizes.split(",")]))
    found.write(out)
    typer.echo(found.table())


@cli.command()
def pocket(
    work: Work,
    into: Annotated[Path | None, typer.Option(help="Where the adapter goes; else WORK/published.")] = None,
    samples: Annotated[
        int | None, typer.Option(min=20, help="One round of so many samples, instead of those of the shipped one.")
    ] = None,
    held: Held = HELD_SAMPLES,
    passes: Passes = 1,
    seed: Seed = 1,
    threads: Threads = 2,
    questions: Questions = None,
) -> None:
    """Everything from nothing: compose, train, evaluate, publish. What is done is not done again."""
    made: list[Path] = []
    rounds = (Round(samples, rate=1.0),) if samples else ROUNDS
    for number, one in enumerate(rounds):
        folder = work / f"round-{number + 1}"
        if not (folder / "train.jsonl").is_file():
            compose(folder, one.samples, held, seed + number, one.captions, one.drills, one.written)
        if not (folder / "adapter").is_dir():
            train(folder, passes, threads, made[-1] if made else None, rate=one.rate, rank=one.rank)
        if one.share < 1 and made:
            folder = _averaged(made[-one.back], folder, one.share)
        made.append(folder / "adapter")
    if not (folder / "metrics.json").is_file():
        evaluate(folder, questions, threads=threads)
    publish(folder, into or work / "published")


add_commands(cli)
cli.command("sources")(sources)
cli.command("annotate")(annotate)
cli.command("ablations")(ablations)


def _averaged(before: Path, last: Path, share: float) -> Path:
    """A folder beside that of a round, whose adapter is the mean of the round's and the one before."""
    from training.averaging import average

    folder = last.with_name(f"{last.name}-mean")
    average(before, last / "adapter", folder / "adapter", share)
    for name in ("train.jsonl", "held.jsonl"):
        (folder / name).write_bytes((last / name).read_bytes())
    return folder


def _publish(work: Path, folder: Path, metrics: dict[str, float]) -> None:
    from rapbot.inference.prompt import POCKET_LORA
    from training.pocket.report import model_card
    from training.pocket.samples import CONCEPTS_IN_PROMPT, data_hash
    from training.publish import publish as write

    data = data_hash(_file(work / "train.jsonl"))
    card = model_card(metrics, data)
    write(_file(work / "adapter"), folder, POCKET_LORA, CONCEPTS_IN_PROMPT, data, metrics, card)


def _base() -> Path:
    from rapbot.config import Settings
    from rapbot.inference.weights import LANGUAGE, ensure

    return ensure(LANGUAGE, Settings().weights_dir.expanduser())


def _file(path: Path) -> Path:
    if not path.exists():
        raise typer.BadParameter(f"{path} is not there yet: run the steps before this one (rapbot-train --help).")
    return path


def main() -> None:
    try:
        cli()
    except (RapbotError, ValueError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
