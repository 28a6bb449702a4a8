"""Who there is, where they meet, and how membership changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tests.peers.telegram.wire import Chat, Person, Wire
from tests.peers.telegram.world import GONE, World


class Chats:
    """Makes people and chats; moves people, and the bot, in and out."""

    def __init__(self, world: World) -> None:
        self._world = world

    def person(
        self,
        first_name: str,
        id: int | None = None,  # noqa: A002
        language: str = "en",
        username: str | None = None,
    ) -> Person:
        """Somebody new. Without an id, the next free one; ids above 32 bits exist too."""
        number = 5_000_000_000 + next(self._world.numbers) if id is None else id
        ascii_name = "".join(c for c in first_name.lower() if c.isascii() and c.isalnum())
        person = Person(number, first_name, username or f"{ascii_name or 'user'}_{number}", language)
        self._world.users[number] = person.user
        return person

    def private(self, person: Person, started: bool = True) -> Chat:
        """The chat of a person with the bot; until it is `started` the bot cannot write there."""
        if person.id not in self._world.chats:
            members = {person.id: "member", self._world.bot["id"]: "member"}
            name = person.first_name
            self._world.chats[person.id] = Chat(person.id, "private", name, person, members, started=started)
        return self._world.chats[person.id]

    def group(
        self,
        title: str,
        members: Sequence[Person] = (),
        admins: Sequence[Person] = (),
        *,
        owner: Person | None = None,
        privacy: bool | None = None,
        bot_admin: bool = False,
        forum: bool = False,
        basic: bool = False,
    ) -> Chat:
        """A supergroup with the bot in it (`basic`: a small group that can be migrated).

        Every group has an owner: without `owner`, somebody else. `bot_admin`: the bot runs it too, so it
        reads everything and hears of members. `privacy` None takes the choice of `TelegramPeer.start`.
        """
        number = next(self._world.numbers)
        chat_id = -(4_000_000 + number) if basic else -(1_002_000_000_000 + number)
        statuses = {(owner or self.person("Olga")).id: "creator"}
        statuses |= {p.id: "member" for p in members} | {p.id: "administrator" for p in admins}
        statuses[self._world.bot["id"]] = "administrator" if bot_admin else "member"
        chat = Chat(chat_id, "group" if basic else "supergroup", title, None, statuses)
        chat.privacy = self._world.privacy if privacy is None else privacy
        chat.forum = forum
        self._world.chats[chat_id] = chat
        return chat

    def channel(self, title: str, *, bot_admin: bool = True) -> Chat:
        """A channel; only as its administrator the bot may post there."""
        chat_id = -(1_003_000_000_000 + next(self._world.numbers))
        members = {self._world.bot["id"]: "administrator" if bot_admin else "left"}
        self._world.chats[chat_id] = Chat(chat_id, "channel", title, None, members)
        return self._world.chats[chat_id]

    def join(self, group: Chat, person: Person) -> Wire:
        """Enter a group: a service message, and chat_member for an administrator bot."""
        self._world.set_status(group, person.id, "member", person.user)
        return self._service(group, person.user, {"new_chat_members": [person.user]})

    def leave(self, group: Chat, person: Person) -> Wire:
        """Leave a group: a service message, and chat_member for an administrator bot."""
        self._world.set_status(group, person.id, "left", person.user)
        return self._service(group, person.user, {"left_chat_member": person.user})

    def ban(self, group: Chat, person: Person) -> Wire:
        """Throw somebody out, by the owner."""
        owner = self._owner(group)
        self._world.set_status(group, person.id, "kicked", owner)
        return self._service(group, owner, {"left_chat_member": person.user})

    def promote(self, group: Chat, person: Person | None = None) -> None:
        """Make somebody (None: the bot) an administrator."""
        self._world.set_status(group, self._id(person), "administrator", self._owner(group))

    def demote(self, group: Chat, person: Person | None = None) -> None:
        """Make an administrator (None: the bot) a plain member."""
        self._world.set_status(group, self._id(person), "member", self._owner(group))

    def kick_bot(self, group: Chat) -> None:
        """Throw the bot out: my_chat_member, and 403 for all it sends there."""
        self._world.set_status(group, self._world.bot["id"], "kicked", self._owner(group))

    def add_bot(self, group: Chat) -> Wire:
        """Bring the bot (back) in: my_chat_member and a service message."""
        owner = self._owner(group)
        self._world.set_status(group, self._world.bot["id"], "member", owner)
        return self._service(group, owner, {"new_chat_members": [self._world.bot]})

    def block(self, person: Person) -> None:
        """Block the bot: my_chat_member, and 403 for all it sends to the person."""
        self._world.set_status(self.private(person), self._world.bot["id"], "kicked", person.user)

    def unblock(self, person: Person) -> None:
        """Take the bot back."""
        self._world.set_status(self.private(person), self._world.bot["id"], "member", person.user)

    def migrate(self, group: Chat) -> Chat:
        """Turn a group into a supergroup of another id; the old id is refused from now on.

        Telegram does this to basic groups only; a stand-in's supergroup counts as one here.
        """
        group.type = "group"
        number = next(self._world.numbers)
        new = dataclasses.replace(group, id=-(1_002_000_000_000 + number), type="supergroup", threads=set())
        new.members = dict(group.members)
        self._world.chats[new.id] = new
        owner = self._owner(group)
        self._service(group, owner, {"migrate_to_chat_id": new.id})
        self._service(new, owner, {"migrate_from_chat_id": group.id})
        group.migrated_to = new.id
        return new

    def _service(self, chat: Chat, actor: Wire, content: Wire) -> Wire:
        return self._world.announce(chat, self._world.write(chat, {"from": actor}, content, None, None))

    def _owner(self, chat: Chat) -> Wire:
        present = [user for user, status in chat.members.items() if status not in GONE]
        return self._world.users[next((u for u in present if chat.members[u] == "creator"), present[0])]

    def _id(self, person: Person | None) -> int:
        return person.id if person is not None else int(self._world.bot["id"])
