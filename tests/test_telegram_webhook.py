"""The webhook, called by anybody: raw sockets against the running bot."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from adapters.telegram import webhook
from rapbot.app import App
from tests.peers.telegram import TelegramPeer
from tests.telegram_visitor import answer, bot, words
from tests.telegram_visitor import app as app
from tests.telegram_visitor import peer as peer

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Door:
    port: int
    peer: TelegramPeer

    @property
    def secret(self) -> str:
        return str(self.peer.webhook["secret_token"])

    async def send(self, start: str, body: bytes, headers: dict[str, str], length: int | None = None) -> int:
        """The status that a call gets; `length` is what it says of its body."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            told = {"Host": "x", "Content-Length": str(len(body) if length is None else length)}
            lines = [f"{start} HTTP/1.1", *(f"{name}: {value}" for name, value in (told | headers).items()), "", ""]
            writer.write("\r\n".join(lines).encode() + body)
            async with asyncio.timeout(30):
                return int((await reader.readline()).split()[1])
        finally:
            writer.close()

    async def knows(self, start: str, body: bytes, kind: str = "application/json", length: int | None = None) -> int:
        """The same with the secret."""
        return await self.send(start, body, _headers(kind, self.secret), length)


def _headers(kind: str, secret: str) -> dict[str, str]:
    return {"Content-Type": kind, "X-Telegram-Bot-Api-Secret-Token": secret}


@pytest_asyncio.fixture(loop_scope="module")
async def door(app: App, peer: TelegramPeer) -> AsyncIterator[Door]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
    async with bot(app, peer, webhook_url=f"http://127.0.0.1:{port}/telegram", webhook_port=port):
        yield Door(port, peer)


async def test_only_the_right_path_method_secret_and_kind_are_taken(door: Door) -> None:
    person = door.peer.person("Ann")
    chat = door.peer.private(person)
    door.peer.say(chat, person, "/help")
    assert "/remember" in words(await answer(door.peer, chat))
    update = json.dumps({"update_id": 900_500, "message": {**door.peer.updates[-1]["message"], "message_id": 778}})
    body = update.encode()
    for path in ("/", "/other", "/telegram/x", "/telegra", "/../telegram2", "//telegram"):
        assert await door.knows(f"POST {path}", body) == 404, path
    for method in ("GET", "PUT", "DELETE", "HEAD", "OPTIONS"):
        assert await door.knows(f"{method} /telegram", b"") == 405, method
    for secret in ("", "guessed", door.secret[:-1], door.secret + "x", door.secret.swapcase(), "é" * 40):
        assert await door.send("POST /telegram", body, _headers("application/json", secret)) == 403, secret
    assert await door.knows("POST /telegram", body, "text/plain") == 415
    assert len(door.peer.sent(chat)) == 1
    assert await door.knows("POST /telegram", body) == 200
    await answer(door.peer, chat)


async def test_a_large_body_is_not_read(door: Door) -> None:
    """Nobody who does not know the secret gets a byte of the body read; who does, a megabyte."""
    assert await door.send("POST /telegram", b"", {"Content-Type": "application/json"}, 10**12) == 403
    assert await door.knows("POST /telegram", b"", length=10**12) == 413
    assert await door.knows("POST /telegram", b'"' + b"x" * 1_200_000 + b'"') == 413


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b"null", b"\xff\xfe", b'{"update_id":"x","message":{}}', b"[" * 100_000]
)
async def test_what_is_no_update_is_refused_and_its_words_are_in_no_log(
    door: Door, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert await door.knows("POST /telegram", body) in (200, 400)
    said = b'{"update_id": 5, "message": {"text": "xyzzy"}}'
    assert await door.knows("POST /telegram", said) == 400
    assert "xyzzy" not in caplog.text


async def test_a_call_that_sends_slowly_is_given_up(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "_PATIENCE", 0.2)
    assert await door.knows("POST /telegram", b"{", length=100) == 408
