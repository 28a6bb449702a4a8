"""The two platforms as a chaos campaign sees them: people who ask, what came back, and trouble to order."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from tests.peers.discord import DiscordPeer
from tests.peers.telegram import TelegramPeer

PEOPLE = 4
WAITING = "…"
"""Ends every message that is no answer yet."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message of the bot: which question it answers, what it says now, and when it came (monotonic seconds)."""

    question: int
    text: str
    at: float


class House(Protocol):
    """One platform with its people, in private chats. Questions are named by numbers."""

    name: str
    address: str
    token: str
    bot: str
    """Its number on the platform."""
    people: tuple[str, ...]
    """Ids as in `Actor.id`."""

    def ask(self, person: int, text: str, photo: bytes | None = None) -> int: ...

    def said(self) -> list[Said]: ...

    def trouble(self, chance: random.Random) -> str:
        """Something goes wrong from now on; what."""
        ...

    def calm(self) -> None:
        """Nothing goes wrong any more."""
        ...

    @property
    def always_told(self) -> bool:
        """Whether the platform says again what the program did not take, for instance because it was not running."""
        ...

    def unknown_fate(self) -> set[int]:
        """Questions whose answer the platform took without saying so: nobody can know that it is there."""
        ...

    async def until(self, check: Callable[[], bool], seconds: float) -> bool:
        """Whether it becomes true in time."""
        ...

    @property
    def calls(self) -> int:
        """How many requests the bot has made."""
        ...


class Telegram:
    name = "telegram"
    always_told = True

    def __init__(self, peer: TelegramPeer) -> None:
        self._peer = peer
        self.address, self.token, self.bot = peer.address, peer.token, str(peer.bot["id"])
        persons = [peer.person(f"Person {number}") for number in range(PEOPLE)]
        self.people = tuple(f"telegram:{person.id}" for person in persons)
        self._chats = [(peer.private(person), person) for person in persons]

    def ask(self, person: int, text: str, photo: bytes | None = None) -> int:
        chat, who = self._chats[person]
        if photo is None:
            return int(self._peer.say(chat, who, text)["message_id"])
        return int(self._peer.send_photo(chat, who, photo, text)["message_id"])

    def said(self) -> list[Said]:
        return [
            Said(one.reply_to or 0, one.text or one.caption, one.at)
            for chat, _person in self._chats
            for one in self._peer.sent(chat)
        ]

    def trouble(self, chance: random.Random) -> str:
        method = chance.choice(["sendMessage", "sendPhoto", "getFile", "download", "getUpdates", "editMessageText"])
        times = chance.randrange(1, 6)
        match chance.choice(["429", "500", "502", "drop", "lost", "slow"]):
            case "429":
                self._peer.fail_next(method, 429, retry_after=1, times=times)
                return f"{method} refused with 429, {times} times"
            case "500" | "502" as code:
                self._peer.fail_next(method, int(code), times=times)
                return f"{method} refused with {code}, {times} times"
            case "drop":
                self._peer.drop_next(method, times=times)
                return f"{method} dropped before it took effect, {times} times"
            case "lost":
                self._peer.drop_next(method, processed=True)
                return f"{method} dropped after it took effect"
            case _:
                seconds = chance.uniform(0.1, 1.0)
                self._peer.delay(method, seconds)
                return f"{method} {seconds:.1f} s late"

    def calm(self) -> None:
        for method in ("sendMessage", "sendPhoto", "getFile", "download", "getUpdates", "editMessageText"):
            self._peer.delay(method, 0)

    def unknown_fate(self) -> set[int]:
        lost = [call for call in self._peer.calls if call.answer is not None and call.answer.get("error_code") == 0]
        return {
            int((call.arguments.get("reply_parameters") or {}).get("message_id", 0))
            for call in lost
            if call.method.startswith("send")
        }

    async def until(self, check: Callable[[], bool], seconds: float) -> bool:
        try:
            return await self._peer.wait_for(check, seconds)
        except AssertionError:
            return False

    @property
    def calls(self) -> int:
        return len(self._peer.calls)


class Discord:
    name = "discord"
    always_told = False

    def __init__(self, peer: DiscordPeer) -> None:
        self._peer = peer
        self.address, self.token, self.bot = peer.world.base, peer.token, str(peer.bot_user.id)
        persons = [peer.person(f"Person {number}") for number in range(PEOPLE)]
        self.people = tuple(f"discord:{person.id}" for person in persons)
        self._dms = [(peer.dm(person), person) for person in persons]

    def ask(self, person: int, text: str, photo: bytes | None = None) -> int:
        dm, who = self._dms[person]
        return self._peer.say(dm, who, text, [("photo.jpg", photo)] if photo is not None else None).id

    def said(self) -> list[Said]:
        return [
            Said(one.replies_to.id if one.replies_to else 0, one.text, one.at)
            for dm, _person in self._dms
            for one in self._peer.sent(dm)
        ]

    def trouble(self, chance: random.Random) -> str:
        route = chance.choice(["POST /channels/.*/messages", "GET /cdn/", "PATCH /channels/.*/messages"])
        times = chance.randrange(1, 6)
        match chance.choice(["429", "500", "502", "drop", "lost", "slow", "gateway"]):
            case "429":
                self._peer.fail_next(route, 429, retry_after=0.3, times=times)
                return f"{route} refused with 429, {times} times"
            case "500" | "502" as code:
                self._peer.fail_next(route, int(code), times=times)
                return f"{route} refused with {code}, {times} times"
            case "drop":
                self._peer.drop_next(route, times=times)
                return f"{route} dropped before it took effect, {times} times"
            case "lost":
                self._peer.drop_next(route, after_work=True)
                return f"{route} dropped after it took effect"
            case "slow":
                seconds = chance.uniform(0.1, 1.0)
                self._peer.delay(route, seconds)
                return f"{route} {seconds:.1f} s late"
            case _:
                resumable = chance.random() < 0.5
                self._dropping = asyncio.ensure_future(self._peer.drop_connections(resumable=resumable))
                return f"the gateway's line is cut, {'to be resumed' if resumable else 'for good'}"

    def calm(self) -> None:
        self._peer.faults.rules.clear()

    def unknown_fate(self) -> set[int]:
        return set()  # a message of the same nonce is not made twice

    async def until(self, check: Callable[[], bool], seconds: float) -> bool:
        try:
            return await self._peer.wait_for(check, seconds)
        except TimeoutError:
            return False

    @property
    def calls(self) -> int:
        return len(self._peer.calls)


@asynccontextmanager
async def house(name: str) -> AsyncIterator[House]:
    if name == "telegram":
        async with TelegramPeer.start() as telegram:
            yield Telegram(telegram)
    else:
        async with DiscordPeer.start() as discord:
            yield Discord(discord)
