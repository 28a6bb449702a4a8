"""Commands about what it was taught, and about photos."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rapbot.cli_session import AsJson, PhotoPath, cli, print_reply, read_photo, request_of, with_app, with_store

if TYPE_CHECKING:
    from rapbot.app import App
    from rapbot.messages import ProgressListener, Reply


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

    given = read_photo(photo)

    async def work(app: App, listener: ProgressListener | None) -> Reply:
        actor = Actor(app.settings.owner)
        return await app.assistant.teaching.remember(
            actor, Chat("cli"), name, info, category=category, photo=given, listener=listener
        )

    print_reply(with_app(work, quiet=as_json), as_json)


@cli.command()
def addphoto(name: str, photo: PhotoPath, as_json: AsJson = False) -> None:
    """Show it another photo of something it knows."""
    from rapbot.messages import Actor, Chat

    given = read_photo(photo)

    async def work(app: App, listener: ProgressListener | None) -> Reply:
        return await app.assistant.teaching.add_photo(
            Actor(app.settings.owner), Chat("cli"), name, given, listener=listener
        )

    print_reply(with_app(work, quiet=as_json), as_json)


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
        return await app.assistant.teaching.edit(
            Actor(app.settings.owner), name, new_name=new_name, category=category, info=info
        )

    print_reply(with_store(work), as_json)


@cli.command()
def forget(
    name: str, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False, as_json: AsJson = False
) -> None:
    """Delete something for good: card, photos and keys."""
    from rapbot.messages import Actor

    if not yes and sys.stdin.isatty():
        typer.confirm(f"Really forget {name}? This cannot be undone", abort=True)

    async def work(app: App) -> Reply:
        return await app.assistant.teaching.forget(Actor(app.settings.owner), name)

    print_reply(with_store(work), as_json)


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

    print_reply(with_app(work, quiet=as_json), as_json)


@cli.command()
def undo(as_json: AsJson = False) -> None:
    """Take back the last change (not a forget)."""
    from rapbot.messages import Actor

    async def work(app: App) -> Reply:
        return await app.assistant.teaching.undo(Actor(app.settings.owner))

    print_reply(with_store(work), as_json)


@cli.command()
def concepts(as_json: AsJson = False) -> None:
    """List everything it was taught."""
    from rapbot.cli_report import print_concepts
    from rapbot.messages import Actor

    async def work(app: App) -> Any:
        return await app.assistant.memory.concepts(Actor(app.settings.owner))

    print_concepts(with_store(work), as_json)


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
        answer: Reply = await getattr(app.assistant, method)(request_of(app, text, photo), listener)
        return answer

    print_reply(with_app(work, quiet=as_json), as_json, picture)


@cli.command()
def ask(
    question: str,
    photo: Annotated[Path | None, typer.Argument(metavar="[PHOTO]", help="A photo the question is about.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Save the photo with boxes and names here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask anything about a photo, or about what you taught it."""

    async def work(app: App, listener: ProgressListener | None) -> Reply:
        return await app.assistant.respond(request_of(app, question, photo), listener)

    print_reply(with_app(work, quiet=as_json), as_json, picture)


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

    result = with_app(work, quiet=True)
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

    typer.echo(f"Wrote {with_store(work)} concepts to {to}")
