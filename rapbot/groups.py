"""Groups: what members share there, and how the bot behaves there.

Shares belong to one chat and one member: whoever leaves or unshares takes their concepts along at once.
"""

from __future__ import annotations

from enum import StrEnum

from rapbot.concepts.concept import Concept, shown_name
from rapbot.concepts.places import PlaceStore, SharedConcept
from rapbot.concepts.visibility import Visibility
from rapbot.conversation import Conversations
from rapbot.errors import ConceptError
from rapbot.i18n import _, ngettext
from rapbot.logs import get_logger
from rapbot.messages import Actor, Chat, ChatKind, Reply

_log = get_logger(__name__)


class PhotoMode(StrEnum):
    """Which photos of a group are captioned without anybody asking."""

    ADDRESSED = "addressed"
    RECOGNISED = "recognised"
    EVERY = "every"


class Groups:
    def __init__(self, places: PlaceStore, visibility: Visibility, conversations: Conversations) -> None:
        self._places = places
        self._visibility = visibility
        self._conversations = conversations

    async def share(self, actor: Actor, chat: Chat, concept: Concept) -> Reply:
        """Everybody in this group may have `concept` recognised from now on. Raises ConceptError."""
        _refuse_private(chat)
        who = shown_name(actor.display_name)
        await self._places.share(chat.id, SharedConcept(concept.id, actor.id, who))
        return Reply(
            _("{name} is shared with this group now, as “{shown}”. /unshare {name} takes it back.").format(
                name=concept.name, shown=f"{who}'s {concept.name}"
            ),
            named=(concept.id,),
        )

    async def unshare(self, actor: Actor, chat: Chat, concept: Concept | None = None) -> Reply:
        """Take `concept`, or everything of this person, out of the group."""
        _refuse_private(chat)
        gone = await self._places.unshare(chat.id, actor.id, concept.id if concept else None)
        self._withdraw(actor.id, gone)
        if not gone:
            raise ConceptError(_("You share nothing like that with this group."))
        if concept is not None:
            return Reply(_("{name} is not shared with this group any more.").format(name=concept.name))
        return Reply(
            ngettext(
                "{count} of your concepts is not shared with this group any more.",
                "{count} of your concepts are not shared with this group any more.",
                len(gone),
            ).format(count=len(gone))
        )

    async def sharers(self, chat: Chat) -> tuple[str, ...]:
        """Ids of the people (as in `Actor.id`) who share something here: adapters check that they are still members."""
        return tuple(dict.fromkeys(share.person for share in await self._places.shares(chat.id)))

    async def leave(self, person: str, chat: Chat) -> None:
        """This person (`Actor.id`) is no member any more: what they shared here is gone at once."""
        if gone := await self._places.unshare(chat.id, person):
            self._withdraw(person, gone)

    async def known(self, platform: str) -> tuple[str, ...]:
        """Ids of the groups of this platform of which something is kept: adapters check that the bot is still there."""
        return await self._places.known_chats(platform)

    async def are_of(self, platform: str, bot: int, *, inside: bool) -> bool:
        """Whether groups that do not know this bot have removed it; else it is another bot than before, tried out on
        the same memory. `inside`: some group does know it."""
        former = await self._places.served_by(platform)
        if former not in (None, bot) and not inside:
            _log.warning("another bot than before: its groups are kept", platform=platform)
            return False
        if former != bot:
            await self._places.served_by(platform, bot)
        return True

    async def close(self, chat: Chat) -> None:
        """The bot was removed from the group: nothing is kept about it."""
        shares = await self._places.shares(chat.id)
        await self._places.close_chat(chat.id)
        for share in shares:
            self._withdraw(share.person, (share.concept_id,))
        self._conversations.erase_chat(chat.id)

    async def move(self, old: Chat, new: Chat) -> None:
        """The platform gave the group another id."""
        await self._places.move_chat(old.id, new.id)
        self._conversations.erase_chat(old.id)

    async def mode(self, chat: Chat) -> PhotoMode:
        kept = await self._places.photo_mode(chat.id)
        return PhotoMode(kept) if kept in set(PhotoMode) else PhotoMode.ADDRESSED

    async def set_mode(self, chat: Chat, mode: PhotoMode) -> None:
        _only_where_i_am(chat, "settings")
        await self._places.set_photo_mode(chat.id, mode)

    def _withdraw(self, person: str, concepts: tuple[int, ...]) -> None:
        """What was said about these in other people's conversations is forgotten as well."""
        self._visibility.drop(person)
        for concept_id in concepts:
            self._conversations.forget_concept(concept_id, but=person)


def _only_where_i_am(chat: Chat, command: str) -> None:
    if not chat.member:
        raise ConceptError(_("/{name} is for groups: send it in a group where I am a member.").format(name=command))


def _refuse_private(chat: Chat) -> None:
    if chat.kind is not ChatKind.GROUP:
        raise ConceptError(_("Sharing is for groups: send me that in a group where I am a member."))
