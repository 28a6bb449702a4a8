"""The sentences with which the core says what it did."""

from __future__ import annotations

from rapbot.concepts.concept import Concept
from rapbot.concepts.store import Undone, UndoneKind
from rapbot.conversation import AnswerRecord
from rapbot.inference.job import Job


def without_brackets(text: str, job: Job) -> str:
    for card in job.concepts.cards:
        text = text.replace(f"<{card.name}>", card.name)
    return text


def undone_sentence(undone: Undone | None, concept: Concept | None) -> str:
    if undone is None:
        return "Undone."
    match undone.kind:
        case UndoneKind.REMEMBER:
            return f"Undone: I don't know {undone.name} any more."
        case UndoneKind.EDIT:
            after = concept.name if concept else undone.name
            return f"Undone: {after} is as before your last change: {concept.info if concept else ''}".rstrip(": ")
        case UndoneKind.ADD_AVATAR:
            return f"Undone: I have deleted the last photo of {undone.name}."
        case UndoneKind.ADD_COUNTEREXAMPLE:
            return f"Undone: I have deleted that correction of {undone.name}."


def why_sentences(record: AnswerRecord, names: dict[int, str], most: int = 8) -> str:
    """One line per comparison, accepted ones first; distances as in `Sighting.distance`."""
    lines = []
    for candidate in sorted(record.scene.candidates, key=lambda c: not c.accepted)[:most]:
        if candidate.concept_id not in names:
            continue
        verdict = "accepted" if candidate.accepted else candidate.reason or "too far"
        where = "whole picture" if record.scene.regions[candidate.region].whole else f"part {candidate.region}"
        lines.append(
            f"{where} and {names[candidate.concept_id]}: distance {candidate.distance:.2f}, "
            f"{candidate.confidence:.0%} sure ({verdict})"
        )
    return "\n".join(lines) if lines else "I compared nothing: you have not taught me anything yet."
