"""Who may talk to the page: this machine's browser showing this page, and nobody else.

Any web site can make a browser send requests to 127.0.0.1, and a hostile name server can make its own name mean
127.0.0.1. So every request must name a local Host, and one that a page made must come from this very page.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "style-src 'self' 'unsafe-inline'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # gradio compiles its templates in the browser
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_UNUSED = (
    *(f"/gradio_api/{part}" for part in ("call", "info", "openapi", "runs", "proxy", "mcp")),
    "/monitoring",
    "/manifest.json",
)
"""What gradio offers to programs and this page does not need."""


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Gate:
    """ASGI middleware. `bound` is the address that the page listens on."""

    def __init__(self, app: Application, bound: str) -> None:
        self._app = app
        self._only_loopback = is_loopback(bound)
        self._names = {bound.lower(), socket.gethostname().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        refusal = self.refusal(scope)
        if refusal is not None:
            await _refuse(send, *refusal)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = {name for name, _ in _HEADERS}
                kept = [(name, value) for name, value in message.get("headers", []) if name.lower() not in ours]
                message = {**message, "headers": [*kept, *_HEADERS]}
            await send(message)

        await self._app(_uncompressed(scope), receive, guarded)

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """(status, sentence) for a request that must not pass."""
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if not self._is_ours(_host_name(host)):
            return 403, "This page answers only under its own address."
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "Another web site may not use this page."
        site = headers.get(b"sec-fetch-site", "none")
        opens_page = headers.get(b"sec-fetch-mode") == "navigate" and scope["method"] == "GET" and scope["path"] == "/"
        if site not in ("none", "same-origin") and not opens_page:
            return 403, "Another web site may not use this page."
        if scope["path"].startswith(_UNUSED):
            return 404, "There is nothing here."
        return None

    def _is_ours(self, name: str) -> bool:
        if is_loopback(name):
            return True
        # an address cannot be made to mean another machine; a name can
        return not self._only_loopback and (_is_address(name) or name in self._names)


def _uncompressed(scope: Scope) -> Scope:
    """The request as if its browser took no compressed answers: gradio would compress on the loop that all share."""
    kept = [(name, value) for name, value in scope["headers"] if name.lower() != b"accept-encoding"]
    return {**scope, "headers": kept}


def _host_name(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


async def _refuse(send: Send, status: int, sentence: str) -> None:
    body = sentence.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
