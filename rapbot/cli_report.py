"""Tables and progress bars of the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rapbot.concepts.concept import Concept
    from rapbot.inference.weights import FetchProgress, WeightStatus


def print_concepts(concepts: Sequence[Concept], as_json: bool) -> None:
    """Name, kind, number of photos, information."""
    from rapbot.concepts.concept import Role
    from rapbot.phrases import one_line

    rows = [
        {
            "name": concept.name,
            "category": concept.category,
            "info": concept.info,
            "photos": sum(avatar.role is Role.AVATAR for avatar in concept.avatars),
            "updated_at": concept.updated_at.isoformat(timespec="seconds"),
        }
        for concept in concepts
    ]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    if not rows:
        typer.echo("Nothing yet. Try: rapbot remember Lala dog.jpg --info 'A white and gray dog.'")
        return
    _table(("name", "category", "photos", "info"), [row | {"info": one_line(str(row["info"]))} for row in rows])


def print_weights(statuses: Sequence[WeightStatus], as_json: bool) -> None:
    """Name, state, size, where it comes from."""
    rows = [
        {
            "name": status.file.name,
            "state": str(status.state),
            "megabytes": round(status.file.size / 1e6, 1),
            "what": status.file.what,
            "package": f"{status.file.package} {status.file.version}",
            "sha256": status.file.sha256,
        }
        for status in statuses
    ]
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        _table(("name", "state", "megabytes", "what", "package"), rows)


def _table(columns: Sequence[str], rows: Sequence[dict[str, object]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns)
    for row in rows:
        table.add_row(*(Text(str(row[column])) for column in columns))  # Text: what people wrote is no markup
    Console().print(table)


@contextmanager
def fetch_progress() -> Iterator[FetchProgress]:
    """One bar per stage of a fetch; plain lines where there is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    words = {
        "waiting": "Waiting for another rapbot",
        "download": "Fetching the language model",
        "verify": "Checking it",
        "unpack": "Unpacking it",
        "convert": "Converting it, once",
    }
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    tasks: dict[str, TaskID] = {}
    with bars:

        def show(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(words.get(stage, stage), total=total)
                if bars.disable:
                    typer.echo(f"{words.get(stage, stage)} …", err=True)
            bars.update(tasks[stage], completed=done, total=total)

        yield show
