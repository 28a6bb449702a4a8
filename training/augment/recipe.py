"""How often, and how far, pictures are changed: the proportions of training/configs/augment.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from rapbot.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Amounts:
    """Shares (of the varied pictures that are changed so, 0 to 1) and how far each change goes at most."""

    flip: float = 0.5
    rotate: float = 0.7
    degrees: float = 15.0
    crop: float = 0.8
    crop_by: float = 0.1
    """Part of the width or height, on each side."""
    perspective: float = 0.3
    perspective_by: float = 0.08
    """Part of the width and height by which each corner moves inwards."""
    colour: float = 0.8
    colour_by: float = 0.2
    """Brightness, saturation, contrast, and half as much of warmth, up or down."""
    background: float = 0.25
    """Where the outline of the thing is known, or the ground is so plain that it can be seen."""
    novel: float = 0.25
    """Of the varied pictures that come from the command for novel views, where that is installed."""
    views: int = 4
    """Pictures made of each: itself, and varied ones."""


PHOTO = Amounts(degrees=5.0, crop_by=0.15, perspective_by=0.05, background=0.2, novel=0.0, views=1)


@dataclass(frozen=True, slots=True)
class NovelViews:
    """Commands that draw a thing, or a person, from other sides: words, in which {input} and {output} are replaced."""

    things: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    timeout: float = 900.0
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    avatar: Amounts = field(default_factory=Amounts)
    photo: Amounts = PHOTO
    novel_views: NovelViews = field(default_factory=NovelViews)


def read_augmentation(file: Path) -> Augmentation:
    """What a file like training/configs/augment.toml says; what it leaves out is the default. Raises ConfigError."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}.") from error
    known = {one.name for one in fields(Augmentation)}
    for name, table in tables.items():
        if name not in known or not isinstance(table, dict):
            raise ConfigError(f"{file}: there is no table [{name}]. Tables: {', '.join(sorted(known))}.")
    base = Augmentation()
    novel = _filled(base.novel_views, tables.get("novel_views", {}), f"{file}, [novel_views]")
    for name in ("things", "people"):
        words = getattr(novel, name)
        if words and not ("{input}" in " ".join(words) and "{output}" in " ".join(words)):
            raise ConfigError(f"{file}, [novel_views]: the command {name} needs {{input}} and {{output}}.")
    return Augmentation(
        _filled(base.avatar, tables.get("avatar", {}), f"{file}, [avatar]"),
        _filled(base.photo, tables.get("photo", {}), f"{file}, [photo]"),
        novel,
    )


def _filled(base: Any, table: dict[str, Any], where: str) -> Any:
    """`base` with the values of `table`. Raises ConfigError."""
    values = {one.name: getattr(base, one.name) for one in fields(base)}
    for key, value in table.items():
        if key not in values:
            raise ConfigError(f"{where}: there is no key {key}. Keys: {', '.join(values)}.")
        usual = values[key]
        if isinstance(usual, tuple):
            if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
                raise ConfigError(
                    f'{where}: {key} is a list of words, ["python", "draw.py", "{{input}}", "{{output}}"].'
                )
            values[key] = tuple(value)
            continue
        most = {"degrees": 180.0, "timeout": 1e6, "views": 1000}.get(key, 0.4 if key.endswith("_by") else 1.0)
        wrong = isinstance(value, bool) or not isinstance(value, int if isinstance(usual, int) else int | float)
        if wrong or not (1 if key == "views" else 0) <= value <= most:
            raise ConfigError(f"{where}: {key} is a number up to {most:g}, not {value}.")
        values[key] = value
    return type(base)(**values)
