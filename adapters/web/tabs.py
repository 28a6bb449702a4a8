"""What one open browser tab shows: its conversation, the open card, the correction being made. In memory only."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime

from adapters.web.shelf import PictureShelf
from rapbot.messages import Action, Chat, Photo, Reply

_MOST_ENTRIES = 200
_MOST_TABS = 64


@dataclass(slots=True)
class Entry:
    """One bubble of the conversation."""

    mine: bool
    """Whether the person wrote it."""
    text: str = ""
    pictures: tuple[str, ...] = ()
    """Tokens of the shelf."""
    files: tuple[str, ...] = ()
    """Names of photos that a browser cannot show."""
    status: str = ""
    """What is being done for an answer that is not there yet."""
    failed: bool = False
    actions: tuple[Action, ...] = ()
    answer_id: str | None = None
    concept_id: int | None = None


@dataclass(slots=True)
class Correction:
    """The answer that *Wrong?* is about; `named` tells which region was called what."""

    answer_id: str
    named: dict[int, str] = field(default_factory=dict)
    picture: str | None = None


@dataclass(slots=True)
class Tab:
    """One tab, hence one chat of the assistant."""

    chat: Chat
    shelf: PictureShelf
    entries: list[Entry] = field(default_factory=list)
    tasks: set[asyncio.Task[Reply]] = field(default_factory=set)
    stopped: bool = False
    """Whether the person pressed *Stop* since the last message: what still waits is not begun."""
    concept_id: int | None = None
    """The concept whose card is open."""
    shown: tuple[int, datetime] | None = None
    """Which state of a card the form was filled from, so that a refresh never overwrites what is being typed."""
    correction: Correction | None = None
    unreadable: bool = False
    """Whether the gallery told that it could not be read."""

    def hear(self, text: str, photos: tuple[Photo, ...]) -> Entry:
        """Show what the person sent."""
        tokens = [(photo, self.shelf.put(photo.data)) for photo in photos]
        return self._add(
            Entry(
                mine=True,
                text=text,
                pictures=tuple(token for _, token in tokens if token),
                files=tuple(photo.file_name for photo, token in tokens if token is None),
            )
        )

    def begin(self, status: str) -> Entry:
        """An answer that is still being worked on."""
        return self._add(Entry(mine=False, status=status))

    def say(self, reply: Reply) -> None:
        self.finish(self.begin(""), reply)

    def finish(self, entry: Entry, reply: Reply) -> None:
        token = self.shelf.put(reply.picture) if reply.picture else None
        entry.status, entry.text = "", reply.text
        entry.pictures = (token,) if token else ()
        entry.actions, entry.answer_id = reply.actions, reply.answer_id
        entry.concept_id = reply.named[0] if reply.named else None
        if Action.UNDO in reply.actions:
            self._undo_only(entry)

    def fail(self, entry: Entry, sentence: str) -> None:
        entry.status, entry.text, entry.failed = "", sentence, True

    def took_back(self) -> None:
        """After an undo no older bubble offers one: the next undo would be of something else."""
        self._undo_only(None)

    def stop(self) -> None:
        self.stopped = True
        for task in self.tasks:
            task.cancel()

    def close(self) -> None:
        self.stop()
        for entry in self.entries:
            self._unshelve(entry)
        self.entries.clear()

    def _undo_only(self, newest: Entry | None) -> None:
        for entry in self.entries:
            if entry is not newest:
                entry.actions = tuple(action for action in entry.actions if action is not Action.UNDO)

    def _add(self, entry: Entry) -> Entry:
        self.entries.append(entry)
        for old in self.entries[:-_MOST_ENTRIES]:
            self._unshelve(old)
        del self.entries[:-_MOST_ENTRIES]
        return entry

    def _unshelve(self, entry: Entry) -> None:
        for token in entry.pictures:
            self.shelf.drop(token)


class Tabs:
    """The open tabs by session; the one unused for longest makes room."""

    def __init__(self, shelf: PictureShelf) -> None:
        self._shelf = shelf
        self._tabs: OrderedDict[str, Tab] = OrderedDict()

    def get(self, session: str | None) -> Tab:
        name = session or "none"
        tab = self._tabs.get(name)
        if tab is None:
            tab = self._tabs[name] = Tab(Chat(f"web:{name}"), self._shelf)
        self._tabs.move_to_end(name)
        while len(self._tabs) > _MOST_TABS:
            self._tabs.popitem(last=False)[1].close()
        return tab

    def close(self, session: str | None) -> None:
        tab = self._tabs.pop(session or "none", None)
        if tab is not None:
            tab.close()
