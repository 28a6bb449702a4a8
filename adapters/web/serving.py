"""The socket, the gate before it, the routes of the pictures, and the page itself, all on the running event loop.

gradio's own `launch` would run a second loop in a thread; the store and the queue belong to this one.
"""

from __future__ import annotations

import asyncio
import signal
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapters.listening import listen
from adapters.web.bodies import Bodies
from adapters.web.door import Door
from adapters.web.gate import Application, Gate, check_password
from adapters.web.shelf import PictureShelf, media_type
from adapters.web.tabs import Tabs
from adapters.web.uploads import private_uploads
from rapbot.assistant import Assistant
from rapbot.config import Settings
from rapbot.errors import RapbotError
from rapbot.logs import hide
from rapbot.messages import Actor
from rapbot.watching import connected

if TYPE_CHECKING:
    import uvicorn

_PRIVATE = {"Cache-Control": "no-store"}
_GRACE = 2
"""Seconds that open streams get when the page stops."""


async def serve(assistant: Assistant, settings: Settings, ready: Callable[[str], None] | None) -> None:
    import uvicorn

    check_password(settings)
    hide(settings.web.secret())
    listening = listen(
        settings.web.host, settings.web.port, "The page", "Choose another with --port; 0 finds a free one."
    )
    url = _address(settings.web.host, listening.getsockname()[1])
    with listening, private_uploads() as uploads:
        application = await asyncio.to_thread(_application, assistant, settings, uploads)
        config = uvicorn.Config(
            application, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=_GRACE
        )
        server = uvicorn.Server(config)
        server.capture_signals = nullcontext  # type: ignore[method-assign, assignment]  # else uvicorn kills us by them
        with _stopped_by_sigterm(server):
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            try:
                while not (server.started or serving.done()):  # noqa: ASYNC110 (uvicorn has no event for it)
                    await asyncio.sleep(0.01)
                if not server.started:
                    raise RapbotError("The page could not start; the log says why.")
                connected("page", True)
                await _announce(url, settings, ready)
                await asyncio.shield(serving)
            finally:
                server.should_exit = True
                await asyncio.wait([serving])


@contextmanager
def _stopped_by_sigterm(server: uvicorn.Server) -> Iterator[None]:
    """A service manager's SIGTERM ends the page in an orderly way: worker, database and uploads are closed too."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGTERM, lambda: setattr(server, "should_exit", True))
    except (NotImplementedError, RuntimeError):  # Windows; or a loop that is not in the main thread
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def _announce(url: str, settings: Settings, ready: Callable[[str], None] | None) -> None:
    if ready is not None:
        ready(url)
    if settings.web.open_browser:
        await asyncio.to_thread(webbrowser.open, url)


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104 - only shown
    return f"http://{shown}:{port}"


def _application(assistant: Assistant, settings: Settings, uploads: Path) -> Application:
    """Everything behind the socket. Imports gradio, which takes seconds: call it in a thread."""
    import gradio as gr
    from fastapi import FastAPI

    from adapters.web.layout import HEAD, theme
    from adapters.web.page import build_page

    shelf = PictureShelf()
    actor = Actor(settings.owner)
    page = build_page(assistant, actor, Tabs(shelf), uploads)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _picture_routes(app, assistant, actor, shelf)
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        server_name=settings.web.host,
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=int(settings.limits.photo_megabytes * 1_000_000),
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        head=HEAD,
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
    )
    password = settings.web.secret()
    allowed = Bodies(int(settings.limits.photo_megabytes * 1_000_000), uploads)
    return Gate(app, settings.web.host, allowed, Door(password) if password else None)


def _picture_routes(app: Any, assistant: Assistant, actor: Actor, shelf: PictureShelf) -> None:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    def picture(data: bytes | None) -> Response:
        kind = media_type(data) if data is not None else None
        if data is None or kind is None:
            return Response("That picture is not there any more.", 404, media_type="text/plain", headers=_PRIVATE)
        return Response(data, media_type=kind, headers=_PRIVATE)

    async def of_conversation(request: Request) -> Response:
        return picture(shelf.get(request.path_params["token"]))

    async def of_concept(request: Request) -> Response:
        try:
            return picture(await assistant.memory.picture(actor, request.path_params["avatar"]))
        except RapbotError:
            return picture(None)

    app.router.routes.append(Route("/pictures/{token}", of_conversation))
    app.router.routes.append(Route("/avatars/{avatar:int}", of_concept))
