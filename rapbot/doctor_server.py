"""`rapbot doctor --generator URL`: what an OpenAI-compatible server can do, tried out one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from PIL import Image

from rapbot.config import Settings
from rapbot.errors import RapbotError
from rapbot.inference.mllm.openai_connection import Connection
from rapbot.inference.mllm.openai_served import Served, find_served
from rapbot.inference.mllm.openai_server import ServerGenerator
from rapbot.inference.planning import plan
from rapbot.inference.seams import IMAGE, Prompt
from rapbot.inference.specs import GeneratorSpec

_COLOURS = ("red", "green", "blue", "yellow", "black", "white", "orange", "purple")
_GREETING = Prompt((("user", "Say hello in five words."),), max_new_tokens=24, stop=())


@dataclass(frozen=True, slots=True)
class Ability:
    """One thing that was tried. `needed`: rapbot does not work without it."""

    what: str
    good: bool
    words: str
    needed: bool = True


def examine(settings: Settings, url: str) -> list[Ability]:
    """Every ability of the server at `url`; a failure is a line of the table, never an exception."""
    from rapbot.logs import hide

    try:
        configured = plan(settings).generator
        spec = replace(configured, kind="openai", url=url or configured.url, key=settings.models.secret())
        if configured.kind != "openai":  # another generator is configured: its model means nothing here
            spec = GeneratorSpec("openai", url=spec.url, key=spec.key, timeout=spec.timeout)
        hide(spec.key)
        connection = Connection(spec.url, spec.key, spec.timeout)
    except RapbotError as error:
        return [Ability("address", False, error.sentence)]
    try:
        return _examine(spec, connection)
    finally:
        connection.close()


def _examine(spec: GeneratorSpec, connection: Connection) -> list[Ability]:
    abilities: list[Ability] = []

    def attempt(what: str, try_it: Callable[[], str], needed: bool = True) -> None:
        connection.refusal = ""
        try:
            abilities.append(Ability(what, True, try_it(), needed))
        except (RapbotError, ValueError) as error:
            words = f"it answers {connection.refusal}" if connection.refusal else str(error)
            abilities.append(Ability(what, False, words, needed))

    served: Served | None = None

    def models() -> str:
        nonlocal served
        listed = connection.models()
        served = find_served(spec, listed, connection.shown)
        others = ", ".join(str(one["id"]) for one in listed or () if one["id"] != served.model)
        return f"{served.model} (also there: {others})" if others else served.model

    attempt("models", models)
    if served is None:
        return abilities
    generator = ServerGenerator(spec, connection, served)
    attempt("text", lambda: _said(generator, _GREETING))
    attempt("streaming", lambda: _streamed(generator))
    attempt("stopping", lambda: _stopped(generator))
    attempt("batch", lambda: f"{len(generator.generate([_GREETING] * spec.batch))} prompts at once")
    attempt("answer prefix", lambda: _prefixed(generator, connection))
    attempt("one picture", lambda: _seen(generator, 1), needed=generator.sees)
    pictures = generator.concepts_in_prompt + 1
    attempt(f"{pictures} pictures", lambda: _seen(generator, pictures), needed=generator.sees)
    attempt("likelihoods", lambda: _scored(generator), needed=False)
    for lora in served.loras:
        attempt(f"LoRA {lora}", partial(_said, generator, replace(_GREETING, adapter=lora)))
    return abilities


def _said(generator: ServerGenerator, prompt: Prompt) -> str:
    [text] = generator.generate([prompt])
    if not text.strip():
        raise ValueError("an empty answer")
    return repr(_short(text))


def _streamed(generator: ServerGenerator) -> str:
    heard: list[str] = []

    def listener(_number: int, text: str, /) -> bool:
        heard.append(text)
        return True

    [text] = generator.generate([_GREETING], listener)
    if not heard or heard[-1] != text:
        raise ValueError("nothing came")
    return f"{len(heard)} pieces"


def _stopped(generator: ServerGenerator) -> str:
    [text] = generator.generate([replace(_GREETING, max_new_tokens=64)], lambda number, text: False)
    return f"after {len(text)} letters, the line was closed"


def _prefixed(generator: ServerGenerator, connection: Connection) -> str:
    [text] = generator.generate([replace(_GREETING, answer_prefix="Good morning")])
    kept = "" if "continue_final_message" not in connection.refused else ", as a turn of its own"
    return f"{_short(text)!r}{kept}"


def _seen(generator: ServerGenerator, count: int) -> str:
    if not generator.sees:
        raise ValueError("it takes no pictures, so it answers from words only")
    colours = [_COLOURS[number % len(_COLOURS)] for number in range(count)]
    pictures = tuple(Image.new("RGB", (224, 224), colour) for colour in colours)
    text = " ".join(f"{number}. {IMAGE}" for number in range(1, count + 1))
    asked = Prompt((("user", f"{text}\nName the colour of each picture, in order."),), pictures, 8 * count + 8, ())
    said = _said(generator, asked)
    places = [said.casefold().find(colour) for colour in colours]
    right = min(places) >= 0 and places == sorted(places)
    return said if right else f"{said} (shown: {', '.join(colours)})"


def _scored(generator: ServerGenerator) -> str:
    prompt = Prompt((("user", "What is the capital of France?"),))
    scores = generator.score(prompt, ["Paris", "A sandwich"])
    how = "of every option" if generator.tells_prompts else "of the letters of the options"
    exact = generator.tells_prompts or 0.0 not in scores
    return f"{how if exact else 'none: the written letter counts'} ({scores[0]:.2f}, {scores[1]:.2f})"


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= 60 else plain[:59] + "…"
