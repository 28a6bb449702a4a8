"""Who may talk to the page: a browser showing this page (and knowing its password, where it has one), and nobody else.

Any web site can make a browser send requests to 127.0.0.1, and a hostile name server can make its own name mean
127.0.0.1. So every request must name a local Host, and one that a page made must come from this very page. Only what
the page itself asks for is there: gradio answers to some sixty paths.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from adapters.web import bodies
from adapters.web.bodies import LOGIN, Bodies, again, whole
from adapters.web.door import Door, form
from rapbot.config import SHORTEST_PASSWORD, Settings
from rapbot.errors import ConfigError

Scope = MutableMapping[str, Any]
Message = bodies.Message
Receive = bodies.Receive
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
    (b"referrer-policy", b"same-origin"),  # with "no-referrer" a browser hides the origin of the password form, too
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_SAFE = frozenset({"GET", "HEAD"})
_READ = frozenset(
    {"/", "/config", "/theme.css", "/favicon.ico"}
    | {f"/gradio_api/{part}" for part in ("queue/data", "upload_progress", "startup-events")}
)
_READ_BELOW = ("/assets/", "/static/", "/pictures/", "/avatars/", "/gradio_api/heartbeat/", bodies.FILE)
_SENT = frozenset({"/gradio_api/queue/join", "/gradio_api/cancel", "/gradio_api/reset", bodies.UPLOAD})
"""What the page asks for, and what it sends. A test with a browser uses every part of it."""


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_password(settings: Settings) -> None:
    """Who reaches the page may see and change everything: other machines only with a password. Raises ConfigError."""
    if not settings.web.secret() and not is_loopback(settings.web.host):
        raise ConfigError(
            f"The page would answer to everybody who reaches {settings.web.host}. Give it a web.password_file (at least"
            f" {SHORTEST_PASSWORD} characters), or leave web.host at 127.0.0.1."
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Gate:
    """ASGI middleware. `bound` is the address that the page listens on; `door` its password."""

    def __init__(self, app: Application, bound: str, bodies: Bodies, door: Door | None = None) -> None:
        self._app = app
        self._bodies = bodies
        self._door = door
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
        try:
            if self._door is None or self._door.lets_in(_headers(scope).get(b"cookie", "")):
                await self._pass(scope, receive, send)
            else:
                await self._ask(self._door, scope, receive, send)
        except _Late:
            await _refuse(send, 408, "That took too long to arrive.")

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """On to gradio, with a body of at most the size that this path takes."""
        if scope["method"] not in _SAFE and scope["path"] != bodies.UPLOAD:
            body = await _read(receive)
            if self._bodies.names_foreign_file(body):
                await _refuse(send, 403, "Only files that were sent to this page can be meant.")
                return
            receive = again(body, receive)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = {name for name, _ in _HEADERS}
                kept = [(name, value) for name, value in message.get("headers", []) if name.lower() not in ours]
                message = {**message, "headers": [*kept, *_HEADERS]}
            await send(message)

        await self._app(_uncompressed(scope), receive, guarded)

    async def _ask(self, door: Door, scope: Scope, receive: Receive, send: Send) -> None:
        """The password, instead of anything else."""
        address = str((scope.get("client") or ("",))[0])
        if scope["path"] == LOGIN and scope["method"] == "POST":
            if wait := door.wait(address):
                later = (b"retry-after", str(wait).encode())
                await _refuse(send, 429, form(f"Too many tries. Wait {wait} seconds."), later)
            elif (cookie := door.knock(address, await _read(receive))) is None:
                await _refuse(send, 401, form("That is not the password."))
            else:
                await _refuse(send, 303, "", (b"location", b"/"), (b"set-cookie", cookie.encode()))
        elif scope["path"] == "/" and scope["method"] == "GET":
            await _refuse(send, 401, form())
        else:
            await _refuse(send, 401, "Please open the page and give its password.")

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """(status, sentence) for a request that must not pass."""
        headers = _headers(scope)
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
        if scope["method"] not in _SAFE and origin is None and site != "same-origin":
            return 403, "Only this page may send something here."  # browsers say so with everything that they send
        if not self._is_there(scope["method"], scope["path"]):
            return 404, "There is nothing here."
        if scope["method"] not in _SAFE:
            length = headers.get(b"content-length", "")
            if b"transfer-encoding" in headers or not (length.isascii() and length.isdigit()):
                return 411, "Say how long it is."
            if int(length) > self._bodies.most(scope["path"]):
                return 413, "That is too large."
        return None

    def _is_there(self, method: str, path: str) -> bool:
        if ".." in path.split("/") or "\\" in path or "\0" in path:
            return False
        if method not in _SAFE:
            return method == "POST" and (path in _SENT or (path == LOGIN and self._door is not None))
        if path.startswith(bodies.FILE):
            return self._bodies.is_upload(path.removeprefix(bodies.FILE))
        return path in _READ or path.startswith(_READ_BELOW)

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


def _headers(scope: Scope) -> dict[bytes, str]:
    return {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}


class _Late(Exception):
    """A body that did not arrive in time."""


async def _read(receive: Receive) -> bytes:
    try:
        return await whole(receive)
    except TimeoutError:
        raise _Late from None


async def _refuse(send: Send, status: int, body: str | bytes, *more: tuple[bytes, bytes]) -> None:
    """A sentence, or a page (bytes)."""
    kind = b"text/html; charset=utf-8" if isinstance(body, bytes) else b"text/plain; charset=utf-8"
    body = body if isinstance(body, bytes) else body.encode()
    told = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    headers = [*told, *more, *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
