"""What an answer is made of before it is said: the finished text, or a draft that the model still writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rapbot.inference.seams import Prompt
from rapbot.messages import Box


@dataclass(frozen=True, slots=True)
class Written:
    """The text of an answer with names as <Name>, the concepts it names, and the scores of a multiple choice."""

    text: str
    named: tuple[int, ...] = ()
    option_scores: tuple[float, ...] = ()
    boxes: tuple[tuple[int, Box], ...] = ()
    """Where a model that sees says a concept is, and the keys found it elsewhere or nowhere."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A text that is right already, and how the model may say it better: its draft goes through `finish`.

    `partial` makes a draft that is still being written fit to be shown.
    """

    composed: str
    prompt: Prompt
    finish: Callable[[str], str | Written]
    partial: Callable[[str], str] | None = None
