"""`rapbot serve` as its operator runs it: a program of its own, stopped as systemd stops it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.peers.telegram import TelegramPeer
from tests.pictures import cat_elsewhere_jpeg, cat_jpeg

SLOW = 120.0


class Program:
    """What it said so far, line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def says(self, pattern: str) -> str:
        """The first line that fits; AssertionError with everything it said when it ends before."""
        assert self.process.stdout is not None
        async with asyncio.timeout(SLOW):
            while line := (await self.process.stdout.readline()).decode():
                self.lines.append(line)
                if re.search(pattern, line):
                    return line
        raise AssertionError("".join(self.lines))

    async def ends(self) -> int:
        assert self.process.stdout is not None
        self.lines.append((await asyncio.wait_for(self.process.stdout.read(), SLOW)).decode())
        return await asyncio.wait_for(self.process.wait(), SLOW)


@asynccontextmanager
async def serve(*options: str, **environment: str) -> AsyncIterator[Program]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rapbot", "serve", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**clean(os.environ), **environment},
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in environment.items() if not key.startswith("RAPBOT_")}


@pytest.fixture
def settings(tmp_path: Path, weights: Path) -> dict[str, str]:
    return {"RAPBOT_DATA_DIR": str(tmp_path / "data"), "RAPBOT_WEIGHTS_DIR": str(weights)}


async def test_it_answers_and_ends_in_order_with_what_runs_finished(settings: dict[str, str], tmp_path: Path) -> None:
    async with TelegramPeer.start() as peer:
        token = tmp_path / "token"
        token.write_text(peer.token + "\n")
        token.chmod(0o600)
        settings |= {"RAPBOT_TELEGRAM__TOKEN_FILE": str(token), "RAPBOT_TELEGRAM__API_URL": peer.address}
        async with serve(**settings) as program:
            await program.says("ready: Telegram")
            ann = peer.person("Ann")
            chat = peer.private(ann)
            peer.send_photo(chat, ann, cat_jpeg(), "/remember Lala A ginger tabby cat. She loves cheese.")
            await peer.wait_for(lambda: any("Lala" in m.caption or "Lala" in m.text for m in peer.sent(chat)), SLOW)
            peer.send_photo(chat, ann, cat_elsewhere_jpeg())
            await peer.wait_for(lambda: len(peer.called("getFile")) == 2, SLOW)  # it is being answered
            program.process.send_signal(signal.SIGTERM)
            assert await program.ends() == 0
            assert "Lala" in peer.sent(chat)[-1].caption
            log = "".join(program.lines)
            assert peer.token not in log
            assert "Traceback" not in log
            assert "Lala" not in log


def descendants(pid: int) -> list[int]:
    children = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in _words(task / "children")]
    return [*children, *(further for child in children for further in descendants(child))]


def _bytes(pid: int, what: str) -> bytes:
    return Path(f"/proc/{pid}/{what}").read_bytes()


def _words(file: Path) -> list[str]:
    return file.read_text().split()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at the processes by /proc")
async def test_no_secret_is_in_the_list_of_processes_or_handed_to_the_worker(settings: dict[str, str]) -> None:
    async with TelegramPeer.start() as peer:
        secrets = {"RAPBOT_TELEGRAM__TOKEN": peer.token, "RAPBOT_WEB__PASSWORD": "marker-of-the-page"}
        secrets |= {"RAPBOT_MODELS__API_KEY": "marker-of-the-models", "rapbot_telegram__webhook_secret": "marker-lower"}
        settings |= {"RAPBOT_TELEGRAM__API_URL": peer.address, "RAPBOT_LOG_LEVEL": "error"}
        async with serve(**settings, **secrets) as program:
            await program.says("ready: Telegram")
            ann = peer.person("Ann")
            peer.send_photo(peer.private(ann), ann, cat_jpeg(), "what is this?")
            await peer.wait_for(lambda: peer.sent(peer.private(ann)), SLOW)
            children = descendants(program.process.pid)
            assert children, "the worker is a process of its own"
            for pid in (program.process.pid, *children):
                arguments = _bytes(pid, "cmdline")
                handed = b"" if pid == program.process.pid else _bytes(pid, "environ")
                if handed:
                    assert b"RAPBOT_LOG_LEVEL" in handed
                for secret in secrets.values():
                    assert secret.encode() not in arguments + handed
            program.process.send_signal(signal.SIGTERM)
            assert await program.ends() == 0


async def test_without_a_platform_it_says_what_to_do(settings: dict[str, str]) -> None:
    async with serve(**settings) as program:
        assert await program.ends() != 0
        assert "docs/telegram.md" in "".join(program.lines)
        assert "Traceback" not in "".join(program.lines)


async def test_a_wrong_token_is_one_sentence_and_never_shown(settings: dict[str, str]) -> None:
    async with TelegramPeer.start() as peer:
        wrong = "111:" + "w" * 35
        settings |= {"RAPBOT_TELEGRAM__TOKEN": wrong, "RAPBOT_TELEGRAM__API_URL": peer.address}
        async with serve(**settings) as program:
            assert await program.ends() != 0
            said = "".join(program.lines)
            assert "token" in said
            assert wrong not in said
            assert "Traceback" not in said


async def test_a_missing_token_file_is_named(settings: dict[str, str]) -> None:
    settings["RAPBOT_TELEGRAM__TOKEN_FILE"] = "/nowhere/token"
    async with serve(**settings) as program:
        assert await program.ends() != 0
        assert "/nowhere/token" in "".join(program.lines)
