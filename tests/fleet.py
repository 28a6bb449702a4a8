"""Several processes of the bot on one PostgreSQL database, behind a balancer, before a stand-in of Telegram."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from tests.fleet_child import Member
from tests.peers.telegram import TelegramPeer

_STARTS_WITHIN_S = 90.0
_ENDS_WITHIN_S = 60.0


class Process:
    """Started, stopped or killed, and started again."""

    def __init__(self, member: Member, name: str, folder: Path) -> None:
        self.port = member.port
        self._told, self._log = folder / f"{name}.json", folder / f"{name}.log"
        self._told.write_text(json.dumps(asdict(member)))
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when it answers."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.fleet_child", str(self._told)),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(_STARTS_WITHIN_S):
            lines = [await self._process.stdout.readline()]
            while lines[-1] not in (b"ready\n", b""):
                lines.append(await self._process.stdout.readline())
        assert lines[-1], b"".join(lines).decode() + self._log.read_text()

    async def stop(self) -> None:
        """In order, as systemd does it."""
        process, self._process = self._process, None
        assert process is not None
        process.terminate()
        try:
            async with asyncio.timeout(_ENDS_WITHIN_S):
                await process.communicate()
        finally:
            self._kill(process)

    async def kill(self) -> None:
        """At once, its worker with it."""
        process, self._process = self._process, None
        if process is not None:
            self._kill(process)
            await process.communicate()

    def _kill(self, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


class Balancer:
    """Hands each connection to the next process in turn; where nobody listens, to the one after it."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports
        self.taken = dict.fromkeys(ports, 0)
        self._next = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            there, back = await self._connect()
            with contextlib.closing(back):
                ways = [asyncio.create_task(_pump(reader, back)), asyncio.create_task(_pump(there, writer))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _port in self.ports:
            self._next = (self._next + 1) % len(self.ports)
            port = self.ports[self._next]
            with contextlib.suppress(OSError):
                connection = await asyncio.open_connection("127.0.0.1", port)
                self.taken[port] += 1
                return connection
        raise ConnectionRefusedError


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()


class Fleet:
    """`processes` behind one address."""

    def __init__(self, peer: TelegramPeer, processes: list[Process], balancer: Balancer) -> None:
        self.peer = peer
        self.processes = processes
        self.balancer = balancer


@asynccontextmanager
async def fleet(url: str, folder: Path, count: int, *, album_wait_s: float = 0.3) -> AsyncIterator[Fleet]:
    """`url` of the database. All of them are started, one after the other, and killed at the end."""
    async with TelegramPeer.start() as peer:
        balancer = Balancer([_free_port() for _n in range(count)])
        server = await asyncio.start_server(balancer.serve, "127.0.0.1", 0)
        hook = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/telegram"
        processes = []
        for number, port in enumerate(balancer.ports):
            data = folder / f"data{number}"
            data.mkdir(parents=True)
            member = Member(peer.address, peer.token, str(data), url, hook, port, album_wait_s)
            processes.append(Process(member, f"process{number}", folder))
        try:
            for process in processes:
                await process.start()
            yield Fleet(peer, processes, balancer)
        finally:
            for process in processes:
                await process.kill()
            server.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
