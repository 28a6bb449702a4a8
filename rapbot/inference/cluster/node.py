"""The Ray processes of this machine, started by `rapbot cluster up` and stopped by `down`: ours and no others.

`ray start --block` runs beside us and takes its processes with it when it ends; what it is, is written into data_dir.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from rapbot.config import Settings
from rapbot.errors import ExtraMissing
from rapbot.inference.cluster.joining import ClusterError, environment, on_loopback

_STARTED = "Ray runtime started"
_RAY_START = (
    sys.executable,
    *("-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", "--dashboard-agent-listen-port=0"),
)
_SLOW = "timed out during startup"
"""Ray waits 30 s for its own processes, which a machine at work may not manage at first."""
_TRIES = 4
_PATIENCE_S = 120.0
_KILL_AFTER_S = 15.0
"""Beyond what it gets to drain."""


_started: list[subprocess.Popen[bytes]] = []
"""By this process, which must hear of their end."""


@dataclass(frozen=True, slots=True)
class Node:
    """`ray start` of this machine."""

    pid: int
    address: str
    head: bool
    begun: str
    """Tells it from a later process that was given its id."""

    @property
    def alive(self) -> bool:
        return bool(self.begun) and _begun(self.pid) == self.begun


def running(settings: Settings) -> Node | None:
    """What `start` started and nobody has stopped since."""
    try:
        node = Node(**json.loads(_file(settings).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return node if node.alive else None


def start(settings: Settings, *, join: bool = False, cpus: int | None = None, gpus: int | None = None) -> Node:
    """Make this machine the head of the cluster, or let it join; returns once it has. Raises ClusterError.

    `cpus`, `gpus`: what the replicas may have of it; None: all that there is.
    """
    if find_spec("ray") is None:  # not imported: it reads the environment, which load_ray sets before
        raise ExtraMissing("The cluster", "scale", "ray")
    given = [f"--num-cpus={cpus}"] * (cpus is not None) + [f"--num-gpus={gpus}"] * (gpus is not None)
    role = [f"--address={settings.cluster.address}"] if join else _head(settings)
    written = _file(settings).with_name("cluster.log")
    written.parent.mkdir(parents=True, exist_ok=True)
    for _try in range(_TRIES):
        process, told = _started_up([*_RAY_START, *role, *given], os.environ | environment(settings), written)
        if process is not None:
            _started.append(process)
            node = Node(process.pid, settings.cluster.address, not join, _begun(process.pid))
            _file(settings).write_text(json.dumps(asdict(node)), encoding="utf-8")
            return node
        if _SLOW not in told:
            break
    raise ClusterError(f"Ray did not start here: {_last(told)} ({written} holds everything it said)")


def _started_up(
    command: list[str], variables: dict[str, str], written: Path
) -> tuple[subprocess.Popen[bytes] | None, str]:
    """The process once Ray runs, None where it gave up; and what it said."""
    with written.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            command, env=variables, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    until = time.monotonic() + _PATIENCE_S
    while _STARTED not in (told := written.read_text(encoding="utf-8", errors="replace")):
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            process.wait()
            return None, told
        time.sleep(0.1)
    return process, told


def stop(settings: Settings) -> bool:
    """Take this machine out: Ray lets its replicas finish for `drain_s`. Whether there was anything to stop."""
    node = running(settings)
    _file(settings).unlink(missing_ok=True)
    if node is None:
        return False
    os.kill(node.pid, signal.SIGTERM)
    ours = next((process for process in _started if process.pid == node.pid), None)
    until = time.monotonic() + settings.cluster.drain_s + _KILL_AFTER_S
    while node.alive:
        if time.monotonic() > until:
            os.killpg(node.pid, signal.SIGKILL)
        time.sleep(0.1)
    if ours is not None:
        ours.wait()
    return True


def _begun(pid: int) -> str:
    """Changes with every process that has this id; "" where none runs."""
    if sys.platform == "linux":  # proc(5): the state is the first word after the name, the start the twentieth
        try:
            words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if words[0] == "Z" else words[19]
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    state, _, begun = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip().partition(" ")
    return "" if state.startswith("Z") else begun.strip()


def _head(settings: Settings) -> list[str]:
    host, _, port = settings.cluster.address.partition(":")
    return [
        "--head",
        f"--node-ip-address={'127.0.0.1' if on_loopback(settings) else host}",
        f"--port={port}",
        f"--ray-client-server-port={_free_port()}",  # a way in that nobody here uses; it cannot be left out
        f"--include-dashboard={str(settings.cluster.dashboard).lower()}",
        "--dashboard-host=127.0.0.1",
        "--no-monitor",  # it would start and stop machines
        f"--temp-dir={_session_folder()}",
        # What lies in memory for a moment on its way to a replica, people's photos, is never written to the disk.
        "--system-config=" + json.dumps({"automatic_object_spilling_enabled": False}),
    ]


def _free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        port: int = tried.getsockname()[1]
        return port


def _session_folder() -> Path:
    """Of Ray's logs and sockets: the names of sockets must be short, so it cannot lie in data_dir."""
    folder = Path(tempfile.gettempdir()) / f"rapbot-ray-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise ClusterError(f"{folder} belongs to somebody else.")
    folder.chmod(0o700)
    return folder


def _file(settings: Settings) -> Path:
    return settings.data_dir.expanduser() / "cluster.json"


def _last(told: str) -> str:
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
