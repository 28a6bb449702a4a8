"""A picture and what is where on it, moved together: every change of geometry is one 3 x 3 matrix, sampled once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

from rapbot.messages import Box

Matrix = npt.NDArray[np.float64]
"""float64[3, 3]: from pixels (x, y, 1) of the old picture to those of the new one, up to a factor."""
Outline = tuple[tuple[float, ...], ...]
"""Polygons x1, y1, x2, y2, ... in fractions of the picture."""

_POINTS = 32


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a thing is. Without an outline its box is taken for that of an ellipse, which is nearer than its corners
    once a picture is turned (Kalra et al. 2021, "Towards Rotation Invariance in Object Detection")."""

    box: Box
    outline: Outline = ()

    def points(self, width: int, height: int) -> npt.NDArray[np.float64]:
        """float64[N, 2]: points around it, pixels."""
        if self.outline:
            flat = np.concatenate([np.asarray(part, dtype=np.float64) for part in self.outline])
            return np.asarray(flat.reshape(-1, 2) * (width, height))
        turn = np.linspace(0, 2 * np.pi, _POINTS, endpoint=False)
        centre = np.array([self.box.left + self.box.right, self.box.top + self.box.bottom]) / 2
        half = np.array([self.box.right - self.box.left, self.box.bottom - self.box.top]) / 2
        around = centre + half * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        return np.asarray(around * (width, height))


@dataclass(frozen=True, slots=True)
class Framed:
    picture: Image.Image
    placed: Mapping[str, Placed] = field(default_factory=dict)

    @property
    def boxes(self) -> dict[str, Box]:
        return {name: one.box for name, one in self.placed.items()}


def warped(framed: Framed, matrix: Matrix, size: tuple[int, int], seen: float = 0.0) -> Framed | None:
    """The picture under `matrix`, `size` pixels, with its things; None where less than the part `seen` of one remains.

    Where nothing is, the picture goes on as its own mirror image.
    """
    placed = {}
    width, height = framed.picture.size
    for name, one in framed.placed.items():
        moved = _moved(one, matrix, (width, height), size, seen)
        if moved is None:
            return None
        placed[name] = moved
    return Framed(_drawn(framed.picture, matrix, size), placed)


def mirrored(width: int) -> Matrix:
    return np.array([[-1.0, 0.0, width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def rotated(width: int, height: int, degrees: float, *, filled: bool) -> Matrix:
    """Around the middle. `filled`: enlarged so far that the corners stay filled."""
    angle = np.radians(degrees)
    sine, cosine = np.sin(angle), np.cos(angle)
    scale = abs(cosine) + abs(sine) * max(width / height, height / width) if filled else 1.0
    back, there = _shifted(-width / 2, -height / 2), _shifted(width / 2, height / 2)
    turn = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    turn[:2] *= scale
    return np.asarray(there @ turn @ back)


def onto(corners: npt.NDArray[np.float64], width: int, height: int) -> Matrix:
    """The four `corners` (float64[4, 2], from the upper left clockwise) become those of a picture of that size."""
    goals = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
    rows, right = [], []
    for (x, y), (u, v) in zip(corners, goals, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    solved = np.linalg.solve(np.array(rows), np.array(right))
    return np.asarray(np.append(solved, 1.0).reshape(3, 3))


def _shifted(across: float, down: float) -> Matrix:
    return np.array([[1.0, 0.0, across], [0.0, 1.0, down], [0.0, 0.0, 1.0]])


def _mapped(points: npt.NDArray[np.float64], matrix: Matrix) -> npt.NDArray[np.float64]:
    whole = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.asarray(whole[:, :2] / whole[:, 2:])


def _moved(one: Placed, matrix: Matrix, old: tuple[int, int], new: tuple[int, int], seen: float) -> Placed | None:
    points = _mapped(one.points(*old), matrix) / new
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    box = Box(*(float(min(1.0, max(0.0, edge))) for edge in (left, top, right, bottom)))
    whole = (right - left) * (bottom - top)
    if box.left >= box.right or box.top >= box.bottom or box.area < seen * whole:
        return None
    outline = []
    for part in one.outline:
        flat = np.asarray(part, dtype=np.float64).reshape(-1, 2) * old
        outline.append(tuple(float(value) for value in (np.clip(_mapped(flat, matrix) / new, 0, 1)).ravel()))
    return Placed(box, tuple(outline))


def _drawn(picture: Image.Image, matrix: Matrix, size: tuple[int, int]) -> Image.Image:
    width, height = picture.size
    # So far beyond its edges as the new picture looks, up to a whole picture.
    far = _mapped(np.array([[0, 0], [size[0], 0], [size[0], size[1]], [0, size[1]]], dtype=np.float64), _back(matrix))
    beyond = max(0.0, -float(far.min()), float((far - (width, height)).max()))
    edge = min(int(np.ceil(beyond)) + 2 if beyond else 0, width - 1, height - 1)
    if edge > 0:
        padded = np.pad(np.asarray(picture), ((edge, edge), (edge, edge), (0, 0)), mode="reflect")
        picture = Image.fromarray(padded)
        matrix = matrix @ _shifted(-edge, -edge)
    back = _back(matrix)
    data = tuple((back / back[2, 2]).ravel()[:8])
    return picture.transform(size, Image.Transform.PERSPECTIVE, data, Image.Resampling.BICUBIC)


def _back(matrix: Matrix) -> Matrix:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)
