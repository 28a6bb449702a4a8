"""How the bot is watched while it runs: figures, health, traces."""

from __future__ import annotations

from pydantic import Field

from rapbot.config.section import Section


class MetricsSettings(Section):
    """Where figures are read (/metrics), and whether it lives (/healthz) and can answer (/readyz)."""

    host: str = "127.0.0.1"
    port: int | None = Field(None, ge=0, le=65535)
    """Without one nothing listens; 0: any free one."""


class TracingSettings(Section):
    """Where traces of messages go, by OTLP over HTTP."""

    endpoint: str = ""
    """http(s) address of a collector; empty: as OTEL_EXPORTER_OTLP_ENDPOINT says, if it does."""
    sample: float = Field(1.0, ge=0, le=1)
    """Part of the messages that is traced."""
