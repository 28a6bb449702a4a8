"""Whom a message of a chat means: by name, by kind, by a pronoun, or by going on with what was said before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rapbot.concepts.mentions import Mention, find_mentions, nearest_names
from rapbot.concepts.visibility import Sight
from rapbot.conversation import ChatContext
from rapbot.errors import NameUnknown
from rapbot.following import (
    asked_again,
    asks_again,
    asks_which_of_them,
    begins_with_pronoun,
    is_about_nothing,
    is_elliptic,
    meant_before,
)
from rapbot.inference.job import Card
from rapbot.inference.kindred import kindred
from rapbot.understanding import has_pronoun, unknown_subject


@dataclass(frozen=True, slots=True)
class Meaning:
    """`text` is the message, or the question that it asks again; `spans` the (start, end) of the names in it.
    `mentioned`: the concepts that it is certainly about, first named first; `spoken_of`: whom a pronoun may mean."""

    text: str
    spans: tuple[tuple[int, int], ...] = ()
    mentioned: tuple[int, ...] = ()
    spoken_of: tuple[int, ...] = ()


def meaning_of(
    text: str, context: ChatContext, sight: Sight, *, seen: bool = False, about: Sequence[str] = ()
) -> Meaning:
    """`seen`: a photo came with the message, so "she" may be somebody in it; `about`: names that are meant whatever the
    text says. Takes over 20 ms where a matcher of many new names is built: call it in a thread. Raises NameUnknown."""
    mentions = _certain(text, sight)
    mentioned = _namesakes(text, mentions, sight)
    if mentioned and not seen and (her := _subject(text, mentions, context, sight)):  # "does she live with Anna?"
        return Meaning(text, tuple((one.start, one.end) for one in mentions), her)
    if not seen and (again := _again(text, mentions, context, sight)):
        text, mentions = again, _certain(again, sight)
        mentioned = mentioned or _namesakes(text, mentions, sight)
    mentioned = tuple(dict.fromkeys((*mentioned, *(c.concept_id for c in sight.visible.cards if c.name in about))))
    spoken_of: tuple[int, ...] = ()
    if not mentioned:
        _refuse_unknown(text, sight)
        mentioned, spoken_of = _without_name(text, context, sight, seen=seen)
    return Meaning(text, tuple((one.start, one.end) for one in mentions), mentioned, spoken_of)


def named_in(text: str, sight: Sight) -> tuple[int, ...]:
    """Only the concepts that a text names. For a thread, as `meaning_of`."""
    return _namesakes(text, _certain(text, sight), sight)


def _certain(text: str, sight: Sight) -> list[Mention]:
    return [mention for mention in find_mentions(text, sight.names) if mention.certain]


def _namesakes(text: str, mentions: Sequence[Mention], sight: Sight) -> tuple[int, ...]:
    """Concept ids, first named first; a name that several people share in this group means all of them."""
    meant = (other for m in mentions for other in sight.namesakes(m.concept_id, text[m.start : m.end]))
    return tuple(dict.fromkeys(meant))


def _cards(ids: Sequence[int], sight: Sight) -> list[Card]:
    """Those that may still be named, in the order of `ids`."""
    known = {card.concept_id: card for card in sight.visible.cards}
    return [known[one] for one in ids if one in known]


def _again(text: str, mentions: Sequence[Mention], context: ChatContext, sight: Sight) -> str | None:
    """The last question of the chat, asked of whom `text` names or means ("and the doll?")."""
    spoken_of = [card.name for card in _cards(context.subjects, sight)]
    if not asks_again(text) or not context.turns or not spoken_of:
        return None
    named = list(dict.fromkeys(text[m.start : m.end] for m in mentions))
    if phrase := kindred(text, sight.visible.cards):
        of_kind = [card.name for card in _cards(phrase.ids, sight)]
        if mentions:  # "and the Moomin mug?"
            text = f"{text[: phrase.start]}{' and '.join(named)}{text[phrase.end :]}"
        elif len(of_kind) == 1:
            text, named = f"{text[: phrase.start]}{of_kind[0]}{text[phrase.end :]}", of_kind
    before = context.turns[-1].question
    asked = kindred(before, sight.visible.cards)
    if asked and not before[asked.start : asked.end].casefold().startswith(("which", "any")):  # "what does my dog eat?"
        before = f"{before[: asked.start]}{spoken_of[0]}{before[asked.end :]}"
    return asked_again(text, named, before, spoken_of)


def _subject(text: str, mentions: Sequence[Mention], context: ChatContext, sight: Sight) -> tuple[int, ...]:
    """Whom a question for Yes or No means that begins with a pronoun, whoever else it names; none for "is it Lala?"."""
    spoken_of = _cards(context.subjects, sight)
    if not spoken_of or not (begun := begins_with_pronoun(text)) or any(one.start <= begun + 1 for one in mentions):
        return ()
    return meant_before(text, spoken_of, _cards(context.earlier, sight))


def _without_name(
    text: str, context: ChatContext, sight: Sight, *, seen: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Whom a text without a name certainly means ("she"), and whom it may mean."""
    spoken_of = _cards(context.subjects, sight)
    of_kind = kindred(text, sight.visible.cards) is not None and not begins_with_pronoun(text)
    if spoken_of and has_pronoun(text) and not is_about_nothing(text):
        said = context.turns[-1].answer if context.turns else ""
        quoted = [mention.concept_id for mention in _certain(said, sight)]  # "lent to Fee"
        meant = meant_before(text, spoken_of, _cards((*quoted, *context.earlier), sight))
        return ((), meant) if seen or of_kind or asks_which_of_them(text) else (meant, ())
    if of_kind or seen or not is_elliptic(text):
        return (), ()
    return (), tuple(card.concept_id for card in spoken_of[:1])


def _refuse_unknown(text: str, sight: Sight) -> None:
    """Somebody who is asked for by a name that stands on no card."""
    name = unknown_subject(text)
    if name is None or kindred(text, sight.visible.cards) or any(name in card.info for card in sight.visible.cards):
        return
    raise NameUnknown(name, nearest_names(name, [known for _id, known in sight.names]))
