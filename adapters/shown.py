"""What a platform shows, and the way by which it shows it in answer to one question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

Sent = TypeVar("Sent")
"""What a platform needs to edit or delete an answer that it has sent."""


@dataclass(frozen=True, slots=True)
class Button:
    """`data` comes back when it is pressed (at most 64 bytes: Telegram's limit); `url` opens a page instead."""

    label: str
    data: str = ""
    url: str = ""
    danger: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """What a platform shows: plain text without markup, pictures (JPEG), rows of buttons, a file to download."""

    text: str
    pictures: tuple[bytes, ...] = ()
    buttons: tuple[tuple[Button, ...], ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()
    """(file name, content)"""
    private: bool = False
    """Meant for the person alone: ephemeral where the platform can."""
    replaces: bool = False
    """Answer to a pressed button: takes the place of the message that has the button."""
    awaits: str = ""
    """The person's next message is awaited for this ("photo" or "text"); Telegram opens the reply field."""


class Channel(Protocol[Sent]):
    """How to answer one question in its place (thread, reply). Each method raises the platform's own errors."""

    async def typing(self) -> None:
        """Show that an answer is being made; it fades by itself after some seconds."""
        ...

    async def send(self, shown: Shown) -> Sent: ...

    async def edit(self, sent: Sent, shown: Shown) -> Sent:
        """Replace what `send` or `edit` gave; may give a new `Sent` where the platform cannot change its kind."""
        ...

    async def delete(self, sent: Sent) -> None: ...
