"""The short memory of chats: last photo, what was spoken of, recent turns and answers.

In RAM only, for some minutes, at most so many photos; forgetting a concept or a person empties it at once. Where
several processes answer, each remembers its own chats, and tells the others what is to be forgotten.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rapbot.inference.job import Scene, Turn
from rapbot.messages import Chat

_CONTEXTS = 5000
"""Contexts without a photo are small: who waits for their turn in a large community keeps theirs."""


@dataclass(slots=True)
class ChatContext:
    """What one chat is about. `subjects`: the concepts spoken of last, the last one first; `earlier`: those before."""

    photo: bytes | None = None
    subjects: tuple[int, ...] = ()
    earlier: tuple[int, ...] = ()
    turns: tuple[Turn, ...] = ()
    draft: Draft | None = None
    touched: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Draft:
    """A `/remember` or `/addphoto` that still waits for its photo, or an `/edit` that waits for its words."""

    name: str
    info: str = ""
    category: str = ""
    adds_to_existing: bool = False
    edits: str = ""
    """Field of the card ("name", "category", "info") that the next text is for."""


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """What *Why?* and *Wrong?* need of an answer given earlier."""

    actor_id: str
    chat: Chat
    photo: bytes
    scene: Scene
    touched: float


class Conversations:
    """Contexts by (chat, person), so that in a group nobody's "she" means another's dog."""

    def __init__(self, *, lifetime: float = 1800.0, turns: int = 3, photos: int = 32) -> None:
        """`lifetime` in seconds; `photos`: how many contexts and answers hold one at most, each."""
        self._lifetime = lifetime
        self._turns = turns
        self._photos = photos
        self._contexts: OrderedDict[tuple[str, str], ChatContext] = OrderedDict()
        self._answers: OrderedDict[str, AnswerRecord] = OrderedDict()
        self.tell: Callable[[list[Any]], None] = lambda _what: None
        """Hands on (as JSON) what the memories of other processes have to forget as well: they `hear` it."""

    def hear(self, what: list[Any]) -> None:
        """What another process told."""
        match what:
            case ["concept", int(concept_id), but]:
                self._forget_concept(concept_id, but)
            case ["turns", str(person)]:
                self._forget_turns(person)
            case ["person", str(person)]:
                self._erase(person)
            case ["chat", str(chat)]:
                self._erase_chat(chat)

    def clear(self) -> None:
        """Nothing is remembered any more: what had to be forgotten may not have been heard."""
        self._contexts.clear()
        self._answers.clear()

    def context(self, chat_id: str, actor_id: str) -> ChatContext:
        """The context to read and change; a new one when there is none or it is too old."""
        self._expire()
        context = self._contexts.setdefault((chat_id, actor_id), ChatContext())
        context.touched = time.monotonic()
        self._contexts.move_to_end((chat_id, actor_id))
        while len(self._contexts) > _CONTEXTS:
            self._contexts.popitem(last=False)
        return context

    def show(self, context: ChatContext, photo: bytes) -> None:
        """`photo` is the last one of this context; of too many, those shown longest ago go."""
        context.photo = photo
        holding = [known for known in self._contexts.values() if known.photo is not None]
        for oldest in holding[: -self._photos]:
            oldest.photo = None

    def add_turn(self, context: ChatContext, turn: Turn) -> None:
        context.turns = (*context.turns, turn)[-self._turns :] if self._turns else ()

    def keep_answer(self, answer_id: str, actor_id: str, chat: Chat, photo: bytes, scene: Scene) -> None:
        self._answers[answer_id] = AnswerRecord(actor_id, chat, photo, scene, time.monotonic())
        self._answers.move_to_end(answer_id)
        while len(self._answers) > self._photos:
            self._answers.popitem(last=False)

    def answer(self, answer_id: str, actor_id: str) -> AnswerRecord | None:
        self._expire()
        record = self._answers.get(answer_id)
        return record if record is not None and record.actor_id == actor_id else None

    def forget_concept(self, concept_id: int, but: str | None = None) -> None:
        """Nothing said about a forgotten concept stays: turns, subjects and answers that saw it.

        Also with other people, who may have met it in a group; `but` keeps its owner's (the concept was unshared).
        """
        self._forget_concept(concept_id, but)
        self.tell(["concept", concept_id, but])

    def forget_turns(self, actor_id: str) -> None:
        """After an edit: earlier answers must not speak from the past."""
        self._forget_turns(actor_id)
        self.tell(["turns", actor_id])

    def erase(self, actor_id: str) -> None:
        self._erase(actor_id)
        self.tell(["person", actor_id])

    def erase_chat(self, chat_id: str) -> None:
        self._erase_chat(chat_id)
        self.tell(["chat", chat_id])

    def _forget_concept(self, concept_id: int, but: str | None) -> None:
        for (_, person), context in self._contexts.items():
            if person != but:
                context.turns = ()
                context.subjects = tuple(subject for subject in context.subjects if subject != concept_id)
                context.earlier = tuple(subject for subject in context.earlier if subject != concept_id)
        for key, record in list(self._answers.items()):
            if record.actor_id != but and any(c.concept_id == concept_id for c in record.scene.candidates):
                del self._answers[key]

    def _forget_turns(self, actor_id: str) -> None:
        for (_, person), context in self._contexts.items():
            if person == actor_id:
                context.turns = ()

    def _erase(self, actor_id: str) -> None:
        self._contexts = OrderedDict((k, v) for k, v in self._contexts.items() if k[1] != actor_id)
        self._answers = OrderedDict((k, v) for k, v in self._answers.items() if v.actor_id != actor_id)

    def _erase_chat(self, chat_id: str) -> None:
        self._contexts = OrderedDict((k, v) for k, v in self._contexts.items() if k[0] != chat_id)
        self._answers = OrderedDict((k, v) for k, v in self._answers.items() if v.chat.id != chat_id)

    def _expire(self) -> None:
        """Both lie in the order in which they were touched: only what goes is looked at, however many there are."""
        oldest = time.monotonic() - self._lifetime
        while self._contexts and next(iter(self._contexts.values())).touched < oldest:
            self._contexts.popitem(last=False)
        while self._answers and next(iter(self._answers.values())).touched < oldest:
            self._answers.popitem(last=False)
