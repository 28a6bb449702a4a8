"""Crops per second of the encoders of the extra `gpu`, one by one and in batches of eight, on this CPU.

    python -m benchmarks.encoding_batches [--threads 1]

Tiny models of the real classes with random weights, in several sizes. The rounds of both batch sizes take turns, so
that whatever else the machine does weighs on both; the ratio is that of the medians. On a CPU a batch saves what a
forward pass costs whatever its size (some hundred calls into torch), so it pays the more, the less a crop has to
compute; the last lines show where it no longer does.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from rapbot.inference.loading import load_encoder
from rapbot.inference.seams import Encoder
from rapbot.inference.specs import EncoderSpec, Runtime
from tests.gpu import tiny_eyes

CROPS = 24
ROUNDS = 5
SETTINGS = ((64, 12, 32), (128, 12, 32), (256, 12, 32), (384, 12, 96))
"""Width of the tower, layers, pixels of the side."""
BUILDERS: dict[str, Callable[..., Path]] = {
    "open-clip": tiny_eyes.open_clip_folder,
    "dinov2": tiny_eyes.dinov2,
    "siglip": tiny_eyes.siglip,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    # More threads than free cores wait for each other longer than such small models compute.
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    pixels = np.random.default_rng(0).integers(0, 255, (CROPS, 96, 96, 3), np.uint8)
    crops = [Image.fromarray(one) for one in pixels]
    print(f"torch {torch.__version__}, {threads} threads, {CROPS} crops of 96 x 96 pixels, {ROUNDS} rounds")
    print(f"{'encoder':11} {'width':>5} {'layers':>6} {'pixels':>6} {'1 by 1':>8} {'by 8':>8}  ratio")
    with tempfile.TemporaryDirectory() as folder:
        for width, layers, size in SETTINGS:
            for kind in BUILDERS:
                encoders = [_load(kind, Path(folder), width, layers, size, batch, threads) for batch in (1, 8)]
                single, batched = _rates(encoders, crops)
                print(
                    f"{kind:11} {width:5} {layers:6} {size:6} {single:8.0f} {batched:8.0f} {batched / single:5.1f} x",
                    flush=True,
                )


def _rates(encoders: list[Encoder], crops: list[Image.Image]) -> list[float]:
    """Crops per second of each."""
    seconds: list[list[float]] = [[] for _ in encoders]
    for encoder in encoders:
        encoder.encode(crops[:8])
    for _ in range(ROUNDS):
        for encoder, taken in zip(encoders, seconds, strict=True):
            began = time.perf_counter()
            encoder.encode(crops)
            taken.append(time.perf_counter() - began)
    return [len(crops) / statistics.median(taken) for taken in seconds]


def _load(kind: str, folder: Path, width: int, layers: int, size: int, batch: int, threads: int) -> Encoder:
    """Patches of 8 x 8 pixels and heads of 32 numbers in all of them."""
    place = folder / kind / f"{width}-{layers}-{size}"
    if not place.exists():
        BUILDERS[kind](place, width=width, layers=layers, size=size)
    return load_encoder(EncoderSpec(kind, str(place), batch), Runtime(threads, "cpu", offline=True))


if __name__ == "__main__":
    main()
