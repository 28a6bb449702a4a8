"""An answer of a server while it comes in pieces: prefix, stop texts, and nothing shown that is taken back."""

from __future__ import annotations

from rapbot.inference.seams import Prompt


class Draft:
    """One answer while it comes in pieces."""

    def __init__(self, prompt: Prompt, continues: bool) -> None:
        self._prompt = prompt
        self._between = "" if continues or prompt.answer_prefix[-1:].isspace() else " "
        """What stands between the prefix and an answer that did not continue it."""
        self._written = ""
        self.text = prompt.answer_prefix
        self.done = False

    def add(self, piece: str, *, whole: bool = False) -> str:
        """All of the answer so far. What may be the beginning of a stop text waits, unless it is the `whole`."""
        self._written += piece
        prefix, written = self._prompt.answer_prefix, self._written.lstrip()
        if prefix and prefix.startswith(written[: len(prefix)]) and not (whole and len(written) < len(prefix)):
            if len(written) < len(prefix):  # it may be repeating the prefix
                return self.text
            text, begun = written, len(prefix)
        elif prefix:
            between = self._between if self._written and not self._written[0].isspace() else ""
            text, begun = prefix + between + self._written, len(prefix)
        else:
            text, begun = written, 0
        stops = [at for stop in self._prompt.stop if stop and (at := text.find(stop, begun)) >= 0]
        self.done = bool(stops)
        self.text = text[: min(stops)] if stops else text if whole else self._without_half_a_stop(text, begun)
        return self.text

    def _without_half_a_stop(self, text: str, begun: int) -> str:
        most = max((len(stop) - 1 for stop in self._prompt.stop), default=0)
        for length in range(min(most, len(text) - begun), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._prompt.stop if len(stop) > length):
                return text[:-length]
        return text
