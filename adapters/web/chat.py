"""The conversation: what is typed or dropped becomes a request, its answer grows in the log while it is made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters.web.shelf import take_upload
from adapters.web.tabs import Tab
from rapbot.assistant import Assistant
from rapbot.command_words import split_name
from rapbot.commands import handle
from rapbot.errors import Gone, RapbotError
from rapbot.logs import get_logger, place_of
from rapbot.messages import Actor, Photo, Progress, ProgressListener, Reply, Request, Stage
from rapbot.watching import refused, shown_at_once, trip

_log = get_logger(__name__)
_BROKEN = "Something broke inside me. Sorry! Please try that again."
_STOPPED = "Stopped."
_STAGES = {
    Stage.STARTING: "The models are just starting …",
    Stage.LOOKING: "Looking at the photo …",
    Stage.RECALLING: "Remembering what you taught me …",
    Stage.WRITING: "Writing …",
}

Work = Callable[[ProgressListener], Awaitable[Reply]]


def progress_sentence(progress: Progress) -> str:
    if progress.text:
        return f"{progress.text} …"
    if progress.stage is not Stage.QUEUED:
        return _STAGES[progress.stage]
    return f"Waiting: {progress.position} before you …" if progress.position else "One moment …"


def sentence(error: Exception) -> str:
    """What a person reads about a failure: never a traceback. The log gets the kind of a bug and its place, no text."""
    if isinstance(error, RapbotError):
        return error.sentence
    _log.error("page handler failed", error=type(error).__name__, where=place_of(error))
    return _BROKEN


async def answer(tab: Tab, work: Work) -> AsyncIterator[bool]:
    """Do `work` in a bubble of its own; yields whenever the bubble changed, True once it is complete."""
    entry = tab.begin("One moment …")
    news: asyncio.Queue[Progress | None] = asyncio.Queue()

    async def run() -> Reply:
        with trip("page"):
            try:
                return await work(news.put_nowait)
            except Exception as error:
                refused(error)
                raise
            finally:
                shown_at_once()

    task = asyncio.create_task(run())
    tab.tasks.add(task)
    task.add_done_callback(lambda _: news.put_nowait(None))
    try:
        yield False
        while (progress := await news.get()) is not None:
            entry.status = progress_sentence(progress)
            yield False
        if task.cancelled():
            tab.fail(entry, _STOPPED)
        elif (error := task.exception()) is not None:
            tab.fail(entry, sentence(error if isinstance(error, Exception) else RuntimeError()))
        else:
            tab.finish(entry, task.result())
        tab.tasks.discard(task)
        yield True
    finally:
        task.cancel()  # does nothing to a task that is done; ends the work of a tab that was closed
        tab.tasks.discard(task)


class Chats:
    """The conversations of one person, one per browser tab."""

    def __init__(self, assistant: Assistant, actor: Actor, uploads: Path) -> None:
        self._assistant = assistant
        self._actor = actor
        self._uploads = uploads

    async def photos(self, files: list[Any]) -> tuple[Photo, ...]:
        """The uploaded photos, which are gone from the disk afterwards. Raises PhotoError."""
        taken: list[Photo] = []
        failed: RapbotError | None = None
        for file in files:
            try:  # every one is deleted, even when one before it could not be read
                taken.append(await asyncio.to_thread(take_upload, Path(str(file)), self._uploads))
            except RapbotError as error:
                failed = error
        if failed is not None:
            raise failed
        return tuple(taken)

    async def send(self, tab: Tab, text: str, files: list[Any]) -> AsyncIterator[bool]:
        """Show what was sent, then answer each photo by itself; yields after every change."""
        text = text.strip()
        try:
            photos = await self.photos(files)
        except RapbotError as error:
            tab.hear(text, ())
            tab.fail(tab.begin(""), error.sentence)
            yield True
            return
        if not text and not photos:
            return
        tab.hear(text, photos)
        tab.stopped = False
        for number, request in enumerate(self._requests(tab, text, photos)):
            async for complete in answer(tab, self._work(request, number)):
                yield complete
            if tab.stopped:
                return

    def _requests(self, tab: Tab, text: str, photos: tuple[Photo, ...]) -> list[Request]:
        request = Request(self._actor, tab.chat, text, photos)
        return [replace(request, photos=(photo,)) for photo in photos] if photos else [request]

    def _work(self, request: Request, number: int) -> Work:
        async def work(listener: ProgressListener) -> Reply:
            word, _, rest = request.text.partition(" ")
            if number and word.casefold() == "/remember":  # one concept from several photos at once
                name, _ = split_name(rest.strip())
                return await self._assistant.teaching.add_photo(
                    request.actor, request.chat, name, request.photos[0], listener=listener
                )
            return await handle(self._assistant, request, listener)

        return work

    async def why(self, tab: Tab, answer_id: str) -> AsyncIterator[bool]:
        async def work(_: ProgressListener) -> Reply:
            return replace(await self._assistant.why(self._actor, answer_id), answer_id=None)

        tab.hear("Why?", ())
        async for complete in answer(tab, work):
            yield complete

    async def agreed(self, tab: Tab, concept_id: int) -> AsyncIterator[bool]:
        """The person who was just taught agrees to be recognised by their face."""

        async def work(listener: ProgressListener) -> Reply:
            known = await self._assistant.memory.concepts(self._actor)
            name = next((concept.name for concept in known if concept.id == concept_id), None)
            if name is None:
                raise Gone("card")
            return await handle(self._assistant, Request(self._actor, tab.chat, f'/face "{name}"'), listener)

        tab.hear("They agree.", ())
        async for complete in answer(tab, work):
            yield complete

    async def undo(self, tab: Tab) -> Reply:
        """Take back the last change; raises RapbotError. The conversation tells it."""
        reply = await self._assistant.teaching.undo(self._actor)
        tab.took_back()
        tab.say(reply)
        return reply
