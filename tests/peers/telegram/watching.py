"""What the bot did, and waiting for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tests.peers.telegram.wire import BotMessage, Call, Chat, Wire
from tests.peers.telegram.world import Record, World

T = TypeVar("T")


class Watching:
    """Looks at the state; every wait ends as soon as the state is as wished."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen: dict[int, Record] = {}

    def called(self, method: str) -> list[Call]:
        """The calls of one method, oldest first."""
        return [call for call in self._world.calls if call.method == method]

    def sent(self, chat: Chat) -> list[BotMessage]:
        """The messages of the bot in a chat as they are now: edited ones edited, deleted ones gone."""
        return [self._world.snapshot(record) for record in self._records(chat)]

    def actions(self, chat: Chat) -> list[float]:
        """When the bot sent a chat action (typing), seconds on the event loop's clock."""
        return [call.at for call in self.called("sendChatAction") if call.arguments.get("chat_id") == chat.id]

    def reactions(self, message: Wire | BotMessage) -> list[str]:
        """The emoji the bot set on a message."""
        return list(self._world.record(message).reaction or [])

    def is_deleted(self, message: Wire | BotMessage) -> bool:
        """Whether a message is gone."""
        try:
            self._world.record(message)
        except KeyError:
            return True
        return False

    def answer_to(self, query: Wire) -> Wire | None:
        """How the bot answered a pressed button: the arguments of answerCallbackQuery, None if not yet."""
        return self._world.queries[query["id"]].answer

    async def wait_for(self, check: Callable[[], T], timeout: float = 10.0) -> T:  # noqa: ASYNC109
        """The first true value of `check`, looked at after every change. AssertionError after `timeout` seconds."""
        try:
            return await self._world.changes.until(check, timeout)
        except TimeoutError:
            raise AssertionError(f"did not happen within {timeout} s; {self._story()}") from None

    async def next_message(
        self,
        chat: Chat,
        after: BotMessage | None = None,
        timeout: float = 10.0,  # noqa: ASYNC109
    ) -> BotMessage:
        """The next message of the bot in a chat, each given once; `after` goes on behind that one."""
        last = self._world.record(after) if after is not None else self._seen.get(chat.id)

        def following() -> Record | None:
            number = last.wire["message_id"] if last is not None else 0
            return next((r for r in self._records(chat) if r.wire["message_id"] > number), None)

        record = await self.wait_for(following, timeout)
        assert record is not None
        self._seen[chat.id] = record
        return self._world.snapshot(record)

    async def next_edit(self, message: BotMessage, timeout: float = 10.0) -> BotMessage:  # noqa: ASYNC109
        """The message once it differs from the given state of it: an edit that came meanwhile counts."""

        def edited() -> Record | None:
            record = self._world.messages.get((message.chat_id, message.id))
            return record if record is not None and record.version > message.version else None

        record = await self.wait_for(edited, timeout)
        assert record is not None
        return self._world.snapshot(record)

    async def next_answer(self, query: Wire, timeout: float = 10.0) -> Wire:  # noqa: ASYNC109
        """The bot's answer to a pressed button (an empty one is {})."""
        asked = self._world.queries[query["id"]]
        await self.wait_for(lambda: asked.answer is not None, timeout)
        return dict(asked.answer or {})

    async def fetched(self, timeout: float = 10.0) -> None:  # noqa: ASYNC109
        """Wait until the bot took every update (it may still be at work on the last)."""
        await self.wait_for(lambda: not self._world.updates.pending, timeout)

    def skip(self, chat: Chat) -> None:
        """Let next_message give only what comes from now on."""
        if records := self._records(chat):
            self._seen[chat.id] = records[-1]

    def _records(self, chat: Chat) -> list[Record]:
        """The bot's messages of a chat in the order they were sent."""
        bot = self._world.bot["id"]
        records = [r for (chat_id, _), r in self._world.messages.items() if chat_id == chat.id]
        if chat.type == "channel":
            return [r for r in records if "author_signature" not in r.wire]
        return [r for r in records if r.wire.get("from", {}).get("id") == bot and "new_chat_members" not in r.wire]

    def _story(self) -> str:
        """The last calls, to see from a failed wait what the bot did instead."""
        calls = [c for c in self._world.calls if c.method != "getUpdates"][-8:]
        told = [f"{c.method}({_short(c.arguments)}) -> {_outcome(c)}" for c in calls]
        waiting = len(self._world.updates.pending)
        return f"{waiting} updates not fetched; last calls: " + ("; ".join(told) or "none")


def _short(arguments: Wire) -> str:
    text = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    return text if len(text) <= 200 else text[:197] + "..."


def _outcome(call: Call) -> str:
    if call.answer is None:
        return "no answer yet"
    return "ok" if call.ok else str(call.answer["description"])
