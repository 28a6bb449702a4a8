"""Which key the cells of a PostgreSQL database are encrypted with; it is chosen once, while nothing lies in it.

Encrypted keys of photos are bytes, which no database can compare: their column is one of bytes then.
"""

from __future__ import annotations

from rapbot.concepts.postgres_connection import PostgresDatabase
from rapbot.concepts.postgres_statements import PostgresStatements, Row
from rapbot.concepts.sealing import Seal
from rapbot.errors import StoreError

_ANEW = "Move everything into a new database: rapbot migrate-store (docs/scaling.md)"


async def agree(database: PostgresDatabase, seal: Seal) -> None:
    """Raises StoreError where the database is encrypted with another key, or this one comes too late."""
    if _fits(await database.fetch("SELECT key_id FROM sealing"), seal):
        return

    async def claim(db: PostgresStatements) -> None:
        if _fits(await db.fetch("SELECT key_id FROM sealing"), seal):  # another process was quicker
            return
        for table in ("owners", "chats", "face_refusals"):
            if await db.fetch(f"SELECT 1 FROM {table} LIMIT 1"):
                raise StoreError(f"The PostgreSQL database is not encrypted, but [encryption] has a key. {_ANEW}")
        await db.execute("ALTER TABLE keys ALTER COLUMN key TYPE bytea USING NULL")
        await db.execute("INSERT INTO sealing VALUES (?)", (seal.key_id,))

    await database.run(claim, alone=True)


def _fits(rows: list[Row], seal: Seal) -> bool:
    stored = "".join(key_id for (key_id,) in rows)
    if stored == seal.key_id:
        return True
    if not stored:
        return False
    now = f"has the key {seal.key_id}" if seal.key_id else "has none: set encryption.key_file"
    raise StoreError(
        f"The PostgreSQL database is encrypted with the key {stored}, and [encryption] {now}. Nothing was changed."
        f" {_ANEW}"
    )
