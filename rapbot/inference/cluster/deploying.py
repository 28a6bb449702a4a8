"""What is deployed: the replicas with what they take and how many there may be; and the state of all that.

`build` is for Ray's own tools (`serve deploy`, KubeRay): import path `rapbot.inference.cluster.deploying:build`.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapbot.config import Settings, load_settings
from rapbot.inference.cluster.joining import APP, ClusterError, connect
from rapbot.inference.planning import worker_start
from rapbot.inference.serving import WorkerStart

if TYPE_CHECKING:
    from rapbot.inference.cluster.replica import Attach

DEPLOYMENT = "Replica"


@dataclass(frozen=True, slots=True)
class ReplicaState:
    id: str
    state: str
    node: str
    pid: int | None


@dataclass(frozen=True, slots=True)
class NodeState:
    address: str
    alive: bool
    cpus: float
    gpus: float


@dataclass(frozen=True, slots=True)
class ClusterState:
    """`state` is Serve's: RUNNING, DEPLOYING, UNHEALTHY, DEPLOY_FAILED ...; "" where nothing is deployed."""

    address: str
    state: str
    message: str
    replicas_min: int
    replicas_max: int
    replicas: tuple[ReplicaState, ...]
    nodes: tuple[NodeState, ...]

    @property
    def running(self) -> int:
        return sum(replica.state == "RUNNING" for replica in self.replicas)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def application(settings: Settings, start: WorkerStart, attach: Attach | None = None) -> Any:
    """The Serve application. Raises ExtraMissing where Ray is not installed."""
    from ray import serve

    from rapbot.inference.cluster.replica import Batching, Replica

    cluster = settings.cluster
    batching = Batching(cluster.max_batch or settings.worker.batch_size, cluster.batch_wait_ms / 1000)
    deployment = serve.deployment(
        name=DEPLOYMENT,
        ray_actor_options={"num_cpus": cluster.num_cpus, "num_gpus": cluster.num_gpus},
        max_ongoing_requests=max(64, batching.most),  # batches; those that have not begun are lost to nobody
        autoscaling_config={
            "min_replicas": cluster.replicas_min,
            "max_replicas": cluster.replicas_max,
            "target_ongoing_requests": 1,  # a batch each; what waits behind it is too much
            "upscale_delay_s": cluster.upscale_after_s,
            "downscale_delay_s": cluster.downscale_after_s,
            "look_back_period_s": min(30.0, max(10.1, cluster.upscale_after_s)),  # more than 10, or Serve warns
        },
        graceful_shutdown_timeout_s=cluster.drain_s,
        graceful_shutdown_wait_loop_s=min(1.0, cluster.drain_s),
        health_check_period_s=cluster.health_period_s,
        health_check_timeout_s=cluster.health_timeout_s,
        max_constructor_retry_count=3,
        logging_config={"enable_access_log": False},
    )(Replica)
    return deployment.bind(start, batching, *([attach] if attach else []))


def build(args: dict[str, str]) -> Any:
    """The application as the configuration of that machine has it; `args`: {"config": path of the file}."""
    settings = load_settings(Path(args["config"]) if "config" in args else None)
    return application(settings, worker_start(settings))


def deploy(settings: Settings, start: WorkerStart, attach: Attach | None = None) -> ClusterState:
    """Bring up the replicas, or replace those of before one after the other; waits until they answer.

    Where only some have started within `start_deadline_s` (a machine has yet to join), the others follow by themselves.
    Raises ClusterError when none can be started, with what the replica said.
    """
    ray = connect(settings)
    from ray import serve

    serve.start(proxy_location="Disabled")
    target = serve.RunTarget(application(settings, start, attach), name=APP, route_prefix=None)
    try:
        serve.run_many([target], wait_for_applications_running=False)
    except (RuntimeError, ray.exceptions.RayError) as error:
        raise ClusterError(f"The models could not be started in the cluster: {_said(str(error))}") from error
    until = time.monotonic() + settings.worker.start_deadline_s
    while (found := state(settings)).state != "RUNNING":
        if found.state in ("DEPLOY_FAILED", "UNHEALTHY"):
            raise ClusterError(f"The models could not be started in the cluster: {_said(found.message)}")
        if time.monotonic() > until:
            if found.running:
                break
            raise ClusterError(
                "No replica has started yet; Ray goes on trying (rapbot cluster status). Is there a machine with"
                f" {settings.cluster.num_cpus:g} cores and {settings.cluster.num_gpus:g} GPUs for it?"
            )
        time.sleep(0.2)
    return found


def undeploy(settings: Settings) -> None:
    """Take the replicas away; each finishes what it has begun, for at most `drain_s`."""
    ray = connect(settings)
    from ray import serve

    try:
        serve.delete(APP)
        serve.shutdown()
    except (RuntimeError, ray.exceptions.RayError) as error:
        raise ClusterError(f"The models did not stop in good order ({type(error).__name__}).") from error
    ray.shutdown()


def state(settings: Settings) -> ClusterState:
    """Raises ClusterError when the cluster cannot be reached."""
    ray = connect(settings)
    from ray.serve.context import _get_global_client

    nodes = tuple(
        NodeState(
            node["NodeManagerAddress"],
            node["Alive"],
            node["Resources"].get("CPU", 0.0),
            node["Resources"].get("GPU", 0.0),
        )
        for node in ray.nodes()
    )
    cluster = settings.cluster
    client = _get_global_client(raise_if_no_controller_running=False)
    found = client.get_serve_details()["applications"].get(APP) if client is not None else None
    if found is None:
        return ClusterState(cluster.address, "", "", cluster.replicas_min, cluster.replicas_max, (), nodes)
    deployed = found["deployments"].get(DEPLOYMENT, {})
    replicas = tuple(
        ReplicaState(one["replica_id"], str(one["state"].value), one.get("node_ip") or "", one.get("pid"))
        for one in deployed.get("replicas", ())
    )
    scaling = (deployed.get("deployment_config") or {}).get("autoscaling_config") or {}
    return ClusterState(
        cluster.address,
        str(found["status"].value),
        found["message"] or deployed.get("message", ""),
        scaling.get("min_replicas", cluster.replicas_min),
        scaling.get("max_replicas", cluster.replicas_max),
        replicas,
        nodes,
    )


def _said(message: str) -> str:
    """The replica's own sentence out of a report with a traceback."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    told = [line.partition("RuntimeError: ")[2] for line in lines if "RuntimeError: " in line]
    return (told or lines or ["no reason was given"])[-1]
