"""Samples in the six kinds of RAP, out of concepts and photos alone: seeded, the same source gives the same samples.

What is true is known by construction: who is on a photo, and where, by the source, or because the scene was laid out
here; what a card tells because the fact was added to it here. So no annotator model is needed; captions and
descriptions are plainer for it. Concepts change their names and facts from sample to sample, so that only reading the
list in the prompt can be learned, never a name by heart. Noise concepts join the list and the answer stays the same
(RAP, section 3.2).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from rapbot.errors import ConfigError
from rapbot.inference.prompt import SILENT
from rapbot.inference.wording import mark
from training.augment.recipe import Augmentation
from training.pocket.grammar import TRAIN, small_talk
from training.rap import wordings
from training.rap.pictures import Pictures, View
from training.rap.samples import KINDS, Crop, Sample
from training.rap.sources import Source

PROPORTIONS: Mapping[str, float] = dict(zip(KINDS, (100.0, 40.0, 30.0, 7.0, 16.0, 67.0), strict=True))
"""Thousands of samples of RAP-260K. Source: RAP.md, "Training"."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is composed."""

    count: int = 2000
    concepts: int = 2
    """K: concepts in a prompt at most."""
    seed: int = 0
    noise: float = 0.5
    """Share of the samples whose list also has concepts that are not on the photo."""
    renamed: float = 0.5
    """Share of the samples whose concepts have other names than in the source."""
    scenes: int | None = None
    """Photos laid out of pictures of concepts; None: as many as there are photos."""
    proportions: Mapping[str, float] = field(default_factory=lambda: PROPORTIONS)
    augmentation: Augmentation = field(default_factory=Augmentation)


