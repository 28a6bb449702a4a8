"""The tests of the extra `gpu` run in an environment that has it: `make test` makes one beside the ordinary one."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import pytest

NEEDED = (
    *("torchvision", "transformers", "peft", "bitsandbytes", "open_clip", "ultralytics", "openai"),
    *("num2words", "sentencepiece"),
)
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test asks a hub
os.environ.setdefault("YOLO_OFFLINE", "true")

collect_ignore = [path.name for path in Path(__file__).parent.glob("test_*.py")] if MISSING else []


def pytest_report_header() -> str:
    if MISSING:
        return f"tests/gpu: left out, the extra gpu is not installed here ({', '.join(MISSING)} missing)"
    return "tests/gpu: with the extra gpu"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`tiny_model(name, large=False, seed=0)`: the folder of a tiny model (tiny_models.NAMES), built once a session."""
    from tests.gpu.tiny_models import build

    made: dict[tuple[str, bool, int], Path] = {}

    def folder(name: str, *, large: bool = False, seed: int = 0) -> Path:
        key = (name, large, seed)
        if key not in made:
            made[key] = build(name, tmp_path_factory.mktemp("tiny") / name, large=large, seed=seed)
        return made[key]

    return folder
