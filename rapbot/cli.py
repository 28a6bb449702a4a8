"""rapbot: the command line. Every command that needs the models starts a worker of its own and shows what it does."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from rapbot import __version__, cli_cluster, cli_concepts, cli_keeping, cli_models
from rapbot.cli_session import Options, cli, configured, fetch_all
from rapbot.errors import RapbotError

__all__ = ["cli", "cli_cluster", "cli_concepts", "cli_keeping", "cli_models", "main"]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rapbot {__version__}")
        raise typer.Exit


@cli.callback()
def options(
    config: Annotated[Path | None, typer.Option("--config", help="A TOML file; see config.example.toml.")] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    Options.config = config


@cli.command()
def web(
    host: Annotated[str | None, typer.Option(help="Address to listen on; the default is this machine only.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 picks a free one.")] = None,
    browser: Annotated[bool | None, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = None,
) -> None:
    """Open the local page: chat, gallery, corrections."""
    from rapbot.app import serve_web

    settings = configured()
    changes = {k: v for k, v in (("host", host), ("port", port), ("open_browser", browser)) if v is not None}
    settings = settings.model_copy(update={"web": settings.web.model_copy(update=changes)})
    if not settings.cluster.enabled:  # else they are where the replicas run
        fetch_all(settings)
    with suppress(KeyboardInterrupt):
        asyncio.run(
            serve_web(settings, lambda url: typer.echo(f"rapbot is ready at {url}  (Ctrl-C stops it)"), configured)
        )


@cli.command()
def serve(
    page: Annotated[bool, typer.Option("--web/--no-web", help="Also open the local page.")] = False,
) -> None:
    """Run the bots that config.toml names (Telegram, Discord), until Ctrl-C."""
    from rapbot.app import serve as serve_platforms

    settings = configured()
    if not settings.cluster.enabled:  # else they are where the replicas run
        fetch_all(settings)

    async def run() -> None:
        task = asyncio.current_task()
        if task is not None and sys.platform != "win32":  # systemd and docker stop with SIGTERM: as orderly as Ctrl-C
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        with suppress(asyncio.CancelledError):
            await serve_platforms(settings, lambda what: typer.echo(f"ready: {what}"), web=page, reload=configured)

    with suppress(KeyboardInterrupt):
        asyncio.run(run())


cli.registered_commands.sort(key=lambda command: command.callback not in (web, serve))  # what people begin with


def main() -> None:
    """Entry point: one sentence instead of a traceback for everything that rapbot raises on purpose."""
    try:
        cli()
    except RapbotError as error:
        typer.echo(error.sentence, err=True)
        raise SystemExit(1) from None
