"""`rapbot doctor --generator URL`: what an OpenAI-compatible server can do, tried out one by one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rapbot.config import LimitSettings, Settings
from rapbot.doctor_trials import Flaw, Trial, Trials
from rapbot.errors import RapbotError
from rapbot.inference.mllm.openai_connection import Connection
from rapbot.inference.mllm.openai_served import Served, find_served
from rapbot.inference.mllm.openai_server import ServerGenerator
from rapbot.inference.planning import plan
from rapbot.inference.specs import AdapterSpec, GeneratorSpec

_START = "start the server, or correct models.url: http://HOST:PORT/v1"


@dataclass(frozen=True, slots=True)
class Ability:
    """One thing that was tried. `needed`: rapbot needs it; `change`: what to do where it is not good."""

    what: str
    good: bool
    words: str
    needed: bool = True
    change: str = ""


def examine(settings: Settings, url: str) -> Iterator[Ability]:
    """Every ability of the server at `url`, as it is found; a failure is a line, never an exception."""
    from rapbot.logs import hide

    try:
        configured = plan(settings).generator
        spec = replace(configured, kind="openai", url=url or configured.url, key=settings.models.secret())
        if configured.kind != "openai":  # another generator is configured: its model means nothing here
            spec = GeneratorSpec("openai", url=spec.url, key=spec.key, timeout=spec.timeout)
        hide(spec.key)
        connection = Connection(spec.url, spec.key, spec.timeout)
    except RapbotError as error:
        yield Ability("address", False, error.sentence, change="models.url = http://HOST:PORT/v1")
        return
    try:
        yield from _examine(spec, settings.limits, connection)
    finally:
        connection.close()


def _examine(spec: GeneratorSpec, limits: LimitSettings, connection: Connection) -> Iterator[Ability]:
    began = time.monotonic()
    try:
        listed = connection.models()
    except RapbotError as error:
        key = "models.api_key or api_key_file: the key that the server was started with"
        yield Ability("reachable", False, error.sentence, change=key if "key" in error.sentence else _START)
        return
    yield Ability("reachable", True, f"{connection.shown} answers in {1000 * (time.monotonic() - began):.0f} ms")
    try:
        served = find_served(replace(spec, adapters=()), listed, connection.shown)
    except RapbotError as error:
        change = 'models.generator = "openai:NAME" with one of them; vLLM: --served-model-name'
        yield Ability("model", False, error.sentence, change=change)
        return
    others = ", ".join(str(one["id"]) for one in listed or () if one["id"] != served.model)
    yield Ability("model", True, f"{served.model} (also there: {others})" if others else served.model)
    loras: list[str] = []
    for lora in spec.adapters:
        try:
            served = _with_lora(served, spec, lora, listed, connection)
            loras.append(lora.name)
        except RapbotError as error:
            change = f"vLLM: --enable-lora --lora-modules {lora.source or lora.name}=FOLDER"
            yield Ability(f"LoRA {lora.name}", False, error.sentence, change=change)
    generator = ServerGenerator(spec, connection, served)
    trials = Trials(spec, limits, generator, connection, _context(served, listed))
    for trial in [*trials, *map(trials.of_lora, loras)]:
        yield _tried(trial, connection)


def _with_lora(
    served: Served, spec: GeneratorSpec, lora: AdapterSpec, listed: Sequence[Mapping[str, Any]] | None, conn: Connection
) -> Served:
    found = find_served(replace(spec, adapters=(lora,)), listed, conn.shown)
    return replace(served, loras={**served.loras, **found.loras})


def _tried(trial: Trial, connection: Connection) -> Ability:
    connection.refusal = ""
    try:
        return Ability(trial.what, True, trial.run(), trial.needed)
    except Flaw as flaw:
        return Ability(trial.what, False, str(flaw), False, trial.change)
    except (RapbotError, ValueError, IndexError, AttributeError) as error:
        words = f"it answers {connection.refusal}" if connection.refusal else str(error)
        return Ability(trial.what, False, words, trial.needed, trial.change)


def _context(served: Served, listed: Sequence[Mapping[str, Any]] | None) -> int:
    """Tokens, where the server tells (vLLM); else 0."""
    told = next((one.get("max_model_len") for one in listed or () if one["id"] == served.model), None)
    return told if isinstance(told, int) else 0
