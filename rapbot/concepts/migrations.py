"""The tables, built by numbered steps; each is a plain function, collected by `@migration` and recorded once done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import aiosqlite

from rapbot.errors import StoreError

Migration = Callable[[aiosqlite.Connection], Awaitable[None]]

MIGRATIONS: list[Migration] = []


def migration(function: Migration) -> Migration:
    """Registers a step; steps run in the order of the file and are never edited once released."""
    MIGRATIONS.append(function)
    return function


async def migrate(db: aiosqlite.Connection, path: Path) -> None:
    """Bring the database up to date, in one transaction; `path` is only for the error's sentence.

    Raises StoreError when the file was written by a newer program: its tables may mean something else by now.
    """
    if not await _missing(db, path):
        return
    await db.execute("BEGIN IMMEDIATE")
    await db.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL) STRICT")
    # Asked again under the lock: another process may have been quicker.
    for function in await _missing(db, path):
        await function(db)
        await db.execute("INSERT INTO migrations VALUES (?, datetime('now'))", (function.__name__,))
    await db.commit()


async def _missing(db: aiosqlite.Connection, path: Path) -> list[Migration]:
    tables = await db.execute_fetchall("SELECT 1 FROM sqlite_schema WHERE name = 'migrations'")
    done = {name for (name,) in await db.execute_fetchall("SELECT name FROM migrations")} if tables else set()
    if unknown := done - {function.__name__ for function in MIGRATIONS}:
        raise StoreError(
            f"The database {path} was written by a newer rapbot (it has the step {max(unknown)}). "
            "Update rapbot, or point it to another database."
        )
    return [function for function in MIGRATIONS if function.__name__ not in done]


@migration
async def m001_initial(db: aiosqlite.Connection) -> None:
    """Cards, pictures and keys.

    Photos have a table of their own so that reading cards or keys never walks over JPEGs; keys are clustered by
    owner (WITHOUT ROWID), because they are always read one whole person at a time. Ids are never used twice
    (AUTOINCREMENT): an old button must not hit a new concept. Times are seconds since 1970, UTC.
    """
    for statement in (
        # `revision` counts the changes of the whole database, so the revisions of a person who was erased and
        # comes back still grow; `erased` is its value at the last erasure: the revision of everybody unknown.
        "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT",
        "INSERT INTO counters VALUES ('revision', 0), ('erased', 0), ('traces', 0)",
        "CREATE TABLE owners (no INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
        " revision INTEGER NOT NULL) STRICT",
        "CREATE TABLE concepts (id INTEGER PRIMARY KEY AUTOINCREMENT,"
        " owner_no INTEGER NOT NULL REFERENCES owners (no) ON DELETE CASCADE,"
        " name TEXT NOT NULL, folded TEXT NOT NULL, category TEXT NOT NULL, info TEXT NOT NULL,"
        " created_at REAL NOT NULL, updated_at REAL NOT NULL, UNIQUE (owner_no, folded)) STRICT",
        "CREATE TABLE avatars (id INTEGER PRIMARY KEY AUTOINCREMENT,"
        " owner_no INTEGER NOT NULL REFERENCES owners (no) ON DELETE CASCADE,"
        " concept_id INTEGER NOT NULL REFERENCES concepts (id) ON DELETE CASCADE,"
        " role TEXT NOT NULL CHECK (role IN ('avatar', 'counterexample')), encoder TEXT NOT NULL,"
        " box_left REAL NOT NULL, box_top REAL NOT NULL, box_right REAL NOT NULL, box_bottom REAL NOT NULL,"
        " created_at REAL NOT NULL, UNIQUE (owner_no, id)) STRICT",
        "CREATE INDEX avatars_of_concept ON avatars (concept_id)",
        "CREATE TABLE photos (avatar_id INTEGER PRIMARY KEY REFERENCES avatars (id) ON DELETE CASCADE,"
        " jpeg BLOB NOT NULL) STRICT",
        "CREATE TABLE keys (owner_no INTEGER NOT NULL, avatar_id INTEGER NOT NULL, key BLOB NOT NULL,"
        " PRIMARY KEY (owner_no, avatar_id),"
        " FOREIGN KEY (owner_no, avatar_id) REFERENCES avatars (owner_no, id) ON DELETE CASCADE)"
        " STRICT, WITHOUT ROWID",
        # The last change of each person, for Undo. It holds words only of a concept that still exists.
        "CREATE TABLE journal (owner_no INTEGER PRIMARY KEY REFERENCES owners (no) ON DELETE CASCADE,"
        " kind TEXT NOT NULL, concept_id INTEGER NOT NULL REFERENCES concepts (id) ON DELETE CASCADE,"
        " avatar_id INTEGER REFERENCES avatars (id) ON DELETE CASCADE,"
        " name TEXT, category TEXT, info TEXT, updated_at REAL) STRICT",
    ):
        await db.execute(statement)


@migration
async def m002_places(db: aiosqlite.Connection) -> None:
    """Groups and linked accounts.

    `person`, `taught_by` and `identities.id` are ids as in `Actor.id`. A share goes with its concept; the account that
    taught a concept takes it along when it is unlinked again.
    """
    for statement in (
        "ALTER TABLE concepts ADD COLUMN taught_by TEXT",
        # A correction adds two avatars: to the right concept, and as a counterexample to the wrong one.
        "ALTER TABLE journal ADD COLUMN also_avatar_id INTEGER REFERENCES avatars (id) ON DELETE CASCADE",
        "CREATE TABLE shares (chat TEXT NOT NULL,"
        " concept_id INTEGER NOT NULL REFERENCES concepts (id) ON DELETE CASCADE,"
        " person TEXT NOT NULL, person_name TEXT NOT NULL, PRIMARY KEY (chat, concept_id)) STRICT, WITHOUT ROWID",
        "CREATE INDEX shares_of_concept ON shares (concept_id)",
        "CREATE TABLE chats (id TEXT PRIMARY KEY, photos TEXT NOT NULL) STRICT",
        "CREATE TABLE identities (id TEXT PRIMARY KEY,"
        " owner_no INTEGER NOT NULL REFERENCES owners (no) ON DELETE CASCADE) STRICT",
        "CREATE INDEX identities_of_owner ON identities (owner_no)",
        # Only the digest of a code is kept: who reads the file cannot link an account.
        "CREATE TABLE link_codes (digest BLOB PRIMARY KEY, person TEXT NOT NULL, expires_at REAL NOT NULL) STRICT",
    ):
        await db.execute(statement)


@migration
async def m003_faces(db: aiosqlite.Connection) -> None:
    """Faces of people whose recognition was agreed to: a row here is the consent, given at `agreed_at`.

    `key` is float32[F], made by the face encoder from the avatar. Refusals belong to one group, named by a digest,
    and hold nothing but the key of the face that nobody's card may name there.
    """
    for statement in (
        "CREATE TABLE faces (avatar_id INTEGER PRIMARY KEY REFERENCES avatars (id) ON DELETE CASCADE,"
        " key BLOB NOT NULL, agreed_at REAL NOT NULL) STRICT",
        "CREATE TABLE face_refusals (chat BLOB NOT NULL, person BLOB NOT NULL, key BLOB NOT NULL,"
        " PRIMARY KEY (chat, person)) STRICT, WITHOUT ROWID",
    ):
        await db.execute(statement)


@migration
async def m004_encoders(db: aiosqlite.Connection) -> None:
    """An avatar may have a key of each of several encoders, while a change of encoder is under way.

    `encoders` lists those whose keys are kept here. `avatars.encoder` names the one that made the newest key.
    """
    for statement in (
        "CREATE TABLE encoders (no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT",
        "INSERT INTO encoders (name) SELECT DISTINCT encoder FROM avatars",
        "CREATE TABLE new_keys (owner_no INTEGER NOT NULL, avatar_id INTEGER NOT NULL,"
        " encoder_no INTEGER NOT NULL REFERENCES encoders (no), key BLOB NOT NULL,"
        " PRIMARY KEY (owner_no, avatar_id, encoder_no),"
        " FOREIGN KEY (owner_no, avatar_id) REFERENCES avatars (owner_no, id) ON DELETE CASCADE)"
        " STRICT, WITHOUT ROWID",
        "INSERT INTO new_keys SELECT keys.owner_no, avatar_id, no, key FROM keys JOIN avatars ON avatars.id = avatar_id"
        " JOIN encoders ON name = encoder ORDER BY 1, 2",
        "DROP TABLE keys",
        "ALTER TABLE new_keys RENAME TO keys",
        # The pages of the old table are written anew at once, so that no copy of a key outlives its avatar.
        "UPDATE counters SET value = 1 WHERE name = 'traces'",
    ):
        await db.execute(statement)


@migration
async def m005_traits(db: aiosqlite.Connection) -> None:
    """What tells a concept from others of its kind, written down by a model that sees when it was taught."""
    await db.execute("ALTER TABLE concepts ADD COLUMN traits TEXT NOT NULL DEFAULT ''")


@migration
async def m006_applied(db: aiosqlite.Connection) -> None:
    """Which messages of the inbox have changed something here already: a digest, and the concept that it was about.

    Written by the change itself, so that a message that is answered again after a crash changes nothing twice.
    """
    for statement in (
        "CREATE TABLE applied (work BLOB PRIMARY KEY, concept_id INTEGER, at REAL NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE INDEX applied_at ON applied (at)",
    ):
        await db.execute(statement)


@migration
async def m007_sealing(db: aiosqlite.Connection) -> None:
    """Which key the cells are encrypted with (a name of it, never the key); no row: they are not."""
    await db.execute("CREATE TABLE sealing (key_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID")


@migration
async def m008_visits(db: aiosqlite.Connection) -> None:
    """When people were here last, where data expire: else the table stays empty.

    `language` is the one to warn them in; `warned_at` when that was tried; `told` whether it reached them.
    """
    await db.execute(
        "CREATE TABLE visits (owner_no INTEGER PRIMARY KEY REFERENCES owners (no) ON DELETE CASCADE,"
        " seen_at REAL NOT NULL, language TEXT, warned_at REAL, told INTEGER NOT NULL DEFAULT 0) STRICT"
    )


@migration
async def m009_moved_refusals(db: aiosqlite.Connection) -> None:
    """A refusal moves with its group: `keyed` is the digest of the group under which `person` was made there."""
    await db.execute("ALTER TABLE face_refusals ADD COLUMN keyed BLOB")
