"""A short slice of the chaos campaign (`python -m benchmarks.chaos`), on both platforms, from a fixed seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chaos import campaign


@pytest.mark.parametrize("platform", ["telegram", "discord"])
async def test_nothing_is_lost_or_done_twice_whatever_breaks(tmp_path: Path, platform: str) -> None:
    found = await campaign(platform, tmp_path, seed=7, rounds=3)
    assert found.rounds == 3
    assert sum(found.asked.values()) > 5
    assert sum(found.faults.values()) >= 3
    assert found.well, found
