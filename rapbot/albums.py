"""Several photos sent together get one answer: the same caption once, different ones each with its number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rapbot.clothes import Guess, Worn, guesses, taken_at
from rapbot.errors import RapbotError
from rapbot.i18n import _, ngettext
from rapbot.inference.job import Job, Scene, Task
from rapbot.messages import Reply, Sighting

_ABOUT_ONE = frozenset({Task.RECOGNISE, Task.LOCATE})
_HALF_SURE = 0.4


class Album:
    """What was seen in the photos of one message, while they are answered."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Job, Scene]] = {}
        self.guessed: set[str] = set()
        """Ids of the answers that name somebody by their clothes."""

    def add(self, answer_id: str, job: Job, scene: Scene) -> None:
        self._seen[answer_id] = (job, scene)

    def with_guesses(self, answers: Sequence[Reply | RapbotError]) -> list[Reply | RapbotError]:
        """The answers, and who else probably is in the photos, by what people named in the others wear."""
        shown = [number for number, (_job, scene) in self._seen.items() if scene.outfits]
        told: dict[str, tuple[Guess, ...]] = {}
        if len(shown) > 1:
            photos = [(self._seen[number][0].photo, self._seen[number][1].outfits) for number in shown]
            told = dict(
                zip(shown, guesses([Worn(worn, taken_at(photo or b"")) for photo, worn in photos]), strict=True)
            )
        return [
            self._with(answer, told.get(answer.answer_id or "", ())) if isinstance(answer, Reply) else answer
            for answer in answers
        ]

    def _with(self, reply: Reply, told: Sequence[Guess]) -> Reply:
        for guess in told:
            job, scene = self._seen[str(reply.answer_id)]
            card = next((card for card in job.concepts.cards if card.concept_id == guess.concept_id), None)
            avatars = (
                c.avatar_id for c in scene.candidates if (c.region, c.concept_id) == (guess.region, guess.concept_id)
            )
            if card is None or (job.task in _ABOUT_ONE and guess.concept_id not in job.mentioned):
                continue
            sighting = Sighting(
                guess.concept_id,
                card.name,
                scene.regions[guess.region].box,
                guess.distance,
                _HALF_SURE,
                next(avatars, 0),
                guess.region,
                card.owner_name,
                unsure=True,
            )
            said = _("Somebody there is probably {name}, by the clothes.").format(name=card.name)
            self.guessed.add(str(reply.answer_id))
            reply = replace(
                reply,
                text=f"{reply.text} {said}".strip(),
                sightings=(*reply.sightings, sighting),
                named=tuple(dict.fromkeys((*reply.named, guess.concept_id))),
            )
        return reply


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
