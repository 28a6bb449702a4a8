"""Where the faces of a photo are, and their keys.

dlib finds faces (histograms of oriented gradients) and the five points by which each is turned upright; the network
in `face_network` makes the key. Both sets of weights are the CC0 files of the package `face-recognition-models`. A key
says how alike two faces look and nothing else: no age, no gender, no emotion, no origin is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageFilter

from rapbot.errors import WeightsError
from rapbot.inference.specs import FaceSpec, Runtime
from rapbot.messages import Box

if TYPE_CHECKING:
    from rapbot.inference.face_matching import FaceRules
    from rapbot.inference.face_network import FaceNetwork

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

KEY = 2049
"""Numbers of a face key: 2048 of length 1, and last the spread (see `Face.spread`)."""
MOST_FACES = 40
DETECTION_SIDE = 1920
"""Pixels of the longer side while looking for faces, at most. dlib's window is 80 pixels, so a face of a twenty-fourth
of a large photo is seen, as in a group of three rows of ten..."""
_ENLARGED = 2.0
"""...but no picture is enlarged more: it would show no face better, and more things that look like faces..."""
_DETECTION_AREA = 2.1e6
"""...and no more pixels than this are searched, 0.15 s."""
LARGEST_SIDE = 1600
LOWEST_SCORE = -0.2
"""Of dlib's detector, whose own limit is 0: blurred and half-turned faces of known people lie below it."""
SURE_SCORE = 0.3
"""From here on a face is a face: below it, every third one is a tyre, a pizza or a dog."""
SURE_SIDE = 28
"""Pixels of the upright picture: a smaller face cannot be told from a smudge."""
_CHIP = 150
_PADDING = 0.25
_ZOOMS = (0.18, 0.32)
"""Further paddings around a face, as parts of it: its key is the mean of all, which steadies it."""
_CHIPS = 24
"""At most about so many chips for a photo (6 ms each). Faces beyond four get two each instead of six, and beyond twelve
one..."""
_FURTHER = 18
"""...and so many more are spent on those of them that come near a known face (`_closer`)."""
_NEAR = 0.17
"""Distance of a face's first chip from a known face up to which it may be that person's: the mean of all chips comes
at most .02 nearer, and nobody is recognised beyond .15 (measured on ../shared/data/people)."""
_SAME = 0.3
"""Boxes that share this part of their union show one face."""
_TURNS = (0.0, -35.0, 35.0)
"""Degrees by which an avatar is turned when no face is found in it upright."""


@dataclass(frozen=True, slots=True)
class Face:
    """One face of a photo. `key` is float32[2049]; `box` in fractions of the upright picture."""

    box: Box
    key: Floats
    size: int
    """Side of the face in pixels of the picture that was looked at (at most 1600 long)."""
    score: float
    """How sure the detector is: above 1 plainly a face, below 0 perhaps one."""
    sharpness: float
    """Detail in the upright face relative to its contrast: above .08 sharp, below .04 blurred."""
    turn: float
    """Degrees by which the head is tilted, clockwise positive."""

    @property
    def spread(self) -> float:
        """How far the key moves when the picture is shifted, zoomed, blurred, darkened; 0 where it was not measured.

        It is the yardstick for distances from this face: where keys hardly move, strangers lie close together too.
        """
        return float(self.key[-1])

    @property
    def sure(self) -> bool:
        """Whether this certainly is somebody's face, to be counted as a person whom nobody named."""
        return self.score >= SURE_SCORE and self.size >= SURE_SIDE


@dataclass(frozen=True, slots=True)
class _Found:
    """A face before its key. `points` float64[5, 2]: two corners of one eye, two of the other, base of the nose."""

    score: float
    points: npt.NDArray[np.float64]
    side: float
    middle: tuple[float, float]


