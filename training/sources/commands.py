"""rapbot-train sources: what there is to download, and whether what was downloaded is right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.sources.reader import About


def sources(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A source: coco, tao, folders, own ...")] = None,
    place: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="Where its files are (own: the zip).")] = None,
    into: Annotated[
        Path | None, typer.Option(help="Where the index goes; else DIR/.rapbot/NAME. For data that is read-only.")
    ] = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Decode every picture to its end: finds those that were cut off.")
    ] = False,
    skip: Annotated[
        bool, typer.Option("--skip", help="Leave out what is missing or wrong: a part was downloaded, for instance.")
    ] = False,
    consent: Annotated[
        bool, typer.Option("--consent", help="own: everybody concerned agreed to a model being trained on it.")
    ] = False,
) -> None:
    """Tell which data sets can be used, and check those that you have downloaded.

    rapbot-train sources              all of them, with licences

    rapbot-train sources tao          what to download by hand, and where it goes

    rapbot-train sources tao DIR      check it: the first wrong or missing file is named

    Checking writes the folder DIR/.rapbot/NAME, for rapbot-train annotate, and changes nothing else.
    Nothing is ever downloaded.

    Stopped or killed, the same command goes on. Run again, it opens only files that are new or changed.
    """
    from rich.console import Console

    from rapbot.progress import show_progress
    from training.sources.catalogue import READERS, reader_of
    from training.sources.index import check, room_of

    if name is None:
        Console().print(_table([reader.about for reader in READERS.values()]))
        return
    reader = reader_of(name, consent)
    if place is None:
        typer.echo(_details(reader.about))
        return
    with show_progress(f"{reader.about.title}: checking") as told:
        checked = check(reader, place, into or room_of(name, place), told, thorough=thorough, skip=skip)
    left_out = f"; {checked.left_out} left out, the first because: {checked.first_wrong}" if checked.left_out else "."
    typer.echo(
        f"{reader.about.title}: {checked.pictures} pictures ({checked.opened} of them opened now), "
        f"{checked.records} records, {checked.things} things{left_out}"
    )
    typer.echo(f"Licence: {reader.about.licence}.")
    typer.echo(f"Next: rapbot-train annotate {checked.room} --into SOURCE")


def _table(abouts: list[About]) -> object:
    from rich.table import Table

    more = "rapbot-train sources NAME: what to download. Licences are summed up: the data set's page decides"
    table = Table(title="Sources", caption=more, show_lines=True)
    for heading in ("name", "data set", "gives", "licence"):
        table.add_column(heading, no_wrap=heading == "name")
    for about in abouts:
        table.add_row(about.name, about.title, about.gives, about.licence)
    return table


def _details(about: About) -> str:
    lines = [f"{about.title}: {about.gives}", "", "Download by hand:", *(f"  {one}" for one in about.download), ""]
    lines += ["In one folder DIR:", *(f"  {one}" for one in about.place), "", f"Licence: {about.licence}", ""]
    return "\n".join([*lines, f"Then: rapbot-train sources {about.name} DIR"])
