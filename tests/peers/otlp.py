"""A collector of OpenTelemetry as programs meet it: OTLP over HTTP, protobuf, on a local socket."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True, slots=True)
class Span:
    """Ids in hexadecimal, times in seconds."""

    trace: str
    number: str
    parent: str
    name: str
    began: float
    ended: float
    attributes: dict[str, str]
    failed: bool


@dataclass(slots=True)
class OtlpPeer:
    address: str = ""
    spans: list[Span] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    resource: dict[str, str] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator[OtlpPeer]:
        peer = cls()
        server = web.Application()
        server.router.add_post("/v1/traces", peer._take)
        runner = web.AppRunner(server, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            peer.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield peer
        finally:
            await runner.cleanup()

    async def until(self, check: Callable[[], bool], seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while not check():
                await self._news.wait()
                self._news.clear()

    def trace(self, number: str) -> list[Span]:
        """In the order of time."""
        return sorted((span for span in self.spans if span.trace == number), key=lambda span: (span.began, span.ended))

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body.startswith(b"\x1f\x8b"):
            body = gzip.decompress(body)
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        told = ExportTraceServiceRequest.FromString(body)
        for of_resource in told.resource_spans:
            self.resource = {pair.key: pair.value.string_value for pair in of_resource.resource.attributes}
            for scope in of_resource.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        Span(
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            span.name,
                            span.start_time_unix_nano / 1e9,
                            span.end_time_unix_nano / 1e9,
                            _attributes(span),
                            span.status.code == 2,
                        )
                    )
        self._news.set()
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )


def _attributes(span: Any) -> dict[str, str]:
    return {pair.key: str(getattr(pair.value, pair.value.WhichOneof("value"))) for pair in span.attributes}
