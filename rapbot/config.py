"""Settings: defaults, then a TOML file, then `RAPBOT_*` environment variables, then command-line options.

Unknown keys are refused with the nearest valid name, so that a typing error never silently does nothing.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from rapidfuzz import fuzz, process

from rapbot.errors import ConfigError
from rapbot.secret_files import check_config, read_secret

ENV_PREFIX = "RAPBOT_"
CONFIG_VARIABLE = "RAPBOT_CONFIG"
ProfileName = Literal[
    "pocket",
    "rap-llava-13b",
    "rap-phi3-v",
    "rap-qwen-vl",
    "qwen3-vl",
    "llava-7b",
    "internvl",
    "gemma3",
    "smolvlm2",
    "server",
]
"""Of `inference.profiles.PROFILES`; named here as well so that a typing error is told at once."""
SHORTEST_PASSWORD = 8
"""Characters: at five tries a minute nobody guesses them."""
INBOX_NAME = "inbox.sqlite3"
_FREE = "models.adapters."
"""Below it every name is allowed."""


def _secret(given: SecretStr | None, file: Path | None, what: str) -> str:
    if file is None:
        return given.get_secret_value().strip() if given else ""
    return read_secret(file, what)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AccessSettings(_Section):
    """Who gets answers in chats: ids of people and groups ("telegram:12345")."""

    allow: list[str] = []
    block: list[str] = []

    @field_validator("allow", "block")
    @classmethod
    def _ids(cls, ids: list[str]) -> list[str]:
        for one in ids:
            if not re.fullmatch(r"(?:telegram|discord):-?\d+", one):
                raise ValueError(f"{one!r} is no id: write telegram:12345 or discord:12345")
        return ids


class WebSettings(_Section):
    """The local page."""

    host: str = "127.0.0.1"
    port: int = Field(default=7860, ge=0, le=65535)
    open_browser: bool = True
    password: SecretStr | None = None
    """Asked once for each browser; without one the page answers to this machine only."""
    password_file: Path | None = None

    def secret(self) -> str:
        """The password itself; empty: none. Raises ConfigError when its file cannot be read or it is too short."""
        password = _secret(self.password, self.password_file, "file of the page's password")
        if len(password) < SHORTEST_PASSWORD and (password or self.password_file is not None):
            raise ConfigError(f"The page's password is too short: it needs {SHORTEST_PASSWORD} characters.")
        return password

    @model_validator(mode="after")
    def _one_password(self) -> WebSettings:
        if self.password is not None and self.password_file is not None:
            raise ValueError("give password or password_file, not both")
        return self


class WorkerSettings(_Section):
    """The process that runs the models, and the queue before it."""

    threads: int = Field(default_factory=lambda: min(4, os.cpu_count() or 1), ge=1)
    batch_size: int = Field(4, ge=1, le=64)
    batch_wait_ms: int = Field(5, ge=0, le=1000)
    deadline_s: float = Field(60.0, gt=0)
    start_deadline_s: float = Field(180.0, gt=0)
    queue_size: int = Field(200, ge=1)
    queue_per_person: int = Field(20, ge=1)
    queue_per_chat: int = Field(60, ge=1)
    backoff_first_s: float = Field(0.2, ge=0)
    backoff_max_s: float = Field(30.0, ge=0)


class ClusterSettings(_Section):
    """Ray Serve in the place of the worker process: off until there is an address."""

    address: str = Field("", pattern=r"^(?:[^\s:/]+:\d{1,5})?$")
    """HOST:PORT of the cluster's head."""
    token_file: Path | None = None
    """The secret of the cluster; the default lies in data_dir, made by `rapbot cluster up`."""
    replicas_min: int = Field(1, ge=1, le=256)
    replicas_max: int = Field(1, ge=1, le=256)
    num_cpus: float = Field(1.0, ge=0)
    """Of each replica; for placing it, no bound on what it uses."""
    num_gpus: float = Field(0.0, ge=0)
    max_batch: int | None = Field(None, ge=1, le=256)
    """Jobs of one batch in a replica; None: `worker.batch_size`."""
    batch_wait_ms: int = Field(0, ge=0, le=1000)
    """How long a replica waits for batches of other bots; ours has waited in the queue."""
    upscale_after_s: float = Field(10.0, ge=0)
    downscale_after_s: float = Field(600.0, ge=0)
    drain_s: float = Field(60.0, ge=0)
    """What a replica that shall go gets to finish its work."""
    health_period_s: float = Field(5.0, gt=0)
    health_timeout_s: float = Field(30.0, gt=0)
    dashboard: bool = False

    @property
    def enabled(self) -> bool:
        return bool(self.address)

    @model_validator(mode="after")
    def _grows(self) -> ClusterSettings:
        if self.replicas_max < self.replicas_min:
            raise ValueError("replicas_max must not be less than replicas_min")
        return self


