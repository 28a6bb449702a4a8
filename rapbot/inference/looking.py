"""Answers that the photo itself gives, without asking the model: who is in it, where, and what else is there."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rapbot.inference.captions import compose_caption
from rapbot.inference.job import Card, Job, Scene, Task
from rapbot.inference.surroundings import other_things
from rapbot.inference.wording import fills, found, listed, located, mark, place, recognised, with_article
from rapbot.messages import Box, Sighting

_WHERE = re.compile(r"^(?:and )?where(?:'s| is| are)\b", re.I)
_WHERE_THEY = re.compile(
    r"^(?:and )?where(?:'s|’s| is| are) (?:he|she|it|they)(?: (?:in|on|here|there)\b.*|\W*)$", re.I
)
_IS_IT = re.compile(r"^(?:and )?(?:is|are|can you see|do you see)\b", re.I)
_IS_THIS = re.compile(r"^(?:and )?(?:is|are) (?:this|that|these|those)\b", re.I)
_IS_IT_NAMED = re.compile(r"^(?:and )?(?:is|are) (?:it|they)\b", re.I)
_FEW = r"(?:(?!(?:true|that|ok|okay|possible|safe|known|said|allowed|only|for|of|in|on|at|about|like)\b)\S+ ){0,3}?"
_NOT_HIS = r"(?!['’]?\w| (?:who|that|which)\b)"
"""Before and after a name: "Is it my dog Lala?"; unlike "Is it true that Lala bites?", "Is it Lala's birthday?"."""
_IN_PHOTO = re.compile(r"\b(?:photo|picture|pic|image|here|see|there)\b", re.I)
_THERE_IS = re.compile(r"^(?:and )?(?:is|are) there\b", re.I)
"""No place: "Is there a rule for washing it?"."""
_WHAT = re.compile(r"^(?:what|who)(?:'s| is| are| do you see| can you see| does| all)?\b", re.I)
_ELSE = re.compile(r"\b(?:next to|beside|near|behind|around(?! here\b)|else|background|in front of)\b", re.I)


def look_for(job: Job, scene: Scene | None) -> str:
    """FIND, RECOGNISE and LOCATE: composed from the sightings."""
    sightings = scene.sightings if scene else ()
    if job.task is Task.FIND:
        return found(sightings, scene.strangers if scene else 0)
    cards = {card.concept_id: card for card in job.concepts.cards}
    say = recognised if job.task is Task.RECOGNISE else located
    asked = [cards[number] for number in job.mentioned if number in cards]
    return " ".join(say(card, _sighting(scene, card)) for card in asked) or found(sightings)


def answer_from_scene(job: Job, scene: Scene, asked: Sequence[Card]) -> str:
    """The answer to a question about the photo, or "" when the photo is not what is asked about."""
    text = " ".join(job.text.split())
    if not asked and _WHERE_THEY.match(text):  # nobody was spoken of: whoever is there is meant
        known = {card.concept_id: card for card in job.concepts.cards}
        asked = [known[one.concept_id] for one in scene.sightings if one.concept_id in known]
        if not asked:
            return found(scene.sightings, scene.strangers)
    if _WHERE_THEY.match(text) and not any(_sighting(scene, card) for card in asked):
        return ""  # perhaps a card knows where they are
    if asked and _WHERE.match(text) and len(text.split()) <= 4 + 2 * len(asked):
        return " ".join(located(card, _sighting(scene, card)) for card in asked)
    if asked and _IS_IT.match(text) and (_IN_PHOTO.search(_THERE_IS.sub("", text)) or _is_this(text, asked)):
        return " ".join(recognised(card, _sighting(scene, card)) for card in asked)
    if _WHAT.match(text) and _ELSE.search(text):
        return _what_else(scene, job.concepts.cards)
    if not asked and _WHAT.match(text) and (_IN_PHOTO.search(text) or len(text.split()) <= 3):
        if text.casefold().startswith("who"):
            return found(scene.sightings, scene.strangers)
        return compose_caption(scene, {card.concept_id: card for card in job.concepts.cards})
    return ""


def _is_this(text: str, asked: Sequence[Card]) -> bool:
    """ "Is this Lala?", "Is it Lala?"; but "Is it kept in the kitchen?" asks about what was spoken of."""
    if _IS_THIS.match(text):
        return True
    named = "|".join(re.escape(card.name.replace("_", " ")) for card in asked)
    return bool(re.match(rf"{_IS_IT_NAMED.pattern} {_FEW}(?:{named}){_NOT_HIS}", text.replace("_", " "), re.I))


def two_places(card: Card, first: Box, second: Box) -> str:
    """The answer to "where is it?" when two looks at the photo disagree: what each says, and which one came first."""
    one, other = (("in most of the photo" if fills(box) else place(box)) for box in (first, second))
    again = f"says {other}" if one != other else "drew a different box there"
    return f"I recognised {mark(card.name)} {one}, but a second look {again}."


def _what_else(scene: Scene, cards: Sequence[Card]) -> str:
    names = listed([mark(sighting.name) for sighting in scene.sightings])
    things = listed([with_article(thing.word) for thing in other_things(scene, cards, limit=4)])
    if not things:
        return f"I can't make out anything{f' besides {names}' if names else ''} for sure."
    return f"Besides {names} I see {things}." if names else f"I see {things}."


def _sighting(scene: Scene | None, card: Card) -> Sighting | None:
    if scene is None:
        return None
    return next((one for one in scene.sightings if one.concept_id == card.concept_id), None)
