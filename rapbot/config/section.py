"""A table of the configuration, and the secrets that one may hold: each written there, or in a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

from rapbot.secret_files import read_secret


class Section(BaseModel):
    """Knows its options and no others; never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_given(given: SecretStr | None, file: Path | None, what: str) -> str:
    """The secret itself; empty: none. Raises ConfigError, which names its file `what`, when that cannot be read."""
    if file is None:
        return given.get_secret_value().strip() if given else ""
    return read_secret(file, what)


def given_once(name: str) -> Any:
    """Validator of a section: its secret stands in `name` or in the file NAME_file, not in both."""

    def check(section: Section) -> Section:
        if getattr(section, name) is not None and getattr(section, f"{name}_file") is not None:
            raise ValueError(f"give {name} or {name}_file, not both")
        return section

    return model_validator(mode="after")(check)