class ModelSettings(_Section):
    """Changes to the profile: other models, where they lie, how they are loaded."""

    models_dir: Path | None = None
    """Folder of models kept by hand: `<models_dir>/<model>` wins over the hub."""
    offline: bool = False
    device: str = "auto"
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    detector: str | None = None
    """"kind:model", as every model here."""
    encoder: str | None = None
    generator: str | None = None
    faces: str | None = None
    family: str | None = None
    quantization: Literal["none", "nf4", "int8"] | None = None
    attention: Literal["auto", "sdpa", "flash_attention_2", "eager"] = "auto"
    rap_trained: bool | None = None
    concepts_in_prompt: int | None = Field(None, ge=1, le=16)
    image_tokens: int | None = Field(None, ge=16)
    batch: int | None = Field(None, ge=1, le=256)
    adapters: dict[str, str] = Field(default_factory=dict)
    """LoRAs side by side: name = folder or hub id."""
    adapter: str = ""
    """Which of them answers."""
    judge: bool | None = None
    window_distance: float | None = Field(None, gt=0, lt=2)
    url: str = ""
    api_key: SecretStr | None = None
    api_key_file: Path | None = None
    timeout_s: float = Field(60.0, gt=0)

    def secret(self) -> str:
        """The API key itself; it is never logged. Raises ConfigError when its file cannot be read."""
        return _secret(self.api_key, self.api_key_file, "API key file")

    @model_validator(mode="after")
    def _consistent(self) -> ModelSettings:
        if self.api_key is not None and self.api_key_file is not None:
            raise ValueError("give api_key or api_key_file, not both")
        if self.adapter and self.adapter not in self.adapters:
            raise ValueError(f"{self.adapter} is none of the adapters: {', '.join(self.adapters) or 'there is none'}")
        return self


class LimitSettings(_Section):
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


class ChatSettings(_Section):
    """The short memory of a chat, kept in RAM only."""

    context_minutes: float = Field(30.0, gt=0)
    turns: int = Field(3, ge=0)
    photos_in_memory: int = Field(32, ge=1)


class _TokenSection(_Section):
    """A platform: off until it has a token, from a file or (for containers) written here or in the environment."""

    token: SecretStr | None = None
    token_file: Path | None = None

    @model_validator(mode="after")
    def _one_token(self) -> _TokenSection:
        if self.token is not None and self.token_file is not None:
            raise ValueError("give token or token_file, not both")
        return self

    @property
    def enabled(self) -> bool:
        return self.token is not None or self.token_file is not None

    def secret(self) -> str:
        """The token itself; it is never logged. Raises ConfigError when its file cannot be read."""
        return _secret(self.token, self.token_file, "token file")


class TelegramSettings(_TokenSection):
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


class DiscordSettings(_TokenSection):
    """The Discord bot."""

    message_content: bool = False
    """Read photos and texts of servers that do not mention the bot: needs the privileged intent."""
    grace_s: float = Field(30.0, ge=0)
    shard_count: int | None = Field(None, ge=1)
    """In all processes together; None: as many as Discord advises, all in this process."""
    shard_ids: list[int] = []
    """Those of this process; empty: all."""

    @model_validator(mode="after")
    def _own_shards(self) -> DiscordSettings:
        if self.shard_ids and self.shard_count is None:
            raise ValueError("shard_ids needs shard_count: of how many")
        if any(not 0 <= one < (self.shard_count or 0) for one in self.shard_ids):
            raise ValueError("shard_ids must lie between 0 and shard_count - 1")
        return self