class FaceEngine:
    """Detector, points and network; make one with `load`. Fills the `FaceFinder` seam. Not thread-safe."""

    dimension = KEY

    def __init__(self, detector: Any, points: Any, network: FaceNetwork) -> None:
        self._detector = detector
        self._points = points
        self._network = network

    @classmethod
    def load(cls, folder: Path) -> FaceEngine:
        """The engine with the files in `folder`, as `weights.ensure(FACES)` returns it (0.3 s).

        Raises WeightsError when a file or dlib is missing.
        """
        try:
            import dlib
        except ImportError as error:
            raise WeightsError("To recognise people I need dlib. Install it: pip install dlib-bin") from error
        from rapbot.inference.face_network import FaceNetwork
        from rapbot.inference.weights import FACE_NETWORK_FILE, FACE_POINTS_FILE

        network = FaceNetwork.load(folder / FACE_NETWORK_FILE)
        try:
            points = dlib.shape_predictor(str(folder / FACE_POINTS_FILE))
        except RuntimeError as error:
            raise WeightsError(
                f"The face model {FACE_POINTS_FILE} cannot be read. Delete it and run `rapbot models fetch`."
            ) from error
        return cls(dlib.get_frontal_face_detector(), points, network)

    @property
    def rules(self) -> FaceRules:
        from rapbot.inference.face_matching import FaceRules

        return FaceRules()

    def find(self, picture: Image.Image, known: Floats | None = None) -> tuple[Face, ...]:
        """The faces of an upright RGB picture, largest first, at most 40 (0.1 to 0.2 s and 6 to 35 ms a face).

        `known` float32[N, 2049], the faces that they will be compared with: of a crowd only those near one of them
        are looked at closely. Their `spread` is not measured.
        """
        shown = _at_most(picture, LARGEST_SIDE)
        found = self._detect(shown)
        if 2 * len(found) > _CHIPS:
            return self._crowd(shown, found, known)
        zooms = _ZOOMS if 2 * (1 + len(_ZOOMS)) * len(found) <= _CHIPS else ()
        return self._faces(shown, found, zooms)

    def find_avatar(self, picture: Image.Image) -> tuple[Face, ...]:
        """The faces of a picture from which somebody is learnt: with their `spread`, tilted ones too, sure ones first.

        0.2 s and 0.2 s a face on one core.
        """
        shown = _at_most(picture, LARGEST_SIDE)
        best: tuple[Face, ...] = ()
        for turn in _TURNS:
            turned = shown.rotate(turn, Image.Resampling.BICUBIC) if turn else shown
            seen = self._faces(turned, self._detect(turned), _ZOOMS, measured=True)
            faces = tuple(_turned_back(face, turned.size, turn) for face in seen)
            if any(face.sure for face in faces):
                return tuple(sorted(faces, key=lambda face: not face.sure))
            best = best or faces
        return best

    def _detect(self, picture: Image.Image) -> list[_Found]:
        """Largest first, each once."""
        import dlib

        area = picture.width * picture.height
        scale = min(DETECTION_SIDE / max(picture.size), (_DETECTION_AREA / area) ** 0.5, _ENLARGED)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        grey = np.asarray(picture.convert("L").resize(size, Image.Resampling.BICUBIC))
        boxes, scores, _ = self._detector.run(grey, 0, LOWEST_SCORE)
        full = np.asarray(picture)
        kept: list[tuple[float, Any]] = []
        for score, box in sorted(zip(scores, boxes, strict=True), key=lambda pair: -pair[0]):
            if all(_overlap(box, other) < _SAME for _, other in kept):
                kept.append((score, box))
        kept.sort(key=lambda pair: -pair[1].area())
        found = []
        for score, box in kept[:MOST_FACES]:
            sides = (round(side / scale) for side in (box.left(), box.top(), box.right(), box.bottom()))
            here = dlib.rectangle(*sides)
            parts = self._points(full, here)
            points = np.array([(parts.part(i).x, parts.part(i).y) for i in range(5)], np.float64)
            centre = here.dcenter()
            found.append(_Found(float(score), points, float(here.width()), (centre.x, centre.y)))
        return found

    def _faces(
        self, picture: Image.Image, found: Sequence[_Found], zooms: Sequence[float], *, measured: bool = False
    ) -> tuple[Face, ...]:
        """All chips of all faces go through the network together: eight at a time cost less than one by one."""
        full = np.asarray(picture)
        paddings = (_PADDING, *zooms)
        chips = [_chip(full, one, padding) for one in found for padding in paddings]
        if not chips:
            return ()
        maps, _ = self._network.look(np.stack([*chips, *(chip[:, ::-1] for chip in chips)]))
        means = maps.reshape(2, len(found), len(paddings), -1).mean(axis=(0, 2))
        upright = chips[:: len(paddings)]
        return tuple(
            _face(one, chip, mean, picture.size, self._spread(chip) if measured else 0.0)
            for one, chip, mean in zip(found, upright, means, strict=True)
        )

    def _crowd(self, picture: Image.Image, found: Sequence[_Found], known: Floats | None) -> tuple[Face, ...]:
        """One chip of each face, and further ones of those that may be somebody known."""
        full = np.asarray(picture)
        chips = [_chip(full, one, _PADDING) for one in found]
        maps, _ = self._network.look(np.stack(chips))
        further: list[tuple[int, Pixels]] = []
        for number, well in _closer(maps, known):
            further.append((number, chips[number][:, ::-1]))
            for zoom in _ZOOMS if well else ():
                chip = _chip(full, found[number], zoom)
                further += ((number, chip), (number, chip[:, ::-1]))
        if further:
            more, _ = self._network.look(np.stack([chip for _, chip in further]))
            np.add.at(maps, [number for number, _ in further], more)
        return tuple(_face(*parts, picture.size) for parts in zip(found, chips, maps, strict=True))

    def _spread(self, chip: Pixels) -> float:
        """Mean distance of dlib's keys of variations of a chip from the key of the chip itself."""
        _, keys = self._network.look(np.stack([chip, chip[:, ::-1], *_variations(chip)]))
        middle = keys[:2].mean(axis=0)
        return float(np.linalg.norm(keys - middle / np.linalg.norm(middle), axis=1).mean())