class Composer:
    """Makes the pictures of samples in `work`/pictures at once, then any number of samples."""

    def __init__(
        self, source: Source, work: Path, plan: Plan, told: Callable[[int, int], None] = lambda done, total: None
    ) -> None:
        """`told` hears how many pictures are made. Raises PhotoError for one of the source that cannot be read."""
        self._source = source
        self._work = work
        self._plan = plan
        self._dice = random.Random(plan.seed)
        self.pictures = Pictures(source, work, plan.augmentation, self._dice, told)
        self._avatars = self.pictures.avatars()
        photos = self.pictures.photos()
        scenes = len(photos) if plan.scenes is None else plan.scenes
        laid = (self.pictures.scene(number, plan.concepts) for number in range(scenes))
        self._photos = photos + [view for view in laid if view.concepts]
        self._placed = [view for view in self._photos if view.boxes]
        self._fitting = [view for view in self._photos if 0 < len(view.concepts) <= plan.concepts] or self._photos
        self._names = list(source.concepts)

    def samples(self) -> list[Sample]:
        """`plan.count` samples in random order, and those that the source has finished. Raises ConfigError."""
        wanted = {kind: share for kind, share in self._plan.proportions.items() if share > 0}
        if not self._placed:
            wanted.pop("grounding", None)
        whole = sum(wanted.values())
        if not whole:
            raise ConfigError("Nothing can be composed: no photo has a box, and only grounding was asked for.")
        kinds = [kind for kind, share in wanted.items() for _ in range(round(self._plan.count * share / whole))]
        self._dice.shuffle(kinds)
        make = {
            "grounding": self._grounding,
            "recognition": self._recognition,
            "caption": self._caption,
            "description": self._description,
            "question": self._question,
            "general": self._general,
        }
        made = [make[kind]() for kind in kinds] + [self._finished(sample) for sample in self._source.finished]
        self._dice.shuffle(made)
        return [replace(sample, id=str(number)) for number, sample in enumerate(made)]

    def _grounding(self) -> Sample:
        view = self._dice.choice(self._placed)
        name = self._dice.choice(sorted(view.boxes))
        box = view.boxes[name]
        corners = ", ".join(f"{one:.3f}" for one in (box.left, box.top, box.right, box.bottom))
        asked = self._say(wordings.GROUNDING).format(name=mark(name))
        return self._finish("grounding", [(asked, f"[{corners}]")], view, [name], first=name)

    def _recognition(self) -> Sample:
        view = self._dice.choice(self._photos)
        absent = self._absent(view.concepts, 1)
        # A photo of nobody can only be answered with no.
        there = bool(view.concepts) and (self._dice.random() < 0.5 or not absent)
        name = self._dice.choice(view.concepts) if there else absent[0]
        asked = self._say(wordings.RECOGNITION).format(name=mark(name))
        return self._finish("recognition", [(asked, "Yes" if there else "No")], view, [name], first=name)

    def _caption(self) -> Sample:
        view = self._of_some()
        own = view.caption and self._dice.random() < 0.8
        answer = view.caption if own else self._named(view.concepts)
        return self._finish("caption", [(self._say(wordings.CAPTION), answer)], view, view.concepts)

    def _description(self) -> Sample:
        view = self._of_some()
        cards = self._source.concepts
        if view.description and self._dice.random() < 0.8:
            turn = (self._say(wordings.DESCRIPTION), view.description)
            return self._finish("description", [turn], view, view.concepts)
        told = [view.caption or self._named(view.concepts)]
        for name in view.concepts:
            kind = cards[name].category
            told += [wordings.kind_of(name, kind)] if kind else []
            told += [cards[name].info.strip()] if cards[name].info.strip() else []
        return self._finish("description", [(self._say(wordings.DESCRIPTION), " ".join(told))], view, view.concepts)

    def _question(self) -> Sample:
        """About what a card tells, does not tell, or the photo shows; a third of them without a photo."""
        dice = self._dice
        which = dice.random()
        if which < 0.2:
            photo = self._of_some()
            turn = (dice.choice(wordings.WHO_QUESTIONS), f"{', '.join(map(mark, photo.concepts))}.")
            return self._finish("question", [turn], photo, photo.concepts)
        view = self._of_some() if dice.random() < 0.67 else None
        if view and view.questions and dice.random() < 0.6:
            turn = dice.choice(view.questions)
            return self._finish("question", [turn], view, view.concepts)
        name = dice.choice(view.concepts if view and view.concepts else self._names)
        shown = view.concepts if view and view.concepts else (name,)
        card = self._source.concepts[name]
        if which < 0.35 and card.category:
            asked, answer = dice.choice(wordings.KIND_QUESTIONS), wordings.kind_of(name, card.category)
            return self._finish("question", [(asked.format(name=mark(name)), answer)], view, shown, first=name)
        facts = [fact for fact in wordings.FACTS if not any(word in f" {card.info.lower()} " for word in fact[0])]
        told = dice.sample(facts, min(len(facts), dice.choice((1, 2, 3))))
        values = [dice.choice(fact[4]) for fact in told]
        silent = [fact for fact in facts if not any(set(fact[0]) & set(other[0]) for other in told)]
        more = " ".join(fact[1].format(value=value) for fact, value in zip(told, values, strict=True))
        if not told or (silent and which > 0.75):
            fact, answer = dice.choice(silent or list(wordings.FACTS[:1])), SILENT
            if not silent:
                return self._general()
        else:
            fact = told[0]
            answer = fact[3].format(name=mark(name), value=values[0])
        asked = dice.choice(fact[2]).format(name=mark(name))
        return self._finish("question", [(asked, answer)], view, shown, first=name, more={name: more})

    def _general(self) -> Sample:
        """About no concept: from the source's own file, or a remark and its answer, or the shape of a photo."""
        dice = self._dice
        if self._source.general:
            found = dice.choice(self._source.general)
            return replace(found, kind="general", image=self.pictures.copied(found.image) if found.image else "")
        if dice.random() < 0.5:
            asked, answer = dice.choice(small_talk(TRAIN))
            return Sample("", "general", ((asked, answer),))
        view = dice.choice(self._photos)
        with Image.open(self._work / view.image) as picture:
            wide, tall = picture.size
        if wide == tall:
            asked, answer = "What shape does this picture have?", "It is a square."
        elif dice.random() < 0.5:
            asked, answer = wordings.SHAPES[0], "Yes, it is wider." if wide > tall else "No, it is taller."
        else:
            asked, answer = wordings.SHAPES[1], "It lies on its side." if wide > tall else "It stands upright."
        return self._finish("general", [(asked, answer)], view, ())

    def _finished(self, sample: Sample) -> Sample:
        """One of another's hand, with its pictures beside ours."""
        crops = tuple(replace(crop, picture=self.pictures.copied(crop.picture)) for crop in sample.crops)
        return replace(sample, image=self.pictures.copied(sample.image) if sample.image else "", crops=crops)

    def _finish(
        self,
        kind: str,
        turns: Sequence[tuple[str, str]],
        view: View | None,
        names: Sequence[str],
        first: str = "",
        more: Mapping[str, str] | None = None,
    ) -> Sample:
        """With the list of concepts: those of the answer, noise, other names. `first` leads it, as in serving."""
        dice = self._dice
        listed = list(names)
        room = self._plan.concepts - len(listed)
        if listed and room > 0 and dice.random() < self._plan.noise:
            listed += self._absent((*listed, *(view.concepts if view else ())), dice.randint(1, room))
        dice.shuffle(listed)
        listed.sort(key=lambda name: name != first)
        renamed = dict.fromkeys(listed, "")
        if dice.random() < self._plan.renamed:
            free = [name for name in wordings.NAMES if name not in self._source.concepts]
            renamed = dict(zip(listed, dice.sample(free, len(listed)), strict=True))

        def said(text: str) -> str:
            for old, new in renamed.items():
                text = text.replace(mark(old), f"\0{new or old}\0")
            parts = text.split("\0")
            return "".join(mark(part) if number % 2 else part for number, part in enumerate(parts))

        crops = []
        for name in listed:
            card = self._source.concepts[name]
            info = f"{card.info} {(more or {}).get(name, '')}".strip()
            crops.append(Crop(dice.choice(self._avatars[name]), renamed[name] or name, said(info), card.category))
        told = tuple((said(asked), said(answer)) for asked, answer in turns)
        return Sample("", kind, told, view.image if view else "", tuple(crops))

    def _of_some(self) -> View:
        """A photo whose concepts all fit into a prompt."""
        return self._dice.choice(self._fitting)

    def _absent(self, present: Sequence[str], count: int) -> list[str]:
        """Up to `count` concepts that are not `present`, without going through all of them."""
        free = len(self._names) - len(set(present))
        drawn = self._dice.sample(self._names, min(len(self._names), count + len(set(present)))) if free > 0 else []
        return [name for name in drawn if name not in present][:count]

    def _named(self, names: Sequence[str]) -> str:
        marked = [mark(name) for name in names]
        if not marked:
            return wordings.NOBODY[0]
        if len(marked) == 1:
            return self._dice.choice(wordings.CAPTIONS_OF_ONE).format(names=marked[0])
        together = f"{', '.join(marked[:-1])} and {marked[-1]}"
        return self._dice.choice(wordings.CAPTIONS_OF_MANY).format(names=together)

    def _say(self, choices: Sequence[str]) -> str:
        """The request of serving in two of five samples, else one of all."""
        return choices[0] if self._dice.random() < 0.4 else self._dice.choice(choices)


def statistics(samples: Sequence[Sample]) -> dict[str, Counter[str]]:
    """By kind: samples, those with a photo, concepts in all lists, lists of several, refusals, words of all answers."""
    table: dict[str, Counter[str]] = {}
    for sample in samples:
        row = table.setdefault(sample.kind or "?", Counter())
        row["samples"] += 1
        row["photos"] += bool(sample.image)
        row["concepts"] += len(sample.crops)
        row["several"] += len(sample.crops) > 1
        row["no"] += any(answer in ("No", SILENT) for _, answer in sample.turns)
        row["words"] += sum(len(answer.split()) for _, answer in sample.turns)
    return table
