"""*Wrong?*: which part of the photo shows whom, and whom not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from adapters.cards import Cards
from adapters.press import button, number_of
from adapters.shown import Button, Shown
from rapbot.assistant import Assistant
from rapbot.errors import ConceptError
from rapbot.i18n import _
from rapbot.messages import Actor, Chat, Photo

PhotoLoader = Callable[[], Awaitable[Photo | None]]
"""Fetches the photo of the question again from the platform; None when the platform has it no more."""

_NAMES = 8
"""Names to choose from."""
_WHOLE = 0
"""The scene of a photo starts with the whole picture."""


class Corrections:
    def __init__(self, assistant: Assistant, cards: Cards) -> None:
        self._assistant = assistant
        self._cards = cards

    async def recall(self, actor: Actor, chat: Chat, answer_id: str, photo: PhotoLoader) -> None:
        if not self._assistant.remembers(actor, answer_id) and (again := await photo()) is not None:
            await self._assistant.look_again(actor, chat, again, answer_id)

    async def which_part(self, actor: Actor, answer_id: str) -> Shown:
        reply = await self._assistant.why(actor, answer_id)
        called = {sighting.region: sighting.name for sighting in reply.sightings}
        me = number_of(actor)
        # what was named comes first: that is most often what is wrong
        regions = sorted({*reply.regions, _WHOLE}, key=lambda region: (region not in called, region))
        made = []
        for region in regions[:10]:
            label = _("Whole picture") if region == _WHOLE else _("Part {number}").format(number=region)
            if region in called:
                label += " · " + _("I said {name}").format(name=called[region])
            made.append(button(label, "part", me, answer_id, region))
        pictures = (reply.picture,) if reply.picture else ()
        return Shown(_("Which part of the photo is wrong?"), pictures, _two_in_a_row(made))

    async def which_name(self, actor: Actor, answer_id: str, region: int) -> Shown:
        me = number_of(actor)
        near = [s.concept_id for s in await self._assistant.sightings(actor, answer_id)]
        known = sorted(
            await self._assistant.memory.concepts(actor), key=lambda c: (c.id not in near, c.name.casefold())
        )
        made = [button(c.name, "right", me, answer_id, region, c.id) for c in known[:_NAMES]]
        made.append(button(_("None of them"), "right", me, answer_id, region, 0))
        return Shown(_("Who or what is it really?"), buttons=_two_in_a_row(made), replaces=True)

    async def correct(self, actor: Actor, answer_id: str, region: int, number: int) -> Shown:
        right = (await self._cards.by_number(actor, str(number))).name if number else None
        own = {concept.id: concept.name for concept in await self._assistant.memory.concepts(actor)}
        said = [s for s in await self._assistant.sightings(actor, answer_id) if s.region == region]
        was = next((own[s.concept_id] for s in said if s.concept_id in own), None)
        if right is None and was is None:
            if said:
                raise ConceptError(_("That is somebody else's; only they can correct it."))
            raise ConceptError(
                _("I did not name that part, so there is nothing to take back. Choose who it is instead.")
            )
        reply = await self._assistant.teaching.wrong(actor, answer_id, region, right, was=was)
        return Shown(reply.text, buttons=((button(_("Undo"), "undo", number_of(actor)),),), replaces=True)


def _two_in_a_row(made: Sequence[Button]) -> tuple[tuple[Button, ...], ...]:
    return tuple(tuple(made[n : n + 2]) for n in range(0, len(made), 2))
