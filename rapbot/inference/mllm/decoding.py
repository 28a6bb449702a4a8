"""Answers while they are written: tokens to text, stop texts, and who follows along."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Any

from rapbot.inference.seams import Listener, Prompt

_EVERY = 4
"""Tokens between two calls of a listener: people read no faster, and each call decodes and checks."""
_BROKEN = "\N{REPLACEMENT CHARACTER}"
"""What a tokenizer makes of the first bytes of a letter whose last bytes are still to come."""

Decode = Callable[[Sequence[int]], str]


class Draft:
    """One answer while it is written. It may be begun again (`restart`) and then repeats nothing to its listener."""

    def __init__(self, prompt: Prompt, number: int, listener: Listener | None, decode: Decode) -> None:
        self._prompt = prompt
        self._number = number
        self._listener = listener
        self._decode = decode
        self._refused = False
        self._told: str | None = None
        self.restart(())

    def restart(self, before: Sequence[int]) -> None:
        """Forget what was written. `before` are the last tokens of the prompt where the answer continues a prefix: a
        tokenizer may drop the space before a text's first word."""
        if self._refused:
            return
        self._ids = list(before) if self._prompt.answer_prefix else []
        self._start = self._shown = len(self._ids)
        self._seen = 0
        self._text = self._prompt.answer_prefix
        self._stopped = False
        self.done = self._prompt.max_new_tokens <= 0

    @property
    def text(self) -> str:
        """What is written so far, without a stop text."""
        if self._refused:
            return self._told or ""
        return self._text.lstrip()

    @property
    def left(self) -> int:
        """How many tokens may come at most."""
        return 0 if self.done else self._prompt.max_new_tokens - (len(self._ids) - self._start)

    def add(self, token: int, ends: Set[int]) -> None:
        """The next token of the answer; those after its end are ignored."""
        if self.done:
            return
        if token in ends:
            self.finish()
            return
        self._ids.append(token)
        written = len(self._ids) - self._start
        due = self._listener is not None and (written - 1) % _EVERY == 0
        if due or self._prompt.stop:
            self._read()
        if self._stopped or written >= self._prompt.max_new_tokens:
            self.finish()
        elif due:
            self._tell(self._kept_back())

    def finish(self) -> str:
        """The answer. Its listener has heard it when this returns."""
        self.done = True
        if not self._refused:
            self._read(last=True)
            self._tell(self.text)
        return self.text

    def _read(self, *, last: bool = False) -> None:
        """Decode what came since the last time, beside the tokens before it, which decide about its spaces."""
        if self._stopped:
            return
        before = self._decode(self._ids[self._seen : self._shown])
        after = self._decode(self._ids[self._seen :])
        if after.endswith(_BROKEN):
            if not last:
                return
            after = after.rstrip(_BROKEN)
        if len(after) <= len(before):
            return
        known = len(self._text)
        self._text += after[len(before) :]
        self._seen, self._shown = self._shown, len(self._ids)
        self._stop(known)

    def _stop(self, known: int) -> None:
        """Cut at the first stop text; one only counts once something is written, models begin with line breaks."""
        begun = len(self._text) - len(self._text.lstrip())
        longest = max(map(len, self._prompt.stop), default=0)
        first = max(begun, known - longest)
        found = [at for stop in self._prompt.stop if stop and (at := self._text.find(stop, first)) >= 0]
        if found:
            self._text = self._text[: min(found)]
            self._stopped = True

    def _kept_back(self) -> str:
        """The text without an end that may become a stop text: what was told cannot be taken back."""
        text = self.text
        for stop in self._prompt.stop:
            for length in range(min(len(stop) - 1, len(text)), 0, -1):
                if text.endswith(stop[:length]):
                    return text[:-length]
        return text

    def _tell(self, text: str) -> None:
        if self._listener is None or len(text) <= len(self._told or ""):
            return
        self._told = text
        if not self._listener(self._number, text):
            self._refused = self.done = True


def decoder(tokenizer: Any) -> Decode:
    def decode(ids: Sequence[int]) -> str:
        text: str = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    return decode
