"""The password of the page, where it has one: asked once for each browser, guessed slowly.

A browser that gave it gets a cookie that only this page may send and no script can read. Sessions stand in memory.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from adapters.web.bodies import LOGIN

COOKIE = "rapbot_session"
_HOURS = 24 * 7
_TRIES, _WINDOW_S = 5, 60.0
"""So many wrong passwords from one address in so many seconds; then it waits."""
_MOST_SESSIONS, _MOST_ADDRESSES = 1000, 10_000


@dataclass(slots=True)
class _Tries:
    since: float
    count: int = 0


@dataclass
class Door:
    """`password` is never compared in a way that tells how much of it was right."""

    password: str = field(repr=False)
    _sessions: OrderedDict[bytes, float] = field(default_factory=OrderedDict, repr=False)
    """Digest of the cookie -> when it ends."""
    _wrong: OrderedDict[str, _Tries] = field(default_factory=OrderedDict)

    def lets_in(self, cookies: str) -> bool:
        """Whether the `Cookie` header holds a session."""
        ends = self._sessions.get(_digest(_session_in(cookies)))
        return ends is not None and time.monotonic() < ends

    def wait(self, address: str) -> int:
        """Seconds until this address may try again; 0: now."""
        tries = self._wrong.get(_network(address))
        if tries is None or tries.count < _TRIES:
            return 0
        left = tries.since + _WINDOW_S - time.monotonic()
        return max(0, int(left) + 1) if left > 0 else 0

    def knock(self, address: str, form: bytes) -> str | None:
        """The cookie for who knows the password (a form with the field `password`); None for anybody else."""
        given = parse_qs(form.decode("utf-8", "replace"), max_num_fields=4).get("password", [""])[0]
        if not hmac.compare_digest(_digest(given), _digest(self.password)):
            self._note(_network(address))
            return None
        self._wrong.pop(_network(address), None)
        session = secrets.token_urlsafe(32)
        self._sessions[_digest(session)] = time.monotonic() + _HOURS * 3600
        while len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return f"{COOKIE}={session}; Path=/; HttpOnly; SameSite=Lax; Max-Age={_HOURS * 3600}"

    def _note(self, network: str) -> None:
        now = time.monotonic()
        tries = self._wrong.get(network)
        if tries is None or now - tries.since > _WINDOW_S:
            tries = _Tries(now)
        tries.count += 1
        self._wrong[network] = tries
        self._wrong.move_to_end(network)
        while len(self._wrong) > _MOST_ADDRESSES:
            self._wrong.popitem(last=False)


def form(told: str = "") -> bytes:
    """The page that asks; `told` is a sentence of ours."""
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>rapbot</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<style>body{{font:1.1em system-ui,sans-serif;max-width:20em;margin:20vh auto;padding:0 1em}}
input,button{{font:inherit;width:100%;box-sizing:border-box;padding:.6em;margin:.4em 0}}</style></head>
<body><h1>rapbot</h1><form method="post" action="{LOGIN}">
<label>Password<input type="password" name="password" autocomplete="current-password" autofocus required></label>
<button>Open</button></form><p role="alert">{told}</p></body></html>""".encode()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _session_in(cookies: str) -> str:
    try:
        found = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _network(address: str) -> str:
    """Who has an IPv6 address has 2**64 of them."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address
