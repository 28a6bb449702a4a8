"""What several tests share: the model files of this machine (fetched once), and a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.postgres import postgres_databases as postgres_databases
from tests.postgres import postgres_server as postgres_server
from tests.postgres import postgres_template as postgres_template
from tests.postgres import postgres_url as postgres_url


@pytest.fixture(scope="session")
def weights() -> Path:
    """The folder with the real model files, fetched and converted when they are not there yet."""
    from rapbot.config import Settings
    from rapbot.inference.weights import LANGUAGE, ensure

    folder = Settings().weights_dir.expanduser()
    ensure(LANGUAGE, folder)
    return folder


@pytest.fixture(autouse=True, scope="module")
def _log_of_each_module() -> Iterator[None]:
    """What a command that ran in this process has set up for its log is gone for the next test."""
    yield from _log_as_it_was()


@pytest.fixture(autouse=True)
def _log_of_each_test() -> Iterator[None]:
    yield from _log_as_it_was()


def _log_as_it_was() -> Iterator[None]:
    before = structlog.get_config() if structlog.is_configured() else None
    yield
    if before is None:
        structlog.reset_defaults()
    else:
        structlog.configure(**before)
