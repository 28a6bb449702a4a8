"""Statements as they are written for both databases, carried out in PostgreSQL; and keys as columns of pgvector."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from rapbot.concepts.sql import DEFER_REFERENCES, LEAVE_TRACES, NEXT_REVISION
from rapbot.concepts.sql import Row as Row

IN_POSTGRES = {
    NEXT_REVISION: "SELECT nextval('revisions')",
    LEAVE_TRACES: "",  # autovacuum's: docs/scaling.md says when deleted rows leave the disk
    DEFER_REFERENCES: "SET CONSTRAINTS ALL DEFERRED",
}
"""What both databases mean, in the words of this one."""

_PLACE = re.compile(r"\?(\d*)")


@lru_cache(maxsize=512)
def numbered(statement: str) -> str:
    """`?` (the next) and `?2` (the second parameter) as PostgreSQL numbers them. `?` stands for nothing else here."""
    last = 0
    statement = IN_POSTGRES.get(statement, statement)

    def number(place: re.Match[str]) -> str:
        nonlocal last
        last = int(place[1]) if place[1] else last + 1
        return f"${last}"

    return _PLACE.sub(number, statement)


class PostgresStatements:
    """One connection, inside a transaction unless it is said otherwise. asyncpg's errors come through."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.number: str | None = None
        """Of the transaction, once somebody asked for it on the way."""

    async def fetch(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """The rows of a statement, as tuples."""
        return [tuple(record) for record in await self.connection.fetch(numbered(statement), *parameters)]

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """How many rows it changed."""
        there = numbered(statement)
        words = str(await self.connection.execute(there, *parameters)).split() if there else []
        return int(words[-1]) if words and words[-1].isdigit() else 0


async def learn_vectors(connection: Any) -> None:
    """From here on a column of pgvector is bytes, float32[D], little-endian, as keys are everywhere else."""
    schema = await connection.fetchval(
        "SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'vector'"
    )
    if schema is not None:
        await connection.set_type_codec(
            "vector", schema=schema, encoder=to_vector, decoder=from_vector, format="binary"
        )


_HEAD = struct.Struct(">HH")
"""Dimensions, and two bytes without a meaning; then float32[D], big-endian (pgvector, `vector_send`)."""


def to_vector(key: bytes) -> bytes:
    """float32[D], little-endian, as pgvector takes it over the wire."""
    values = np.frombuffer(key, "<f4")
    return _HEAD.pack(len(values), 0) + values.astype(">f4").tobytes()


def from_vector(data: bytes) -> bytes:
    return np.frombuffer(data, ">f4", offset=_HEAD.size).astype("<f4").tobytes()
