"""What several tests share: the model files of this machine (fetched once), and a PostgreSQL server."""

from __future__ import annotations

from pathlib import Path

import pytest

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
