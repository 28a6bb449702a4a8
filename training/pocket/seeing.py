"""What the pocket pipeline sees in real photos, as words: the material of captions (scenes.txt).

Only words are kept, no picture. Photos: any folder; scenes.txt was made of 159 everyday photos (COCO).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rapbot.inference.job import Scene
from rapbot.inference.surroundings import other_things

PICTURES = (".jpg", ".jpeg", ".png", ".webp")


def see(files: Sequence[Path], threads: int = 1) -> Iterator[tuple[str, ...]]:
    """For each photo the things that are sure, at most two; nothing where nothing is."""
    import numpy as np
    from PIL import Image

    from rapbot.inference.eyes import Eyes
    from rapbot.inference.loading import load_detector, load_encoder
    from rapbot.inference.profiles import POCKET, PROFILES
    from rapbot.inference.seams import Target
    from rapbot.inference.specs import Runtime

    profile, runtime = PROFILES[POCKET], Runtime(threads=threads)
    encoder = load_encoder(profile.encoder, runtime)
    eyes = Eyes(load_detector(profile.detector, runtime, encoder), encoder)
    for file in files:
        with Image.open(file) as opened:
            picture = opened.convert("RGB")
        nothing = Target((), np.zeros((0, 1), dtype=np.float32))
        [seen] = eyes.look([picture], [nothing])
        scene = Scene(picture.width, picture.height, seen.regions)
        yield tuple(thing.word for thing in other_things(scene, ()))


def pictures_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in PICTURES)
