"""The folder that holds a model or an adapter: one's own, or fetched from the hub into its cache."""

from __future__ import annotations

from pathlib import Path

from rapbot.inference.devices import reading, source_of
from rapbot.inference.specs import Runtime

_ALWAYS = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
_PICKLED = ["pytorch_model*.bin", "adapter_model.bin", "non_lora_trainables.bin", "mm_projector.bin"]
_SKIPPED = ["*/*", "consolidated*"]
"""Other formats of the same weights (onnx/, original/) would be fetched for nothing."""


def folder_of(model: str, runtime: Runtime) -> Path:
    """The folder of `model`, fetched first where need be. Raises WeightsError.

    Weights in safetensors are preferred; where a repository has none, its pickled ones are taken, as the published RAP
    and LLaVA weights may be nothing else. Pickles are only ever read with `weights_only=True`, which runs no code.
    """
    with reading(model, runtime):
        source, local = source_of(model, runtime)
        path = Path(source)
        if path.is_dir():
            return path
        from huggingface_hub import snapshot_download

        def fetch(patterns: list[str]) -> Path:
            return Path(
                snapshot_download(source, allow_patterns=patterns, ignore_patterns=_SKIPPED, local_files_only=local)
            )

        folder = fetch(_ALWAYS)
        return folder if any(folder.glob("*.safetensors")) else fetch([*_ALWAYS, *_PICKLED])
