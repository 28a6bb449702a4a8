"""From a sample to the prompt that a model is given: by the functions of serving, so that both are always the same."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from rapbot.errors import PhotoError
from rapbot.inference.job import Card, Job, Task
from rapbot.inference.prompt import RAP, Pictures, build_prompt
from rapbot.inference.seams import IMAGE, Prompt
from rapbot.photos import open_photo
from training.rap.samples import Crop, Sample, SampleError

PHOTO_SIDE = 1600
"""Pixels of the longer side of a photo, as the pipeline of serving opens it; avatars are small already."""


def request_prompt(
    request: str, crops: tuple[Crop, ...], photo: Image.Image | None, avatars: tuple[Image.Image, ...]
) -> Prompt:
    """The layout "rap" with these concepts (as many avatars) before a request in any words."""
    cards = [Card(number, crop.name, crop.category, crop.info, traits=crop.traits) for number, crop in enumerate(crops)]
    job = Job("", "", Task.QUESTION, text=request)
    return build_prompt(RAP, job, None, cards, Pictures(photo, dict(enumerate(avatars))))


def sample_prompts(sample: Sample, pictures: tuple[Image.Image, ...]) -> list[tuple[Prompt, str]]:
    """For each answer of the sample: all that is read before it, and the answer. `pictures` as `sample.pictures`."""
    photo, avatars = (pictures[0], pictures[1:]) if sample.image else (None, pictures)
    first = request_prompt(sample.turns[0][0], sample.crops, photo, avatars)
    messages = list(first.messages)
    made = [(first, sample.turns[0][1])]
    for (_, before), (asked, answer) in zip(sample.turns, sample.turns[1:], strict=False):
        messages += [("assistant", before), ("user", asked.replace(IMAGE, ""))]
        made.append((Prompt(tuple(messages), first.pictures), answer))
    return made


def open_pictures(sample: Sample, folder: Path) -> tuple[Image.Image, ...]:
    """Upright RGB, the photo first. Raises SampleError, naming the sample and the file."""
    pictures = []
    for number, name in enumerate(sample.pictures):
        side = PHOTO_SIDE if number == 0 and sample.image else None
        try:
            pictures.append(open_photo((folder / name).read_bytes(), max_side=side))
        except (PhotoError, OSError) as error:
            raise SampleError(f"Sample {sample.id}: the picture {name} cannot be read ({error}).") from error
    return tuple(pictures)
