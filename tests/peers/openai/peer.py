"""The stand-in itself: a real HTTP server on a port of its own, in a thread, for clients that block."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.peers.openai import wire
from tests.peers.openai.faults import Fault, fail
from tests.peers.openai.wire import Kind, Refused
from tests.peers.openai.writers import Asked, RuleWriter, Writer


@dataclass(eq=False)
class OpenAIPeer:
    """`with OpenAIPeer() as peer:` and ask at `peer.url`."""

    writer: Writer = field(default_factory=RuleWriter)
    kind: Kind = "vllm"
    models: Sequence[str] = ("base",)
    loras: Sequence[str] = ()
    key: str = ""
    """Where set, other keys are refused."""
    sees: bool = True
    most_characters: int = 100_000
    """The length of the context."""
    most_pictures: int = 100
    ignores: Collection[str] = ()
    """Options of a request that it takes and does not obey ("model": any name will do)."""
    own_refusals: bool = True
    """Whether it refuses what is wrong as the interface says; else everything is error 500."""
    faults: list[Fault] = field(default_factory=list)
    """Each is used up by one request of its path."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of the chat requests, in order."""
    at_once: int = 0
    """The most requests that were worked on at the same time."""

    def __enter__(self) -> OpenAIPeer:
        self.hung_up = threading.Event()
        """Set once a client left a stream."""
        self._working = 0
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="openai-peer", daemon=True)
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._released.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._released = asyncio.Event()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/v1/models", self._list)
        app.router.add_post("/v1/chat/completions", self._chat)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        self._started.set()
        await self._released.wait()
        await runner.cleanup()

    async def _list(self, request: web.Request) -> web.StreamResponse:
        wrong = await self._trouble("/models", request)
        if isinstance(wrong, web.StreamResponse):
            return wrong
        base = {"object": "model", "created": 1, "owned_by": self.kind}
        context = {"max_model_len": self.most_characters} if self.kind == "vllm" else {}
        listed: list[dict[str, Any]] = [{"id": name, **base, **context} for name in self.models]
        answer: dict[str, Any] = {"object": "list", "data": listed}
        if self.kind == "llama.cpp":
            can = ["completion", "multimodal"] if self.sees else ["completion"]
            answer["models"] = [{"name": name, "model": name, "capabilities": can} for name in self.models]
        listed += [{"id": name, "parent": self.models[0], **base} for name in self.loras]
        return web.json_response(answer)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        body = {name: value for name, value in body.items() if name not in self.ignores}
        if "model" in self.ignores:
            body["model"] = self.models[0]
        if "max_tokens" in self.ignores:
            body["max_tokens"] = 1_000_000
        self._working += 1
        self.at_once = max(self.at_once, self._working)
        try:
            wrong = await self._trouble("/chat/completions", request)
            if isinstance(wrong, web.StreamResponse):
                return wrong
            asked = self._admit(body)
            if body.get("stream"):
                return await self._stream(request, body, asked, wrong)
            return await self._whole(body, asked)
        except Refused as refused:
            return web.json_response(refused.body, status=refused.status if self.own_refusals else 500)
        finally:
            self._working -= 1

    async def _trouble(self, path: str, request: web.Request) -> web.StreamResponse | Fault | None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.key and given != self.key:
            message = f"Incorrect API key provided: {given}."
            return web.json_response({"error": {"message": message, "code": "invalid_api_key"}}, status=401)
        fault = next((one for one in self.faults if one.path == path), None)
        if fault is None:
            return None
        self.faults.remove(fault)
        return await fail(fault, request, self._released) or fault

    def _admit(self, body: dict[str, Any]) -> Asked:
        asked = wire.read_request(body, self.kind)
        if asked.model not in (*self.models, *self.loras):
            raise Refused(404, f"The model `{asked.model}` does not exist.", "model_not_found")
        if asked.pictures and not self.sees:
            raise Refused(400, f"{asked.model} is not a multimodal model.")
        if len(asked.pictures) > self.most_pictures:
            raise Refused(400, f"At most {self.most_pictures} image(s) may be provided in one prompt.")
        length = sum(len(text) for _, text in asked.turns)
        if length > self.most_characters:
            raise Refused(
                400,
                f"This model's maximum context length is {self.most_characters} tokens. However, you requested"
                f" {length + asked.max_tokens} tokens ({length} in the messages, {asked.max_tokens} in 'max_tokens').",
                "context_length_exceeded",
            )
        return asked

    async def _whole(self, body: dict[str, Any], asked: Asked) -> web.Response:
        async with contextlib.aclosing(self._pieces(body, asked)) as pieces:
            written = "".join([piece async for piece in pieces])
        more: dict[str, Any] = {}
        if body.get("logprobs"):
            count = int(body.get("top_logprobs", 1))
            more["logprobs"] = wire.first_tokens(await asyncio.to_thread(self.writer.likeliest, asked, count))
        answer = wire.completion(asked.model, written, "stop", **more)
        length = sum(len(text) for _, text in asked.turns)
        answer.setdefault("usage", {"prompt_tokens": length, "completion_tokens": 1, "total_tokens": length + 1})
        if self.kind == "vllm" and body.get("prompt_logprobs") is not None:
            answer["prompt_logprobs"] = wire.prompt_tokens(await asyncio.to_thread(self.writer.read, asked.turns))
        return web.json_response(answer)

    async def _stream(
        self, request: web.Request, body: dict[str, Any], asked: Asked, fault: Fault | None
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            await response.write(wire.event(asked.model, ""))
            number = 0
            async with contextlib.aclosing(self._pieces(body, asked)) as pieces:
                async for piece in pieces:
                    await response.write(wire.event(asked.model, piece))
                    number += 1
                    if number == 2 and fault is not None and fault.trouble == "cut":
                        return response
                    if number == 2 and fault is not None and fault.trouble == "drip":
                        await self._released.wait()
            await response.write(wire.event(asked.model, None, "stop") + b"data: [DONE]\n\n")
        except (ConnectionError, asyncio.CancelledError):
            self.hung_up.set()
            raise
        return response

    async def _pieces(self, body: dict[str, Any], asked: Asked) -> AsyncGenerator[str, None]:
        """The pieces of an answer, up to a stop text wherever that stands, as servers do it."""
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        left = threading.Event()

        def say(piece: str) -> bool:
            asyncio.run_coroutine_threadsafe(queue.put(piece), self._loop).result()
            return not left.is_set()

        def write() -> None:
            try:
                self.writer.write(asked, say)
            finally:
                asyncio.run_coroutine_threadsafe(queue.put(None), self._loop)

        work = asyncio.create_task(asyncio.to_thread(write))
        stops = list(body.get("stop") or ())
        held = max(map(len, stops), default=1) - 1  # what may be the beginning of a stop text waits, as in vLLM
        written, sent = "", 0
        try:
            while (piece := await queue.get()) is not None:
                written += piece
                if found := [at for stop in stops if (at := written.find(stop)) >= 0]:
                    yield written[sent : min(found)]
                    return
                if len(written) - held > sent:
                    yield written[sent : len(written) - held]
                    sent = len(written) - held
            yield written[sent:]
        finally:
            left.set()
            while not work.done():  # the last piece may still wait for its place
                while not queue.empty():
                    queue.get_nowait()
                await asyncio.wait([work], timeout=0.05)
