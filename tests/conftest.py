"""What several tests share: the model files of this machine (fetched once) and the data folder beside the project."""

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


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """../shared/data, where there is one; tests that need it are skipped elsewhere."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the labelled photos of ../shared/data are not on this machine")
    return folder
