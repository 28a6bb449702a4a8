"""Which prompts are answered together, and what happens when that takes too much memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from rapbot.errors import InferenceError
from rapbot.i18n import mark
from rapbot.logs import get_logger

log = get_logger("rapbot.mllm")

TOO_LARGE = mark("That needs more memory than I have. Please send fewer or smaller pictures.")
_UNLIKE = 4
"""A prompt is not put beside one that is so many times as long: it would mostly be padding."""
_SHORT = 64
"""Tokens. Among prompts as short as that, padding costs nothing."""


class Item(NamedTuple):
    """What decides about the company of one prompt."""

    number: int
    adapter: str
    tokens: int
    max_new_tokens: int


def batches(items: Iterable[Item], size: int) -> list[list[int]]:
    """Numbers of prompts that are answered together: of one adapter, and alike in length and in answers' length."""
    order = sorted(items, key=lambda item: (item.adapter, item.max_new_tokens.bit_length(), item.tokens))
    together: list[list[Item]] = []
    for item in order:
        last = together[-1] if together else []
        if last and len(last) < size and last[0].adapter == item.adapter and _alike(last[0].tokens, item.tokens):
            last.append(item)
        else:
            together.append([item])
    return [[item.number for item in batch] for batch in together]


def halving(numbers: Sequence[int], work: Callable[[Sequence[int]], None], free: Callable[[], None]) -> None:
    """Do `work` on all of `numbers` at once; where memory does not suffice, on halves of them, after `free`.

    Raises InferenceError when it does not suffice for one.
    """
    waiting = deque([list(numbers)])
    while waiting:
        part = waiting.popleft()
        try:
            work(part)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            log.warning("mllm.out_of_memory", rows=len(part))
            if len(part) == 1:
                raise InferenceError(TOO_LARGE) from None
            half = len(part) // 2
            waiting.extendleft((part[half:], part[:half]))
        else:
            continue
        # Only here is the traceback gone, and with it what the failed attempt still held.
        free()


def is_out_of_memory(error: BaseException) -> bool:
    """torch says so in several ways: OutOfMemoryError (a RuntimeError) on a GPU, "can't allocate memory" on a CPU."""
    words = str(error)
    return isinstance(error, MemoryError) or "out of memory" in words or "allocate memory" in words


def _alike(one: int, other: int) -> bool:
    short, long = sorted((one, other))
    return long <= _UNLIKE * short or long <= _SHORT
