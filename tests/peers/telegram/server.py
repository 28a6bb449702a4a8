"""The HTTP side: forms and JSON become calls, calls are checked and answered, faults are played."""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.peers import bot_api
from tests.peers.telegram.answers_chats import ChatAnswers
from tests.peers.telegram.answers_messages import MessageAnswers
from tests.peers.telegram.wire import Call, Refusal, Wire
from tests.peers.telegram.world import World

_BODY_LIMIT = 64 * 1024 * 1024  # bytes
_DROPPED = Refusal(0, "the connection was closed")


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one call: a refusal, or no answer at all (None)."""

    refusal: Refusal | None
    processed: bool


class Server:
    """Answers like api.telegram.org at an address of this machine."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._methods: dict[str, Callable[[Call], Any]] = {
            **MessageAnswers(world).methods,
            **ChatAnswers(world).methods,
            "getUpdates": world.updates.poll,
            "setWebhook": world.updates.set_webhook,
            "deleteWebhook": world.updates.delete_webhook,
            "getWebhookInfo": world.updates.webhook_info,
        }
        self._faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._delays: dict[str, float] = {}
        self._held: dict[str, asyncio.Event] = {}
        app = web.Application(client_max_size=_BODY_LIMIT)
        app.router.add_route("*", "/bot{token}/{method}", self._call)
        app.router.add_get("/file/bot{token}/{path:.+}", self._download)
        # A bot that gives up a long poll ends it here too, else the next bot would race with it.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5)

    async def listen(self) -> str:
        """Start on a free port; the address."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def close(self) -> None:
        """Stop listening."""
        for event in self._held.values():
            event.set()
        await self._runner.cleanup()

    # -- faults ------------------------------------------------------------------------------------------

    def fail_next(
        self,
        method: str,
        code: int = 429,
        retry_after: int = 1,
        description: str | None = None,
        times: int = 1,
    ) -> None:
        """Refuse the next calls of a method; "download" stands for the download of a file."""
        words = {429: f"Too Many Requests: retry after {retry_after}", 500: "Internal Server Error", 502: "Bad Gateway"}
        refusal = Refusal(code, description or words.get(code, "Bad Request: refused by the test"))
        if code == 429:
            refusal.parameters = {"retry_after": retry_after}
        self._faults[method].extend([Fault(refusal, processed=False)] * times)

    def drop_next(self, method: str, times: int = 1, processed: bool = False) -> None:
        """Close the socket instead of answering; `processed` ones took effect all the same."""
        self._faults[method].extend([Fault(None, processed)] * times)

    def delay(self, method: str, seconds: float) -> None:
        """Answer each call of a method so much later, until set to 0."""
        self._delays[method] = seconds

    def hold(self, method: str) -> Callable[[], None]:
        """Answer no call of a method until the returned function is called."""
        event = self._held.setdefault(method, asyncio.Event())

        def release() -> None:
            self._held.pop(method, None)
            event.set()

        return release

    async def _wait(self, method: str) -> None:
        if method in self._delays:
            await asyncio.sleep(self._delays[method])
        if method in self._held:
            await self._held[method].wait()

    def _fault(self, method: str) -> Fault | None:
        return self._faults[method].popleft() if self._faults[method] else None

    # -- requests ----------------------------------------------------------------------------------------

    async def _call(self, request: web.Request) -> web.Response:
        if request.match_info["token"] != self._world.token:
            return _answer(_refused(Refusal(401, "Unauthorized")))
        call = await self._read(request)
        fault = self._fault(call.method)
        self._world.calls.append(call)
        self._world.changes.notify()
        wrong = self._check(call)
        await self._wait(call.method)
        answer = {} if fault and not fault.processed else _refused(wrong) if wrong else await self._answer(call)
        if fault is not None:
            answer = _refused(fault.refusal or _DROPPED)
        call.answer = answer
        self._world.changes.notify()
        if answer.get("error_code") == 0:
            _hang_up(request)
        return _answer(answer)

    def _check(self, call: Call) -> Refusal | None:
        """Note what the Bot API does not allow, be the call refused for another reason or not."""
        api = self._world.api
        faults = api.faults_of_call(call.method, call.arguments, set(call.files)) if api else []
        if not faults and call.method not in self._methods:
            faults = [f"{call.method}: the stand-in does not know this method"]
        self._world.violations += faults
        if not faults:
            return None
        return Refusal(400, f"Bad Request: {faults[0]}") if call.method in self._methods else Refusal(404, "Not Found")

    async def _answer(self, call: Call) -> Wire:
        """Run the call and check the result."""
        try:
            result = self._methods[call.method](call)
            if inspect.isawaitable(result):
                result = await result
        except Refusal as refusal:
            return _refused(refusal)
        except Exception as error:  # a mistake of the stand-in (or of an unchecked call) must not stay unseen
            self._world.violations.append(f"{call.method}: the stand-in failed with {error!r}")
            return _refused(Refusal(500, "Internal Server Error"))
        if self._world.api is not None:
            self._world.violations += self._world.api.faults_of_answer(call.method, result)
        return {"ok": True, "result": copy.deepcopy(result)}

    async def _read(self, request: web.Request) -> Call:
        """Arguments come in the address, as a form, as multipart or as JSON."""
        method = request.match_info["method"]
        at = asyncio.get_running_loop().time()
        call = Call(method, {}, {}, {}, {}, at)
        if request.content_type == "application/json":
            call.arguments |= await request.json()
        fields = {**request.query, **(await request.post())}
        for name, value in fields.items():
            if isinstance(value, web.FileField):
                with value.file:
                    call.files[name] = value.file.read()
                call.file_names[name] = value.filename
                call.file_types[name] = value.content_type
            elif isinstance(value, str):
                call.arguments[name] = bot_api.decode(self._world.api, method, name, value)
        return call

    async def _download(self, request: web.Request) -> web.Response:
        if request.match_info["token"] != self._world.token:
            return _answer(_refused(Refusal(401, "Unauthorized")))
        fault = self._fault("download")
        await self._wait("download")
        if fault is not None:
            if fault.refusal is None:
                _hang_up(request)
            return _answer(_refused(fault.refusal or _DROPPED))
        data = self._world.files.at(request.match_info["path"])
        if data is None:
            return _answer(_refused(Refusal(404, "Not Found")))
        return web.Response(body=data, content_type="application/octet-stream")


def _refused(refusal: Refusal) -> Wire:
    answer: Wire = {"ok": False, "error_code": refusal.code, "description": refusal.description}
    return {**answer, "parameters": refusal.parameters} if refusal.parameters else answer


def _answer(answer: Wire) -> web.Response:
    return web.json_response(answer, status=200 if answer["ok"] else answer["error_code"] or 500)


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()
