"""Both kinds of store for tests that hold for each: one that asks for `stores` runs with SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from rapbot.concepts.concept import ConceptLimits
from rapbot.concepts.postgres import PostgresConceptStore
from rapbot.concepts.sealing import PLAIN, Seal
from rapbot.concepts.sqlite import SqliteConceptStore
from tests.concept_samples import ENCODER

Store = SqliteConceptStore | PostgresConceptStore


@dataclass(frozen=True)
class Stores:
    """One database, opened as often as a test wants."""

    path: Path | None = None
    url: str = ""

    def open(
        self, encoder: str = ENCODER, limits: ConceptLimits | None = None, seal: Seal = PLAIN
    ) -> AbstractAsyncContextManager[Store]:
        if self.path is not None:
            return SqliteConceptStore.open(self.path, encoder, limits, seal=seal)
        return PostgresConceptStore.open(self.url, encoder, limits, connections=4, seal=seal)


@pytest.fixture(params=["sqlite", "postgres"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    if request.param == "sqlite":
        return Stores(path=tmp_path / "rapbot.db")
    return Stores(url=request.getfixturevalue("postgres_url"))


@pytest.fixture
async def store(stores: Stores) -> AsyncIterator[Store]:
    async with stores.open() as opened:
        yield opened