def load_faces(_spec: FaceSpec, _runtime: Runtime, weights_dir: Path) -> FaceEngine:
    """Fills `loading.FACE_MODELS`; there is one such model. Raises WeightsError."""
    from rapbot.inference.weights import FACES, ensure

    return FaceEngine.load(ensure(FACES, weights_dir))


def _face(found: _Found, chip: Pixels, mean: Floats, size: tuple[int, int], spread: float = 0.0) -> Face:
    """`mean` float32[2048] of the maps of the face's chips, of any length; `size` of the picture."""
    key = np.append(mean / max(float(np.linalg.norm(mean)), 1e-12), spread).astype(np.float32)
    return Face(_box(found, size), key, round(found.side), found.score, _sharpness(chip), _turn(found.points))


def _closer(maps: Floats, known: Floats | None) -> list[tuple[int, bool]]:
    """Rows of `maps` float32[F, 2048] that come near a known face, and whether each is to be looked at well (five more
    chips) or mirrored only (one): first whoever is nearest to one of the known faces, then the others."""
    if known is None or not len(known):
        return []
    alike = maps @ known[:, :-1].T
    best = alike.max(axis=1)
    candidates = set(alike.argmax(axis=0).tolist())
    order = sorted(np.flatnonzero(2.0 - 2.0 * best <= _NEAR**2).tolist(), key=lambda n: (n not in candidates, -best[n]))
    chosen, left = [], _FURTHER
    for number in order:
        well = number in candidates and left > 2 * len(_ZOOMS)
        left -= 1 + 2 * len(_ZOOMS) * well
        if left >= 0:
            chosen.append((number, well))
    return chosen


