"""The manifest beside an adapter: what it holds, and which adapters it keeps from being loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rapbot.errors import WeightsError
from rapbot.inference.lora import BASE_MODEL, merge_lora
from rapbot.inference.mllm.manifest import MANIFEST, Manifest, check_manifest, read_manifest, same_model
from rapbot.inference.prompt import POCKET_PROMPT_VERSION, PROMPT_VERSION

BASE = "llava-hf/llava-1.5-7b-hf"
MADE = Manifest(
    base_model=BASE,
    prompt_version=PROMPT_VERSION,
    layout="rap",
    concepts_in_prompt=2,
    data_hash="0f" * 32,
    metrics={"caption_f1": 0.95},
    licence="Llama 2",
    made_by="rapbot 0.1.0",
)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    assert MADE.write(tmp_path).name == MANIFEST
    assert read_manifest(tmp_path) == MADE


def test_a_plain_adapter_has_no_manifest(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None


def test_fields_of_a_later_version_are_tolerated(tmp_path: Path) -> None:
    MADE.write(tmp_path)
    later = json.loads((tmp_path / MANIFEST).read_text()) | {"trained_hours": 3, "judge": {"name": "x"}}
    (tmp_path / MANIFEST).write_text(json.dumps(later))
    assert read_manifest(tmp_path) == MADE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not valid"),
        ("[]", "is not valid"),
        ('{"base_model": "x"}', "prompt_version: Field required"),
        (json.dumps(MADE.model_dump() | {"concepts_in_prompt": 0}), "concepts_in_prompt"),
    ],
)
def test_a_broken_manifest_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(WeightsError, match=said) as raised:
        read_manifest(tmp_path)
    assert MANIFEST in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_adapter_for_this_model_and_these_prompts_is_let_through() -> None:
    check_manifest(MADE, "mine", "/models/LLaVA-1.5-7b-hf/")


def test_an_adapter_of_another_model_is_refused() -> None:
    with pytest.raises(WeightsError, match=rf"^The adapter mine was trained for {BASE}, not for Qwen/Qwen3-VL-4B\.$"):
        check_manifest(MADE, "mine", "Qwen/Qwen3-VL-4B")


def test_an_adapter_of_other_prompts_is_refused() -> None:
    old = MADE.model_copy(update={"prompt_version": "rap-0"})
    with pytest.raises(WeightsError, match=f"prompts rap-0, but this version of rapbot writes {PROMPT_VERSION}"):
        check_manifest(old, "mine", BASE)


def test_an_adapter_of_an_unknown_layout_is_refused() -> None:
    strange = MADE.model_copy(update={"layout": "sonnet"})
    with pytest.raises(WeightsError, match="prompt layout sonnet"):
        check_manifest(strange, "mine", BASE)


def test_the_owner_and_the_folder_do_not_count() -> None:
    assert same_model("llava-hf/llava-1.5-7b-hf", r"D:\models\llava-1.5-7b-hf")
    assert not same_model("llava-hf/llava-1.5-7b-hf", "llava-hf/llava-1.5-13b-hf")


def test_reading_a_manifest_needs_no_model_library() -> None:
    code = (
        "import sys, rapbot.inference.mllm.manifest; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "[]"


def test_the_pocket_model_takes_no_adapter_of_another_model(tmp_path: Path) -> None:
    MADE.model_copy(update={"layout": "pocket", "prompt_version": POCKET_PROMPT_VERSION}).write(tmp_path)
    with pytest.raises(WeightsError, match=f"was trained for {BASE}, not for {BASE_MODEL}"):
        merge_lora({}, tmp_path)


def test_the_pocket_model_takes_no_adapter_of_another_layout(tmp_path: Path) -> None:
    MADE.model_copy(update={"base_model": BASE_MODEL}).write(tmp_path)
    with pytest.raises(WeightsError, match="trained on the layout rap, not on pocket"):
        merge_lora({}, tmp_path)
