"""A prompt in the words of the chat-completions interface: text and pictures interleaved, pictures as data URLs."""

from __future__ import annotations

import re
from base64 import b64encode
from io import BytesIO
from typing import Any

from PIL import Image

from rapbot.inference.seams import IMAGE, Prompt

LONGEST_SIDE = 1024
"""Pixels. Larger pictures cost upload and image tokens, and most of these models shrink them anyway."""
_QUALITY = 90
_TURNS = re.compile(
    r"<(?=\||/?s>|/?think>|(?:start|end)_of_turn>|start_of_image>|end_of_image>|img>|image_soft_token>|bos>|eos>)"
)
"""How the special tokens of these families begin: servers read them in anybody's text."""


def data_url(picture: Image.Image, longest_side: int = LONGEST_SIDE) -> str:
    """An RGB picture as a JPEG data URL: at most `longest_side` pixels, no EXIF, no comment, no colour profile."""
    small = picture.convert("RGB")
    if max(small.size) > longest_side:
        small = small.copy()
        small.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    bare = Image.new("RGB", small.size)  # Pillow writes the comment of a picture's info again
    bare.paste(small)
    file = BytesIO()
    bare.save(file, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode()}"


def chat_messages(prompt: Prompt) -> list[dict[str, Any]]:
    """The messages of a prompt; each `<image>` mark becomes an image part in its place.

    A message without pictures is a plain string, which servers of text models want. Raises ValueError when marks and
    pictures do not match.
    """
    urls = [data_url(picture) for picture in prompt.pictures]
    if sum(content.count(IMAGE) for _, content in prompt.messages) != len(urls):
        raise ValueError("a prompt needs one picture for each <image> mark")
    messages: list[dict[str, Any]] = []
    for role, content in prompt.messages:
        first, *others = content.split(IMAGE)
        parts = [_text(first)]
        for words in others:
            parts += [{"type": "image_url", "image_url": {"url": urls.pop(0)}}, _text(words)]
        # Some servers refuse an empty text part.
        shown = [part for part in parts if part.get("text") != ""]
        messages.append({"role": role, "content": shown if others else defused(content)})
    return messages


def defused(text: str) -> str:
    """People's text must not open or close turns."""
    return _TURNS.sub("< ", text)


def _text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": defused(words)}
