"""What an annotator is shown and what it writes; and the rules that every annotation keeps, whoever wrote it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from rapbot.errors import RapbotError
from rapbot.messages import Box

MOST_PROPERTIES, MOST_QUESTIONS = 6, 8
_LONGEST = {"name": 40, "category": 40, "property": 200, "caption": 400, "description": 1500, "question": 300}
"""Characters."""
_NAME = re.compile(r"<([^<>]*)>")


class Unusable(RapbotError):
    """An annotation breaks a rule, or none came; says which. Another try may succeed."""


class Unanswered(Unusable):
    """The service gave no answer at all: that says nothing about the request, and a later run asks again."""


class Stopped(RapbotError):
    """The run cannot go on: the budget is spent, or the service is gone. What is done is kept."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A thing, as it is called in texts. Labels may be empty."""

    name: str = ""
    category: str = ""
    box: Box | None = None
    phrases: tuple[str, ...] = ()
    """What people, or labels, say of it."""
    info: str = ""


@dataclass(frozen=True, slots=True)
class CropTask:
    """A thing cut out, to be described. `thing.name` is "", or the name that somebody gave it."""

    picture: Image.Image
    thing: Seen


@dataclass(frozen=True, slots=True)
class SceneTask:
    """A photo with concepts on it, each with a name."""

    picture: Image.Image
    things: tuple[Seen, ...]
    others: tuple[Seen, ...] = ()
    """Labelled things that are no concepts."""
    captions: tuple[str, ...] = ()
    """By people, without names."""


@dataclass(frozen=True, slots=True)
class CardNote:
    """`properties`: what can be seen of it and stays so, a sentence or part of one each."""

    name: str
    category: str
    properties: tuple[str, ...]

    @property
    def info(self) -> str:
        return " ".join(one if one.endswith((".", "!", "?")) else f"{one}." for one in self.properties)


@dataclass(frozen=True, slots=True)
class SceneNote:
    """Concepts are named in < >, all of them in the caption, no others anywhere."""

    caption: str
    description: str
    questions: tuple[tuple[str, str], ...] = ()
    """(question, answer)"""


class Annotator(Protocol):
    async def card(self, task: CropTask) -> CardNote:
        """Raises Unusable, Stopped."""
        ...

    async def scene(self, task: SceneTask) -> SceneNote:
        """Raises Unusable, Stopped."""
        ...

    def close(self) -> None: ...


def checked_card(note: CardNote, task: CropTask) -> CardNote:
    """Raises Unusable, saying which rule is broken."""
    if not note.category.strip():
        raise Unusable("The category is empty.")
    if not note.properties or not all(one.strip() for one in note.properties):
        raise Unusable("There are no properties.")
    for what, texts in (("name", [note.name]), ("category", [note.category]), ("property", list(note.properties))):
        _check_length(what, texts)
        if any("<" in text or ">" in text or "\n" in text for text in texts):
            raise Unusable(f"A {what} holds < or > or several lines.")
    if task.thing.name and note.name != task.thing.name:
        raise Unusable("The name is another one than was given.")
    return note


def checked_scene(note: SceneNote, task: SceneTask) -> SceneNote:
    """Raises Unusable, saying which rule is broken."""
    names = {thing.name for thing in task.things}
    if not note.caption.strip() or not note.description.strip():
        raise Unusable("The caption or the description is empty.")
    if missing := sorted(names - set(_NAME.findall(note.caption))):
        raise Unusable(f"The caption does not name <{missing[0]}>.")
    if task.things and not _NAME.search(note.description):
        raise Unusable("The description names nobody.")
    texts = [note.caption, note.description, *(text for turn in note.questions for text in turn)]
    if foreign := sorted({name for text in texts for name in _NAME.findall(text)} - names):
        raise Unusable(f"A text names <{foreign[0]}>, who is not on the photo.")
    _check_length("caption", [note.caption])
    _check_length("description", [note.description])
    for asked, answer in note.questions:
        _check_length("question", [asked, answer])
        if not asked.rstrip().endswith("?") or not answer.strip():
            raise Unusable("A question does not end with ?, or has no answer.")
    return note


def _check_length(what: str, texts: list[str]) -> None:
    if any(len(text) > _LONGEST[what] for text in texts):
        raise Unusable(f"A {what} is longer than {_LONGEST[what]} characters.")
