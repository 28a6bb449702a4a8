"""What the annotator model is asked, in our own words, and how its answers are read."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from rapbot.inference.wording import mark, place
from training.annotate.notes import (
    MOST_PROPERTIES,
    MOST_QUESTIONS,
    CardNote,
    CropTask,
    SceneNote,
    SceneTask,
    Seen,
    Unusable,
)

TASK = (
    "You annotate pictures for the training of an assistant that recognises things people have shown to it. "
    "Write only what can be seen or is given here. Answer with one JSON object and nothing else."
)
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:can(?:no|')t|can not|won't)|as an ai\b|against (?:my|the) polic)",
    re.IGNORECASE,
)
T = TypeVar("T", bound=BaseModel)


class _Card(BaseModel):
    model_config = ConfigDict(strict=True)
    name: str
    category: str
    properties: list[str]


class _Question(BaseModel):
    model_config = ConfigDict(strict=True)
    question: str
    answer: str


class _Scene(BaseModel):
    model_config = ConfigDict(strict=True)
    caption: str
    description: str
    questions: list[_Question]


def card_words(task: CropTask) -> str:
    thing = task.thing
    given = [f"It is labelled as: {thing.category}."] if thing.category else []
    given += [f"People say of it: {'; '.join(thing.phrases[:6])}."] if thing.phrases else []
    given += [f"Its owner says: {thing.info}"] if thing.info else []
    name = f'"{thing.name}", as given' if thing.name else "a short invented name that suits it (one word)"
    return "\n".join(
        [
            "The picture shows one thing, animal or person, cut out of a photo.",
            *given,
            "Describe what would tell it from others of its kind: colours, pattern, material, shape, hair, what is "
            "written on it. Nothing of the background, of the moment (pose, mood) or of what is not to be seen.",
            f'{{"name": {name}, "category": one or two words, "properties": [two to {MOST_PROPERTIES} short sentences '
            "without the name]}",
        ]
    )


def scene_words(task: SceneTask) -> str:
    shown = [f"- {mark(thing.name)}: {_told(thing)}" for thing in task.things]
    given = [f"Others wrote under it, not knowing the names: {' / '.join(task.captions[:5])}"] if task.captions else []
    return "\n".join(
        [
            "On this photo are, by name:",
            *shown,
            *given,
            "Names are always written in < >. caption: one sentence that names all of them. description: three to six "
            "sentences about the photo that use the names. questions: up to "
            f"{MOST_QUESTIONS} different ones about what the named do, wear or hold, where they are and what is around "
            "them, with short answers that the photo gives; some with yes, some with no.",
            '{"caption": "...", "description": "...", "questions": [{"question": "...?", "answer": "..."}]}',
        ]
    )


def read_card(text: str) -> CardNote:
    """Raises Unusable."""
    card = _read(text, _Card)
    lasting = tuple(one.strip() for one in card.properties if one.strip())[:MOST_PROPERTIES]
    return CardNote(card.name.strip().strip("<>"), card.category.strip().lower(), lasting)


def read_scene(text: str) -> SceneNote:
    """Raises Unusable."""
    scene = _read(text, _Scene)
    turns = tuple((one.question.strip(), one.answer.strip()) for one in scene.questions)[:MOST_QUESTIONS]
    return SceneNote(" ".join(scene.caption.split()), " ".join(scene.description.split()), turns)


def _told(thing: Seen) -> str:
    where = f", {place(thing.box)} of the photo" if thing.box else ""
    return f"{thing.category}{where}. {thing.info}".strip()


def _read(text: str, form: type[T]) -> T:
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        if _REFUSAL.search(text):
            raise Unusable("The model refused.")
        raise Unusable("The answer holds no JSON object.")
    try:
        table: Any = json.loads(text[start : end + 1])
        return form.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Unusable(f"The answer is not of the form that was asked for: {where}: {first['msg']}.") from error
    except (ValueError, RecursionError) as error:
        raise Unusable("The answer is not valid JSON.") from error
