"""Commands of whoever keeps the data: backups, and the key that encrypts them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rapbot.cli_session import AsJson, cli, configured

if TYPE_CHECKING:
    from rapbot.config import Settings

key_cli = typer.Typer(no_args_is_help=True, help="The key that encrypts what is kept on disk: make one, change it.")
cli.add_typer(key_cli, name="key")


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
        made = back_up(_own_file(configured(), "use pg_dump"), to, told)
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

    database = _own_file(configured(), "use pg_restore")
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


@cli.command("migrate-store")
def migrate_store(
    source: Annotated[str, typer.Argument(metavar="sqlite:FILE", help="The database to move.")],
    destination: Annotated[
        str, typer.Argument(metavar="postgres:URL", help="Where to; the password is that of [store].")
    ],
    among_others: Annotated[
        bool, typer.Option("--among-others", help="Also where other people's memory lies already.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Move everything that people taught into a PostgreSQL database, and check it there. The file stays as it is.

    rapbot must not be running. Can be repeated when it was interrupted: what is there already is only checked.
    """
    from rapbot.concepts.postgres_connection import PostgresDatabase
    from rapbot.concepts.postgres_moving import Moved, move
    from rapbot.concepts.postgres_sealing import agree
    from rapbot.concepts.sealing import seal_of
    from rapbot.config import postgres_address
    from rapbot.progress import show_progress

    settings = configured(log_level="warning")
    file = Path(_after(source, "sqlite")).expanduser()
    url = destination.removeprefix("postgres:") if destination.startswith("postgres:postgres") else destination
    url, seal = postgres_address(url, "The destination"), seal_of(settings.encryption.secret())

    async def work() -> Moved:
        async with PostgresDatabase.open(url, settings.store.secret()) as database:
            await agree(database, seal)
            with show_progress("people") as told:
                return await move(file, database, seal, among_others=among_others, told=told)

    moved = asyncio.run(work())
    if as_json:
        typer.echo(json.dumps({"people": moved.people, "there_before": moved.present, "rows": moved.rows}))
        return
    typer.echo(
        f"{moved.rows['concepts']} concepts of {moved.people} people are in the PostgreSQL database, checked"
        f" ({moved.present} of them were there already). Name it in the configuration as store.url."
    )
    if moved.waiting:
        typer.echo(
            f"{moved.waiting} messages still wait in the inbox of the file: start the old program to answer them."
        )


def _after(given: str, scheme: str) -> str:
    from rapbot.errors import ConfigError

    if not given.startswith(f"{scheme}:") or given == f"{scheme}:":
        raise ConfigError(f"The source is written {scheme}:FILE.")
    return given.removeprefix(f"{scheme}:")


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

    settings = configured()
    _own_file(settings, "move everything into a new database with rapbot migrate-store")
    old, new = seal_of(EncryptionSettings(key_file=former).secret()), seal_of(settings.encryption.secret())
    changed = [reseal(settings.inbox_file, old, new, inbox=True), reseal(settings.database, old, new)]
    state = f"encrypted with the key {new.key_id}" if new.key_id else "not encrypted"
    typer.echo(f"What is kept is {state}{' now' if any(changed) else ' already'}.")
    if any(changed):
        typer.echo("Backups made before are as they were: make a new one and delete those.")


def _own_file(settings: Settings, instead: str) -> Path:
    """The SQLite file. Raises ConfigError where the memory is in PostgreSQL, which has programs of its own for this."""
    from rapbot.errors import ConfigError

    if settings.store.enabled:
        raise ConfigError(f"The memory is in the PostgreSQL database of store.url: {instead} (docs/scaling.md).")
    return settings.database
