"""Messages: which of them are for us, what they say, and which pictures belong to them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import discord

from adapters.discord.channel import MessageChannel
from adapters.discord.origins import before, spoken_of
from adapters.discord.pictures import attached, is_picture, load
from adapters.discord.places import chat_of_message
from adapters.discord.reception import Reception, with_hint
from adapters.rates import Asker
from adapters.recent import Recent
from adapters.sentences import sentence
from adapters.shown import Shown
from rapbot.errors import RapbotError
from rapbot.logs import get_logger
from rapbot.messages import ChatKind, ProgressListener, Request

_log = get_logger(__name__)
_EMOJI = re.compile(r"<a?:(\w{1,32}):\d+>")
_REMEMBERED = 2000
_KINDS = frozenset({discord.MessageType.default, discord.MessageType.reply})

Fingerprint = tuple[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class _Question:
    """What a message asks. `unasked`: a photo in a server that speaks to nobody."""

    text: str
    files: tuple[discord.Attachment, ...]
    unasked: bool = False


class Receiving:
    def __init__(self, reception: Reception, me: discord.abc.Snowflake) -> None:
        self._reception = reception
        self._me = me
        self._asked: Recent[str, Fingerprint] = Recent(_REMEMBERED)

    async def message(self, message: discord.Message) -> None:
        """A new message."""
        if self._from_person(message) and self._reception.taking and self._reception.first_time(message.id):
            await self._answer(message)

    async def edited(self, message: discord.Message) -> None:
        """A message that was answered says something else now; Discord also "edits" when it unfurls a link."""
        key = _key(message)
        if not self._from_person(message) or not self._reception.taking or not self._reception.turns.knows(key):
            return
        if self._asked.get(key) != _fingerprint(message):
            await self._answer(message)

    def deleted(self, channel_id: int, message_id: int) -> None:
        """Nobody waits for that answer any more."""
        self._asked.pop(f"{channel_id}:{message_id}")
        self._reception.turns.cancel(f"{channel_id}:{message_id}")

    def _from_person(self, message: discord.Message) -> bool:
        return not message.author.bot and message.webhook_id is None and message.type in _KINDS

    async def _answer(self, message: discord.Message) -> None:
        question = self._question(message)
        chat = chat_of_message(message)
        if question is None:
            return
        desk = self._reception.desk
        if question.unasked and await desk.photo_mode(chat) == "addressed":
            return
        actor = self._reception.people.of(message.author)

        async def work(listener: ProgressListener) -> Shown | None:
            files = question.files or (() if question.unasked else await self._referred(message))
            async with self._reception.under_way.of(actor.id, len(files)):
                photos = await load(files, self._reception.settings.limits, self._reception.downloads, actor.id)
                await self._reception.members.check(chat)
                text = question.text
                if not text and not photos:  # nothing but our name
                    text = "/help"
                request = Request(actor, chat, text, photos, admin=_is_admin(message))
                if question.unasked:
                    return await desk.message(request, unasked=True)
                return with_hint(await desk.message(request, listener), chat)

        async def unasked(listener: ProgressListener) -> Shown | None:
            try:
                return await work(listener)
            except RapbotError as error:  # nobody asked, so nobody is told
                _log.info("unasked photo not answered", error=type(error).__name__)
            except Exception as error:
                sentence(error)
            return None

        channel = MessageChannel(message, quiet=question.unasked)
        self._asked.put(_key(message), _fingerprint(message))
        doing = unasked if question.unasked else work
        group = chat.id if chat.kind is ChatKind.GROUP else ""
        asker = Asker(actor.id, group, unasked=question.unasked)
        await self._reception.answer(_key(message), channel, doing, actor.language, asker)

    def _question(self, message: discord.Message) -> _Question | None:
        """None: it is not for us, or says nothing."""
        text, files = self._words(message), tuple(attached(message))
        mentioned = any(person.id == self._me.id for person in message.mentions) or bool(self._own_roles(message))
        if message.guild is None or mentioned or self._is_reply_to_me(message):
            # A server without the message content intent shows us an empty message unless it mentions us.
            return _Question(text, files) if text or files or mentioned else None
        pictures = tuple(file for file in files if is_picture(file))
        if pictures and self._reception.settings.discord.message_content:
            return _Question(text, pictures, unasked=True)
        return None

    def _is_reply_to_me(self, message: discord.Message) -> bool:
        replied = message.reference.resolved if message.reference is not None else None
        return isinstance(replied, discord.Message) and replied.author.id == self._me.id

    def _own_roles(self, message: discord.Message) -> list[discord.Role]:
        """Discord gives each bot a role of the same name, and people mention that one by mistake."""
        return [role for role in message.role_mentions if role.tags is not None and role.tags.bot_id == self._me.id]

    def _words(self, message: discord.Message) -> str:
        """The text without the mention of us; other mentions as the names that people read."""
        text = re.sub(rf"<@!?{self._me.id}>", " ", message.content)
        for role in self._own_roles(message):
            text = text.replace(role.mention, " ")
        for person in message.mentions:
            text = re.sub(rf"<@!?{person.id}>", lambda _match, name=person.display_name: name, text)  # type: ignore[misc]
        return re.sub(r"[ \t]+", " ", _EMOJI.sub(r":\1:", text)).strip()

    async def _referred(self, message: discord.Message) -> tuple[discord.Attachment, ...]:
        """The pictures of the message that this one replies to: "who is this?" in reply to somebody's photo."""
        replied = await before(message) if message.type is discord.MessageType.reply else None
        return await spoken_of(replied, self._me.id) if replied is not None else ()


def _key(message: discord.Message) -> str:
    return f"{message.channel.id}:{message.id}"


def _fingerprint(message: discord.Message) -> Fingerprint:
    return message.content, tuple(file.id for file in attached(message))


def _is_admin(message: discord.Message) -> bool:
    return isinstance(message.author, discord.Member) and message.author.guild_permissions.manage_guild
