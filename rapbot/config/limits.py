"""Who gets answers, how much one person may send and store, how long a chat is remembered."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from rapbot.config.section import Section


class AccessSettings(Section):
    """Who gets answers in chats: ids of people and groups ("telegram:12345")."""

    allow: list[str] = Field(default_factory=list)
    block: list[str] = Field(default_factory=list)

    @field_validator("allow", "block")
    @classmethod
    def _ids(cls, ids: list[str]) -> list[str]:
        for one in ids:
            if not re.fullmatch(r"(?:telegram|discord):-?\d+", one):
                raise ValueError(f"{one!r} is no id: write telegram:12345 or discord:12345")
        return ids


class LimitSettings(Section):
    """What one person may store and send."""

    name_characters: int = Field(32, ge=1, le=64)
    category_characters: int = Field(32, ge=1, le=64)
    info_characters: int = Field(500, ge=1, le=2000)
    avatars_per_concept: int = Field(8, ge=1, le=32)
    concepts_per_person: int = Field(500, ge=1)
    photo_megabytes: float = Field(20.0, gt=0)
    photo_megapixels: float = Field(50.0, gt=0)
    text_characters: int = Field(2000, ge=1)
    messages_at_once: int = Field(60, ge=1)
    """Of one person, an album being one; more than that comes at `messages_per_minute`."""
    messages_per_minute: float = Field(20.0, gt=0)
    group_messages_at_once: int = Field(120, ge=1)
    group_messages_per_minute: float = Field(60.0, gt=0)


class ChatSettings(Section):
    """The short memory of a chat, kept in RAM only."""

    context_minutes: float = Field(30.0, gt=0)
    turns: int = Field(3, ge=0)
    photos_in_memory: int = Field(32, ge=1)
