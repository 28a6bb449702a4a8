"""Text as Telegram counts and reads it: UTF-16 lengths, entities found in plain text, parse_mode HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from tests.peers.telegram.wire import Refusal

Wire = dict[str, Any]

_FOUND = re.compile(
    r"(?P<url>https?://[^\s<>\"]+)"
    r"|(?<![\w/@])(?P<bot_command>/\w{1,32}(?:@\w{3,32})?)"
    r"|(?<![\w/])(?P<mention>@[A-Za-z]\w{3,31})"
    r"|(?<!\w)(?P<hashtag>#\w+)",
    re.ASCII,
)
_TAGS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "span": "spoiler",
    "code": "code",
    "pre": "pre",
    "a": "text_link",
    "blockquote": "blockquote",
}


def units(text: str) -> int:
    """The length of a text as Telegram counts it: UTF-16 code units."""
    return len(text.encode("utf-16-le")) // 2


def found_entities(text: str) -> list[Wire]:
    """The entities a Telegram client finds by itself: commands, mentions, links, hashtags."""
    return [
        {"type": str(m.lastgroup), "offset": units(text[: m.start()]), "length": units(m.group())}
        for m in _FOUND.finditer(text)
    ]


def entity_text(text: str, entity: Wire) -> str:
    """The part of `text` an entity covers."""
    raw = text.encode("utf-16-le")
    return raw[2 * entity["offset"] : 2 * (entity["offset"] + entity["length"])].decode("utf-16-le")


def read(text: str, parse_mode: str | None, entities: list[Wire] | None) -> tuple[str, list[Wire]]:
    """The text people see and its entities. Raises Refusal where Telegram could not parse it."""
    if parse_mode is None:
        shown, marks = text, entities
    elif parse_mode.lower() == "html":
        reader = _Html(text)
        shown, marks = reader.shown, reader.entities
    else:
        raise NotImplementedError(f"the stand-in reads parse_mode HTML, not {parse_mode!r}")
    stripped = shown.strip()
    lead = units(shown) - units(shown.lstrip())
    total = units(stripped)
    kept = [
        {**m, "offset": max(m["offset"] - lead, 0), "length": min(m["length"], total)}
        for m in marks or []
        if m["length"]
    ]
    known = {(m["offset"], m["length"]) for m in kept}
    kept += [m for m in found_entities(stripped) if (m["offset"], m["length"]) not in known]
    return stripped, sorted(kept, key=lambda m: (m["offset"], -m["length"]))


class _Html(HTMLParser):
    """Reads what Telegram calls HTML: a few tags, each of which must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.shown = ""
        self.entities: list[Wire] = []
        self._open: list[tuple[str, Wire]] = []
        if stray := re.search(r"<(?![/a-zA-Z])", text):
            raise _unparsed(f'Unsupported start tag "" at byte offset {stray.start()}')
        if unclosed := re.search(r"<[^>]*$", text):
            raise _unparsed(f"Unclosed start tag at byte offset {unclosed.start()}")
        self.feed(text)
        self.close()
        if self._open:
            raise _unparsed(f'Can\'t find end tag corresponding to start tag "{self._open[-1][0]}"')

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _TAGS:
            raise _unparsed(f'Unsupported start tag "{tag}" at byte offset {self.getpos()[1]}')
        entity: Wire = {"type": _TAGS[tag], "offset": units(self.shown)}
        if tag == "a":
            entity["url"] = dict(attrs).get("href") or ""
        self._open.append((tag, entity))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1][0] != tag:
            raise _unparsed(f'Unexpected end tag "{tag}" at byte offset {self.getpos()[1]}')
        _, entity = self._open.pop()
        self.entities.append({**entity, "length": units(self.shown) - entity["offset"]})

    def handle_data(self, data: str) -> None:
        self.shown += data


def _unparsed(why: str) -> Refusal:
    return Refusal(400, f"Bad Request: can't parse entities: {why}")