class EncryptionSettings(_Section):
    """Encryption of what lies on disk: off until there is a key."""

    key: SecretStr | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _one_key(self) -> EncryptionSettings:
        if self.key is not None and self.key_file is not None:
            raise ValueError("give key or key_file, not both")
        return self

    @property
    def enabled(self) -> bool:
        return self.key is not None or self.key_file is not None

    def secret(self) -> str:
        """The key itself, empty when there is none; it is never logged. Raises ConfigError when its file cannot be
        read."""
        return _secret(self.key, self.key_file, "file of the encryption key")


class StoreSettings(_Section):
    """Where everything is kept: two SQLite files in `data_dir` until there is a PostgreSQL database."""

    url: str = ""
    password: SecretStr | None = None
    password_file: Path | None = None
    connections: int = Field(8, ge=2, le=200)
    """Of one process, at most."""

    @model_validator(mode="after")
    def _one_password(self) -> StoreSettings:
        if self.password is not None and self.password_file is not None:
            raise ValueError("give password or password_file, not both")
        return self

    @property
    def enabled(self) -> bool:
        return bool(self.url)

    def address(self) -> str:
        """The URL, which holds no password. Raises ConfigError, which does not repeat it."""
        return postgres_address(self.url, "store.url")

    def secret(self) -> str:
        """The password itself, empty when there is none; it is never logged. Raises ConfigError when its file cannot
        be read."""
        return _secret(self.password, self.password_file, "file of the database's password")


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


class RetentionSettings(_Section):
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


class InboxSettings(_Section):
    """Messages that wait for their answer, kept on disk."""

    hours: float = Field(24.0, gt=0, le=24 * 6)
    """After this time a message gets an apology instead of an answer (Discord's commands: 15 minutes, its limit)."""


class MetricsSettings(_Section):
    """Where figures are read (/metrics), and whether it lives (/healthz) and can answer (/readyz)."""

    host: str = "127.0.0.1"
    port: int | None = Field(None, ge=0, le=65535)
    """Without one nothing listens; 0: any free one."""


class TracingSettings(_Section):
    """Where traces of messages go, by OTLP over HTTP."""

    endpoint: str = ""
    """http(s) address of a collector; empty: as OTEL_EXPORTER_OTLP_ENDPOINT says, if it does."""
    sample: float = Field(1.0, ge=0, le=1)
    """Part of the messages that is traced."""


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


def valid_keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Dotted names of every option, sections included ("web", "web.port", ...)."""
    for name, info in model.model_fields.items():
        yield prefix + name
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from valid_keys(info.annotation, f"{prefix}{name}.")


def _nearest(key: str) -> str:
    found = process.extractOne(key, list(valid_keys()), scorer=fuzz.ratio, score_cutoff=50)
    return f" Did you mean {found[0]}?" if found else " config.example.toml lists every option."


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in table.items():
        yield prefix + key
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")


def _refuse_unknown_keys(table: Mapping[str, Any], path: Path) -> None:
    known = set(valid_keys())
    for key in _flatten(table):
        if key not in known and not key.startswith(_FREE):
            raise ConfigError(f"{path}: there is no option {key}.{_nearest(key)}")


def _refuse_unknown_variables() -> None:
    known = {ENV_PREFIX + key.upper().replace(".", "__") for key in valid_keys()} | {CONFIG_VARIABLE}
    for variable in os.environ:
        if variable.startswith(ENV_PREFIX) and variable not in known:
            found = process.extractOne(variable, sorted(known), scorer=fuzz.ratio)
            raise ConfigError(f"The environment variable {variable} means nothing to rapbot. Did you mean {found[0]}?")


_SECRETS = frozenset(
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
SECRET_VARIABLES = frozenset(
    ENV_PREFIX + name.upper().replace(".", "__") for key in _SECRETS for name in (key, key.partition(".")[0])
)
"""A section may stand in one variable as well, as JSON."""


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
        _refuse_unknown_keys(table, path)
        check_config(path, secret=next((key for key in _flatten(table) if key in _SECRETS), ""))
    _refuse_unknown_variables()
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
