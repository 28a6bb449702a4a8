"""Why it is not ready, part by part, with a real database that breaks."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from rapbot.app import running
from rapbot.concepts.postgres import PostgresConceptStore
from rapbot.concepts.sqlite_inbox import SqliteInbox
from rapbot.config import MetricsSettings, Settings
from rapbot.errors import ConfigError, WeightsError
from rapbot.health import Parts, answering
from rapbot.metrics import Metrics
from tests.polling import until
from tests.postgres import PostgresServer


class Asleep:
    """A worker that cannot be woken, as where the weights are missing."""

    awake, restarts, woken = False, 0, 0

    async def ready(self) -> object:
        self.woken += 1
        raise WeightsError("missing")


class Awake(Asleep):
    awake = True


def damage(folder: Path) -> None:
    for file in folder.glob("rapbot.sqlite3*"):
        file.write_bytes(b"x" * file.stat().st_size)


async def test_a_damaged_database_is_told_and_the_program_lives(tmp_path: Path) -> None:
    async with (
        running(Settings(data_dir=tmp_path), models=False) as app,
        SqliteInbox.open(tmp_path / "inbox.sqlite3") as inbox,
    ):
        parts = Parts(app.store, app.queue, Awake(), {"telegram": True}, inbox)
        assert await parts.troubles() == {}
        damage(tmp_path)
        async with (
            aiohttp.ClientSession() as client,
            answering(MetricsSettings(port=0), parts, Metrics("pocket")) as address,
        ):
            async with client.get(f"{address}/readyz") as response:
                assert response.status == 503
                assert await response.json() == {"ready": False, "database": "not reached"}
            async with client.get(f"{address}/healthz") as response:
                assert response.status == 200
            async with client.get(f"{address}/metrics", headers={"Accept": "application/openmetrics-text"}) as response:
                assert response.content_type == "application/openmetrics-text"
                assert (await response.text()).endswith("# EOF\n")
            async with client.get(f"{address}/") as response:
                assert response.status == 404


async def test_a_database_server_that_went_away_is_told_until_it_is_back(
    postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    async with (
        running(Settings(data_dir=tmp_path), models=False) as app,
        PostgresConceptStore.open(postgres_url, "encoder") as store,
    ):
        parts = Parts(store, app.queue, Awake(), {})
        assert await parts.troubles() == {}
        postgres_server.crash()
        assert await parts.troubles() == {"database": "not reached"}
        postgres_server.start()

        async def well() -> bool:
            return not await parts.troubles()

        await until(well, 60)


async def test_each_part_that_is_away_is_named_and_the_worker_is_woken(tmp_path: Path) -> None:
    async with running(Settings(data_dir=tmp_path), models=False) as app:
        worker = Asleep()
        parts = Parts(app.store, app.queue, worker, {"telegram": False, "discord": True})
        for _ in range(2):
            assert await parts.troubles() == {"worker": "starting", "telegram": "not connected"}
        await parts.close()
        assert worker.woken >= 1


async def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    async with running(Settings(data_dir=tmp_path), models=False) as app:
        parts = Parts(app.store, app.queue, Awake(), {})
        async with answering(MetricsSettings(port=0), parts, Metrics("pocket")) as address:
            taken = MetricsSettings(port=int(address.rpartition(":")[2]))
            with pytest.raises(ConfigError, match=r"metrics\.port"):
                async with answering(taken, parts, Metrics("pocket")):
                    pass
