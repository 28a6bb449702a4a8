"""How an answer reaches its place: a reply to a message, or what an interaction opened."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import discord

from adapters.discord.showing import Part, parts, plain
from adapters.shown import Shown
from rapbot.i18n import _
from rapbot.inbox import Handling, handling

SMALLEST_LIMIT = 10 * 2**20
"""Bytes of a message with files where nothing says more (a direct message)."""
_EXPIRED = frozenset({10015, 50027})
"""Unknown webhook, invalid webhook token: the 15 minutes of an interaction are over."""
_ACKNOWLEDGED = 40060
"""The interaction has already been acknowledged."""
_UNKNOWN = 10062
"""Unknown interaction: nobody acknowledged it in time."""
_NO_MESSAGE = 10008
_NO_HISTORY = 160002
"""Replies need the permission to read what was written before."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The messages of one answer, in order."""

    messages: tuple[discord.Message | discord.PartialMessage, ...]
    """Partial: sent by an earlier run."""
    private: bool = False


async def _amend(sent: Sent, wanted: tuple[Part, ...]) -> list[discord.Message]:
    """Edit what is there; what is too much is deleted. The caller sends what is missing."""
    amended = [await message.edit(**part.as_edit()) for message, part in zip(sent.messages, wanted, strict=False)]
    await _delete(sent.messages[len(wanted) :])
    return amended


async def _delete(messages: tuple[discord.Message | discord.PartialMessage, ...]) -> None:
    for message in messages:
        try:
            await message.delete()
        except discord.NotFound:  # somebody was quicker
            continue


class MessageChannel:
    """Answers to a message, as replies to it that ping nobody."""

    def __init__(self, message: discord.Message, *, quiet: bool = False) -> None:
        """`quiet`: nobody asked, so nothing shows that an answer may come."""
        self._message = message
        self._quiet = quiet
        self._update = handling()
        self._sends = 0

    async def typing(self) -> None:
        if not self._quiet:
            await self._message.channel.typing()

    async def send(self, shown: Shown) -> Sent:
        if shown.private and self._message.guild is not None:
            return await self._privately(shown)
        return Sent(tuple([await self._post(part, first=not at) for at, part in enumerate(self._parts(shown))]))

    async def edit(self, sent: Sent, shown: Shown) -> Sent:
        if shown.private and self._message.guild is not None:
            await self.delete(sent)
            return await self.send(shown)
        wanted = self._parts(shown)
        try:
            amended = await _amend(sent, wanted)
        except discord.NotFound:  # a moderator deleted our answer
            return await self.send(shown)
        more = [await self._post(part) for part in wanted[len(sent.messages) :]]
        return Sent((*amended, *more))

    async def delete(self, sent: Sent) -> None:
        await _delete(sent.messages)

    def _parts(self, shown: Shown) -> tuple[Part, ...]:
        guild = self._message.guild
        return parts(shown, guild.filesize_limit if guild is not None else SMALLEST_LIMIT)

    async def _post(self, part: Part, *, first: bool = False) -> discord.Message:
        """Less is sent where we may not do everything: words without pictures, a message that is no reply."""
        try:
            return await self._try(part, reply=first)
        except discord.Forbidden:
            if not part.files:
                raise
            said = f"{part.content}\n" + plain(_("I may not attach pictures here."))
            return await self._try(Part(said.strip(), (), part.buttons), reply=first)
        except discord.HTTPException as error:
            if error.code != _NO_HISTORY:
                raise
            return await self._try(part, reply=False)

    async def _try(self, part: Part, *, reply: bool) -> discord.Message:
        options = part.as_new()
        if reply:
            # A question deleted meanwhile is no reason to lose the answer.
            options["reference"] = self._message.to_reference(fail_if_not_exists=False)
        if self._update is None:
            return await self._message.channel.send(**options, mention_author=False)
        return await self._once(self._update, part, options)

    async def _once(self, update: Handling, part: Part, options: dict[str, Any]) -> discord.Message:
        """For some minutes Discord makes no second message of the same nonce: it gives back the first.

        So an answer that was sent just before a crash is found again, and becomes what the new run says.
        """
        name = f"{update.arrived.question}:{update.arrived.key}:{self._sends}"
        self._sends += 1
        nonce = hashlib.blake2b(name.encode(), digest_size=12).hexdigest()
        sent = await self._message.channel.send(**options, nonce=nonce, mention_author=False)
        if not update.again or (sent.content == part.content and len(sent.attachments) == len(part.files)):
            return sent
        try:
            return await sent.edit(**part.as_edit())
        except discord.NotFound:  # a placeholder that the last run took away
            files = {"files": part.as_new()["files"]}  # those of before are read to their end
            return await self._message.channel.send(**options | files, mention_author=False)

    async def _privately(self, shown: Shown) -> Sent:
        """A message cannot be answered for one pair of eyes only, so this goes to the direct messages."""
        try:
            for part in parts(shown, SMALLEST_LIMIT):
                await self._message.author.send(**part.as_new())
        except discord.Forbidden:
            said = _("You take no direct messages from this server. The slash command shows it to you alone.")
        else:
            said = _("I have written to you privately.")
        return await self.send(Shown(said))


