"""Settings: defaults, then a TOML file, then `RAPBOT_*` environment variables, then command-line options.

Unknown keys are refused with the nearest valid name, so that a typing error never silently does nothing.
"""

from rapbot.config.keeping import (
    INBOX_NAME,
    EncryptionSettings,
    InboxSettings,
    RetentionSettings,
    StoreSettings,
    postgres_address,
)
from rapbot.config.keys import SECRET_VARIABLES, valid_keys
from rapbot.config.limits import AccessSettings, ChatSettings, LimitSettings
from rapbot.config.loading import find_config, load_settings
from rapbot.config.models import ClusterSettings, ModelSettings, ProfileName, WorkerSettings
from rapbot.config.observing import MetricsSettings, TracingSettings
from rapbot.config.platforms import SHORTEST_PASSWORD, DiscordSettings, TelegramSettings, WebSettings
from rapbot.config.settings import Settings

__all__ = [
    "INBOX_NAME",
    "SECRET_VARIABLES",
    "SHORTEST_PASSWORD",
    "AccessSettings",
    "ChatSettings",
    "ClusterSettings",
    "DiscordSettings",
    "EncryptionSettings",
    "InboxSettings",
    "LimitSettings",
    "MetricsSettings",
    "ModelSettings",
    "ProfileName",
    "RetentionSettings",
    "Settings",
    "StoreSettings",
    "TelegramSettings",
    "TracingSettings",
    "WebSettings",
    "WorkerSettings",
    "find_config",
    "load_settings",
    "postgres_address",
    "valid_keys",
]
