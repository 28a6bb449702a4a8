"""What nobody caught is told by its kind and place: its words may be somebody's."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from rapbot.app import running
from rapbot.config import Settings


async def test_an_error_that_nobody_caught_is_told_without_its_words(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def fail(words: str) -> None:
        raise ValueError(words)

    def break_down(words: str) -> None:
        raise ValueError(words)

    async with running(Settings(data_dir=tmp_path), models=False):
        task = asyncio.create_task(fail("Zyxmark"))
        asyncio.get_running_loop().call_soon(break_down, "Zyxmark")
        await asyncio.wait([task])
        del task
        gc.collect()
        await asyncio.sleep(0)
    said = "".join(capfd.readouterr())
    assert said.count("ValueError") == 2
    assert "test_logs.py:" in said
    assert "Zyxmark" not in said
