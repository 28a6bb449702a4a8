"""Events as the inbox keeps them, and the way of each to its handler and to its end.

discord.py starts a task for every event and tells nobody when it is over. So the raw event is kept before the library
reads it, and the handler that it ends up in says when it is done (`to_the_end`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import discord

from adapters.discord.channel import Sent
from adapters.intake import Undelivered
from rapbot.inbox import Arrived

MESSAGE, EDIT, INTERACTION = "MESSAGE_CREATE", "MESSAGE_UPDATE", "INTERACTION_CREATE"
INTERACTION_S = 15 * 60.0
"""https://discord.com/developers/docs/interactions/receiving-and-responding: how long its token is valid."""
_COMMAND, _PRESS, _FORM = 2, 3, 5
_KINDS = (0, 19)
"""Messages that people write: plain, and in reply to another."""

Event = dict[str, Any]

_end: ContextVar[asyncio.Future[None] | None] = ContextVar("end", default=None)


async def handle(parse: Callable[[Event], Any], event: Event) -> None:
    """Let the library read the event, and wait until its handler is over. Raises Undelivered."""
    end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    token = _end.set(end)
    try:
        parse(event)  # the tasks that it starts inherit the context
    finally:
        _end.reset(token)
    await end


@contextmanager
def to_the_end() -> Iterator[None]:
    """Around whatever handles one event entirely. Undelivered goes to who waits for the end, if anybody does."""
    end = _end.get()
    try:
        yield
    except asyncio.CancelledError:
        if end is not None and not end.done():
            end.cancel()
        raise
    except Undelivered as error:
        if end is not None and not end.done():
            end.set_exception(error)
    finally:
        if end is not None and not end.done():
            end.set_result(None)


def platform_of(application: int) -> str:
    return f"discord:{application}"


def arrival(
    platform: str, kind: str, event: Event, me: int, noted: Callable[[str], str], expires_at: float, now: float
) -> Arrived | None:
    """None for what needs no answer of ours. `noted`: `Turns.noted`; times are seconds since 1970."""
    told = json.dumps({"event": kind, "data": event}, ensure_ascii=False)
    server = int(event.get("guild_id") or 0)
    place = str(server or event.get("channel_id") or "")
    if kind == INTERACTION:
        if event["type"] not in (_COMMAND, _PRESS, _FORM):
            return None
        person = (event.get("member") or event)["user"]["id"]
        return Arrived(
            platform=platform,
            key=str(event["id"]),
            question=f"interaction:{event['id']}",
            person=str(person),
            update=told,
            expires_at=now + INTERACTION_S,
            place=place,
            server=server,
        )
    question = f"{event['channel_id']}:{event['id']}"
    key, answer = str(event["id"]), noted(question)
    if kind == EDIT:
        if not answer:
            return None
        key = f"{key}:{event.get('edited_timestamp')}"
    elif not _concerns(event, me):
        return None
    person = event["author"]["id"]
    return Arrived(
        platform=platform,
        key=key,
        question=question,
        person=str(person),
        update=told,
        expires_at=expires_at,
        answer=answer,
        place=place,
        server=server,
    )


def described(sent: Sent) -> Any:
    """None for the answer to an interaction: its first message is found by the interaction itself."""
    if not sent.messages or any(
        isinstance(one, discord.InteractionMessage | discord.WebhookMessage) for one in sent.messages
    ):
        return None
    return [sent.messages[0].channel.id, [message.id for message in sent.messages], sent.private]


def read(client: discord.Client, told: Any) -> Sent:
    """What `described` gave."""
    channel_id, numbers, private = told
    channel = client.get_partial_messageable(channel_id)
    return Sent(tuple(channel.get_partial_message(number) for number in numbers), private)


def _concerns(event: Event, me: int) -> bool:
    author = event.get("author", {})
    if author.get("bot") or event.get("webhook_id") or event.get("type") not in _KINDS:
        return False
    if event.get("guild_id") is None:
        return True
    replied = event.get("referenced_message") or {}
    return (
        any(str(one["id"]) == str(me) for one in event.get("mentions", []))
        or bool(event.get("mention_roles"))  # one of them may be ours
        or str(replied.get("author", {}).get("id")) == str(me)
        or bool(event.get("attachments") or event.get("message_snapshots"))
    )
