"""Several photos sent together get one answer: the same caption once, different ones each with its number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rapbot.errors import RapbotError
from rapbot.i18n import ngettext
from rapbot.messages import Reply


def combined(answers: Sequence[Reply | RapbotError]) -> Reply:
    """The replies to the photos of an album, in order, as one. Raises the first error when there is nothing else."""
    errors = [answer for answer in answers if isinstance(answer, RapbotError)]
    if len(errors) == len(answers):
        raise errors[0]
    parts = tuple(Reply(answer.sentence) if isinstance(answer, RapbotError) else answer for answer in answers)
    first = next(part for part in parts if part.answer_id is not None or part.text)
    numbers: dict[str, list[int]] = {}
    for number, part in enumerate(parts, 1):
        numbers.setdefault(part.text, []).append(number)
    if len(numbers) == 1:
        text = first.text
    else:
        text = "\n".join(f"{_which(places)}: {said}" for said, places in numbers.items())
    named = tuple(dict.fromkeys(concept for part in parts for concept in part.named))
    sightings = tuple(sighting for part in parts for sighting in part.sightings)
    return replace(first, text=text, picture=None, sightings=sightings, named=named, parts=parts)


def _which(numbers: list[int]) -> str:
    listed = ", ".join(map(str, numbers))
    return ngettext("Photo {numbers}", "Photos {numbers}", len(numbers)).format(numbers=listed)
