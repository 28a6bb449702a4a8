"""From the file and the environment to `Settings`; every error in one sentence."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import ValidationError

from rapbot.config.keys import CONFIG_VARIABLE, SECRETS, flatten, refuse_unknown_keys, refuse_unknown_variables
from rapbot.config.settings import Settings
from rapbot.errors import ConfigError
from rapbot.secret_files import check_config


def find_config(explicit: Path | None = None) -> Path | None:
    """The file in use: `--config`, RAPBOT_CONFIG, ./config.toml, then the platform's configuration folder."""
    named = explicit or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    if named is not None:
        if not named.is_file():
            raise ConfigError(f"There is no configuration file {named}.")
        return named
    candidates = (Path("config.toml"), platformdirs.user_config_path("rapbot") / "config.toml")
    return next((path for path in candidates if path.is_file()), None)


def load_settings(config: Path | None = None, **overrides: Any) -> Settings:
    """Settings of file, environment and `overrides` (highest). Raises ConfigError in one sentence."""
    path = find_config(config)
    table: dict[str, Any] = {}
    if path is not None:
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is not valid TOML: {error}") from error
        refuse_unknown_keys(table, path)
        check_config(path, secret=next((key for key in flatten(table) if key in SECRETS), ""))
    refuse_unknown_variables()
    try:
        settings = Settings(**table)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        given = first.get("input")
        if isinstance(given, Mapping):  # a whole section, with the secrets in it
            raise ConfigError(f"The section {key} cannot be used: {first['msg']}.") from None
        raise ConfigError(f"The option {key} cannot be {given!r}: {first['msg']}.") from error
    return settings.model_copy(update={key: value for key, value in overrides.items() if value is not None})
