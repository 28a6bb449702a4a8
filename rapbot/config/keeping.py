"""What is kept: where, encrypted or not, and for how long."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field, SecretStr, model_validator

from rapbot.config.section import Section, given_once, read_given
from rapbot.errors import ConfigError

INBOX_NAME = "inbox.sqlite3"


class StoreSettings(Section):
    """Where everything is kept: two SQLite files in `data_dir` until there is a PostgreSQL database."""

    url: str = ""
    password: SecretStr | None = None
    password_file: Path | None = None
    connections: int = Field(8, ge=2, le=200)
    """Of one process, at most."""

    _one_password = given_once("password")

    @property
    def enabled(self) -> bool:
        return bool(self.url)

    def address(self) -> str:
        """The URL, which holds no password. Raises ConfigError, which does not repeat it."""
        return postgres_address(self.url, "store.url")

    def secret(self) -> str:
        """The password itself, empty when there is none; it is never logged. Raises ConfigError when its file cannot
        be read."""
        return read_given(self.password, self.password_file, "file of the database's password")


def postgres_address(url: str, what: str) -> str:
    """`url` as it is, or ConfigError; `what` names it there, because it may hold a password."""
    if not url.startswith(("postgresql://", "postgres://")):
        raise ConfigError(f"{what} is no address of PostgreSQL: postgresql://NAME@HOST/DATABASE is wanted.")
    if re.search(r"://[^/?@]*:[^/?@]+@|[?&]password=", url):
        raise ConfigError(
            f"{what} must not hold a password: put it into the file store.password_file, or into the environment as"
            " RAPBOT_STORE__PASSWORD."
        )
    return url


class EncryptionSettings(Section):
    """Encryption of what lies on disk: off until there is a key."""

    key: SecretStr | None = None
    key_file: Path | None = None

    _one_key = given_once("key")

    @property
    def enabled(self) -> bool:
        return self.key is not None or self.key_file is not None

    def secret(self) -> str:
        """The key itself, empty when there is none; it is never logged. Raises ConfigError when its file cannot be
        read."""
        return read_given(self.key, self.key_file, "file of the encryption key")


class InboxSettings(Section):
    """Messages that wait for their answer, kept on disk."""

    hours: float = Field(24.0, gt=0, le=24 * 6)
    """After this time a message gets an apology instead of an answer (Discord's commands: 15 minutes, its limit)."""


class RetentionSettings(Section):
    """When what somebody taught expires because they do not come any more."""

    days: int = Field(0, ge=0)
    """Without a word from them; 0: never."""
    warn_days: int = Field(14, ge=1)
    """So many days before that they are told."""

    @model_validator(mode="after")
    def _warned_in_time(self) -> RetentionSettings:
        if self.days and self.warn_days >= self.days:
            raise ValueError("warn_days must be less than days")
        return self
