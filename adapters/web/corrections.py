"""*Wrong?*: which part of the photo shows whom, and whom not."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.web.tabs import Correction, Tab
from rapbot.assistant import Assistant
from rapbot.errors import ConceptError
from rapbot.messages import Actor, Reply

NOBODY = "None of them"
_WHOLE = 0
"""The scene of a photo starts with the whole picture."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the form offers: (label, region) and names."""

    regions: tuple[tuple[str, int], ...]
    names: tuple[str, ...]


class Corrections:
    def __init__(self, assistant: Assistant, actor: Actor) -> None:
        self._assistant = assistant
        self._actor = actor

    async def begin(self, tab: Tab, answer_id: str) -> Choices:
        """Open the form for one answer. Raises RapbotError when the answer is too old."""
        self.cancel(tab)
        reply = await self._assistant.why(self._actor, answer_id)
        called = {sighting.region: sighting.name for sighting in reply.sightings}
        token = tab.shelf.put(reply.picture) if reply.picture else None
        tab.correction = Correction(answer_id, called, token)
        # what was named comes first: that is most often what is wrong
        regions = sorted({*reply.regions, _WHOLE}, key=lambda region: (region not in called, region))
        names = tuple(concept.name for concept in await self._assistant.memory.concepts(self._actor))
        return Choices(tuple((_label(region, called.get(region)), region) for region in regions), (*names, NOBODY))

    async def save(self, tab: Tab, region: int | None, right: str | None) -> Reply:
        """Teach the correction. Raises RapbotError."""
        correction = tab.correction
        if correction is None:
            raise ConceptError("That correction is closed; please press Wrong? again.")
        if region is None or not right:
            raise ConceptError("Choose a part of the photo and who or what it really shows.")
        was = correction.named.get(region)
        name = None if right == NOBODY else right
        if name is None and was is None:
            raise ConceptError("I did not name that part, so there is nothing to take back. Choose who it is instead.")
        reply = await self._assistant.teaching.wrong(self._actor, correction.answer_id, region, name, was=was)
        self.cancel(tab)
        return reply

    def cancel(self, tab: Tab) -> None:
        if tab.correction is not None and tab.correction.picture is not None:
            tab.shelf.drop(tab.correction.picture)
        tab.correction = None


def _label(region: int, name: str | None) -> str:
    part = "Whole picture" if region == _WHOLE else f"Part {region}"
    return f"{part} · I said {name}" if name else part
