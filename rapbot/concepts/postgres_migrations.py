"""The tables in PostgreSQL, built by numbered steps as those of SQLite are (migrations.py), by one process at a time.

Tables and columns are called as there. What differs: revisions are numbers of a sequence (one counter would have all
writers wait for each other), keys are columns of pgvector, and rows are closed to whoever does not name their owner.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from rapbot.concepts.postgres_inbox_tables import INBOX_TABLES
from rapbot.errors import StoreError

Migration = Callable[[Any], Awaitable[None]]
"""Takes an asyncpg connection inside a transaction."""

MIGRATIONS: list[Migration] = []

_LEADER = 0x7261_7000
"""Advisory lock: who holds it takes the steps, the others wait for that."""


def migration(function: Migration) -> Migration:
    """Registers a step; steps run in the order of the file and are never edited once released."""
    MIGRATIONS.append(function)
    return function


async def migrate(connection: Any) -> None:
    """Bring the database up to date, in one transaction. Any number of programs may do this at once.

    Raises StoreError when it was written by a newer program: its tables may mean something else by now.
    """
    if not await _missing(connection):
        return
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
        await connection.execute(f"SELECT pg_advisory_xact_lock({_LEADER})")
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations"
            " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        # Asked again under the lock: another process may have been quicker.
        for function in await _missing(connection):
            await function(connection)
            await connection.execute("INSERT INTO migrations (name) VALUES ($1)", function.__name__)


async def _missing(connection: Any) -> list[Migration]:
    tables = await connection.fetchval("SELECT to_regclass('migrations') IS NOT NULL")
    done = {row[0] for row in await connection.fetch("SELECT name FROM migrations")} if tables else set()
    if unknown := done - {function.__name__ for function in MIGRATIONS}:
        raise StoreError(
            f"The PostgreSQL database was written by a newer rapbot (it has the step {max(unknown)}). "
            "Update rapbot, or point store.url to another database."
        )
    return [function for function in MIGRATIONS if function.__name__ not in done]


@migration
async def m001_initial(db: Any) -> None:
    """Everything that the SQLite database has with its steps m001 to m009; their comments say what each table is for.

    Every column that refers to rows which can be deleted has an index: else each deletion walks over a whole table.
    """
    await _need_vectors(db)
    await db.execute(_TABLES)


@migration
async def m002_isolation(db: Any) -> None:
    """Rows of one person are seen by nobody who does not name that person.

    The session setting `rapbot.owner` is the number of an owner, or * for what concerns everybody (a group's shares,
    a change of encoder). Without it there are no rows. Holds for the owner of the tables too, not for superusers.
    """
    everybody = "(SELECT current_setting('rapbot.owner', true)) = '*'"
    owner = "(SELECT nullif(nullif(current_setting('rapbot.owner', true), '*'), '')::bigint)"
    for table in ("concepts", "avatars", "keys", "journal", "visits"):
        await _close(db, table, f"{everybody} OR owner_no = {owner}")
    for table in ("photos", "faces"):  # as far as its avatar can be seen
        await _close(db, table, f"{everybody} OR EXISTS (SELECT FROM avatars WHERE avatars.id = avatar_id)")


@migration
async def m003_inbox(db: Any) -> None:
    """Messages that are not answered yet, and which process answers in which chat."""
    await db.execute(INBOX_TABLES)


async def _close(db: Any, table: str, condition: str) -> None:
    await db.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    await db.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    await db.execute(f"CREATE POLICY of_owner ON {table} USING ({condition})")


async def _need_vectors(db: Any) -> None:
    import asyncpg

    try:
        async with db.transaction():
            await db.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except asyncpg.InsufficientPrivilegeError:
        raise StoreError(
            "The database lacks pgvector, and the role of store.url may not add it. A superuser has to, once:"
            " CREATE EXTENSION vector"
        ) from None
    except (asyncpg.FeatureNotSupportedError, asyncpg.UndefinedFileError):
        raise StoreError("The PostgreSQL server lacks the extension pgvector: install it there first.") from None


_TABLES = """
CREATE SEQUENCE revisions;
CREATE TABLE counters (name text PRIMARY KEY, value bigint NOT NULL);
INSERT INTO counters VALUES ('erased', 0);
CREATE TABLE owners (
  no bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, id text NOT NULL UNIQUE, revision bigint NOT NULL);
