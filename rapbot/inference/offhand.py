"""Questions that cards answer in their own words, without any model: for the time in which they restart."""

from __future__ import annotations

from rapbot.inference.job import Answer, Job, Task
from rapbot.inference.questions import answer_at_once, told_by, whom
from rapbot.inference.reading import Verdict, most_telling, read_all
from rapbot.inference.writing import defused, with_names


def answer_offhand(job: Job) -> Answer | None:
    """None where a photo must be looked at, or where the cards do not say: that is the models' to answer."""
    if job.task is not Task.QUESTION or job.photo is not None or job.options:
        return None
    job = defused(job)
    meant = whom(job, None, [card for card in job.concepts.cards if card.concept_id in job.mentioned])
    if at_once := answer_at_once(job, None, meant):
        return _answer(job, at_once)
    if meant.cards:
        told = [reading for reading in read_all(job.text, meant.cards) if reading.verdict is not Verdict.UNKNOWN]
    else:
        told = most_telling(job.text, job.concepts.cards)
    return _answer(job, " ".join(map(told_by, told))) if told else None


def _answer(job: Job, text: str) -> Answer:
    said = with_names(text, job)
    return Answer(job.id, said.text, named=said.named)
