"""The way of an update to the bot: the queue of getUpdates, or a POST to the bot's webhook."""

from __future__ import annotations

import asyncio
import copy
import itertools
import urllib.parse
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.peers.telegram.changes import Changes
from tests.peers.telegram.wire import Call, Refusal

Wire = dict[str, Any]

ONLY_IF_ASKED = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
_RETRY_AFTER = 0.05  # seconds until a refused webhook delivery is tried again; Telegram waits longer
_CONFLICT = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
_HOOKED = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"


@dataclass(eq=False, slots=True)
class Entry:
    """An update on its way; `forced` ones (duplicates, late ones) ignore the offset until delivered."""

    update: Wire
    forced: bool
    delivered: bool = False


class Updates:
    """Every update made, and those the bot has not confirmed yet."""

    def __init__(self, changes: Changes) -> None:
        self.all: list[Wire] = []
        self.pending: list[Entry] = []
        self.allowed: frozenset[str] = frozenset()
        self.webhook: Wire = {}
        self.deliveries: list[tuple[int, int]] = []
        self._changes = changes
        self._ids = itertools.count(800_001)
        self._polls = 0
        self._closed = False
        self._delivery: asyncio.Task[None] | None = None

    def push(self, update: Wire, forced: bool = False) -> Wire:
        """Queue an update, numbered if it is not; those the bot did not ask for are only kept."""
        numbered = copy.deepcopy(update)
        if "update_id" not in numbered:
            numbered = {"update_id": next(self._ids), **numbered}
        self.all.append(numbered)
        kind = next((key for key in numbered if key != "update_id"), "")
        wanted = kind in self.allowed if self.allowed else kind not in ONLY_IF_ASKED
        if forced or wanted:
            self.pending.append(Entry(numbered, forced))
        self._changes.notify()
        return numbered

    async def poll(self, call: Call) -> list[Wire]:
        """getUpdates. Raises Refusal beside a webhook or when a later poll takes over."""
        if self.webhook:
            raise Refusal(409, _HOOKED)
        arguments = call.arguments
        self._allow(arguments)
        self._confirm(int(arguments.get("offset", 0)))
        self._polls += 1
        mine = self._polls
        try:
            await self._changes.until(
                lambda: self.pending or self._closed or self._polls != mine, float(arguments.get("timeout", 0)) or 0
            )
        except TimeoutError:
            return []
        if self._polls != mine:
            raise Refusal(409, _CONFLICT)
        batch = self.pending[: int(arguments.get("limit", 100))]
        for entry in batch:
            entry.delivered = True
        return [entry.update for entry in batch]

    def _allow(self, arguments: Wire) -> None:
        """Left out, the earlier choice stays; an empty list means the default kinds."""
        if "allowed_updates" in arguments:
            self.allowed = frozenset(arguments["allowed_updates"])

    def _confirm(self, offset: int) -> None:
        """Drop what the bot has seen: all of the last batch if the offset follows it, else the lower ids."""
        if offset < 0:
            self.pending = self.pending[offset:]
            return
        batch = [entry for entry in self.pending if entry.delivered]
        whole = bool(batch) and batch[-1].update["update_id"] + 1 == offset
        self.pending = [
            e
            for e in self.pending
            if not (e.delivered and whole) and (e.update["update_id"] >= offset or (e.forced and not e.delivered))
        ]
        self._changes.notify()

    def set_webhook(self, call: Call) -> bool:
        """setWebhook. Raises Refusal for an address Telegram would not call."""
        arguments = call.arguments
        url = urllib.parse.urlsplit(arguments["url"])
        if not arguments["url"]:
            return self.delete_webhook(call)
        if url.scheme != "https" and url.hostname not in ("127.0.0.1", "localhost"):
            raise Refusal(400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
        self._allow(arguments)
        if arguments.get("drop_pending_updates"):
            self.pending.clear()
        self.webhook = {key: arguments[key] for key in ("url", "secret_token", "max_connections") if key in arguments}
        self._polls += 1
        if self._delivery is None:
            self._delivery = asyncio.create_task(self._deliver())
        self._changes.notify()
        return True

    def delete_webhook(self, call: Call) -> bool:
        """deleteWebhook."""
        self.webhook = {}
        if call.arguments.get("drop_pending_updates"):
            self.pending.clear()
        self._changes.notify()
        return True

    def webhook_info(self, call: Call) -> Wire:
        """getWebhookInfo."""
        info = {"url": self.webhook.get("url", ""), "has_custom_certificate": False}
        return {**info, "pending_update_count": len(self.pending)}

    async def post(self, update: Wire, secret_token: str | None) -> int:
        """POST one update to the webhook; the HTTP status, 0 if nobody listens there."""
        headers = {"X-Telegram-Bot-Api-Secret-Token": secret_token} if secret_token else {}
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.post(self.webhook["url"], json=update, headers=headers) as response,
            ):
                await response.read()
                return response.status
        except aiohttp.ClientError:
            return 0

    async def _deliver(self) -> None:
        """Post one after the other, in order, each until it is accepted."""
        while True:
            await self._changes.until(lambda: self.webhook and self.pending, None)
            entry = self.pending[0]
            status = await self.post(entry.update, self.webhook.get("secret_token"))
            self.deliveries.append((entry.update["update_id"], status))
            if 200 <= status < 300:
                self.pending = [e for e in self.pending if e is not entry]
                self._changes.notify()
            else:
                self._changes.notify()
                await asyncio.sleep(_RETRY_AFTER)

    async def close(self) -> None:
        """End every poll and delivery."""
        self._closed = True
        self._changes.notify()
        if self._delivery is not None:
            self._delivery.cancel()
            await asyncio.gather(self._delivery, return_exceptions=True)