CREATE TABLE identities (id text PRIMARY KEY, owner_no bigint NOT NULL REFERENCES owners (no) ON DELETE CASCADE);
CREATE INDEX identities_of_owner ON identities (owner_no);
CREATE TABLE link_codes (digest bytea PRIMARY KEY, person text NOT NULL, expires_at double precision NOT NULL);
CREATE INDEX link_codes_of_person ON link_codes (person);
CREATE INDEX link_codes_expire ON link_codes (expires_at);

CREATE TABLE concepts (
  id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  owner_no bigint NOT NULL REFERENCES owners (no) ON DELETE CASCADE,
  name text NOT NULL, folded text NOT NULL, category text NOT NULL, info text NOT NULL, traits text NOT NULL DEFAULT '',
  created_at double precision NOT NULL, updated_at double precision NOT NULL, taught_by text,
  UNIQUE (owner_no, folded));
CREATE TABLE avatars (
  id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  owner_no bigint NOT NULL REFERENCES owners (no) ON DELETE CASCADE,
  concept_id bigint NOT NULL REFERENCES concepts (id) ON DELETE CASCADE,
  role text NOT NULL CHECK (role IN ('avatar', 'counterexample')), encoder text NOT NULL,
  box_left double precision NOT NULL, box_top double precision NOT NULL,
  box_right double precision NOT NULL, box_bottom double precision NOT NULL,
  created_at double precision NOT NULL, UNIQUE (owner_no, id));
CREATE INDEX avatars_of_concept ON avatars (concept_id);
CREATE TABLE photos (avatar_id bigint PRIMARY KEY REFERENCES avatars (id) ON DELETE CASCADE, jpeg bytea NOT NULL);
ALTER TABLE photos ALTER COLUMN jpeg SET STORAGE EXTERNAL;

CREATE TABLE encoders (no integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE keys (
  owner_no bigint NOT NULL, avatar_id bigint NOT NULL, encoder_no integer NOT NULL REFERENCES encoders (no),
  key vector NOT NULL, PRIMARY KEY (owner_no, avatar_id, encoder_no),
  FOREIGN KEY (owner_no, avatar_id) REFERENCES avatars (owner_no, id) ON DELETE CASCADE DEFERRABLE);
-- A key of up to 2000 numbers lies in its row: out of line each would cost a search of its own.
ALTER TABLE keys SET (toast_tuple_target = 8160);

CREATE TABLE faces (
  avatar_id bigint PRIMARY KEY REFERENCES avatars (id) ON DELETE CASCADE, key bytea NOT NULL,
  agreed_at double precision NOT NULL);
CREATE TABLE face_refusals (
  chat bytea NOT NULL, person bytea NOT NULL, key bytea NOT NULL, keyed bytea, PRIMARY KEY (chat, person));
CREATE TABLE journal (
  owner_no bigint PRIMARY KEY REFERENCES owners (no) ON DELETE CASCADE, kind text NOT NULL,
  concept_id bigint NOT NULL REFERENCES concepts (id) ON DELETE CASCADE,
  avatar_id bigint REFERENCES avatars (id) ON DELETE CASCADE,
  also_avatar_id bigint REFERENCES avatars (id) ON DELETE CASCADE,
  name text, category text, info text, updated_at double precision);
CREATE INDEX journal_of_concept ON journal (concept_id);
CREATE INDEX journal_of_avatar ON journal (avatar_id);
CREATE INDEX journal_of_other_avatar ON journal (also_avatar_id);

CREATE TABLE shares (
  chat text NOT NULL, concept_id bigint NOT NULL REFERENCES concepts (id) ON DELETE CASCADE,
  person text NOT NULL, person_name text NOT NULL, PRIMARY KEY (chat, concept_id));
CREATE INDEX shares_of_concept ON shares (concept_id);
CREATE INDEX shares_of_person ON shares (person);
CREATE TABLE chats (id text PRIMARY KEY, photos text NOT NULL);
CREATE TABLE visits (
  owner_no bigint PRIMARY KEY REFERENCES owners (no) ON DELETE CASCADE, seen_at double precision NOT NULL,
  language text, warned_at double precision, told integer NOT NULL DEFAULT 0);
CREATE INDEX visits_seen ON visits (seen_at);
CREATE TABLE applied (work bytea PRIMARY KEY, concept_id bigint, at double precision NOT NULL);
CREATE INDEX applied_at ON applied (at);
CREATE TABLE sealing (key_id text PRIMARY KEY);
"""
