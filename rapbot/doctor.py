"""`rapbot doctor`: checks everything a person can get wrong, and says what to do about it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import typer

from rapbot.config import DiscordSettings, Settings, TelegramSettings, find_config
from rapbot.errors import RapbotError
from rapbot.logs import place_of

_FREE_BYTES = 500_000_000
_FREE_GIGABYTES = 1.0


@dataclass(frozen=True, slots=True)
class Note:
    """What a check says that is not as it could be, but works; `rows` are of a table below."""

    words: str
    rows: Sequence[dict[str, object]] = ()
    doubt: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    good: bool
    words: str
    rows: Sequence[dict[str, object]] = ()
    doubt: bool = False
    change: str = ""
    """What to do about it."""


def diagnose(settings: Settings, as_json: bool, *, quick: bool = False) -> bool:
    """Print one line per check, and the table of profiles; True when all are good. `quick`: nothing that takes long."""
    findings = [_run(check, name, settings) for name, check in _CHECKS.items() if not quick or name not in _SLOW]
    _print(findings, as_json)
    return all(finding.good for finding in findings)


def diagnose_server(settings: Settings, url: str, as_json: bool) -> bool:
    """Print what an OpenAI-compatible server can do; True when it can do all that rapbot needs."""
    from rapbot.doctor_server import examine

    findings = []
    for one in examine(settings, url):  # a slow server: each line as it is found
        findings.append(Finding(one.what, one.good or not one.needed, one.words, (), not one.good, one.change))
        if not as_json:
            _print(findings[-1:], as_json)
    if as_json:
        _print(findings, as_json)
    return all(one.good for one in findings)


def _print(findings: Iterable[Finding], as_json: bool) -> None:
    if as_json:
        entries = [{"check": one.check, "good": one.good, "words": one.words} for one in findings]
        extra = [
            {**({"rows": one.rows} if one.rows else {}), **({"change": one.change} if one.change else {})}
            for one in findings
        ]
        typer.echo(json.dumps([{**entry, **more} for entry, more in zip(entries, extra, strict=True)]))
        return
    for one in findings:
        mark = typer.style("note", fg="yellow") if one.doubt else typer.style("ok  ", fg="green")
        words = f"{one.words.rstrip('.')}. To change: {one.change}" if one.change else one.words
        typer.echo(f"{mark if one.good else typer.style('FAIL', fg='red')} {one.check}: {words}")
        if one.rows:
            _print_table(one.rows)


def _print_table(rows: Sequence[dict[str, object]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    columns = [name for name, value in rows[0].items() if not isinstance(value, list)]
    for name in columns:
        table.add_column(name, justify="right" if name.startswith("GB") else "left", no_wrap=True)
    for row in rows:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in columns))
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)


def _run(check: Callable[[Settings], str | Note], name: str, settings: Settings) -> Finding:
    try:
        said = check(settings)
    except RapbotError as error:
        return Finding(name, False, error.sentence)
    except OSError as error:
        return Finding(name, False, f"{error.strerror or error}")
    except Exception as error:  # a fault of rapbot's own: one line of it, and the other checks
        return Finding(name, False, f"this check broke: {type(error).__name__} at {place_of(error)}")
    return (
        Finding(name, True, said) if isinstance(said, str) else Finding(name, True, said.words, said.rows, said.doubt)
    )


def _python(settings: Settings) -> str:
    return f"Python {sys.version.split()[0]}"


def _config(settings: Settings) -> str:
    path = find_config()
    return f"{path}" if path else "defaults and environment (no config.toml)"


def _devices(settings: Settings) -> str | Note:
    from rapbot.doctor_models import devices, torch_speaks_cuda

    found = devices()
    words = "; ".join(f"{one.kind}: {one.name}" + (f", {one.memory:.1f} GB" if one.memory else "") for one in found)
    if found[0].kind == "cuda" and not torch_speaks_cuda():
        return Note(f"{words}; but this torch was built without CUDA: install another (pytorch.org tells which)")
    return words


def _memory(settings: Settings) -> str | Note:
    from rapbot.doctor_models import memory

    total, free = memory()
    if not total:
        return "this system does not tell"
    words = f"{free:.1f} GB of {total:.1f} GB are free"
    return words if free >= _FREE_GIGABYTES else Note(f"{words}; profile pocket takes about one")


def _libraries(settings: Settings) -> str | Note:
    from rapbot.doctor_models import LIBRARIES, missing_of, version

    words = ", ".join(f"{name} {found}" for name in LIBRARIES if (found := version(name)) is not None)
    missing = {extra: ", ".join(missing_of(extra)) for extra in ("gpu", "server")}
    absent = "; ".join(
        f"the extra {extra} is not installed ({names}): pip install -e '.[{extra}]'"
        for extra, names in missing.items()
        if names
    )
    return f"{words}. {absent[:1].upper()}{absent[1:]}" if absent else words


def _profile(settings: Settings) -> str | Note:
    """The configured one: its libraries, its memory, its thresholds."""
    from rapbot.doctor_models import device_for, extras_of, missing_of, need
    from rapbot.inference.planning import plan, runtime

    profile, device = plan(settings), device_for(runtime(settings))
    specs = (profile.detector, profile.encoder, profile.generator)
    words = f"{profile.name}: {', '.join(f'{one.kind} {one.model}'.strip() for one in specs)}"
    for extra in extras_of(profile):
        if missing := ", ".join(missing_of(extra)):
            raise RapbotError(f"{words}. It needs the extra {extra} ({missing}): pip install -e '.[{extra}]'")
    needed = need(profile, device.kind, four_bit=profile.generator.quantization == "nf4")
    if needed is not None and device.memory:
        words += f"; about {needed:.1f} GB of the {device.memory:.1f} GB of {device.kind}"
        if needed > device.memory:
            raise RapbotError(f"{words}: that does not fit. The profiles below tell what does")
    if not profile.calibrated:
        return Note(f"{words}; its thresholds are a guess, rapbot calibrate measures them")
    return words


def _profiles(settings: Settings) -> str | Note:
    """All of them, as they are shipped."""
    from rapbot.doctor_models import device_for, profile_rows
    from rapbot.inference.planning import runtime

    run, calibrations = runtime(settings), settings.data_dir.expanduser() / "calibration"
    device = device_for(run)
    rows = profile_rows(device, run, settings.weights_dir.expanduser(), calibrations)
    fitting = sum(row["fits"] in ("yes", "in 4 bit") for row in rows)
    words = (
        f"{fitting} of {len(rows)} fit the {device.memory:.1f} GB of {device.kind} (by published sizes, not measured)"
    )
    return Note(words, rows, doubt=False)


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
            return len(await app.assistant.memory.concepts(Actor(settings.owner)))

    state = "encrypted, sound" if settings.encryption.enabled else "sound"
    where = "the PostgreSQL database of store.url" if settings.store.enabled else settings.database
    return f"{where} is {state}; {asyncio.run(count())} concepts of yours"


def _weights(settings: Settings) -> str | Note:
    from rapbot.doctor_models import missing_weights
    from rapbot.inference.planning import plan, runtime
    from rapbot.inference.profiles import POCKET, find_profile
    from rapbot.inference.weights import WeightState, list_weights, verify

    folder, profile, run = settings.weights_dir.expanduser(), plan(settings), runtime(settings)
    if profile.generator.kind == find_profile(POCKET).generator.kind:
        for status in list_weights(folder):
            if verify(status.file.name, folder).state is not WeightState.READY:
                raise RapbotError(f"{status.file.what} is {status.state}. Run: rapbot models fetch")
    missing = ", ".join(missing_weights(profile, run, folder))
    if missing and run.offline:
        raise RapbotError(f"not on this machine, and models.offline is set: {missing}. Put them into models.models_dir")
    if missing:
        return Note(f"fetched at the first start: {missing}")
    return "all model files are here and unchanged"


def _worker(settings: Settings) -> str:
    from rapbot.doctor_run import run_once

    seconds, stages = run_once(settings)
    return f"the models loaded in {seconds:.1f} s; " + ", ".join(
        f"{name} {took:.2f} s" for name, took in stages.items()
    )


def _page(settings: Settings) -> str:
    import socket

    from adapters.web.gate import check_password

    with socket.socket() as probe:
        try:
            probe.bind((settings.web.host, settings.web.port))
        except OSError as error:
            raise RapbotError(
                f"port {settings.web.port} is taken (is rapbot already running?); try: rapbot web --port 0"
            ) from error
    check_password(settings)
    asked = "it asks for a password" if settings.web.secret() else "it answers to this machine only"
    return f"http://{settings.web.host}:{settings.web.port} is free; {asked}"


def _watching(settings: Settings) -> str:
    from rapbot.observing import described

    return described(settings)


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
    path = platform.token_file.expanduser() if platform.token_file else None
    return f"on, {how}; the token is {'in ' + str(path) if path else 'in the configuration or environment'}"


_CHECKS: dict[str, Callable[[Settings], str | Note]] = {
    "python": _python,
    "configuration": _config,
    "devices": _devices,
    "memory": _memory,
    "disk": _disk,
    "libraries": _libraries,
    "profile": _profile,
    "database": _database,
    "models": _weights,
    "worker": _worker,
    "page": _page,
    "telegram": _telegram,
    "discord": _discord,
    "watching": _watching,
    "profiles": _profiles,
}
_SLOW = frozenset({"models", "worker"})
"""Checksums of all files, and a start of the models."""
