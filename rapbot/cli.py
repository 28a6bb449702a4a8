"""The command line. Every command that needs the models starts a worker of its own and shows what it does.

Heavy imports happen inside the commands, so that `rapbot --help` answers at once.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from rapbot import __version__
from rapbot.errors import RapbotError

if TYPE_CHECKING:
    from rapbot.app import App
    from rapbot.config import Settings
    from rapbot.messages import Photo, ProgressListener, Reply

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
models_cli = typer.Typer(no_args_is_help=True, help="The model files: list, fetch, verify.")
cli.add_typer(models_cli, name="models")
key_cli = typer.Typer(no_args_is_help=True, help="The key that encrypts what is kept on disk: make one, change it.")
cli.add_typer(key_cli, name="key")

PhotoPath = Annotated[Path, typer.Argument(metavar="PHOTO", help="A JPEG, PNG, WebP, GIF or HEIC file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


class _Options:
    config: Path | None = None


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rapbot {__version__}")
        raise typer.Exit


@cli.callback()
def options(
    config: Annotated[Path | None, typer.Option("--config", help="A TOML file; see config.example.toml.")] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    _Options.config = config


def _settings(**overrides: Any) -> Settings:
    from rapbot.config import SECRET_VARIABLES, load_settings
    from rapbot.logs import configure_logs
    from rapbot.secret_files import whole_environment

    with whole_environment(SECRET_VARIABLES):
        settings = load_settings(_Options.config, **overrides)
    configure_logs(settings.log_level)
    return settings


def _with_app(work: Callable[[App, ProgressListener | None], Awaitable[T]], *, quiet: bool = False) -> T:
    """Run `work` with the whole program started, showing its stages on a terminal."""
    from rapbot.app import running

    settings = _settings(log_level="warning")

    async def run() -> T:
        with _stages(quiet) as listener:
            async with running(settings) as app:
                return await work(app, listener)

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


def _read_photo(path: Path) -> Photo:
    from rapbot.errors import PhotoError
    from rapbot.messages import Photo

    try:
        return Photo(path.read_bytes(), path.name)
    except OSError as error:
        raise PhotoError(f"I cannot read {path}: {error.strerror}.") from error


def _show(reply: Reply, as_json: bool, picture: Path | None = None) -> None:
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


def _message(app: App, text: str, photo: Path | None) -> Any:
    from rapbot.messages import Actor, Chat, Request

    photos = (_read_photo(photo),) if photo is not None else ()
    return Request(Actor(app.settings.owner), Chat("cli"), text, photos)


@cli.command()
def web(
    host: Annotated[str | None, typer.Option(help="Address to listen on; the default is this machine only.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 picks a free one.")] = None,
    browser: Annotated[bool | None, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = None,
) -> None:
    """Open the local page: chat, gallery, corrections."""
    from rapbot.app import serve_web

    settings = _settings()
    changes = {k: v for k, v in (("host", host), ("port", port), ("open_browser", browser)) if v is not None}
    settings = settings.model_copy(update={"web": settings.web.model_copy(update=changes)})
    _fetch_all(settings)
    with suppress(KeyboardInterrupt):
        asyncio.run(
            serve_web(settings, lambda url: typer.echo(f"rapbot is ready at {url}  (Ctrl-C stops it)"), _settings)
        )


@cli.command()
def serve(
    page: Annotated[bool, typer.Option("--web/--no-web", help="Also open the local page.")] = False,
) -> None:
    """Run the bots that config.toml names (Telegram, Discord), until Ctrl-C."""
    from rapbot.app import serve as serve_platforms

    settings = _settings()
    _fetch_all(settings)

    async def run() -> None:
        task = asyncio.current_task()
        if task is not None and sys.platform != "win32":  # systemd and docker stop with SIGTERM: as orderly as Ctrl-C
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        with suppress(asyncio.CancelledError):
            await serve_platforms(settings, lambda what: typer.echo(f"ready: {what}"), web=page, reload=_settings)

    with suppress(KeyboardInterrupt):
        asyncio.run(run())


@cli.command()
def remember(
    name: Annotated[str, typer.Argument(help="What you call it: Lala")],
    photo: PhotoPath,
    info: Annotated[
        str, typer.Option("--info", "-i", help="What it is: 'A white and gray dog. She loves cheese.'")
    ] = "",
    category: Annotated[str, typer.Option(help="Kind of thing; read off --info when left out.")] = "",
    as_json: AsJson = False,
) -> None:
    """Teach it something from one photo."""
    from rapbot.messages import Actor, Chat

    given = _read_photo(photo)

    async def work(app: App, listener: ProgressListener | None) -> Reply:
        actor = Actor(app.settings.owner)
        return await app.assistant.remember(
            actor, Chat("cli"), name, info, category=category, photo=given, listener=listener
        )

    _show(_with_app(work, quiet=as_json), as_json)


@cli.command()
def addphoto(name: str, photo: PhotoPath, as_json: AsJson = False) -> None:
    """Show it another photo of something it knows."""
    from rapbot.messages import Actor, Chat

    given = _read_photo(photo)

    async def work(app: App, listener: ProgressListener | None) -> Reply:
        return await app.assistant.add_photo(Actor(app.settings.owner), Chat("cli"), name, given, listener=listener)

    _show(_with_app(work, quiet=as_json), as_json)


@cli.command()
def edit(
    name: str,
    info: Annotated[str | None, typer.Option("--info", "-i", help="New information.")] = None,
    new_name: Annotated[str | None, typer.Option("--name", help="New name.")] = None,
    category: Annotated[str | None, typer.Option(help="New kind of thing.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a card; the very next answer uses it."""
    from rapbot.messages import Actor

    async def work(app: App) -> Reply:
        return await app.assistant.edit(
            Actor(app.settings.owner), name, new_name=new_name, category=category, info=info
        )

    _show(_with_store(work), as_json)


