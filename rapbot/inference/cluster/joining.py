"""How Ray is imported and joined. Nothing else here may import it before `load_ray` was called.

Its usage statistics are off, and every process of a cluster shows the same secret (Ray's token authentication): whoever
may talk to a Ray cluster can run programs on its machines.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
from typing import Any

from rapbot.config import Settings
from rapbot.errors import ConfigError, RapbotError
from rapbot.inference.loading import needs
from rapbot.logs import hide
from rapbot.secret_files import read_secret

APP = "rapbot"
NAMESPACE = "rapbot"
_KNOCK_S = 5.0
_COUNTED_EVERY_S = 10.0
"""What is under way, as Serve does it by itself; oftener where a replica is to be added sooner."""
_READ_ONLY_BY_ITS_OWNER = 0o600
_TOLD_FROM_OUTSIDE = "RAY_AUTH_MODE" in os.environ


class ClusterError(RapbotError):
    """The cluster cannot be reached or does not do what it should; for whoever runs rapbot."""


def environment(settings: Settings) -> dict[str, str]:
    """Of every process that takes part: the bot, `ray start` and what that starts. Raises ConfigError.

    Where the environment says already how to prove oneself (KubeRay sets it), nothing is added to that.
    """
    counted_every = min(_COUNTED_EVERY_S, max(0.1, settings.cluster.upscale_after_s / 2))
    plain = {
        "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": str(counted_every),
        "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": str(counted_every),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": str(settings.cluster.drain_s),  # of a machine that is to stop
    }
    if on_loopback(settings):  # so that Ray does not look for an address by which others could reach it
        plain["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    if _TOLD_FROM_OUTSIDE:
        return plain
    token = settings.cluster_token
    hide(read_secret(token, "file of the cluster's token (rapbot cluster up makes it; copy it to the other machines)"))
    return plain | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}


def check(settings: Settings) -> None:
    """Raises ConfigError where there is no cluster in the configuration, or no secret that can be read."""
    if not settings.cluster.enabled:
        raise ConfigError('There is no cluster in the configuration: give [cluster] address = "127.0.0.1:6379".')
    environment(settings)


def on_loopback(settings: Settings) -> bool:
    """Whether the cluster is of this machine alone."""
    return settings.cluster.address.partition(":")[0] in ("127.0.0.1", "localhost")


def make_token(settings: Settings) -> bool:
    """Make the secret where there is none yet; whether one was made. Only its owner can read it."""
    token = settings.cluster_token
    if token.exists():
        return False
    token.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(token, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _READ_ONLY_BY_ITS_OWNER), "w") as file:
        file.write(secrets.token_hex(32))
    return True


def load_ray(settings: Settings) -> Any:
    """The module `ray`, set up for this cluster. Raises ExtraMissing, ConfigError."""
    check(settings)
    os.environ.update(environment(settings))
    with needs("The cluster", "scale"):
        import ray
        import ray.serve
    for name in ("ray", "ray.serve"):  # what it does is seen by `rapbot cluster status`
        logging.getLogger(name).setLevel(logging.ERROR)
    return ray


def connect(settings: Settings) -> Any:
    """Join the cluster as a client, once; the module `ray`. Takes seconds and blocks. Raises ClusterError."""
    ray = load_ray(settings)
    if ray.is_initialized():
        return ray
    address = settings.cluster.address
    host, _, port = address.partition(":")
    try:
        with socket.create_connection((host, int(port)), _KNOCK_S):  # Ray itself would try for minutes
            pass
        ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ClusterError(
            f"The cluster at {address} cannot be reached from here ({type(error).__name__}). Each machine that uses it"
            " needs its part of it: run rapbot cluster up there (with --join on all but the head)."
        ) from error
    return ray
