"""rapbot-train annotate."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rapbot.errors import ConfigError

if TYPE_CHECKING:
    from training.annotate.budget import Price
    from training.annotate.run import Done

KEY = "RAPBOT_ANNOTATOR_KEY"
_STORE = "annotations.db"


def annotate(
    rooms: Annotated[
        list[Path], typer.Argument(metavar="INDEX...", help="What rapbot-train sources wrote: DIR/.rapbot/NAME.")
    ],
    into: Annotated[Path, typer.Option("--into", metavar="SOURCE", help="The folder to write, for rap-compose.")],
    model: Annotated[str, typer.Option(help="The annotator model of the service; none: grammar and labels.")] = "",
    url: Annotated[
        str, typer.Option(help="The service, up to /v1: http://localhost:8000/v1, or Gemini's /v1beta/openai/.")
    ] = "",
    concepts: Annotated[int, typer.Option(min=1, help="How many concepts, spread over sources and kinds.")] = 1000,
    photos: Annotated[int, typer.Option(min=1, help="Photos of each at most.")] = 3,
    empty: Annotated[int, typer.Option(min=0, help="Photos on which none of them is, for grounds and for no.")] = 100,
    conversations: Annotated[int, typer.Option(min=0, help="Conversations about no concept, at most.")] = 5000,
    together: Annotated[int, typer.Option(min=1, help="Requests at a time.")] = 8,
    budget: Annotated[float | None, typer.Option(min=0, help="Money at most, for all runs; needs --price.")] = None,
    price: Annotated[str, typer.Option(metavar="IN,OUT", help='For a million tokens: "0.10,0.40".')] = "",
    tokens_per_minute: Annotated[int | None, typer.Option(min=1, help="As your account of the service allows.")] = None,
    tries: Annotated[int, typer.Option(min=1, help="For an annotation that is refused or malformed.")] = 3,
    again: Annotated[bool, typer.Option("--again", help="Ask again for what was set aside.")] = False,
    consent: Annotated[
        bool, typer.Option("--consent", help="Pictures of a store of rapbot may be sent to this service: all agreed.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Another seed chooses other things.")] = 0,
) -> None:
    """Choose concepts from checked data sets, describe them and their photos, and write a folder for rap-compose.

    Without a service: cards and texts are made of labels, of what people wrote, and of measured colours.

    rapbot-train annotate DIR/.rapbot/coco --into SOURCE

    With one (its key in the environment variable RAPBOT_ANNOTATOR_KEY):

    rapbot-train annotate DIR/.rapbot/tao --into SOURCE --url http://localhost:8000/v1 --model NAME

    Every answer is kept in SOURCE/annotations.db, by model, words and picture.
    Stopped or killed, the same command goes on and asks for nothing twice.

    Refused and malformed answers are asked for again, then set aside in SOURCE/set_aside.jsonl with the reason.

    With --budget the run ends before it could cost more.
    """
    from rapbot.progress import show_progress
    from training.annotate.budget import Budget
    from training.annotate.kept import open_kept
    from training.annotate.offline import OfflineAnnotator
    from training.annotate.run import Run
    from training.annotate.selection import select
    from training.annotate.service import open_service

    if bool(model) != bool(url):
        raise ConfigError("A service needs both --url and --model.")
    cost = _price(price)
    if budget is not None and cost is None:
        raise ConfigError("--budget needs --price: what a million tokens cost, read and written.")
    selection = select(rooms, concepts, photos, empty, seed, conversations)
    if url and not consent and any(one.avatar.source == "own" for one in selection.chosen):
        raise ConfigError(
            "Pictures of a store of rapbot are not sent to a service without --consent, by which you say that "
            "everybody concerned agreed to that."
        )
    if not url:
        with show_progress("Annotating") as told:
            done = asyncio.run(Run(selection, into, OfflineAnnotator(), together).work(told))
        _tell(done, into)
        return
    with open_kept(into / _STORE) as kept:
        if again:
            kept.forget_failures()
        limits = Budget(kept, cost or _free(), budget, tokens_per_minute)
        service = open_service(url, os.environ.get(KEY, ""), model, kept, limits, tries)
        try:
            with show_progress("Annotating") as told:
                done = service.connection.run(Run(selection, into, service, together).work(told))
        finally:
            service.close()
        read, written = kept.spent()
        typer.echo(f"{service.asked} requests now; {read} tokens read and {written} written by all runs.")
        if cost:
            typer.echo(f"Spent by all runs: {limits.money:.4f}" + (f" of {budget:g}" if budget is not None else ""))
    _tell(done, into)


def _tell(done: Done, into: Path) -> None:
    typer.echo(
        f"{done.concepts} concepts, {done.photos} photos ({done.annotated} with texts), "
        f"{done.conversations} conversations in {into}."
    )
    if done.set_aside:
        from training.annotate.run import SET_ASIDE

        typer.echo(f"{len(done.set_aside)} set aside in {into / SET_ASIDE}, first: {done.set_aside[0]['reason']}")
    if done.stopped:
        typer.echo(done.stopped, err=True)
        raise typer.Exit(1)
    typer.echo(f"Next: rapbot-train rap-compose {into} WORK")


def _price(text: str) -> Price | None:
    """Raises ConfigError."""
    from training.annotate.budget import Price

    if not text:
        return None
    try:
        read, written = (float(one) for one in text.split(","))
    except ValueError:
        raise ConfigError(f'"{text}" is not a price for reading and one for writing: "0.10,0.40".') from None
    return Price(read, written)


def _free() -> Price:
    from training.annotate.budget import Price

    return Price()
