"""Where a message comes from: what it replies to, and the pictures that an answer of ours speaks of."""

from __future__ import annotations

import discord

from adapters.discord.pictures import attached, is_picture

_FAR = 5
"""Steps back at most: part, *Wrong?*, answer, question, and the photo that the question replies to."""


async def before(message: discord.Message) -> discord.Message | None:
    """What a message answers: it replies to it, or came of a button on it or of its context menu."""
    reference, metadata = message.reference, message.interaction_metadata
    number = None
    if reference is not None and reference.type is discord.MessageReferenceType.reply:
        if isinstance(reference.resolved, discord.Message):
            return reference.resolved
        number = reference.message_id
    elif metadata is not None:
        number = metadata.interacted_message_id or metadata.target_message_id
    if number is None:
        return None
    try:
        return await message.channel.fetch_message(number)
    except (discord.NotFound, discord.Forbidden):  # deleted, or we may not read here
        return None


async def spoken_of(message: discord.Message, me: int) -> tuple[discord.Attachment, ...]:
    """The pictures that this message shows; of an answer of ours those of its question, without boxes."""
    found: tuple[discord.Attachment, ...] = ()
    step: discord.Message | None = message
    for _step in range(_FAR):
        if step is None:
            break
        pictures = tuple(file for file in attached(step) if is_picture(file))
        found = pictures or found
        if step.author.id != me and (pictures or step is message):
            break
        step = await before(step)
    return found
