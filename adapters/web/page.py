"""Which event of the page calls what. Every event handler runs on the assistant's own loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import gradio as gr

from adapters.web import markup
from adapters.web.chat import Chats, sentence
from adapters.web.corrections import NOBODY, Corrections
from adapters.web.gallery import Gallery
from adapters.web.layout import Parts
from adapters.web.tabs import Tab, Tabs
from rapbot.assistant import Assistant
from rapbot.errors import ConceptError, RapbotError
from rapbot.messages import Actor

_SWEEP = (60, 600)
"""Seconds: how often uploads that were never sent are looked for, and the age at which they are deleted."""

Updates = tuple[Any, ...]
SKIP = gr.skip()


def build_page(assistant: Assistant, actor: Actor, tabs: Tabs, uploads: Path) -> gr.Blocks:
    """The whole page. `uploads`: the folder in which gradio puts uploaded files."""
    page: gr.Blocks
    with gr.Blocks(
        title="rapbot", analytics_enabled=False, fill_width=True, fill_height=True, delete_cache=_SWEEP
    ) as page:
        parts = Parts()
        Wiring(parts, assistant, actor, tabs, uploads).connect(page)
    return page


class Wiring:
    """Calls the right part for every event and turns what changed into updates of components."""

    def __init__(self, parts: Parts, assistant: Assistant, actor: Actor, tabs: Tabs, uploads: Path) -> None:
        self.parts = parts
        self.tabs = tabs
        self.chats = Chats(assistant, actor, uploads)
        self.gallery = Gallery(assistant, actor)
        self.corrections = Corrections(assistant, actor)

    def connect(self, page: gr.Blocks) -> None:
        p, quiet = self.parts, _quiet()
        talk = [p.log, p.box, *p.of_gallery]
        p.box.submit(self.send, p.box, talk, trigger_mode="multiple", **quiet)
        p.box.stop(self.stop, None, None, **quiet)
        p.bridge.do_why(self.why, None, talk, trigger_mode="multiple", **quiet)
        p.bridge.do_face(self.face, None, talk, trigger_mode="multiple", **quiet)
        p.bridge.do_wrong(self.wrong, None, [p.log, *p.of_correction], **quiet)
        p.correct.click(self.correct, [p.region, p.right], [p.log, *p.of_correction, *p.of_gallery], **quiet)
        p.cancel.click(self.cancel, None, p.of_correction, **quiet)
        for undo in (p.bridge.do_undo, p.undo.click):
            undo(self.undo, None, [p.log, *p.of_gallery], **quiet)
        for opened in (p.bridge.open_card, p.bridge.do_edit):
            opened(self.open_card, None, p.of_gallery, **quiet)
        p.bridge.close_card(self.close_card, None, p.of_gallery, **quiet)
        p.bridge.drop_photo(self.drop_photo, None, p.of_gallery, **quiet)
        p.bridge.forget(self.forget, None, p.of_gallery, **quiet)
        p.bridge.face_off(self.face_off, None, p.of_gallery, **quiet)
        p.save.click(self.save, [p.name, p.category, p.info], p.of_gallery, **quiet)
        p.more.upload(self.add_photos, p.more, p.of_gallery, **quiet)
        new = [p.new_photo, p.new_name, p.new_info]
        p.teach.click(self.teach, new, [*new, *p.of_gallery], **quiet)
        for again in (page.load, p.bridge.look_again):
            again(self.look, None, [p.log, *p.of_gallery], **quiet)
        page.unload(self.leave)

    # -- the conversation -----------------------------------------------------------------------------------

    async def send(self, message: dict[str, Any], request: gr.Request) -> AsyncIterator[Updates]:
        tab = self._tab(request)
        first = True
        async for complete in self.chats.send(tab, message.get("text") or "", message.get("files") or []):
            box = gr.update(value=None, submit_btn=True, stop_btn=bool(tab.tasks)) if first else SKIP
            first = False
            yield await self._talk(tab, complete, box)

    async def why(self, event: gr.EventData, request: gr.Request) -> AsyncIterator[Updates]:
        tab = self._tab(request)
        async for complete in self.chats.why(tab, _name(event)):
            yield await self._talk(tab, complete, SKIP)

    async def face(self, event: gr.EventData, request: gr.Request) -> AsyncIterator[Updates]:
        tab = self._tab(request)
        async for complete in self.chats.agreed(tab, int(_name(event))):
            yield await self._talk(tab, complete, SKIP)

    def stop(self, request: gr.Request) -> None:
        self._tab(request).stop()

    async def _talk(self, tab: Tab, complete: bool, box: Any) -> Updates:
        if not complete:
            return (markup.conversation(tab.entries), box, *[SKIP] * len(self.parts.of_gallery))
        if not tab.tasks:
            box = gr.update(stop_btn=False) if box is SKIP else box
        return (markup.conversation(tab.entries), box, *await self._gallery(tab, SKIP))

    # -- corrections ----------------------------------------------------------------------------------------

    async def wrong(self, event: gr.EventData, request: gr.Request) -> Updates:
        tab = self._tab(request)
        try:
            choices = await self.corrections.begin(tab, _name(event))
        except Exception as error:
            tab.fail(tab.begin(""), sentence(error))
            return (markup.conversation(tab.entries), *self._closed())
        picture = tab.correction.picture if tab.correction else None
        region = gr.update(choices=list(choices.regions), value=choices.regions[0][1])
        right = gr.update(choices=list(choices.names), value=None if len(choices.names) > 1 else NOBODY)
        return (SKIP, gr.update(visible=True), markup.numbered(picture), region, right, "")

    async def correct(self, region: int | None, right: str | None, request: gr.Request) -> Updates:
        tab = self._tab(request)
        try:
            tab.say(await self.corrections.save(tab, region, right))
        except Exception as error:
            notice = markup.notice(sentence(error), failed=True)
            return (SKIP, SKIP, SKIP, SKIP, SKIP, notice, *await self._gallery(tab, ""))
        return (markup.conversation(tab.entries), *self._closed(), *await self._gallery(tab, ""))

    def cancel(self, request: gr.Request) -> Updates:
        self.corrections.cancel(self._tab(request))
        return self._closed()

    def _closed(self) -> Updates:
        return (gr.update(visible=False), "", gr.update(value=None), gr.update(value=None), "")

    async def undo(self, request: gr.Request) -> Updates:
        tab = self._tab(request)
        try:
            said = markup.notice((await self.chats.undo(tab)).text)
        except Exception as error:
            said = markup.notice(sentence(error), failed=True)
        return (markup.conversation(tab.entries), *await self._gallery(tab, said))

    # -- the gallery ----------------------------------------------------------------------------------------

    async def look(self, request: gr.Request) -> Updates:
        tab = self._tab(request)
        # A tab that slept long comes back as a new one: what it shows stays there to read.
        log = markup.conversation(tab.entries) if tab.entries else SKIP
        return (log, *await self._gallery(tab, SKIP))

    async def open_card(self, event: gr.EventData, request: gr.Request) -> Updates:
        tab = self._tab(request)
        tab.concept_id, tab.shown = int(_name(event)), None
        return await self._gallery(tab, "")

    async def close_card(self, request: gr.Request) -> Updates:
        tab = self._tab(request)
        tab.concept_id = tab.shown = None
        return await self._gallery(tab, "")

    async def save(self, name: str, category: str, info: str, request: gr.Request) -> Updates:
        return await self._change(request, lambda tab: self.gallery.save(tab, name, category, info))

    async def drop_photo(self, event: gr.EventData, request: gr.Request) -> Updates:
        return await self._change(request, lambda tab: self.gallery.drop_photo(tab, int(_name(event))))

    async def forget(self, event: gr.EventData, request: gr.Request) -> Updates:
        return await self._change(request, lambda tab: self.gallery.forget(tab, int(_name(event))))

    async def face_off(self, event: gr.EventData, request: gr.Request) -> Updates:
        return await self._change(request, lambda tab: self.gallery.stop_face(tab, int(_name(event))))

    async def add_photos(self, files: list[str], request: gr.Request) -> Updates:
        async def work(tab: Tab) -> str:
            return await self.gallery.add_photos(tab, await self.chats.photos(files))

        return await self._change(request, work)

    async def teach(self, file: str | None, name: str, info: str, request: gr.Request) -> Updates:
        kept: list[Any] = [None, SKIP, SKIP]  # the file is gone in any case, what was written only when it was learned

        async def work(tab: Tab) -> str:
            photos = await self.chats.photos([file] if file else [])
            if not photos:
                raise ConceptError("Choose a photo first.")
            said = await self.gallery.teach(tab, photos[0], name, info)
            kept[1:] = ["", ""]
            return said

        updates = await self._change(request, work)
        return (*kept, *updates)

    async def leave(self, request: gr.Request) -> None:
        self.tabs.close(request.session_hash)

    async def _change(self, request: gr.Request, work: Callable[[Tab], Awaitable[str]]) -> Updates:
        tab = self._tab(request)
        try:
            said = markup.notice(await work(tab))
        except Exception as error:
            said = markup.notice(sentence(error), failed=True)
        return await self._gallery(tab, said)

    async def _gallery(self, tab: Tab, notice: Any) -> Updates:
        """`notice`: SKIP where there is no news, so that what another event just told stays there."""
        try:
            view = await self.gallery.view(tab)
        except RapbotError as error:
            tab.unreadable = True
            return (markup.notice(error.sentence, failed=True), *[SKIP] * (len(self.parts.of_gallery) - 1))
        if tab.unreadable and notice is SKIP:
            notice = ""
        tab.unreadable = False
        card = view.card
        tiles, opened = markup.known(view.concepts), card is not None
        fields = (card.name, card.category, card.info) if card is not None and view.refill else (SKIP, SKIP, SKIP)
        head = markup.card(card, view.recognised) if card is not None else ""
        return (notice, gr.update(visible=not opened), tiles, gr.update(visible=opened), head, *fields)

    def _tab(self, request: gr.Request) -> Tab:
        return self.tabs.get(request.session_hash)


def _quiet() -> dict[str, Any]:
    """No spinner over the parts, no limit shared between tabs, no entry in gradio's public API."""
    return {"show_progress": "hidden", "concurrency_limit": None, "api_visibility": "private"}


def _name(event: gr.EventData) -> str:
    """What the pressed button was about."""
    return str(event._data.get("name", ""))
