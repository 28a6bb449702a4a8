"""Names of the options: which there are, which hold secrets, and the nearest one to a typing error."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rapidfuzz import fuzz, process

from rapbot.config.settings import ENV_PREFIX, Settings
from rapbot.errors import ConfigError

CONFIG_VARIABLE = "RAPBOT_CONFIG"
_FREE = "models.adapters."
"""Below it every name is allowed."""

SECRETS = frozenset(
    {
        "telegram.token",
        "telegram.webhook_secret",
        "discord.token",
        "models.api_key",
        "web.password",
        "encryption.key",
        "store.password",
    }
)
"""Whoever writes one into the file must keep that from others."""
SECRET_VARIABLES = frozenset(
    ENV_PREFIX + name.upper().replace(".", "__") for key in SECRETS for name in (key, key.partition(".")[0])
)
"""A section may stand in one variable as well, as JSON."""


def valid_keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Dotted names of every option, sections included ("web", "web.port", ...)."""
    for name, info in model.model_fields.items():
        yield prefix + name
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from valid_keys(info.annotation, f"{prefix}{name}.")


def _nearest(key: str) -> str:
    found = process.extractOne(key, list(valid_keys()), scorer=fuzz.ratio, score_cutoff=50)
    return f" Did you mean {found[0]}?" if found else " config.example.toml lists every option."


def flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted names of what a file says, sections included."""
    for key, value in table.items():
        yield prefix + key
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")


def refuse_unknown_keys(table: Mapping[str, Any], path: Path) -> None:
    known = set(valid_keys())
    for key in flatten(table):
        if key not in known and not key.startswith(_FREE):
            raise ConfigError(f"{path}: there is no option {key}.{_nearest(key)}")


def refuse_unknown_variables() -> None:
    known = {ENV_PREFIX + key.upper().replace(".", "__") for key in valid_keys()} | {CONFIG_VARIABLE}
    for variable in os.environ:
        if variable.startswith(ENV_PREFIX) and variable not in known:
            found = process.extractOne(variable, sorted(known), scorer=fuzz.ratio)
            raise ConfigError(f"The environment variable {variable} means nothing to rapbot. Did you mean {found[0]}?")
