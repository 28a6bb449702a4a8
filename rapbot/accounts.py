"""Accounts of one person on several platforms: linked by a one-time code, they share one memory."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict

from rapbot.concepts.places import PlaceStore
from rapbot.errors import ConceptError
from rapbot.i18n import _
from rapbot.inbox import handled
from rapbot.messages import Actor, Chat, ChatKind, Reply

LIFETIME_S = 600.0
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Without what is easily mistaken for something else: 0 O 1 I L."""
_LENGTH = 8
_TRIES = 5


class Accounts:
    def __init__(self, places: PlaceStore) -> None:
        self._places = places
        self._tries: OrderedDict[str, list[float]] = OrderedDict()

    async def offer(self, actor: Actor, chat: Chat) -> Reply:
        """A code that another account may use once. Only in private: who has it gets this person's memory."""
        if chat.kind is not ChatKind.PRIVATE:
            raise ConceptError(_("Codes are for you alone: please send me /link in our private chat."))
        code = "".join(secrets.choice(_ALPHABET) for _n in range(_LENGTH))
        with handled(None):  # asked again after a crash, the code must be made again: nobody has seen it
            await self._places.offer_link(actor.id, _digest(code), time.time() + LIFETIME_S)
        return Reply(
            _(
                "Send me this from your other account, in a private chat, within ten minutes:\n/link {code}\n"
                "Both accounts then share one memory. Give the code to nobody else. /unlink undoes it."
            ).format(code=f"{code[:4]}-{code[4:]}")
        )

    async def link(self, actor: Actor, chat: Chat, code: str) -> Reply:
        """Use a code. Raises ConceptError: a wrong or old code, too many tries, the same name in both memories."""
        if chat.kind is not ChatKind.PRIVATE:
            raise ConceptError(_("Codes are for you alone: please send me /link in our private chat."))
        self._count_try(actor.id)
        other = await self._places.link(actor.id, _digest(code), time.time())
        self._tries.pop(actor.id, None)
        platform = other.partition(":")[0].capitalize()
        return Reply(
            _("This account and your {platform} account share one memory now. /unlink undoes it.").format(
                platform=platform
            )
        )

    async def unlink(self, actor: Actor) -> Reply:
        """Each account gets back what it taught."""
        if not await self._places.unlink(actor.id):
            raise ConceptError(_("This account is not linked to another one."))
        return Reply(_("Your accounts are separate again. Each keeps what it taught."))

    async def all_of(self, person: str) -> tuple[str, ...]:
        """Every account that shares this memory, this one included."""
        return await self._places.identities(person)

    def _count_try(self, person: str) -> None:
        """A code has 8 of 31 signs: with five tries in ten minutes nobody finds one by guessing."""
        now = time.monotonic()
        recent = [moment for moment in self._tries.pop(person, []) if now - moment < LIFETIME_S]
        if len(recent) >= _TRIES:
            raise ConceptError(_("Too many codes did not fit. Please wait ten minutes."))
        self._tries[person] = [*recent, now]
        while len(self._tries) > 10_000:
            self._tries.popitem(last=False)


def _digest(code: str) -> bytes:
    return hashlib.sha256("".join(c for c in code.upper() if c in _ALPHABET).encode()).digest()
