"""`rapbot doctor`: what fits and what is missing."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from rapbot import doctor_models
from rapbot.config import ModelSettings, Settings
from rapbot.doctor import diagnose
from rapbot.doctor_models import Device, devices, fits, missing_weights, need, profile_rows
from rapbot.inference.profiles import PROFILES, calibration_file
from rapbot.inference.specs import Runtime

LLAVA = PROFILES["rap-llava-13b"]
SMOL = PROFILES["smolvlm2"]


def settings_of(folder: Path, profile: str = "pocket", **models: object) -> Settings:
    return Settings(
        data_dir=folder / "data",
        weights_dir=folder / "weights",
        profile=profile,
        models=ModelSettings(**models),
    )


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model of this machine counts."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path / "yolo"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)


# What fits


def test_every_profile_has_a_published_size() -> None:
    for profile in PROFILES.values():
        for device in ("cuda", "mps", "cpu"):
            assert need(profile, device, four_bit=False) is not None, profile.name


def test_the_paper_model_fits_a_large_card_whole_and_a_small_one_in_4_bit() -> None:
    cards = {memory: Device("cuda", "a card", memory, memory) for memory in (80.0, 16.0, 8.0)}
    assert [fits(LLAVA, card) for card in cards.values()] == ["yes", "in 4 bit", "no"]
    assert [fits(PROFILES["pocket"], card) for card in cards.values()] == ["yes"] * 3


def test_4_bit_needs_less_than_16_and_a_processor_more() -> None:
    whole, small = (need(LLAVA, "cuda", four_bit=four_bit) or 0.0 for four_bit in (False, True))
    assert 26 < whole < 36  # 13.35 x 10^9 parameters in 2 bytes each, and what works beside them
    assert 9 < small < 16
    assert (need(LLAVA, "cpu", four_bit=False) or 0.0) > whole


def test_a_model_of_unknown_size_is_no_claim() -> None:
    unknown = replace(LLAVA, generator=replace(LLAVA.generator, model="somebody/else"))
    assert need(unknown, "cuda", four_bit=True) is None
    assert fits(unknown, Device("cuda", "a card", 80.0, 80.0)) == "?"


def test_a_server_carries_its_own_model() -> None:
    assert (need(PROFILES["server"], "cuda", four_bit=False) or 99.0) < 3


def driver(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A graphics driver that answers as `script` prints."""
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_graphics_cards_are_those_that_the_driver_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, monkeypatch, "echo 'NVIDIA RTX 4090, Founders, 24564, 20000'; echo 'NVIDIA T4, 15360, 15000'")
    first, second, processor = devices()
    assert (first.kind, first.name) == ("cuda", "NVIDIA RTX 4090, Founders")
    assert first.memory == pytest.approx(25.76, abs=0.01)
    assert (second.name, processor.kind) == ("NVIDIA T4", "cpu")
    assert doctor_models.device_for(Runtime(device="cuda:1")) == second
    assert doctor_models.device_for(Runtime(device="cpu")).kind == "cpu"
    assert doctor_models.device_for(Runtime()) == first


@pytest.mark.parametrize("script", ["exit 9", "echo 'NVIDIA-SMI has failed'", "echo 'X, [N/A], [N/A]'", ":"])
def test_a_broken_driver_is_no_graphics_card(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, monkeypatch, script)
    assert [device.kind for device in devices()] == ["cpu"]


# What is missing


def test_weights_count_from_a_folder_of_ones_own_and_from_the_cache_of_the_hub(tmp_path: Path) -> None:
    runtime, folder = Runtime(models_dir=tmp_path / "models"), tmp_path / "weights"
    names = ["IDEA-Research/grounding-dino-base", "google/siglip2-base-patch16-384", SMOL.generator.model]
    assert missing_weights(SMOL, runtime, folder) == names
    (tmp_path / "models" / names[0]).mkdir(parents=True)
    cached = tmp_path / "hub" / "hub" / f"models--{names[1].replace('/', '--')}" / "snapshots" / "abc"
    cached.mkdir(parents=True)
    (cached / "model.safetensors").touch()
    assert missing_weights(SMOL, runtime, folder) == names[1:]  # an empty file is no model
    (cached / "model.safetensors").write_bytes(b"weights")
    assert missing_weights(SMOL, runtime, folder) == names[2:]


def test_the_file_of_ultralytics_is_found_where_it_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "yolo").mkdir()
    (tmp_path / "yolo" / "settings.json").write_text(json.dumps({"weights_dir": str(tmp_path)}))
    assert "yolov8x-worldv2.pt" in missing_weights(LLAVA, Runtime(), tmp_path)
    (tmp_path / "yolov8x-worldv2.pt").write_bytes(b"weights")
    assert "yolov8x-worldv2.pt" not in missing_weights(LLAVA, Runtime(), tmp_path)


def test_a_calibration_is_seen(tmp_path: Path) -> None:
    card = Device("cuda", "a card", 24.0, 24.0)

    def thresholds() -> object:
        rows = {row["profile"]: row for row in profile_rows(card, Runtime(), tmp_path, tmp_path)}
        return rows["rap-llava-13b"]["thresholds"]

    assert thresholds() == "a guess"
    calibration_file(tmp_path, LLAVA.encoder.name).write_text('{"rules": {"window_distance": 0.7}}')
    assert thresholds() == "measured"


def findings(capsys: pytest.CaptureFixture[str], settings: Settings) -> dict[str, dict[str, object]]:
    good = diagnose(settings, True, quick=True)
    found = {one["check"]: one for one in json.loads(capsys.readouterr().out)}
    assert good == all(one["good"] for one in found.values())
    return found


def test_a_quick_look_loads_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = findings(capsys, settings_of(tmp_path))
    assert not {"models", "worker"} & set(found)
    assert "pocket" in str(found["profile"]["words"])
    rows = found["profiles"]["rows"]
    assert isinstance(rows, list)
    assert {row["profile"] for row in rows} == set(PROFILES)


@pytest.mark.skipif(not doctor_models.missing_of("gpu"), reason="the extra gpu is installed here")
def test_a_missing_extra_is_told_with_the_way_to_install_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = findings(capsys, settings_of(tmp_path, "rap-llava-13b"))
    assert not found["profile"]["good"]
    assert "pip install -e '.[gpu]'" in str(found["profile"]["words"])
    assert found["database"]["good"]


def test_a_damaged_calibration_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = settings_of(tmp_path)
    path = calibration_file(settings.data_dir / "calibration", PROFILES["pocket"].encoder.name)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    assert "run rapbot calibrate again" in str(findings(capsys, settings)["profiles"]["words"])


def test_the_table_is_readable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    diagnose(settings_of(tmp_path), False, quick=True)
    shown = capsys.readouterr().out
    [line] = [line for line in shown.splitlines() if line.startswith("rap-llava-13b")]
    assert "a guess" in line
    assert max(map(len, shown.splitlines()[-len(PROFILES) :])) <= 120
