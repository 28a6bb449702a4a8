"""Which store the configuration names, opened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from rapbot.concepts.concept import ConceptLimits
from rapbot.concepts.postgres import PostgresConceptStore
from rapbot.concepts.sealing import seal_of
from rapbot.concepts.sqlite import SqliteConceptStore
from rapbot.config import Settings

Store = SqliteConceptStore | PostgresConceptStore
"""Both are a `ConceptStore` with `places`, `visits` and `encodings`."""


@asynccontextmanager
async def open_store(settings: Settings, encoder: str, database: Path | None = None) -> AsyncIterator[Store]:
    """The database of `store.url`, or the SQLite file; `database` is another file that takes the place of either.

    Raises ConfigError, StoreError, ExtraMissing.
    """
    limits, seal = ConceptLimits.of(settings.limits), seal_of(settings.encryption.secret())
    async with AsyncExitStack() as opened:
        store: Store
        if settings.store.enabled and database is None:
            url, password = settings.store.address(), settings.store.secret()
            store = await opened.enter_async_context(
                PostgresConceptStore.open(
                    url, encoder, limits, password=password, connections=settings.store.connections, seal=seal
                )
            )
        else:
            path = database or settings.database
            store = await opened.enter_async_context(SqliteConceptStore.open(path, encoder, limits, seal=seal))
        yield store