class InteractionChannel:
    """Answers to a slash command, a menu, a form or a button."""

    def __init__(self, interaction: discord.Interaction[Any], *, group: bool, present: bool) -> None:
        """`group`: others read along; `present`: we are a member there and may write without an interaction."""
        self._interaction = interaction
        self._group = group
        self._present = present
        self._pressed = interaction.type is discord.InteractionType.component
        self._private = self._pressed and bool(interaction.message and interaction.message.flags.ephemeral)
        self._original_open = False
        self._over = False

    def resume(self, refusal: int, *, private: bool) -> bool:
        """After a restart, `acknowledge` was refused with this code: whether an answer is possible all the same."""
        if refusal == _ACKNOWLEDGED:
            self._private = self._private if self._pressed else private and self._group
            self._original_open = not self._pressed
            return True
        self._over = refusal == _UNKNOWN and self._present
        return self._over

    async def acknowledge(self, *, private: bool) -> None:
        """Discord waits 3 seconds for this, then 15 minutes for the answer."""
        if self._pressed:
            await self._interaction.response.defer()
            return
        self._private = private and self._group
        await self._interaction.response.defer(ephemeral=self._private, thinking=True)
        self._original_open = True

    async def refuse(self, sentence: str) -> None:
        """Answer at once, for the person alone, instead of `acknowledge`."""
        (part, *_rest) = parts(Shown(sentence), SMALLEST_LIMIT)
        mentions = discord.AllowedMentions.none()
        await self._interaction.response.send_message(part.content, ephemeral=True, allowed_mentions=mentions)

    async def typing(self) -> None:
        """Commands show "is thinking…" by themselves; a pressed button shows nothing."""
        if self._pressed and self._present:
            await self._place().typing()

    async def send(self, shown: Shown) -> Sent:
        wanted = parts(shown, self._interaction.filesize_limit)
        private = self._private or (shown.private and self._group)
        if self._over:
            return await self._late(shown, private)
        try:
            return await self._send(shown, wanted, private)
        except discord.HTTPException as error:
            if error.code not in _EXPIRED or not self._present:
                raise
            return await self._late(shown, private)

    async def edit(self, sent: Sent, shown: Shown) -> Sent:
        private = self._private or (shown.private and self._group)
        if self._over or private != sent.private or (self._pressed and shown.replaces):
            await self.delete(sent)
            return await self.send(shown)
        wanted = parts(shown, self._interaction.filesize_limit)
        try:
            amended = await _amend(sent, wanted)
            more = [await self._follow_up(part, private) for part in wanted[len(sent.messages) :]]
        except discord.HTTPException as error:
            if error.code not in _EXPIRED or not self._present:
                raise
            return await self._late(shown, private)
        return Sent((*amended, *more), private)

    async def delete(self, sent: Sent) -> None:
        await _delete(sent.messages)

    async def _send(self, shown: Shown, wanted: tuple[Part, ...], private: bool) -> Sent:
        first: list[discord.Message] = []
        if self._original_open and private != self._private:
            # What was opened for all can be made private only by leaving it.
            await self._interaction.delete_original_response()
            self._original_open = False
        if self._original_open or (self._pressed and shown.replaces):
            self._original_open = False
            try:
                first = [await self._interaction.edit_original_response(**wanted[0].as_edit())]
            except discord.NotFound as error:
                if error.code != _NO_MESSAGE:
                    raise  # else an earlier run, or a moderator, deleted it
        more = [await self._follow_up(part, private) for part in wanted[len(first) :]]
        return Sent((*first, *more), private)

    async def _follow_up(self, part: Part, private: bool) -> discord.Message:
        return await self._interaction.followup.send(**part.as_new(), ephemeral=private, wait=True)

    async def _late(self, shown: Shown, private: bool) -> Sent:
        place: discord.abc.Messageable = self._interaction.user if private else self._place()
        public = replace(shown, private=False)
        return Sent(tuple([await place.send(**part.as_new()) for part in parts(public, SMALLEST_LIMIT)]), private)

    def _place(self) -> discord.PartialMessageable:
        channel = self._interaction.channel_id or 0
        client: discord.Client = self._interaction.client
        return client.get_partial_messageable(channel, guild_id=self._interaction.guild_id)
