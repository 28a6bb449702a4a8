"""What a button carries: kind, whose it is, and a few short words; at most 64 bytes (Telegram's limit)."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.shown import Button
from rapbot.messages import Actor

_LONGEST = 64


@dataclass(frozen=True, slots=True)
class Press:
    """`person` is the number on the platform of the one the button is for."""

    kind: str
    person: str
    words: tuple[str, ...] = ()

    @classmethod
    def read(cls, data: str) -> Press:
        """Whatever a platform hands over: unknown kinds and missing words are the reader's to refuse."""
        kind, _colon, rest = data.partition(":")
        if kind == "mode":
            return cls(kind, "", (rest,))
        person, *words = rest.split(":")
        return cls(kind, person, tuple(words))


def button(label: str, kind: str, person: str, *words: object, danger: bool = False) -> Button:
    """A button for one person. Raises ValueError when it carries too much."""
    data = ":".join([kind, person, *map(str, words)])
    if len(data.encode()) > _LONGEST:
        raise ValueError(f"a button carries {len(data.encode())} bytes")
    return Button(label, data, danger=danger)


def number_of(actor: Actor) -> str:
    """The person's number on their platform: short enough for a button."""
    return actor.id.partition(":")[2].replace(":", ".")
