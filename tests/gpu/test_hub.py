"""Models and adapters from the hub: what is fetched, and what is said when they cannot be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from rapbot.inference.mllm.models import load_model
from rapbot.inference.specs import GeneratorSpec, Runtime
from tests.peers.hub import Hub, serving

TinyModel = Callable[..., Path]
FETCHING = """
import sys
from rapbot.errors import RapbotError
from rapbot.inference.mllm.hub import folder_of
from rapbot.inference.specs import Runtime
try:
    print(folder_of(sys.argv[1], Runtime(offline=sys.argv[2] == "offline")))
except RapbotError as error:
    print(type(error).__name__, error)
"""


def fetch(hub: Hub | str, home: Path, model: str, *, offline: bool = False) -> str:
    """The folder, or the error: of a fresh process, as the hub's address is read when its client is imported."""
    address = hub if isinstance(hub, str) else hub.url
    environment = os.environ | {
        "HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    command = [sys.executable, "-W", "ignore", "-c", FETCHING, model, "offline" if offline else "online"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip().splitlines()[-1]


def test_a_model_is_fetched_once_and_then_had_without_the_hub(tiny_model: TinyModel, tmp_path: Path) -> None:
    model = shutil.copytree(tiny_model("llava"), tmp_path / "hub" / "someone" / "seeing")
    (model / "onnx").mkdir()
    (model / "onnx" / "model.onnx").write_bytes(b"x" * 1000)
    torch.save({}, model / "pytorch_model.bin")
    with serving(tmp_path / "hub") as hub:
        folder = fetch(hub, tmp_path / "home", "someone/seeing")
        assert load_model(GeneratorSpec("transformers", folder), Runtime(device="cpu")).config_type == "llava"
        names = {name.rpartition("/")[2] for name in hub.fetched}
        assert {"model.safetensors", "config.json", "tokenizer.json"} <= names
        assert not names & {"model.onnx", "pytorch_model.bin"}, "the same weights in other formats"
    assert fetch(hub.url, tmp_path / "home", "someone/seeing") == folder
    assert fetch(hub.url, tmp_path / "home", "someone/seeing", offline=True) == folder


def test_pickled_weights_are_fetched_where_there_are_no_others(tmp_path: Path) -> None:
    model = tmp_path / "hub" / "someone" / "old"
    model.mkdir(parents=True)
    for name in ("config.json", "pytorch_model-00001-of-00001.bin", "non_lora_trainables.bin", "training_args.bin"):
        (model / name).write_bytes(b"{}")
    with serving(tmp_path / "hub") as hub:
        folder = fetch(hub, tmp_path / "home", "someone/old")
        assert {path.name for path in Path(folder).iterdir()} == {
            "config.json",
            "pytorch_model-00001-of-00001.bin",
            "non_lora_trainables.bin",
        }
        assert fetch(hub, tmp_path / "home", "someone/old", offline=True) == folder


def test_a_model_that_the_hub_does_not_have(tmp_path: Path) -> None:
    with serving(tmp_path) as hub:
        said = fetch(hub, tmp_path / "home", "someone/nothing")
    assert said.startswith("WeightsError The hub has no model someone/nothing")


def test_a_hub_that_does_not_answer(tmp_path: Path) -> None:
    with serving(tmp_path) as hub:
        pass
    said = fetch(hub.url, tmp_path / "home", "someone/seeing")
    assert said.startswith("WeightsError The model someone/seeing is not on this machine, and the hub is out of reach.")
    said = fetch(hub.url, tmp_path / "home", "someone/seeing", offline=True)
    assert said.startswith("WeightsError The model someone/seeing is not on this machine, and this runs offline.")
