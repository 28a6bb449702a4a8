"""`rapbot doctor`: checks everything a person can get wrong, and says what to do about it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import typer

from rapbot.config import DiscordSettings, Settings, TelegramSettings, find_config
from rapbot.errors import RapbotError

_FREE_BYTES = 500_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    good: bool
    words: str


def diagnose(settings: Settings, as_json: bool) -> bool:
    """Print one line per check; True when all are good."""
    findings = [_run(check, name, settings) for name, check in _CHECKS.items()]
    if as_json:
        typer.echo(json.dumps([{"check": f.check, "good": f.good, "words": f.words} for f in findings]))
    else:
        for finding in findings:
            mark = typer.style("ok  ", fg="green") if finding.good else typer.style("FAIL", fg="red")
            typer.echo(f"{mark} {finding.check}: {finding.words}")
    return all(finding.good for finding in findings)


def _run(check: Callable[[Settings], str], name: str, settings: Settings) -> Finding:
    try:
        return Finding(name, True, check(settings))
    except RapbotError as error:
        return Finding(name, False, error.sentence)
    except OSError as error:
        return Finding(name, False, f"{error.strerror or error}")


def _python(settings: Settings) -> str:
    return f"Python {sys.version.split()[0]}"


def _config(settings: Settings) -> str:
    path = find_config()
    return f"{path}" if path else "defaults and environment (no config.toml)"


def _disk(settings: Settings) -> str:
    folder = settings.data_dir.expanduser()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < _FREE_BYTES:
        raise RapbotError(f"only {free / 1e6:.0f} MB are free in {folder}; make some room")
    return f"{free / 1e9:.1f} GB free in {folder}"


def _database(settings: Settings) -> str:
    from rapbot.app import running
    from rapbot.messages import Actor

    async def count() -> int:
        async with running(settings, models=False) as app:
            return len(await app.assistant.concepts(Actor(settings.owner)))

    return f"{settings.database} is sound; {asyncio.run(count())} concepts of yours"


def _weights(settings: Settings) -> str:
    from rapbot.inference.weights import WeightState, list_weights, verify

    folder = settings.weights_dir.expanduser()
    for status in list_weights(folder):
        if verify(status.file.name, folder).state is not WeightState.READY:
            raise RapbotError(f"{status.file.what} is {status.state}. Run: rapbot models fetch")
    return "all model files are here and unchanged"


def _worker(settings: Settings) -> str:
    from rapbot.app import running

    async def start() -> float:
        began = time.perf_counter()
        async with running(settings) as app:
            await app.worker.ready()
        return time.perf_counter() - began

    return f"the models loaded and stopped again in {asyncio.run(start()):.1f} s"


def _page(settings: Settings) -> str:
    import socket

    with socket.socket() as probe:
        try:
            probe.bind((settings.web.host, settings.web.port))
        except OSError as error:
            raise RapbotError(
                f"port {settings.web.port} is taken (is rapbot already running?); try: rapbot web --port 0"
            ) from error
    return f"http://{settings.web.host}:{settings.web.port} is free"


def _telegram(settings: Settings) -> str:
    if not settings.telegram.enabled:
        return "off (docs/telegram.md tells how to get a token)"
    if not re.fullmatch(r"\d+:[\w-]{30,}", settings.telegram.secret()):
        raise RapbotError("the token does not look like one of @BotFather's: numbers, a colon, letters")
    return _kept(settings.telegram, "by webhook" if settings.telegram.webhook_url else "by long polling")


def _discord(settings: Settings) -> str:
    if not settings.discord.enabled:
        return "off (docs/discord.md tells how to get a token)"
    if not re.fullmatch(r"[\w-]{18,}\.[\w-]+\.[\w-]{20,}", settings.discord.secret()):
        raise RapbotError("the token does not look like one of the developer portal's: three parts with dots")
    return _kept(settings.discord, "with" + ("" if settings.discord.message_content else "out") + " message content")


def _kept(platform: TelegramSettings | DiscordSettings, how: str) -> str:
    """Who has a token is the bot: others on this machine must not read it."""
    path = platform.token_file.expanduser() if platform.token_file else None
    if path is not None and sys.platform != "win32" and path.stat().st_mode & 0o077:
        raise RapbotError(f"others on this machine may read {path}; run: chmod 600 {path}")
    return f"on, {how}; the token is {'in ' + str(path) if path else 'in the configuration or environment'}"


_CHECKS: dict[str, Callable[[Settings], str]] = {
    "python": _python,
    "configuration": _config,
    "disk": _disk,
    "database": _database,
    "models": _weights,
    "worker": _worker,
    "page": _page,
    "telegram": _telegram,
    "discord": _discord,
}
