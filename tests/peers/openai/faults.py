"""Trouble on order: what goes wrong with the next requests."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

Trouble = Literal["status", "hang up", "hang", "cut", "drip", "html", "no json", "no choices", "null", "list", "empty"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One request goes wrong. `cut` and `drip` concern streams: it ends early, or never."""

    trouble: Trouble
    status: int = 500
    headers: tuple[tuple[str, str], ...] = ()
    message: str = "Something happened."
    path: str = "/chat/completions"


async def fail(fault: Fault, request: web.Request, released: asyncio.Event) -> web.StreamResponse | None:
    """The wrong answer; None for the troubles of streams."""
    match fault.trouble:
        case "status":
            body = {"error": {"message": fault.message, "type": "error", "param": None, "code": fault.status}}
            return web.json_response(body, status=fault.status, headers=dict(fault.headers))
        case "hang up":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        case "hang":
            await released.wait()
            return web.Response(status=503)
        case "html":
            return web.Response(text="<html><body>Welcome to nginx!</body></html>", content_type="text/html")
        case "no json":
            return web.Response(text='{"choices": [{"mess', content_type="application/json")
        case "no choices":
            return web.json_response({"id": "1", "object": "chat.completion", "choices": []})
        case "null":
            choice = {"index": 0, "message": {"role": "assistant", "content": None}, "finish_reason": "stop"}
            return web.json_response({"id": "1", "object": "chat.completion", "choices": [choice]})
        case "list":
            return web.Response(text=json.dumps(["what?"]), content_type="application/json")
        case "empty":
            return web.Response()
        case _:
            return None
