"""An annotator made of grammar and real labels, for machines without any service. It says only what is known.

Known are the labels of the data set, what people said of the thing or the photo, where boxes lie, and the colours of
the pixels. Its texts are plainer than a model's, and never wrong about more than the labels are.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Sequence

from rapbot.inference.wording import fills, listed, mark, place
from training.annotate.colours import colours
from training.annotate.naming import name_for
from training.annotate.notes import CardNote, CropTask, SceneNote, SceneTask, Seen, checked_card, checked_scene
from training.annotate.rewording import with_names
from training.augment.grounds import seen_mask
from training.rap.wordings import kind_of, of_a_kind, several

UNKNOWN = "thing"
"""The category where no label tells one."""
_RELATIVE = re.compile(
    r"\b(?:left|right|middle|center|centre|front|back|behind|top|bottom|upper|lower|closest|nearest|farthest|far|near|"
    r"next|second|third|first|last|other|another|one|photo|picture|image|corner|side|edge|above|below|under|us|blurry|"
    r"white space|number)\b",
    re.IGNORECASE,
)
"""Words of phrases that are true of one photo only."""


class OfflineAnnotator:
    async def card(self, task: CropTask) -> CardNote:
        """Raises Unusable."""
        thing = task.thing
        category = thing.category or UNKNOWN
        dice = random.Random(hashlib.sha256(task.picture.tobytes()).digest())
        said = [thing.info] if thing.info else _said(thing)
        if not thing.info and category != "person":
            said += _coloured(task)
        said = said or [f"{of_a_kind(category).capitalize()}."]
        return checked_card(CardNote(thing.name or name_for(category, dice), category, tuple(said[:4])), task)

    async def scene(self, task: SceneTask) -> SceneNote:
        """Raises Unusable."""
        worded = [found for one in task.captions if (found := with_names(one, task.things, task.others))]
        placed = [_located(thing) for thing in task.things if thing.box is not None]
        caption = worded[0] if worded else _plain(task)
        told = [caption, *worded[1:2], *placed, *_beside(task)]
        description = " ".join(dict.fromkeys(told))
        return checked_scene(SceneNote(caption, description, tuple(_questions(task))), task)

    def close(self) -> None:
        """Nothing is open."""


def _said(thing: Seen) -> list[str]:
    """What was said of it, without what is true of one photo only."""
    lasting = [one.strip(" .") for one in thing.phrases if not _RELATIVE.search(one) and len(one.split()) > 1]
    if thing.phrases and thing.phrases[0] in ("a man", "a woman"):  # CelebA: labels, all of them
        who, *has = thing.phrases
        stays = [one for one in has if one != "is smiling"]
        return [f"{who.capitalize()} who {listed(stays)}." if stays else f"{who.capitalize()}."]
    best = sorted(dict.fromkeys(lasting), key=lambda one: (-len(one.split()), one))[:2]
    return [one[:1].upper() + one[1:] + "." for one in best]


def _coloured(task: CropTask) -> list[str]:
    shares = colours(task.picture, seen_mask(task.picture))
    main = [name for name, share in shares.items() if share > 0.25][:2]
    if not main:
        return []
    return [f"Mostly {listed(main)}."] if sum(shares[name] for name in main) > 0.5 else [f"Partly {listed(main)}."]


def _plain(task: SceneTask) -> str:
    """A caption of names and places alone."""
    if not task.things:
        return "Nobody known is in the photo."
    if len(task.things) == 1:
        [thing] = task.things
        return _located(thing) if thing.box is not None else f"{mark(thing.name)} {_be(thing)} in the photo."
    told = []
    for thing in task.things:
        where = "" if thing.box is None or fills(thing.box) else f" ({place(thing.box)})"
        told.append(mark(thing.name) + where)
    return f"{listed(told)} are in the photo."


def _located(thing: Seen) -> str:
    assert thing.box is not None
    if fills(thing.box):
        return f"{mark(thing.name)} {'fill' if several(thing.category) else 'fills'} most of the photo."
    return f"{mark(thing.name)} {_be(thing)} {place(thing.box)} of the photo."


def _beside(task: SceneTask) -> list[str]:
    """What else the labels tell: "A chair and two cups can be seen too." """
    counts = Counter(one.category for one in task.others if one.category)
    told = [of_a_kind(kind) for kind, count in counts.items() if count == 1 and not several(kind)][:4]
    said = f"{listed(told)} can be seen too."
    return [said[:1].upper() + said[1:]] if told else []


def _questions(task: SceneTask) -> list[tuple[str, str]]:
    asked: list[tuple[str, str]] = []
    for thing in task.things:
        name, be = mark(thing.name), _be(thing)
        if thing.category and thing.category != UNKNOWN:
            asked.append((f"What kind of thing {be} {name}?", kind_of(thing.name, thing.category)))
        if thing.box is not None and not fills(thing.box):
            asked.append((f"Where {be} {name} in the photo?", f"{name} {be} {place(thing.box)}."))
    for one, other in _pairs(task.things):
        assert one.box is not None and other.box is not None  # noqa: PT018 - for mypy
        # Half of them ask for what is so, half for the opposite.
        word, true = ("left", True) if len(one.name) % 2 else ("right", False)
        asked.append((f"{_be(one).capitalize()} {mark(one.name)} to the {word} of {mark(other.name)}?", _yes(true)))
    return asked[:6]


def _pairs(things: Sequence[Seen]) -> list[tuple[Seen, Seen]]:
    """Things of which the first is clearly to the left of the second."""
    known = [thing for thing in things if thing.box is not None]
    return [
        (one, other)
        for one in known
        for other in known
        if one.box and other.box and one is not other and one.box.right <= other.box.left
    ]


def _yes(true: bool) -> str:
    return "Yes." if true else "No."


def _be(thing: Seen) -> str:
    return "are" if several(thing.category) else "is"
