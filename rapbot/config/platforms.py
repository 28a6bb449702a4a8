"""Where people reach the bot: the local page, Telegram, Discord."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, model_validator

from rapbot.config.section import Section, given_once, read_given
from rapbot.errors import ConfigError

SHORTEST_PASSWORD = 8
"""Characters: at five tries a minute nobody guesses them."""


class WebSettings(Section):
    """The local page."""

    host: str = "127.0.0.1"
    port: int = Field(default=7860, ge=0, le=65535)
    open_browser: bool = True
    password: SecretStr | None = None
    """Asked once for each browser; without one the page answers to this machine only."""
    password_file: Path | None = None

    _one_password = given_once("password")

    def secret(self) -> str:
        """The password itself; empty: none. Raises ConfigError when its file cannot be read or it is too short."""
        password = read_given(self.password, self.password_file, "file of the page's password")
        if len(password) < SHORTEST_PASSWORD and (password or self.password_file is not None):
            raise ConfigError(f"The page's password is too short: it needs {SHORTEST_PASSWORD} characters.")
        return password


class TokenSection(Section):
    """A platform: off until it has a token, from a file or (for containers) written here or in the environment."""

    token: SecretStr | None = None
    token_file: Path | None = None

    _one_token = given_once("token")

    @property
    def enabled(self) -> bool:
        return self.token is not None or self.token_file is not None

    def secret(self) -> str:
        """The token itself; it is never logged. Raises ConfigError when its file cannot be read."""
        return read_given(self.token, self.token_file, "token file")


class TelegramSettings(TokenSection):
    """The Telegram bot."""

    webhook_url: str = ""
    """Public https address that Telegram calls; empty: long polling, which needs no address."""
    webhook_listen: str = "127.0.0.1"
    webhook_port: int = Field(8443, ge=0, le=65535)
    webhook_secret: SecretStr | None = None
    """1-256 characters A-Z a-z 0-9 _ -; when not given made anew at every start, with `store.url` of the token."""
    api_url: str = "https://api.telegram.org"
    album_wait_s: float = Field(1.5, gt=0, le=10)
    grace_s: float = Field(30.0, ge=0)
    """Seconds that running answers get at shutdown."""


class DiscordSettings(TokenSection):
    """The Discord bot."""

    message_content: bool = False
    """Read photos and texts of servers that do not mention the bot: needs the privileged intent."""
    grace_s: float = Field(30.0, ge=0)
    shard_count: int | None = Field(None, ge=1)
    """In all processes together; None: as many as Discord advises, all in this process."""
    shard_ids: list[int] = Field(default_factory=list)
    """Those of this process; empty: all."""

    @model_validator(mode="after")
    def _own_shards(self) -> DiscordSettings:
        if self.shard_ids and self.shard_count is None:
            raise ValueError("shard_ids needs shard_count: of how many")
        if any(not 0 <= one < (self.shard_count or 0) for one in self.shard_ids):
            raise ValueError("shard_ids must lie between 0 and shard_count - 1")
        return self
