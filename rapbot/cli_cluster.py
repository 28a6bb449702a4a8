"""`rapbot cluster`: the models on several machines (docs/scaling.md). Everything of Ray is imported inside."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated

import typer

from rapbot.cli_session import AsJson, cli, configured, fetch_all

if TYPE_CHECKING:
    from rapbot.config import Settings
    from rapbot.inference.cluster.deploying import ClusterState
    from rapbot.inference.serving import WorkerStart

cluster_cli = typer.Typer(
    no_args_is_help=True, help="The models in a Ray Serve cluster, on one machine or several: start it, look, stop it."
)
cli.add_typer(cluster_cli, name="cluster")


@cluster_cli.command()
def up(
    join: Annotated[
        bool, typer.Option("--join", help="This machine is not the head: it joins the cluster at \\[cluster] address.")
    ] = False,
    cpus: Annotated[
        int | None, typer.Option(min=0, help="Cores that replicas may have here; 0 for a machine that only runs bots.")
    ] = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs that replicas may have here.")] = None,
) -> None:
    """Start this machine's part of the cluster and, on the head, the models.

    Run it again after a change of the configuration: the replicas are replaced one after the other, and no message is
    lost. The other machines need the same version of rapbot and a copy of the head's token file.
    """
    from rapbot.inference.cluster import deploying, joining, node
    from rapbot.inference.planning import worker_start

    settings = configured()
    start = worker_start(settings)
    if not join and joining.make_token(settings):
        typer.echo(f"Made {settings.cluster_token}: copy it to every machine of the cluster, and show it to nobody.")
    joining.check(settings)
    if cpus != 0:
        fetch_all(settings)
    here = node.running(settings)
    if here is None:
        typer.echo(f"Starting Ray ({'joining' if join else 'head of'} {settings.cluster.address}) …")
        here = node.start(settings, join=join, cpus=cpus, gpus=gpus)
    if here.head:
        typer.echo("Starting the models …")
        _show(deploying.deploy(settings, asyncio.run(_with_former(settings, start))))
        typer.echo("Bots with this [cluster] address use it now: rapbot serve. Stop it with: rapbot cluster down")
    else:
        typer.echo(f"This machine is part of the cluster at {settings.cluster.address}.")


@cluster_cli.command()
def status(as_json: AsJson = False) -> None:
    """The models, their replicas and the machines. Ends with 1 where no replica answers."""
    from rapbot.inference.cluster.deploying import state

    found = state(configured(log_level="warning"))
    if as_json:
        typer.echo(json.dumps(found.as_json()))
    else:
        _show(found)
    raise typer.Exit(0 if found.running else 1)


@cluster_cli.command()
def down() -> None:
    """Stop this machine's part. On the head: all models too, once they have finished what they have begun."""
    from rapbot.inference.cluster import deploying, node
    from rapbot.inference.cluster.joining import ClusterError

    settings = configured()
    here = node.running(settings)
    if here is None:
        typer.echo("Nothing of the cluster runs on this machine.")
        return
    if here.head:
        typer.echo("Stopping the models …")
        try:
            deploying.undeploy(settings)
        except ClusterError as error:
            typer.echo(error.sentence, err=True)
    typer.echo("Stopping Ray …")
    node.stop(settings)


async def _with_former(settings: Settings, start: WorkerStart) -> WorkerStart:
    """With the encoder that made the keys which are there, while a change of encoder is under way."""
    from dataclasses import replace

    from rapbot.app import running
    from rapbot.reencoding import find_former

    if not settings.store.enabled and not settings.database.is_file():
        return start
    async with running(settings, models=False) as app:
        return replace(start, former=await find_former(app.store, settings))


def _show(state: ClusterState) -> None:
    counted = f"{state.running} running of {state.replicas_min} to {state.replicas_max}"
    typer.echo(f"models    {state.state or 'not started'}, {counted}  {state.message}".rstrip())
    for replica in state.replicas:
        typer.echo(f"replica   {replica.id}  {replica.state:<9}  {replica.node}  pid {replica.pid or '-'}")
    for node in state.nodes:
        alive = "alive" if node.alive else "gone"
        typer.echo(f"machine   {node.address}  {alive}  {node.cpus:g} cores, {node.gpus:g} GPUs for replicas")
