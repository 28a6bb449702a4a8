"""Questions that cards answer in their own words, without any model: for the time in which they restart."""

from __future__ import annotations

from rapbot.inference.job import Answer, Job, Task
from rapbot.inference.reading import Verdict, read_all
from rapbot.inference.writing import defused, told_by, with_names

_MOST_CARDS = 3
_AS_GOOD = 0.1
"""A card that tells about as much as the best one is quoted too."""


def answer_offhand(job: Job) -> Answer | None:
    """None where a photo must be looked at, or where the cards do not say: that is the models' to answer."""
    if job.task is not Task.QUESTION or job.photo is not None or job.options:
        return None
    job = defused(job)
    asked = [card for card in job.concepts.cards if not job.mentioned or card.concept_id in job.mentioned]
    told = [reading for reading in read_all(job.text, asked) if reading.verdict is not Verdict.UNKNOWN]
    if not told:
        return None
    best = [reading for reading in told if reading.score >= told[0].score - _AS_GOOD][:_MOST_CARDS]
    said = with_names(" ".join(map(told_by, told if job.mentioned else best)), job)
    return Answer(job.id, said.text, named=said.named)
