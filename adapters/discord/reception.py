"""One turn for whatever a person did: acknowledge, do the work, show the answer, tell failures in one sentence."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import discord

from adapters.delivery import Turns, Work
from adapters.desk import Desk
from adapters.discord.channel import InteractionChannel, Sent
from adapters.discord.keeping import described
from adapters.discord.pictures import chosen, load
from adapters.discord.places import Members, People, chat_of_interaction, present
from adapters.intake import Undelivered
from adapters.rates import Asker, Rates
from adapters.recent import Recent
from adapters.sentences import sentence
from adapters.shares import Shares
from adapters.shown import Channel, Shown
from rapbot.assistant import Assistant
from rapbot.config import Settings
from rapbot.errors import RapbotError
from rapbot.i18n import _, speaking
from rapbot.inbox import handling
from rapbot.logs import get_logger
from rapbot.messages import Chat, ChatKind, ProgressListener, Request
from rapbot.watching import refused, trouble

_log = get_logger(__name__)
_REMEMBERED = 10_000
_DOWNLOADS = 16
"""Photos that are fetched at once."""
_QUOTES = re.compile('["“”„«»]')

InteractionWork = Callable[[ProgressListener], Awaitable[Shown | None]]


@dataclass(slots=True)
class Reception:
    """What the handlers of all events share."""

    assistant: Assistant
    desk: Desk
    settings: Settings
    members: Members
    people: People = field(default_factory=People)
    turns: Turns[Sent] = field(init=False)
    downloads: Shares = field(default_factory=lambda: Shares(_DOWNLOADS, _DOWNLOADS // 2))
    under_way: Shares = field(init=False)
    """Of the photos that may be in memory at once, until they are answered."""
    taking: bool = True
    """False while the bot stops: what runs is finished, nothing new begins."""
    _seen: Recent[int, None] = field(default_factory=lambda: Recent(_REMEMBERED))

    def __post_init__(self) -> None:
        worker = self.settings.worker
        self.turns = Turns(described=described, rates=Rates(self.settings.limits))
        self.under_way = Shares(worker.queue_size, worker.queue_per_person)

    def first_time(self, event_id: int) -> bool:
        """False for an event that came before: after a RESUME some may come twice."""
        new = self._seen.put(event_id, None)
        update = handling()
        return new or (update is not None and update.again)

    async def answer(self, key: str, channel: Channel[Sent], work: Work, language: str | None, asker: Asker) -> None:
        """`Turns.answer`, with the failures of Discord itself in the log: there is no place left to tell them."""
        try:
            await self.turns.answer(key, channel, work, language, asker)
        except (discord.DiscordServerError, discord.RateLimited, aiohttp.ClientError, OSError) as error:
            trouble("discord", error)
            _log.warning("answer not delivered", error=type(error).__name__)
            raise Undelivered from error
        except discord.HTTPException as error:
            trouble("discord", error)
            _log.warning("answer not delivered", status=error.status, code=error.code)

    async def interaction(
        self, interaction: discord.Interaction[Any], work: InteractionWork, *, private: bool = False
    ) -> None:
        """Acknowledge at once, then answer. `private`: for the person's eyes only where others read along."""
        if not await self.welcome(interaction):
            return
        actor = self.people.of_interaction(interaction)
        chat = chat_of_interaction(interaction)
        group = chat.kind is ChatKind.GROUP
        channel = InteractionChannel(interaction, group=group, present=present(interaction))
        try:
            await channel.acknowledge(private=private)
        except discord.HTTPException as error:  # too late, or the person is not there any more
            trouble("discord", error)
            update = handling()
            if update is None or not update.again or not channel.resume(error.code, private=private):
                _log.warning("interaction not acknowledged", status=error.status, code=error.code)
                return

        async def told(listener: ProgressListener) -> Shown | None:
            try:
                return await work(listener)
            except Exception as error:
                refused(error)
                return Shown(sentence(error), private=True)

        asker = Asker(actor.id, chat.id if group else "", open=True)
        await self.answer(f"interaction:{interaction.id}", channel, told, actor.language, asker)

    async def command(
        self,
        interaction: discord.Interaction[Any],
        text: str,
        files: tuple[discord.Attachment, ...] = (),
        *,
        private: bool = False,
    ) -> None:
        """A slash command or a menu, as the desk reads it."""
        actor = self.people.of_interaction(interaction)
        chat = chat_of_interaction(interaction)
        limits = self.settings.limits
        with speaking(actor.language):
            try:
                chosen(files, limits)
            except RapbotError as error:
                await self.refuse(interaction, error.sentence)
                return

        async def work(listener: ProgressListener) -> Shown | None:
            async with self.under_way.of(actor.id, len(files)):
                photos = await load(files, limits, self.downloads, actor.id)
                await self.members.check(chat)
                request = Request(actor, chat, text, photos, admin=is_admin(interaction))
                shown = with_hint(await self.desk.message(request, listener), chat)
            if shown is None:  # a command must be answered, else it goes on "thinking"
                return Shown(_("I don't answer here."), private=True)
            if shown.pictures or not photos:
                return shown
            # Nobody saw the photo of a slash command: the answer shows it, and its buttons find it there again.
            pictures = [await self.assistant.showable(actor, photo) for photo in photos]
            return replace(shown, pictures=tuple(picture for picture in pictures if picture is not None))

        await self.interaction(interaction, work, private=private)

    async def welcome(self, interaction: discord.Interaction[Any]) -> bool:
        """Whether this is new and may begin."""
        if not self.first_time(interaction.id):
            return False
        if not self.taking:
            with speaking(interaction.locale.value):
                await self.refuse(interaction, _("I am being restarted. Please try again in a minute."))
        return self.taking

    async def refuse(self, interaction: discord.Interaction[Any], said: str) -> None:
        """One sentence at once, for the person alone."""
        try:
            await InteractionChannel(interaction, group=False, present=False).refuse(said)
        except discord.HTTPException as error:
            trouble("discord", error)
            _log.warning("refusal not shown", status=error.status, code=error.code)


def named(name: str, info: str) -> str:
    """A name, of several words perhaps, and what follows it, as the desk tells them apart."""
    plain = _QUOTES.sub("'", name).strip()
    return f'"{plain}" {info}'


def is_admin(interaction: discord.Interaction[Any]) -> bool:
    """From the interaction itself, so that an administrator of yesterday is none today."""
    return interaction.guild_id is not None and interaction.permissions.manage_guild


def with_hint(shown: Shown | None, chat: Chat) -> Shown | None:
    """On a server the next photo reaches us only when it is addressed to us."""
    if shown is None or shown.awaits != "photo" or chat.kind is ChatKind.PRIVATE:
        return shown
    return replace(shown, text=f"{shown.text}\n" + _("Please mention me in the message with the photo."))
