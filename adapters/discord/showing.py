"""What is shown, in Discord's terms: pieces of at most 2,000 characters, files, rows of buttons.

Sources: https://discord.com/developers/docs/resources/message (lengths count UTF-16 code units, 10 files a message),
https://discord.com/developers/docs/components/reference (5 rows of 5 buttons, labels of 80, custom_id of 100).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import discord

from adapters.shown import Button, Shown
from adapters.splitting import split_text, utf16_length
from rapbot.i18n import _

CONTENT = 2000
FILES = 10
PRESS = "rap:"
"""Begins the `custom_id` of our buttons; `Button.data` follows, so that they work after a restart."""
_ROOM = 500_000
"""Bytes of a request that are not files."""

_LINK = re.compile(r"(?:https?|steam)://[^\s<>]+")
_INVITE = re.compile(r"(discord(?:app)?\.)(?=(?:gg|com|new)\b)", re.I)
_AT = re.compile(r"@(?=everyone|here|[!&]?[0-9])")
_EMPTY = "\u200b"
"""Takes no place on the screen: parts what would be a mention or an invitation."""


@dataclass(frozen=True, slots=True)
class Part:
    """One message. `files` are (name, bytes, description for those who cannot see it)."""

    content: str
    files: tuple[tuple[str, bytes, str], ...] = ()
    buttons: tuple[tuple[Button, ...], ...] = ()

    def as_new(self) -> dict[str, Any]:
        """Arguments of `send`."""
        answer: dict[str, Any] = {"content": self.content, "files": self._files(), "suppress_embeds": True}
        if self.buttons:
            answer["view"] = _view(self.buttons)
        return answer | {"allowed_mentions": discord.AllowedMentions.none()}

    def as_edit(self) -> dict[str, Any]:
        """Arguments of `edit`: everything that was there before is replaced."""
        view = _view(self.buttons) if self.buttons else None
        mentions = discord.AllowedMentions.none()
        return {"content": self.content, "attachments": self._files(), "view": view, "allowed_mentions": mentions}

    def _files(self) -> list[discord.File]:
        return [discord.File(BytesIO(data), name, description=said) for name, data, said in self.files]


def parts(shown: Shown, most_bytes: int) -> tuple[Part, ...]:
    """The messages that show `shown`; files and buttons are with the last text, more files than fit follow it.

    `most_bytes`: how much Discord takes with one message here.
    """
    text, most_bytes = shown.text, most_bytes - _ROOM
    files = _files(shown)
    if any(len(data) > most_bytes for _name, data, _said in files):
        files = [file for file in files if len(file[1]) <= most_bytes]
        text = f"{text}\n\n{_too_big(most_bytes)}".strip()
    *before, last = [plain(piece) for piece in split_text(text, CONTENT, lambda piece: utf16_length(plain(piece)))]
    first, *more = _by_size(files, most_bytes) or [()]
    return (*(Part(piece) for piece in before), Part(last, first, shown.buttons), *(Part("", group) for group in more))


def plain(text: str) -> str:
    """`text` so that Discord shows exactly these words: no markup, no mention, no preview of a link."""
    pieces = []
    at = 0
    for link in _LINK.finditer(text):
        pieces += [_words(text[at : link.start()]), "<", _INVITE.sub(rf"\1{_EMPTY}", link[0]), ">"]
        at = link.end()
    return "".join([*pieces, _words(text[at:])])


def _words(text: str) -> str:
    text = discord.utils.escape_markdown(text, ignore_links=False)
    text = re.sub(r"^(\s*\d+)([.)])(?=\s)", r"\1\\\2", text, flags=re.M)  # a list would be numbered anew from 1
    text = re.sub(r"[<\[]", r"\\\g<0>", re.sub(r"\\\[", "[", text))  # <#4711>, <t:0>, <:emoji:1>, [words](link)
    return _INVITE.sub(rf"\1{_EMPTY}", _AT.sub(f"@{_EMPTY}", text))


def _files(shown: Shown) -> list[tuple[str, bytes, str]]:
    several = len(shown.pictures) > 1
    said = shown.text[:1000] if not several else ""
    files = [
        (f"rapbot-{number}.jpg" if several else "rapbot.jpg", data, said)
        for number, data in enumerate(shown.pictures, 1)
    ]
    return [*files, *((name, data, "") for name, data in shown.files)]


def _by_size(files: list[tuple[str, bytes, str]], most_bytes: int) -> list[tuple[tuple[str, bytes, str], ...]]:
    groups: list[tuple[tuple[str, bytes, str], ...]] = []
    for file in files:
        last = groups[-1] if groups else ()
        if last and len(last) < FILES and sum(len(data) for _name, data, _said in (*last, file)) <= most_bytes:
            groups[-1] = (*last, file)
        else:
            groups.append((file,))
    return groups


def _too_big(most_bytes: int) -> str:
    return _("Discord takes files of at most {size} MB here, and this one is larger.").format(size=most_bytes // 10**6)


def _view(rows: tuple[tuple[Button, ...], ...]) -> discord.ui.View:
    view = discord.ui.View(timeout=None)
    for number, row in enumerate(rows[:5]):
        for button in row[:5]:
            view.add_item(_button(button, number))
    # The library would keep every view in memory for ever; presses come through `on_interaction` instead.
    view.stop()
    return view


def _button(button: Button, row: int) -> discord.ui.Button[discord.ui.View]:
    label = button.label[:80]
    if button.url:
        return discord.ui.Button(label=label, url=button.url, row=row)
    style = discord.ButtonStyle.danger if button.danger else discord.ButtonStyle.secondary
    return discord.ui.Button(label=label, custom_id=PRESS + button.data, style=style, row=row)
