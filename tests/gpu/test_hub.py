"""Models and adapters from the hub: what is fetched, and what is said when they cannot be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from tests.gpu.test_adapters import lora, pytestmark  # noqa: F401  (its filter of peft's warning holds here too)
from tests.peers.hub import Hub, serving

TinyModel = Callable[..., Path]
LOADING = """
import sys
import torch
from rapbot.errors import RapbotError
from rapbot.inference.mllm.models import load_model
from rapbot.inference.specs import AdapterSpec, GeneratorSpec, Runtime
model, offline, *adapters = sys.argv[1:]
specs = tuple(AdapterSpec(name, name) for name in adapters)
try:
    loaded = load_model(GeneratorSpec("transformers", model, adapters=specs), Runtime(device="cpu", threads=1, offline=offline == "yes"))
    print("loaded", loaded.config_type, *loaded.adapters.names)
except RapbotError as error:
    print(type(error).__name__, error)
"""


def load(hub: Hub | str, home: Path, model: str, *adapters: str, offline: bool = False) -> str:
    """What a fresh process says that asks `hub` for `model`: the hub's address is read when its client is imported."""
    address = hub if isinstance(hub, str) else hub.url
    environment = os.environ | {
        "HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1", "HF_HUB_ETAG_TIMEOUT": "2",
    }  # fmt: skip
    command = [sys.executable, "-W", "ignore", "-c", LOADING, model, "yes" if offline else "no", *adapters]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip().splitlines()[-1]


def test_a_model_with_an_adapter_is_fetched_and_then_had_without_the_hub(tiny_model: TinyModel, tmp_path: Path) -> None:
    root = tmp_path / "hub"
    model = shutil.copytree(tiny_model("llava"), root / "someone" / "seeing")
    (model / "onnx").mkdir()
    (model / "onnx" / "model.onnx").write_bytes(b"x" * 1000)
    torch.save({}, model / "pytorch_model.bin")
    lora(root / "someone" / "names")
    with serving(root) as hub:
        assert load(hub, tmp_path / "home", "someone/seeing", "someone/names") == "loaded llava someone/names"
        names = {name.rpartition("/")[2] for name in hub.fetched}
        assert {"model.safetensors", "config.json", "adapter_model.safetensors"} <= names
        assert not names & {"model.onnx", "pytorch_model.bin"}, "the same weights in other formats"
        address = hub.url
    assert load(address, tmp_path / "home", "someone/seeing", "someone/names") == "loaded llava someone/names"
    said = load(address, tmp_path / "home", "someone/seeing", "someone/names", offline=True)
    assert said == "loaded llava someone/names"


def test_pickled_weights_are_fetched_where_there_are_no_others(tiny_model: TinyModel, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    model = shutil.copytree(tiny_model("llava"), tmp_path / "hub" / "someone" / "old")
    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    (model / "training_args.bin").write_bytes(b"x")
    with serving(tmp_path / "hub") as hub:
        assert load(hub, tmp_path / "home", "someone/old") == "loaded llava"
        names = {name.rpartition("/")[2] for name in hub.fetched}
    assert "pytorch_model.bin" in names
    assert "training_args.bin" not in names


def test_a_model_that_the_hub_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    with serving(tmp_path / "hub") as hub:
        said = load(hub, tmp_path / "home", "someone/nothing")
    assert said.startswith("WeightsError The hub has no model someone/nothing")


def test_a_hub_that_does_not_answer(tmp_path: Path) -> None:
    with serving(tmp_path) as hub:
        address = hub.url
    said = load(address, tmp_path / "home", "someone/seeing")
    assert said.startswith("WeightsError The model someone/seeing is not on this machine, and the hub is out of reach.")
    said = load(address, tmp_path / "home", "someone/seeing", offline=True)
    assert said.startswith("WeightsError The model someone/seeing is not on this machine, and this runs offline.")
