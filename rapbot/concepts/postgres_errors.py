"""What PostgreSQL says went wrong, in the sentence a person can act on.

Neither sentences nor causes are those of the driver: they hold addresses, names and what people wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rapbot.errors import DiskFull, Gone, RapbotError, StoreError
from rapbot.i18n import mark

LOST = "The PostgreSQL database cannot be reached."
_AGAIN = frozenset({"40001", "40P01"})
"""Two transactions were in each other's way and one was stopped: serialization failure, deadlock."""
_NOT_NOW = frozenset({"53300", "57P01", "57P02", "57P03"})
"""The server goes down, comes up or is full of connections: as good as away."""

# https://www.postgresql.org/docs/16/errcodes-appendix.html
_SENTENCES = {
    "28000": "PostgreSQL does not let me in. Check the name in store.url and store.password_file.",
    "28P01": "PostgreSQL does not let me in. Check the name in store.url and store.password_file.",
    "3D000": "The PostgreSQL server of store.url has no such database. Create it first: docs/scaling.md.",
    "40001": "Somebody else is changing the same thing. Nothing was changed; please try again.",
    "40P01": "Somebody else is changing the same thing. Nothing was changed; please try again.",
    "42501": "The role of store.url may not do that in its database: the tables have to be its own.",
    "55P03": "Another program is changing the database. Nothing was changed; please try again.",
    "57014": "The PostgreSQL database took too long. Nothing was changed; please try again.",
    "25006": "The PostgreSQL database takes no changes (it is a standby). Nothing was changed.",
}


class Unreachable(StoreError):
    """The server is away, or went away before anything was changed: the same again may work."""


class InTheWay(StoreError):
    """Another transaction was faster; nothing was changed, and the same again works."""


@contextmanager
def postgres_errors() -> Iterator[None]:
    """Turns errors of asyncpg and of its sockets into StoreError and its kinds."""
    import asyncpg

    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        raise explained(error) from None


def explained(error: Exception) -> RapbotError:
    code = str(getattr(error, "sqlstate", None) or "")
    if isinstance(error, OSError) or not code or code.startswith("08") or code in _NOT_NOW:
        return Unreachable(f"{LOST} Nothing was changed; please try again.")
    if code in ("53100", "53200"):
        return DiskFull()
    if code == "23503":  # a row refers to one that was deleted in this moment: a share, to its concept
        return Gone(mark("concept"))
    sentence = _SENTENCES.get(code, f"The PostgreSQL database cannot be used: {type(error).__name__} ({code}).")
    return InTheWay(sentence) if code in _AGAIN else StoreError(sentence)
