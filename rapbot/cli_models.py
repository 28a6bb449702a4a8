"""Commands about the models: their files, what they can do, and whether everything is well."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from rapbot.cli_session import AsJson, cli, configured, fetch_all

models_cli = typer.Typer(no_args_is_help=True, help="The model files: list, fetch, verify.")
cli.add_typer(models_cli, name="models")


@models_cli.command("list")
def models_list(as_json: AsJson = False) -> None:
    """Which model files there are, and whether they are on this machine."""
    from rapbot.cli_report import print_weights
    from rapbot.inference.weights import list_weights

    print_weights(list_weights(configured().weights_dir.expanduser(), optional=True), as_json)


@models_cli.command("fetch")
def models_fetch(
    faces: Annotated[
        bool, typer.Option("--faces", help="Also the face models (the first /face fetches them).")
    ] = False,
) -> None:
    """Fetch and convert what is missing."""
    fetch_all(configured(), optional=faces)
    typer.echo("All model files are here.")


@models_cli.command("verify")
def models_verify() -> None:
    """Compare every model file with its checksum; exit status 1 when one is wrong."""
    from rapbot.cli_report import print_weights
    from rapbot.inference.weights import WeightState, list_weights, verify

    folder = configured().weights_dir.expanduser()
    needed = {status.file.name for status in list_weights(folder)}
    known = list_weights(folder, optional=True)  # of those that only some need, what is here
    wanted = [s.file.name for s in known if s.file.name in needed or s.state is not WeightState.MISSING]
    statuses = [verify(name, folder) for name in wanted]
    print_weights(statuses, False)
    if any(status.state is not WeightState.READY for status in statuses):
        raise typer.Exit(1)


@cli.command("eval")
def evaluate(
    database: Annotated[Path, typer.Option(help="RAP database.json with the avatars beside it.")],
    photos: Annotated[Path | None, typer.Option(help="JSON lines: {file, concepts}.")] = None,
    negatives: Annotated[Path | None, typer.Option(help="Folder of photos that show none of the concepts.")] = None,
    questions: Annotated[
        Path | None, typer.Option(help="JSON lines: {concept, info, question, options, answer}.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the JSON report goes.")] = Path("report.json"),
) -> None:
    """Measure the whole pipeline on labelled photos; uses a temporary store, never yours."""
    from rapbot.evaluation import evaluate_files, print_report

    settings = configured(log_level="warning")
    report = asyncio.run(evaluate_files(settings, database, photos, negatives, questions))
    out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print_report(report)
    typer.echo(f"Report: {out}")


@cli.command()
def calibrate(
    database: Annotated[Path, typer.Option(help="RAP database.json with the avatars beside it.")],
    photos: Annotated[Path, typer.Option(help="JSON lines: {file, concepts}.")],
    negatives: Annotated[Path, typer.Option(help="Photos of none of them: a folder, or JSON lines: {file}.")],
    false_names: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="In which part of the negatives a name may be said.")
    ] = 0.03,
    out: Annotated[Path | None, typer.Option(help="Where the JSON goes; else to where rapbot reads it.")] = None,
) -> None:
    """Measure the thresholds of the configured encoder on labelled photos; uses a temporary store, never yours."""
    from rapbot.calibration import calibrate_files, print_calibration

    settings = configured(log_level="warning")
    calibration, path = asyncio.run(calibrate_files(settings, database, photos, negatives, false_names, out))
    print_calibration(calibration)
    typer.echo(f"Calibration: {path}")


@cli.command()
def reencode() -> None:
    """After a change of encoder: encode all stored avatars again now (rapbot does it by and by as well)."""
    from rapbot.app import running
    from rapbot.progress import show_progress
    from rapbot.reencoding import in_words

    settings = configured(log_level="warning")

    async def run() -> str:
        async with running(settings, background=False) as app:
            with show_progress("Encoding") as show:
                return in_words(await app.reencoding.run(lambda pending: show(pending.done, pending.total)))

    words = asyncio.run(run())
    typer.echo(f"{words[0].upper()}{words[1:]}.")


@cli.command()
def doctor(
    as_json: AsJson = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out what takes long: checksums, a run of the models.")
    ] = False,
    generator: Annotated[
        str | None, typer.Option(metavar="URL", help="Try out an OpenAI-compatible server instead, up to /v1.")
    ] = None,
) -> None:
    """Check configuration, devices, database, model files and the worker; say what to do, and which profiles fit."""
    from rapbot.doctor import diagnose, diagnose_server

    settings = configured(log_level="error")
    if generator is not None:
        good = diagnose_server(settings, generator, as_json)
    else:
        good = diagnose(settings, as_json, quick=quick)
    if not good:
        raise typer.Exit(1)
