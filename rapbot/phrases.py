"""The sentences with which the core says what it did."""

from __future__ import annotations

import re

from rapbot.concepts.concept import Concept
from rapbot.concepts.kept import SAYS, SAYS_OF_POSTGRES, Kind
from rapbot.concepts.store import Undone, UndoneKind
from rapbot.config import Settings
from rapbot.conversation import AnswerRecord
from rapbot.i18n import _
from rapbot.inference.job import Job
from rapbot.inference.planning import plan


def without_brackets(text: str, job: Job) -> str:
    """Names of the job's concepts without their brackets, also "<A or B>" of two who cannot be told apart."""
    names = {card.name for card in job.concepts.cards}

    def bare(found: re.Match[str]) -> str:
        return found[1] if found[1] in names or names.issuperset(found[1].split(" or ")) else found[0]

    return re.sub(r"<([^<>]*)>", bare, text)


def one_line(info: str) -> str:
    """The lines of a card behind each other."""
    return " ".join(info.split())


def card_sentence(concept: Concept) -> str:
    """What a card says, in one line."""
    info = one_line(concept.info) or _("no information yet.")
    return f"{concept.name} ({concept.category}): {info}"


def undone_sentence(undone: Undone | None, concept: Concept | None) -> str:
    if undone is None:
        return _("Undone.")
    match undone.kind:
        case UndoneKind.REMEMBER:
            return _("Undone: I don't know {name} any more.").format(name=undone.name)
        case UndoneKind.EDIT:
            after = concept.name if concept else undone.name
            text = _("Undone: {name} is as before your last change: {info}")
            return text.format(name=after, info=one_line(concept.info) if concept else "").rstrip(": ")
        case UndoneKind.ADD_AVATAR:
            return _("Undone: I have deleted the last photo of {name}.").format(name=undone.name)
        case UndoneKind.ADD_COUNTEREXAMPLE:
            return _("Undone: I have deleted that correction of {name}.").format(name=undone.name)


def why_sentences(record: AnswerRecord, names: dict[int, str], most: int = 8) -> str:
    """One line per comparison, accepted ones first; distances as in `Sighting.distance`."""
    lines = []
    for candidate in sorted(record.scene.candidates, key=lambda c: not c.accepted)[:most]:
        if candidate.concept_id not in names:
            continue
        verdict = _("accepted") if candidate.accepted else _(candidate.reason or "too far")
        whole = record.scene.regions[candidate.region].whole
        where = _("whole picture") if whole else _("part {number}").format(number=candidate.region)
        lines.append(
            _("{where} and {name}: distance {distance:.2f}, {sure:.0%} sure ({verdict})").format(
                where=where,
                name=names[candidate.concept_id],
                distance=candidate.distance,
                sure=candidate.confidence,
                verdict=verdict,
            )
        )
    return "\n".join(lines) if lines else _("I compared nothing: you have not taught me anything yet.")


def privacy_sentences(settings: Settings) -> str:
    """What is kept, where and how long, as this program is configured."""
    expires = settings.retention.days > 0
    says = SAYS | SAYS_OF_POSTGRES if settings.store.enabled else SAYS
    kept = [_(words) for kind, words in says.items() if kind is not Kind.VISIT or expires]
    where = (
        _("What I keep, in the database of whoever runs me:")
        if settings.store.enabled
        else _("What I keep, on the computer that runs me:")
    )
    lines = [where, *(f"• {one}" for one in kept)]
    facts = {
        "hours": settings.inbox.hours,
        "minutes": settings.chat.context_minutes,
        "days": settings.retention.days,
        "warned": settings.retention.warn_days,
    }
    lines.append(
        _(
            "How long: until you delete it, or until I have not heard from you for {days} days; {warned} days before"
            " that I warn you."
        )
        if expires
        else _("How long: until you delete it.")
    )
    lines.append(
        _("It is encrypted on disk; whoever runs me has the key.")
        if settings.encryption.enabled
        else _("Whoever runs me can read it.")
    )
    if settings.store.enabled:
        lines.append(_("What you delete is gone for me at once; the database overwrites it when it needs the room."))
    lines.append(
        _("If they make backups, what you delete is in those until they are deleted; it does not come back from there.")
    )
    if plan(settings).generator.kind == "openai":
        lines.append(
            _("Photos and cards are also sent to a model on another server, which whoever runs me has chosen.")
        )
    lines.append(
        _(
            "What I don't keep: photos you send for an answer. They and your last words stay in memory for"
            " {minutes:.0f} minutes at most, so that you can go on asking, and are never kept on disk. My logs hold ids"
            " and times, no texts, names or photos."
        )
    )
    lines.append(
        _(
            "/mydata sends you everything, /forget NAME deletes one thing, /forgetme deletes it all, at once and for"
            " good."
        )
    )
    return "\n".join(lines).format(**facts)
