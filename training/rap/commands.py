"""The commands of rapbot-train for models that see."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rapbot.errors import ConfigError

if TYPE_CHECKING:
    from training.augment.novel import ViewMaker

Work = Annotated[Path, typer.Argument(metavar="WORK", help="A folder for samples, pictures, checkpoints, the adapter.")]


def add_commands(cli: typer.Typer) -> None:
    """Register them."""
    cli.command("rap-compose")(rap_compose)
    cli.command("rap")(rap)


def rap_compose(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="Folder with concepts/database.json (rapbot export) and photos.jsonl."),
    ],
    work: Work,
    samples: Annotated[int, typer.Option("--samples", min=10, help="How many samples.")] = 2000,
    concepts: Annotated[
        int,
        typer.Option("--concepts", min=1, help="K: at most so many concepts in a prompt, as the model's family has."),
    ] = 2,
    noise: Annotated[float, typer.Option(min=0, max=1, help="Share of lists with concepts that are not there.")] = 0.5,
    views: Annotated[
        int | None, typer.Option(min=1, help="Pictures made of each avatar: itself and varied ones. Else 4.")
    ] = None,
    augment: Annotated[
        Path | None, typer.Option(help="How pictures are varied: a file like training/configs/augment.toml.")
    ] = None,
    scenes: Annotated[
        int | None, typer.Option(help="Photos laid out of several concepts; else as many as photos.")
    ] = None,
    kinds: Annotated[
        str, typer.Option(help='Other proportions: "caption=1,question=2". Left out kinds are not composed.')
    ] = "",
    seed: Annotated[int, typer.Option(help="The same source and seed give the same samples.")] = 0,
) -> None:
    """Compose samples in RAP format out of photos and taught concepts.

    SOURCE is what rapbot-train annotate wrote, or your own: SOURCE/photos.jsonl says who is on each photo, in rows:

    {"file": "photos/1.jpg", "concepts": ["bo"], "boxes": {"bo": [0.1, 0.2, 0.6, 0.9]}, "caption": "<bo> naps."}

    boxes (fractions: left, top, right, bottom) and caption may be left out. SOURCE/general.jsonl may hold conversations
    about no concept in the same format (LLaVA-Instruct, for instance). WORK/contact_sheet.jpg shows what was made:
    look at it before you train.
    """
    from rich.console import Console

    from rapbot.progress import show_progress
    from training.augment.recipe import Augmentation, read_augmentation
    from training.rap.compose import PROPORTIONS, Composer, Plan, statistics
    from training.rap.samples import write_samples
    from training.rap.sheet import contact_sheet, table
    from training.rap.sources import read_source

    how = read_augmentation(augment) if augment else Augmentation()
    if views:
        how = replace(how, avatar=replace(how.avatar, views=views))
    proportions = _shares(kinds) or PROPORTIONS
    plan = Plan(samples, concepts, seed, noise, scenes=scenes, proportions=proportions, augmentation=how)
    found = read_source(source)
    work.mkdir(parents=True, exist_ok=True)
    typer.echo(f"{len(found.concepts)} concepts, {len(found.photos)} photos: making pictures …")
    with show_progress("Making pictures") as told:
        composer = Composer(found, work, plan, told)
    made = composer.samples()
    _tell_novel(composer.pictures.novel)
    write_samples(work / "train.jsonl", made)
    contact_sheet(made, work, seed=seed).save(work / "contact_sheet.jpg", quality=88)
    Console().print(table(statistics(made)))
    typer.echo(f"{work / 'train.jsonl'} and {work / 'contact_sheet.jpg'}. Next: rapbot-train rap {work} --model …")


def rap(
    work: Work,
    model: Annotated[str, typer.Option(help="The model: a folder, or its id on the hub (llava-hf/llava-1.5-7b-hf).")],
    into: Annotated[Path | None, typer.Option(help="Where the adapter goes; else WORK/published.")] = None,
    family: Annotated[
        str, typer.Option(help='How it is spoken to, where its config does not tell ("llava-phi3").')
    ] = "",
    qlora: Annotated[bool, typer.Option("--qlora", help="The language model in 4 bits (nf4) under the LoRA.")] = False,
    projector: Annotated[bool, typer.Option("--projector", help="Train the projector as well, at 2e-5.")] = False,
    steps: Annotated[int | None, typer.Option(min=1, help="So many steps instead of whole passes.")] = None,
    passes: Annotated[int, typer.Option(min=1, help="How often every sample is read.")] = 1,
    rank: Annotated[int, typer.Option(min=1, help="Rank of the LoRA; alpha is twice that.")] = 128,
    rate: Annotated[float, typer.Option(help="Highest learning rate; a cosine to zero follows the warm-up.")] = 1e-4,
    batch: Annotated[int, typer.Option(min=1, help="Samples of one step, over all GPUs.")] = 64,
    together: Annotated[int, typer.Option(min=1, help="Samples of one forward pass: as the memory allows.")] = 4,
    concepts: Annotated[
        int | None, typer.Option(min=1, help="K; samples with more are left out. Else the family's.")
    ] = None,
    image_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens of a picture at most. Serve with the same.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep-activations", help="Quicker, needs more memory: nothing is computed twice.")
    ] = False,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 100,
    workers: Annotated[int, typer.Option(min=0, help="Processes that open pictures.")] = 2,
    licence: Annotated[str, typer.Option(help="Of the adapter, for its manifest.")] = "",
    seed: Annotated[int, typer.Option()] = 0,
    device: Annotated[str, typer.Option(help='"auto", "cpu" or "cuda:0".')] = "auto",
) -> None:
    """Train a LoRA for a model that sees on WORK/train.jsonl and publish it; needs the extra gpu.

    The defaults are the paper's: rank 128 on every linear layer of the language model, 1e-4, batch 64, one pass, loss
    on the answers only. Killed or stopped, the same command goes on from its last checkpoint and ends with the same
    weights. WORK/train.jsonl is what rap-compose wrote, or any file in RAP format (RAP-260K) beside its pictures.

    WORK/board holds the curve for TensorBoard, where it is installed: tensorboard --logdir WORK/board

    Several GPUs: accelerate launch --config_file training/configs/fsdp.yaml -m training.cli rap WORK --model …
    """
    import os

    from rapbot.inference.specs import Runtime
    from training.rap.publishing import publish
    from training.rap.recipe import Recipe
    from training.rap.train import train

    recipe = Recipe(
        rank=rank,
        alpha=2 * rank,
        rate=rate,
        projector=projector,
        passes=passes,
        steps=steps,
        batch=batch,
        together=together,
        quantization="nf4" if qlora else "none",
        saving=not keep,
        concepts=concepts,
        image_tokens=image_tokens,
        seed=seed,
        workers=workers,
        save_every=save_every,
    )
    trained = train(work, model, recipe, Runtime(device=device), family=family, told=typer.echo)
    if os.environ.get("RANK", "0") != "0":
        return
    (work / "result.json").write_text(json.dumps(asdict(trained), indent=2, default=str) + "\n", encoding="utf-8")
    folder = into or work / "published"
    publish(trained, folder, model, recipe, licence)
    typer.echo(f'Published. To use it: lora = "{folder}" in config.toml, with a profile of the model {model}')


def _tell_novel(novel: ViewMaker) -> None:
    for program in novel.missing():
        typer.echo(f"No novel views: {program} is not installed.")
    if novel.failures:
        typer.echo(f"Novel views: {len(novel.failures)} failed, first: {novel.failures[0]}")
    if novel.made:
        typer.echo(f"Novel views of {novel.made} avatars were drawn.")


def _shares(text: str) -> dict[str, float]:
    """Raises ConfigError."""
    from training.rap.samples import KINDS

    shares: dict[str, float] = {}
    for part in filter(None, text.replace(" ", "").split(",")):
        kind, _, share = part.partition("=")
        if kind not in KINDS or not share.replace(".", "", 1).isdecimal():
            raise ConfigError(f'"{part}" is not a kind and its share. Kinds: {", ".join(KINDS)}. Example: "caption=2".')
        shares[kind] = float(share)
    if shares and not any(shares.values()):
        raise ConfigError("At least one kind needs a share above 0.")
    return shares