@cli.command()
def forget(
    name: str, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False, as_json: AsJson = False
) -> None:
    """Delete something for good: card, photos and keys."""
    from rapbot.messages import Actor

    if not yes and sys.stdin.isatty():
        typer.confirm(f"Really forget {name}? This cannot be undone", abort=True)

    async def work(app: App) -> Reply:
        return await app.assistant.forget(Actor(app.settings.owner), name)

    _show(_with_store(work), as_json)


@cli.command()
def face(
    name: str,
    which: Annotated[int | None, typer.Option(help="Which face, where the photo shows several: 1, 2, 3 …")] = None,
    off: Annotated[bool, typer.Option("--off", help="Stop recognising them; the face key is deleted.")] = False,
    as_json: AsJson = False,
) -> None:
    """NAME agrees to be recognised by their face (people are not before this)."""
    from rapbot.messages import Actor

    async def work(app: App, listener: ProgressListener | None) -> Reply:
        me = Actor(app.settings.owner)
        if off:
            return await app.assistant.stop_face(me, name)
        return await app.assistant.allow_face(me, name, which - 1 if which else None)

    _show(_with_app(work, quiet=as_json), as_json)


@cli.command()
def undo(as_json: AsJson = False) -> None:
    """Take back the last change (not a forget)."""
    from rapbot.messages import Actor

    async def work(app: App) -> Reply:
        return await app.assistant.undo(Actor(app.settings.owner))

    _show(_with_store(work), as_json)


@cli.command()
def concepts(as_json: AsJson = False) -> None:
    """List everything it was taught."""
    from rapbot.cli_report import print_concepts
    from rapbot.messages import Actor

    async def work(app: App) -> Any:
        return await app.assistant.concepts(Actor(app.settings.owner))

    print_concepts(_with_store(work), as_json)


