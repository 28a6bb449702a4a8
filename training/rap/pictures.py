"""The pictures of samples: views of avatars and photos, and scenes laid out of several concepts. Seeded."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from rapbot.messages import Box
from rapbot.photos import open_photo
from training.augment.augmenter import vary_avatar, vary_photo
from training.augment.framed import Framed, Placed
from training.augment.grounds import before, blurred, light_of, mask_of, seen_mask
from training.augment.novel import ViewMaker
from training.augment.recipe import Augmentation
from training.rap.scenes import AVATAR_SIDE, PHOTO_SIDE, Piece, lay_out
from training.rap.sources import Source, SourcePhoto, tells_place

FOLDER = "pictures"


@dataclass(frozen=True, slots=True)
class View:
    """A photo of samples. `boxes` of those whose place is known."""

    image: str
    concepts: tuple[str, ...]
    boxes: Mapping[str, Box]
    caption: str = ""
    description: str = ""
    questions: tuple[tuple[str, str], ...] = ()


class Pictures:
    """Writes pictures into `work`/pictures; paths are relative to `work`."""

    def __init__(
        self,
        source: Source,
        work: Path,
        augmentation: Augmentation,
        dice: random.Random,
        told: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """`told` hears (pictures of the source that are done, all)."""
        self._source = source
        self._work = work
        self._how = augmentation
        self._dice = dice
        self._told = told
        self._all = len(source.concepts) + len(source.photos)
        self._done = 0
        (work / FOLDER).mkdir(parents=True, exist_ok=True)
        self._empty = [photo for photo in source.photos if not photo.concepts]
        self._small: dict[Path, Path] = {}
        self._alone: dict[str, list[SourcePhoto]] = {}
        for photo in source.photos:
            if len(photo.concepts) == 1:
                self._alone.setdefault(photo.concepts[0], []).append(photo)
        self.novel = ViewMaker(augmentation.novel_views, work / "novel_views")

    def avatars(self) -> dict[str, tuple[str, ...]]:
        """Views of the avatars of each concept: each itself, and varied ones."""
        return {name: self._views(number, name) for number, name in enumerate(self._source.concepts)}

    def photos(self) -> list[View]:
        """Every photo itself, and varied ones."""
        return [view for number in range(len(self._source.photos)) for view in self._photo(number)]

    def scene(self, number: int, most: int) -> View:
        """Up to `most` concepts laid on a photo that shows none, or on the colours of one that does."""
        dice = self._dice
        under = self._source.photos[dice.randrange(len(self._source.photos))]
        others = list(self._source.concepts)
        ground = self._open(under.file, PHOTO_SIDE)
        if under.concepts:
            # What lies half covered is neither there nor absent: only the light of such a photo is taken.
            ground = light_of(ground)
        chosen = dice.sample(others, dice.randint(1, min(len(others), max(1, most))))
        scene, boxes = lay_out(ground, [Piece(name, *self._piece(name)) for name in chosen], dice)
        return View(self.keep(scene, f"scene-{number}"), tuple(boxes), boxes)

    def copied(self, image: str) -> str:
        """A picture of the source's conversations."""
        stem = "general-" + "".join(one if one.isalnum() else "_" for one in image)
        if (self._work / FOLDER / f"{stem}.jpg").is_file():
            return f"{FOLDER}/{stem}.jpg"
        return self.keep(self._open(self._source.folder / image, PHOTO_SIDE), stem)

    def keep(self, picture: Image.Image, stem: str) -> str:
        name = f"{FOLDER}/{stem}.jpg"
        picture.save(self._work / name, "JPEG", quality=90)
        return name

    def _views(self, number: int, name: str) -> tuple[str, ...]:
        made, card, amounts = [], self._source.concepts[name], self._how.avatar
        for at, image in enumerate(card.images):
            avatar = open_photo(image if isinstance(image, bytes) else image.read_bytes(), max_side=AVATAR_SIDE)
            outline = self._source.outlines.get(image) if isinstance(image, Path) else None
            mask = mask_of([outline], avatar.size) if outline else seen_mask(avatar)
            sides = self.novel.views(avatar, card.category) if amounts.novel else []
            for view in range(amounts.views):
                picture, held = avatar, mask
                if view and sides and self._dice.random() < amounts.novel:
                    picture, held = _opaque(self._dice.choice(sides))
                if view:
                    picture = vary_avatar(picture, amounts, self._dice, held, self._ground)
                made.append(self.keep(picture, f"avatar-{number}-{at}-{view}"))
        self._step()
        return tuple(made)

    def _photo(self, number: int) -> list[View]:
        photo = self._source.photos[number]
        picture = self._open(photo.file, PHOTO_SIDE)
        kept = self.keep(picture, f"photo-{number}")
        self._small[photo.file] = self._work / kept
        plain = View(
            kept,
            photo.concepts,
            photo.boxes,
            photo.caption,
            photo.description,
            photo.questions,
        )
        views = [plain]
        # A box that is not known cannot be moved: what is without one may leave the picture unnoticed.
        if set(photo.concepts) <= set(photo.boxes):
            placed = {name: Placed(box, photo.outlines.get(name, ())) for name, box in photo.boxes.items()}
            for view in range(1, self._how.photo.views):
                moved, other = vary_photo(Framed(picture, placed), self._how.photo, self._dice, ground=self._ground)
                name = self.keep(moved.picture, f"photo-{number}-{view}")
                # Words about a ground that is gone, or about places, would be lies.
                texts = View("", (), {}) if other else _without_places(plain)
                views.append(replace(texts, image=name, concepts=plain.concepts, boxes=moved.boxes))
        self._step()
        return views

    def _piece(self, name: str) -> tuple[Image.Image, Image.Image | None]:
        """A picture, cut out where its outline is known; rather of a photo: the avatar is in the prompt already."""
        if name in self._alone:
            photo = self._dice.choice(self._alone[name])
            picture = self._open(photo.file, AVATAR_SIDE)
            outline = photo.outlines.get(name)
            if outline and (box := photo.boxes.get(name)):
                pixels = box.grown(0.03).pixels(*picture.size)
                return picture.crop(pixels), mask_of([outline], picture.size).crop(pixels)
            return vary_avatar(picture, self._how.avatar, self._dice, seen_mask(picture), self._ground), None
        image = self._source.concepts[name].images[0]
        picture = open_photo(image if isinstance(image, bytes) else image.read_bytes(), max_side=AVATAR_SIDE)
        return vary_avatar(picture, self._how.avatar, self._dice), None

    def _ground(self) -> Image.Image | None:
        """A photo of no concept, or one that nothing can be told on any more."""
        if self._empty:
            return self._open(self._dice.choice(self._empty).file, PHOTO_SIDE)
        if not self._source.photos:
            return None
        photo = self._open(self._dice.choice(self._source.photos).file, AVATAR_SIDE)
        return blurred(photo, self._dice)

    def _open(self, file: Path, side: int) -> Image.Image:
        """From our own, smaller copy where there is one already."""
        return open_photo(self._small.get(file, file).read_bytes(), max_side=side)

    def _step(self) -> None:
        self._done += 1
        self._told(self._done, self._all)


def _without_places(view: View) -> View:
    caption, description = ("" if tells_place(text) else text for text in (view.caption, view.description))
    turns = tuple(turn for turn in view.questions if not any(map(tells_place, turn)))
    return replace(view, caption=caption, description=description, questions=turns)


def _opaque(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """(RGB, what of it is the thing) of a view that another program drew."""
    if picture.mode != "RGBA":
        return picture, seen_mask(picture)
    mask = picture.getchannel("A")
    white = Image.new("RGB", picture.size, "white")
    return before(picture.convert("RGB"), mask, white), mask
