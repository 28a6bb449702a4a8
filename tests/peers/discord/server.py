"""The HTTP side: reads requests, notes them as calls, applies ordered trouble, and writes Discord's headers."""

import json
import time
from typing import Any
from zlib import crc32

from aiohttp import BodyPartReader, web

from tests.peers.discord import faults, rest
from tests.peers.discord import rest_interactions as rest_interactions  # registers its routes
from tests.peers.discord.faults import Faults
from tests.peers.discord.gateway import Gateway
from tests.peers.discord.limits import Refused
from tests.peers.discord.records import Call
from tests.peers.discord.world import World

PREFIX = "/api/v10"
OPEN_TO_ALL = ("/interactions/", "/webhooks/")  # their token stands in the path, not in a header


class Server:
    """One aiohttp server for REST, CDN and gateway, on a port of its own."""

    def __init__(self, world: World, gateway: Gateway, trouble: Faults) -> None:
        self.world = world
        self.gateway = gateway
        self.faults = trouble
        app = web.Application(client_max_size=256 * 1024 * 1024)
        app.router.add_get("/gateway/", gateway.handle)
        app.router.add_get("/{kind:cdn|media}/{folder}/{channel}/{number}/{name}", self.download)
        app.router.add_route("*", PREFIX + "/{tail:.*}", self.api)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.world.base = f"http://{host}:{port}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def download(self, request: web.Request) -> web.StreamResponse:
        call = Call("GET", request.path, None, {}, dict(request.query), time.monotonic())
        ordered = await self._trouble(call, request)
        if ordered is not None:
            return ordered
        file = self.world.files.get(int(request.match_info["number"]))
        if file is None:
            return web.Response(status=404, text="This content is no longer available.")
        return web.Response(body=file.data, content_type=file.content_type)

    async def api(self, request: web.Request) -> web.StreamResponse:
        body, uploads = await _read(request)
        call = Call(
            request.method, request.raw_path.split("?")[0][len(PREFIX) :], body, uploads, dict(request.query), 0
        )
        ordered = await self._trouble(call, request)
        if ordered is not None:
            return ordered
        status, answer, template = self._work(call, request.headers.get("Authorization"))
        call.status = status
        self.world.changed()
        rule = self.faults.take(call.line, when="after")
        if rule is not None and request.transport is not None:  # the work is done, the answer gets lost
            request.transport.abort()
        return self._response(status, answer, template)

    async def _trouble(self, call: Call, request: web.Request) -> web.StreamResponse | None:
        """Waits and fails as a test ordered; notes the call at the moment when it counts as arrived."""
        await self.faults.hold_up(call.line)
        call.at = time.monotonic()
        self.world.calls.append(call)
        rule = self.faults.take(call.line, when="before")
        if rule is None:
            return None
        if rule.status == 0 and request.transport is not None:
            request.transport.abort()
        call.status = rule.status or 0
        self.world.changed()
        response = self._response(call.status or 500, faults.body(rule), call.line)
        if rule.status == 429:
            response.headers["Retry-After"] = str(rule.retry_after)
            response.headers["X-RateLimit-Scope"] = "shared"
            if rule.everywhere:
                response.headers["X-RateLimit-Global"] = "true"
        return response

    def _work(self, call: Call, authorization: str | None) -> tuple[int, Any, str]:
        template = call.line
        try:
            if authorization != f"Bot {self.world.token}" and not call.route.startswith(OPEN_TO_ALL):
                raise Refused(401, 0, "401: Unauthorized")
            template, handler, arguments = rest.find(call)
            answer = handler(self.world, call, **arguments)
        except Refused as refusal:
            return refusal.status, refusal.body, template
        except Exception as error:  # a request that the stand-in cannot read; `start` raises it at the end
            self.world.failures.append(error)
            return 400, {"message": f"The stand-in failed: {error!r}", "code": 0}, template
        return (204 if answer is None else 200), answer, template

    def _response(self, status: int, answer: Any, template: str) -> web.Response:
        """discord.py reads JSON only under exactly this content type, and believes a 429 only with Via."""
        headers = {
            "Via": "1.1 google",
            "X-RateLimit-Limit": "1000",
            "X-RateLimit-Remaining": "999",
            "X-RateLimit-Reset": f"{time.time() + 1:.3f}",
            "X-RateLimit-Reset-After": "1.0",
            "X-RateLimit-Bucket": f"{crc32(template.encode()):08x}",
        }
        if answer is None:
            return web.Response(status=status, headers=headers)
        return web.Response(
            status=status, headers=headers, body=json.dumps(answer).encode(), content_type="application/json"
        )


async def _read(request: web.Request) -> tuple[Any, dict[int, tuple[str, bytes]]]:
    """The JSON body and the uploaded files: plain JSON, or multipart with `payload_json` and `files[n]`."""
    if not request.content_type.startswith("multipart/"):
        data = await request.read()
        return (json.loads(data) if data else None), {}
    body: Any = {}
    uploads: dict[int, tuple[str, bytes]] = {}
    async for part in await request.multipart():
        assert isinstance(part, BodyPartReader)
        data = bytes(await part.read(decode=True))
        if part.name == "payload_json":
            body = json.loads(data)
        elif part.name is not None:
            uploads[int(part.name.removeprefix("files[").removesuffix("]"))] = (part.filename or "file", data)
    return body, uploads