def _chip(picture: Pixels, found: _Found, padding: float) -> Pixels:
    """uint8[150, 150, 3]: the face upright, with `padding` of its side around it."""
    import dlib

    points = [dlib.point(round(x), round(y)) for x, y in found.points]
    shape = dlib.full_object_detection(dlib.rectangle(0, 0, 1, 1), points)
    chip: Pixels = dlib.get_face_chip(picture, shape, _CHIP, padding)
    return chip


def _turn(points: npt.NDArray[np.float64]) -> float:
    """Degrees; the person's left eye comes first, which is on the right of the picture."""
    across, down = (points[0] + points[1] - points[2] - points[3]) / 2
    return float(np.degrees(np.arctan2(down, across)))


def _variations(chip: Pixels) -> list[Pixels]:
    """What a camera might have done to the same face: moved, nearer, tilted, blurred, coarse, dark, pale, grey."""
    picture = Image.fromarray(chip)

    def moved(across: int = 0, down: int = 0, zoom: float = 1.0, turn: float = 0.0) -> Image.Image:
        inset = (_CHIP - _CHIP / zoom) / 2
        frame = (inset, inset, _CHIP - inset, _CHIP - inset)
        shifted = picture.rotate(turn, Image.Resampling.BICUBIC, translate=(across, down))
        return shifted.transform((_CHIP, _CHIP), Image.Transform.EXTENT, frame, Image.Resampling.BICUBIC)

    changed = [
        *(moved(across, down) for across, down in ((6, 0), (-6, 0), (0, 6), (0, -6))),
        *(moved(zoom=zoom) for zoom in (1.1, 0.9)),
        *(moved(turn=turn) for turn in (8.0, -8.0)),
        picture.filter(ImageFilter.GaussianBlur(2)),
        picture.resize((_CHIP // 3, _CHIP // 3)).resize((_CHIP, _CHIP), Image.Resampling.BICUBIC),
        ImageEnhance.Brightness(picture).enhance(0.6),
        ImageEnhance.Contrast(picture).enhance(0.6),
        ImageEnhance.Color(picture).enhance(0.2),
    ]
    return [np.asarray(one) for one in changed]


def _sharpness(chip: Pixels) -> float:
    """Mean step between neighbouring pixels of the middle of a chip, divided by the deviation of its grey values."""
    grey = chip[25:125, 25:125].mean(axis=2)
    steps = (np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()) / 2
    return float(steps / max(float(grey.std()), 1.0))


def _at_most(picture: Image.Image, side: int) -> Image.Image:
    if max(picture.size) <= side:
        return picture
    smaller = picture.copy()
    smaller.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return smaller


def _box(found: _Found, size: tuple[int, int]) -> Box:
    """The whole head rather than dlib's square from brow to chin: a little more, above all upwards."""
    (x, y), half = found.middle, found.side / 2
    sides = (x - 1.1 * half, y - 1.4 * half, x + 1.1 * half, y + 1.15 * half)
    left, top, right, bottom = (min(1.0, max(0.0, at / whole)) for at, whole in zip(sides, (*size, *size), strict=True))
    return Box(left, top, right, bottom)


def _turned_back(face: Face, size: tuple[int, int], turn: float) -> Face:
    """The face of a picture that was turned by `turn` degrees, where it is in the picture as it was."""
    if not turn:
        return face
    box, (width, height) = face.box, size
    x = (box.left + box.right) / 2 * width - width / 2
    y = (box.top + box.bottom) / 2 * height - height / 2
    sine, cosine = np.sin(np.radians(turn)), np.cos(np.radians(turn))
    middle = (float(x * cosine - y * sine + width / 2), float(x * sine + y * cosine + height / 2))
    back = _box(_Found(face.score, np.zeros((5, 2)), float(face.size), middle), size)
    return Face(back, face.key, face.size, face.score, face.sharpness, face.turn + turn)


def _overlap(one: Any, other: Any) -> float:
    """Common part of two of dlib's rectangles as part of their union."""
    common = one.intersect(other).area()
    return float(common / max(one.area() + other.area() - common, 1))