@cli.command()
def caption(
    photo: PhotoPath,
    picture: Annotated[Path | None, typer.Option(help="Save the photo with boxes and names here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Caption a photo with the names it knows."""
    _photo_command("caption", "", photo, picture, as_json)


@cli.command()
def find(
    photo: PhotoPath,
    name: Annotated[str, typer.Argument(help="Only this one; everything when left out.")] = "",
    picture: Annotated[Path | None, typer.Option(help="Save the photo with boxes and names here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Who and what of yours is in a photo, and where."""
    _photo_command("find", name, photo, picture, as_json)


def _photo_command(method: str, text: str, photo: Path, picture: Path | None, as_json: bool) -> None:
    async def work(app: App, listener: ProgressListener | None) -> Reply:
        answer: Reply = await getattr(app.assistant, method)(_message(app, text, photo), listener)
        return answer

    _show(_with_app(work, quiet=as_json), as_json, picture)


@cli.command()
def ask(
    question: str,
    photo: Annotated[Path | None, typer.Argument(metavar="[PHOTO]", help="A photo the question is about.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Save the photo with boxes and names here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask anything about a photo, or about what you taught it."""

    async def work(app: App, listener: ProgressListener | None) -> Reply:
        return await app.assistant.respond(_message(app, question, photo), listener)

    _show(_with_app(work, quiet=as_json), as_json, picture)


def _with_store(work: Callable[[App], Awaitable[T]]) -> T:
    """Run `work` without starting the models."""
    from rapbot.app import running

    settings = _settings(log_level="warning")

    async def run() -> T:
        async with running(settings, models=False) as app:
            return await work(app)

    return asyncio.run(run())


@cli.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A database.json in the RAP format, or a zip made by export.")],
    as_json: AsJson = False,
) -> None:
    """Teach everything in a RAP database file."""
    from rapbot.progress import track_progress
    from rapbot.transfer import import_database

    async def work(app: App, listener: ProgressListener | None) -> dict[str, Any]:
        with track_progress() as track:
            return await import_database(app.assistant, app.settings.owner, file, track)

    result = _with_app(work, quiet=True)
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    typer.echo(f"Learned {len(result['learned'])}: {', '.join(result['learned']) or 'nothing new'}")
    for name, reason in result["skipped"].items():
        typer.echo(f"Skipped {name}: {reason}")
    if result["people"]:
        ways = "; ".join(f"rapbot face {shlex.quote(name)}" for name in result["people"])
        typer.echo(f"People are recognised by their faces only after they agree (for a child the parents): {ways}")


@cli.command()
def export(
    to: Annotated[Path, typer.Argument(help="A folder or a .zip file to make.")] = Path("rapbot-export.zip"),
) -> None:
    """Write everything it was taught as a RAP database."""
    from rapbot.transfer import export_database

    async def work(app: App) -> int:
        return await export_database(app.assistant, app.settings.owner, to)

    typer.echo(f"Wrote {_with_store(work)} concepts to {to}")


@cli.command()
def backup(
    to: Annotated[
        Path | None, typer.Argument(help="A folder or a .sqlite3 file; else the folder backups beside the database.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy the whole database, also while rapbot runs, and check the copy.

    It holds what everybody taught, photos and faces too: keep it as safe as the database, and delete it when it is old,
    because what people forget later is still in it.
    """
    from rapbot.concepts.backups import back_up
    from rapbot.progress import show_progress

    with show_progress("backup") as told:
        made = back_up(_settings().database, to, told)
    if as_json:
        typer.echo(json.dumps({"file": str(made.path), "rows": made.rows}))
        return
    typer.echo(f"{made.path}: {made.rows['concepts']} concepts of {made.rows['owners']} people, checked")


@cli.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that backup has made.")],
    forgotten_too: Annotated[
        bool, typer.Option("--forgotten-too", help="Bring back also what was forgotten after the backup was made.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Put a backup in the place of the database, which is kept beside it. rapbot must not be running."""
    from rapbot.concepts.backups import check, restore

    database = _settings().database
    found = check(file)
    if database.is_file() and not yes:
        typer.confirm(
            f"Replace what {database} holds by {found.rows['concepts']} concepts of {found.rows['owners']} people?",
            abort=True,
        )
    done = restore(file, database, forgotten_too=forgotten_too)
    typer.echo(f"Restored {done.backup.rows['concepts']} concepts of {done.backup.rows['owners']} people.")
    if done.forgotten:
        typer.echo(
            f"{done.forgotten} that were forgotten since then stay forgotten (--forgotten-too brings them back)."
        )
    if done.former is not None:
        typer.echo(f"The database before lies in {done.former}; delete it once you do not need it.")


@key_cli.command("new")
def key_new(file: Annotated[Path, typer.Argument(help="The file to make; it must not exist.")]) -> None:
    """Make a key that only you can read. Keep a copy elsewhere: without it nobody can read the data again."""
    from rapbot.concepts.sealing import new_key

    new_key(file.expanduser())
    typer.echo(f"Wrote {file}. Name it in the configuration as encryption.key_file, then run: rapbot key use")


@key_cli.command("use")
def key_use(
    former: Annotated[
        Path | None, typer.Option("--former", help="The file of the key until now, where there was one.")
    ] = None,
) -> None:
    """Write everything anew with the key of the configuration, or, where it names none, without one.

    rapbot must not be running. Can be repeated when it was interrupted. Backups stay as they are.
    """
    from rapbot.concepts.sealing import seal_of
    from rapbot.concepts.sqlite_sealing import reseal
    from rapbot.config import EncryptionSettings

    settings = _settings()
    old, new = seal_of(EncryptionSettings(key_file=former).secret()), seal_of(settings.encryption.secret())
    changed = [reseal(settings.inbox_file, old, new, inbox=True), reseal(settings.database, old, new)]
    state = f"encrypted with the key {new.key_id}" if new.key_id else "not encrypted"
    typer.echo(f"What is kept is {state}{' now' if any(changed) else ' already'}.")
    if any(changed):
        typer.echo("Backups made before are as they were: make a new one and delete those.")


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

    settings = _settings(log_level="warning")
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

    settings = _settings(log_level="warning")
    calibration, path = asyncio.run(calibrate_files(settings, database, photos, negatives, false_names, out))
    print_calibration(calibration)
    typer.echo(f"Calibration: {path}")


@cli.command()
def reencode() -> None:
    """After a change of encoder: encode all stored avatars again now (rapbot does it by and by as well)."""
    from rapbot.app import running
    from rapbot.progress import show_progress
    from rapbot.reencoding import in_words

    settings = _settings(log_level="warning")

    async def run() -> str:
        async with running(settings, background=False) as app:
            with show_progress("Encoding") as show:
                return in_words(await app.reencoding.run(lambda pending: show(pending.done, pending.total)))

    words = asyncio.run(run())
    typer.echo(f"{words[0].upper()}{words[1:]}.")


@models_cli.command("list")
def models_list(as_json: AsJson = False) -> None:
    """Which model files there are, and whether they are on this machine."""
    from rapbot.cli_report import print_weights
    from rapbot.inference.weights import list_weights

    print_weights(list_weights(_settings().weights_dir.expanduser(), optional=True), as_json)


@models_cli.command("fetch")
def models_fetch(
    faces: Annotated[
        bool, typer.Option("--faces", help="Also the face models (the first /face fetches them).")
    ] = False,
) -> None:
    """Fetch and convert what is missing."""
    _fetch_all(_settings(), optional=faces)
    typer.echo("All model files are here.")


@models_cli.command("verify")
def models_verify() -> None:
    """Compare every model file with its checksum; exit status 1 when one is wrong."""
    from rapbot.cli_report import print_weights
    from rapbot.inference.weights import WeightState, list_weights, verify

    folder = _settings().weights_dir.expanduser()
    needed = {status.file.name for status in list_weights(folder)}
    known = list_weights(folder, optional=True)  # of those that only some need, what is here
    wanted = [s.file.name for s in known if s.file.name in needed or s.state is not WeightState.MISSING]
    statuses = [verify(name, folder) for name in wanted]
    print_weights(statuses, False)
    if any(status.state is not WeightState.READY for status in statuses):
        raise typer.Exit(1)


def _fetch_all(settings: Settings, *, optional: bool = False) -> None:
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

    settings = _settings(log_level="error")
    if generator is not None:
        good = diagnose_server(settings, generator, as_json)
    else:
        good = diagnose(settings, as_json, quick=quick)
    if not good:
        raise typer.Exit(1)


def main() -> None:
    """Entry point: one sentence instead of a traceback for everything that rapbot raises on purpose."""
    try:
        cli()
    except RapbotError as error:
        typer.echo(error.sentence, err=True)
        raise SystemExit(1) from None
