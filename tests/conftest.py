"""What several tests share: the model files of this machine (fetched once)."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def weights() -> Path:
    """The folder with the real model files, fetched and converted when they are not there yet."""
    from rapbot.config import Settings
    from rapbot.inference.weights import LANGUAGE, ensure

    folder = Settings().weights_dir.expanduser()
    ensure(LANGUAGE, folder)
    return folder
