"""What the open-vocabulary detectors share: words to passes, batches, one choice of boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from PIL import Image

from rapbot.inference.detecting.canvas import Canvas
from rapbot.inference.detecting.everyday_things import EVERYDAY_THINGS
from rapbot.inference.job import Region, Tag
from rapbot.inference.seams import Target
from rapbot.inference.specs import DetectorSpec
from rapbot.messages import WHOLE, Box

if TYPE_CHECKING:
    import torch

CONSIDERED = 1000
"""Boxes of one picture that go into the suppression of doubles, best first."""
SMALLEST = 0.01
"""Part of the picture's side: in a narrower box there is nothing to recognise."""


@dataclass(frozen=True, slots=True)
class Found:
    """Answers of one forward pass over B pictures.

    `boxes` float32[B, Q, 4]: left, top, right, bottom in fractions of the canvas. `scores` float32[B, Q, C] in [0, 1]:
    column c belongs to the picture's word number c; columns past a picture's last word mean nothing.
    """

    boxes: torch.Tensor
    scores: torch.Tensor


class Network(Protocol):
    """One architecture."""

    @property
    def canvas(self) -> Canvas:
        """How it wants its pictures."""
        ...

    def parts(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        """The words in portions that its text side can hold at once."""
        ...

    def find(self, pictures: Sequence[Image.Image], words: Sequence[tuple[str, ...]]) -> Found:
        """One forward pass; `words[i]`, at least one, are looked for in picture i."""
        ...


class OpenVocabularyDetector:
    """Fills the `Detector` seam: each picture is searched for the words of its own target."""

    tight = True
    """Boxes fit the things already; see `eyes.py`."""

    def __init__(self, network: Network, spec: DetectorSpec) -> None:
        self._network = network
        self._spec = spec

    def detect(self, pictures: Sequence[Image.Image], targets: Sequence[Target]) -> list[list[Region]]:
        """The whole picture, then at most `spec.most` boxes, best first, each with the word that it was found by.

        Without categories: everyday things. Keys are not used.
        """
        import torch

        parts = [(i, words) for i, target in enumerate(targets) for words in self._network.parts(_words(target))]
        hits: list[list[_Hits]] = [[] for _ in pictures]
        with torch.inference_mode():
            for start in range(0, len(parts), self._spec.batch):
                batch = parts[start : start + self._spec.batch]
                found = self._network.find([pictures[i] for i, _ in batch], [words for _, words in batch])
                for (i, words), boxes, scores in zip(batch, found.boxes, found.scores, strict=True):
                    hits[i].append(self._above_threshold(boxes, scores[:, : len(words)], words))
            return [self._regions(picture, found) for picture, found in zip(pictures, hits, strict=True)]

    def _above_threshold(self, boxes: torch.Tensor, scores: torch.Tensor, words: tuple[str, ...]) -> _Hits:
        best, column = scores.max(dim=1)
        kept = (best >= self._spec.score).nonzero()[:, 0]
        return _Hits(boxes[kept], best[kept], [words[c] for c in column[kept].tolist()])

    def _regions(self, picture: Image.Image, hits: Sequence[_Hits]) -> list[Region]:
        """One region for one thing: of boxes that lie on each other the best stays, whatever their words."""
        import torch
        from torchvision.ops import nms

        words = [word for part in hits for word in part.words]
        boxes = self._network.canvas.fractions(torch.cat([part.boxes for part in hits]), picture)
        scores = torch.cat([part.scores for part in hits])
        order = scores.argsort(descending=True, stable=True)
        size = boxes[:, 2:] - boxes[:, :2]
        order = order[(size >= SMALLEST).all(dim=1)[order]][:CONSIDERED]
        chosen = order[nms(boxes[order], scores[order], self._spec.overlap)][: self._spec.most]
        regions = [
            Region(Box(*box), score=score, tags=(Tag(words[i], score),))
            for i, box, score in zip(
                chosen.tolist(), boxes[chosen].tolist(), scores[chosen].clamp(0, 1).tolist(), strict=True
            )
        ]
        return [Region(WHOLE, whole=True, score=max((r.score for r in regions), default=0.0)), *regions]


@dataclass(frozen=True, slots=True)
class _Hits:
    """float32[N, 4] in fractions of the canvas, float32[N], and the best word of each."""

    boxes: torch.Tensor
    scores: torch.Tensor
    words: list[str]


def portions(words: Sequence[str], costs: Sequence[int], room: int) -> Iterator[tuple[str, ...]]:
    """Consecutive words whose costs add up to at most `room`; a word that alone costs more stands alone."""
    part: list[str] = []
    used = 0
    for word, cost in zip(words, costs, strict=True):
        if part and used + cost > room:
            yield tuple(part)
            part, used = [], 0
        part.append(word)
        used += cost
    if part:
        yield tuple(part)


def _words(target: Target) -> tuple[str, ...]:
    """The target's categories, each once, as the text sides know them: lower case, single spaces, no full stops."""
    words = (" ".join(category.casefold().replace(".", " ").split()) for category in target.categories)
    return tuple(dict.fromkeys(word for word in words if word)) or EVERYDAY_THINGS
