"""What every command of the command line starts with: the configuration, the program, a photo; and how it ends.

Heavy imports happen inside the functions, so that `rapbot --help` answers at once.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from rapbot.app import App
    from rapbot.config import Settings
    from rapbot.messages import Photo, ProgressListener, Reply, Request

T = TypeVar("T")

cli = typer.Typer(
    name="rapbot",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "A chat assistant that learns [bold]your[/bold] dog, your mug, your sister from one photo and one sentence.\n\n"
        "Try:  rapbot remember Lala dog.jpg --info 'A white and gray dog. She loves cheese.'\n\n"
        "      rapbot caption walk.jpg        rapbot ask 'what does Lala eat?'        rapbot web"
    ),
)
"""The command line itself; the modules cli_*.py add their commands to it."""

PhotoPath = Annotated[Path, typer.Argument(metavar="PHOTO", help="A JPEG, PNG, WebP, GIF or HEIC file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


class Options:
    """What was given before the command."""

    config: Path | None = None


def configured(**overrides: Any) -> Settings:
    """The settings of file and environment, with these instead; logs are written from here on. Raises ConfigError."""
    from rapbot.config import SECRET_VARIABLES, load_settings
    from rapbot.logs import configure_logs
    from rapbot.secret_files import whole_environment

    with whole_environment(SECRET_VARIABLES):
        settings = load_settings(Options.config, **overrides)
    configure_logs(settings.log_level, settings.log_format)
    return settings


def with_app(work: Callable[[App, ProgressListener | None], Awaitable[T]], *, quiet: bool = False) -> T:
    """Run `work` with the whole program started, showing its stages on a terminal."""
    from rapbot.app import running

    settings = configured(log_level="warning")

    async def run() -> T:
        with _stages(quiet) as listener:
            async with running(settings) as app:
                return await work(app, listener)

    return asyncio.run(run())


def with_store(work: Callable[[App], Awaitable[T]]) -> T:
    """Run `work` without starting the models."""
    from rapbot.app import running

    settings = configured(log_level="warning")

    async def run() -> T:
        async with running(settings, models=False) as app:
            return await work(app)

    return asyncio.run(run())


@contextmanager
def _stages(quiet: bool) -> Iterator[ProgressListener | None]:
    """A spinner with the current stage; nothing where nobody watches."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.markup import escape

    from rapbot.messages import Progress, Stage

    words = {
        Stage.STARTING: "Starting the models …",
        Stage.QUEUED: "Starting the models …",
        Stage.LOOKING: "Looking …",
        Stage.RECALLING: "Remembering …",
        Stage.WRITING: "Writing …",
    }
    with Console(stderr=True).status("Starting the models …") as status:

        def show(progress: Progress) -> None:
            status.update(escape(progress.text) or words[progress.stage])

        yield show


def read_photo(path: Path) -> Photo:
    """Raises PhotoError."""
    from rapbot.errors import PhotoError
    from rapbot.messages import Photo

    try:
        return Photo(path.read_bytes(), path.name)
    except OSError as error:
        raise PhotoError(f"I cannot read {path}: {error.strerror}.") from error


def print_reply(reply: Reply, as_json: bool, picture: Path | None = None) -> None:
    """On the terminal, or as JSON; the annotated photo goes to the file `picture`."""
    if picture is not None and reply.picture is not None:
        picture.write_bytes(reply.picture)
    if not as_json:
        typer.echo(reply.text)
        return
    found = [
        {
            "name": s.name,
            "box": [round(v, 4) for v in (s.box.left, s.box.top, s.box.right, s.box.bottom)],
            "distance": round(s.distance, 4),
            "confidence": round(s.confidence, 4),
        }
        for s in reply.sightings
    ]
    seconds = {stage: round(value, 4) for stage, value in reply.timings.items()}
    typer.echo(json.dumps({"text": reply.text, "sightings": found, "seconds": seconds}, ensure_ascii=False))


def request_of(app: App, text: str, photo: Path | None) -> Request:
    """What somebody at the terminal asks. Raises PhotoError."""
    from rapbot.messages import Actor, Chat, Request

    photos = (read_photo(photo),) if photo is not None else ()
    return Request(Actor(app.settings.owner), Chat("cli"), text, photos)


def fetch_all(settings: Settings, *, optional: bool = False) -> None:
    """Fetch the model files that are missing; `optional` ones too. Raises WeightsError."""
    from rapbot.cli_report import fetch_progress
    from rapbot.inference.planning import plan
    from rapbot.inference.profiles import POCKET, find_profile
    from rapbot.inference.weights import ensure, list_weights

    if plan(settings).generator.kind != find_profile(POCKET).generator.kind:
        return  # the models of other profiles come from their hub or folder when they are loaded
    folder = settings.weights_dir.expanduser()
    with fetch_progress() as progress:
        for status in list_weights(folder, optional=optional):
            ensure(status.file.name, folder, progress)
