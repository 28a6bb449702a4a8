"""Where the time of training goes. Run: python -m benchmarks.training_time [--steps 12] [--workers 2]

A tiny LLaVA of the real classes (tests/gpu/tiny_models.py, its larger setting) learns composed samples of drawn things:
the share of the time inside forward, backward and the optimiser, of waiting for samples, and of padding. Needs the
extra gpu, not a GPU. The text-only trainer tells the same at each step (`rapbot-train train`) and pads nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import warnings
from pathlib import Path

from PIL import Image, ImageDraw

from rapbot.inference.specs import Runtime
from tests.gpu import tiny_models
from training.rap.compose import Composer, Plan
from training.rap.recipe import Recipe
from training.rap.samples import write_samples
from training.rap.sources import read_source
from training.rap.train import train


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=12)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--samples", type=int, default=200)
    options.add_argument("--threads", type=int, default=1)
    given = options.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        work, source = Path(folder) / "work", Path(folder) / "source"
        _draw(source)
        work.mkdir()
        write_samples(work / "train.jsonl", Composer(read_source(source), work, Plan(given.samples)).samples())
        model = tiny_models.build("llava", Path(folder) / "llava", large=True)
        recipe = Recipe(rank=16, alpha=32, batch=16, steps=given.steps, workers=given.workers)
        trained = train(work, str(model), recipe, Runtime(given.threads, "cpu"), told=print)
    print(
        f"computing {trained.inside:.1%}, waiting for samples {trained.waiting:.1%}, padding {trained.padding:.1%}"
        f" ({len(trained.losses)} steps of {recipe.batch} samples, {trained.seconds:.0f} s)"
    )


def _draw(source: Path) -> None:
    """Eight coloured things, three photos of each."""
    dice = random.Random(0)
    (source / "concepts").mkdir(parents=True)
    cards, rows = {}, []
    for number in range(8):
        name, colour = f"thing{number}", tuple(dice.randrange(256) for _ in range(3))
        for photo in range(4):
            picture = Image.new("RGB", (640, dice.choice((426, 480, 640))), "white")
            left, top = dice.randrange(200), dice.randrange(150)
            ImageDraw.Draw(picture).rectangle((left, top, left + 250, top + 200), fill=colour)
            file = f"concepts/{name}.jpg" if photo == 0 else f"{name}-{photo}.jpg"
            picture.save(source / file)
            if photo:
                rows.append({"file": file, "concepts": [name]})
        cards[f"<{name}>"] = {"name": name, "image": f"{name}.jpg", "info": f"Number {number}.", "category": "toy"}
    (source / "concepts" / "database.json").write_text(json.dumps({"concept_dict": cards}), encoding="utf-8")
    (source / "photos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
