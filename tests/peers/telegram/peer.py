"""The stand-in as tests hold it: one object whose parts are the people, the chats, the bot's deeds, the faults."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.peers import bot_api
from tests.peers.telegram.chats import Chats
from tests.peers.telegram.people import People
from tests.peers.telegram.server import Server
from tests.peers.telegram.watching import Watching
from tests.peers.telegram.wire import Call, Wire
from tests.peers.telegram.world import World

TOKEN = "5550100123:AAH-rapbot-stand-in-token-012345678"  # the shape of a real one, and worth nothing


class TelegramPeer:
    """api.telegram.org on this machine, for `ApplicationBuilder().base_url(...).base_file_url(...)`.

    Its methods are those of its parts (`Chats`, `People`, `Watching`, `Server`), bound here so that a
    test needs one name only.
    """

    def __init__(self, world: World, server: Server, address: str) -> None:
        self._world = world
        self.address = address
        self.base_url = f"{address}/bot"
        self.base_file_url = f"{address}/file/bot"
        self.token = world.token
        self.bot = world.bot
        self.validated = world.api is not None
        self.violations = world.violations
        self.commands = world.commands
        self.descriptions = world.descriptions
        self.short_descriptions = world.short_descriptions
        self._bind_acts(Chats(world), People(world))
        self._bind_views(Watching(world), server)

    def _bind_acts(self, chats: Chats, people: People) -> None:
        self.person, self.private, self.group, self.channel = chats.person, chats.private, chats.group, chats.channel
        self.join, self.leave, self.ban = chats.join, chats.leave, chats.ban
        self.promote, self.demote, self.migrate = chats.promote, chats.demote, chats.migrate
        self.kick_bot, self.add_bot = chats.kick_bot, chats.add_bot
        self.block, self.unblock = chats.block, chats.unblock
        self.say, self.post = people.say, people.post
        self.send_photo, self.send_album, self.send_document = (
            people.send_photo,
            people.send_album,
            people.send_document,
        )
        self.anonymous_admin_says, self.channel_post = people.anonymous_admin_says, people.channel_post
        self.edit, self.delete, self.age = people.edit, people.delete, people.age
        self.press, self.expire, self.react = people.press, people.expire, people.react

    def _bind_views(self, watching: Watching, server: Server) -> None:
        self.called, self.sent, self.actions = watching.called, watching.sent, watching.actions
        self.reactions, self.is_deleted, self.answer_to = watching.reactions, watching.is_deleted, watching.answer_to
        self.wait_for, self.next_message, self.next_edit = watching.wait_for, watching.next_message, watching.next_edit
        self.next_answer, self.fetched, self.skip = watching.next_answer, watching.fetched, watching.skip
        self.fail_next, self.drop_next = server.fail_next, server.drop_next
        self.delay, self.hold = server.delay, server.hold

    @property
    def calls(self) -> list[Call]:
        """Every request of the bot, oldest first, getUpdates included."""
        return self._world.calls

    @property
    def updates(self) -> list[Wire]:
        """Every update made so far, delivered or not."""
        return self._world.updates.all

    @property
    def webhook(self) -> Wire:
        """The webhook the bot set: url, secret_token; empty without one."""
        return self._world.updates.webhook

    @property
    def deliveries(self) -> list[tuple[int, int]]:
        """The posts to the webhook: update_id and HTTP status (0: nobody listened)."""
        return self._world.updates.deliveries

    def duplicate(self, message: Wire) -> Wire:
        """Deliver an update again: an Update, or a message whose last update is meant."""
        if "update_id" in message:
            return self.inject(message)
        key = (message["chat"]["id"], message["message_id"])
        for update in reversed(self.updates):
            told = [content for content in update.values() if isinstance(content, dict) and "message_id" in content]
            if any((content["chat"]["id"], content["message_id"]) == key for content in told):
                return self.inject(update)
        raise AssertionError(f"no update told of the message {key}")

    def inject(self, update: Wire) -> Wire:
        """Deliver any update, whatever its number; without update_id it gets the next."""
        pushed = self._world.updates.push(copy.deepcopy(update), forced=True)
        if self._world.api is not None:
            self._world.violations += self._world.api.faults_of("Update", pushed)
        return pushed

    async def post_update(self, update: Wire, secret_token: str | None = None) -> int:
        """POST an update to the bot's webhook as anybody could; the HTTP status."""
        assert self.webhook, "the bot set no webhook"
        return await self._world.updates.post(update, secret_token)

    @classmethod
    @asynccontextmanager
    async def start(cls, *, token: str = TOKEN, privacy: bool = True) -> AsyncIterator[TelegramPeer]:
        """Listen on a free port. AssertionError at the end if a call, answer or update broke the Bot API."""
        world = World(token, bot_api.load(), privacy)
        server = Server(world)
        address = await server.listen()
        try:
            yield cls(world, server, address)
        except BaseException as error:
            if world.violations:
                error.add_note("Bot API violations: " + "; ".join(world.violations))
            raise
        finally:
            await world.updates.close()
            await server.close()
        if world.violations:
            raise AssertionError("Bot API violations:\n" + "\n".join(world.violations))
