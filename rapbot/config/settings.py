"""Every option together, with the defaults and the places that follow from them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from rapbot.config.keeping import INBOX_NAME, EncryptionSettings, InboxSettings, RetentionSettings, StoreSettings
from rapbot.config.limits import AccessSettings, ChatSettings, LimitSettings
from rapbot.config.models import ClusterSettings, ModelSettings, ProfileName, WorkerSettings
from rapbot.config.observing import MetricsSettings, TracingSettings
from rapbot.config.platforms import DiscordSettings, TelegramSettings, WebSettings

ENV_PREFIX = "RAPBOT_"


class Settings(BaseSettings):
    """Every option of rapbot; `config.example.toml` explains each."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
    )

    data_dir: Path = Field(default_factory=lambda: platformdirs.user_data_path("rapbot"))
    weights_dir: Path = Field(default_factory=lambda: platformdirs.user_cache_path("rapbot") / "weights")
    profile: ProfileName = "pocket"
    lora: Path | None = None
    owner: str = "local:me"
    people: Literal["off", "own", "shared"] = "shared"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    access: AccessSettings = AccessSettings()
    web: WebSettings = WebSettings()
    worker: WorkerSettings = WorkerSettings()
    cluster: ClusterSettings = ClusterSettings()
    models: ModelSettings = ModelSettings()
    limits: LimitSettings = LimitSettings()
    chat: ChatSettings = ChatSettings()
    telegram: TelegramSettings = TelegramSettings()
    discord: DiscordSettings = DiscordSettings()
    inbox: InboxSettings = InboxSettings()
    encryption: EncryptionSettings = EncryptionSettings()
    store: StoreSettings = StoreSettings()
    retention: RetentionSettings = RetentionSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()

    @property
    def database(self) -> Path:
        return self.data_dir.expanduser() / "rapbot.sqlite3"

    @property
    def inbox_file(self) -> Path:
        return self.data_dir.expanduser() / INBOX_NAME

    @property
    def cluster_token(self) -> Path:
        return (self.cluster.token_file or self.data_dir / "cluster.token").expanduser()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings  # the file is handed to __init__: the environment wins over it
