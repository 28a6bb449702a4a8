"""What the inbox does with its rows in PostgreSQL, inside a transaction that the caller opens and ends.

Every transaction first takes the lanes that it touches, in one order for all processes (so none waits in a circle).
Within a lane the numbers of rows therefore grow in the order of the commits, and an update that is delivered again
while it is being answered is seen either as waiting or as answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rapbot.concepts.postgres_statements import PostgresStatements, Row
from rapbot.concepts.sealing import Seal
from rapbot.inbox import Arrived, Kept

CHANNEL = "rapbot_inbox"
"""Of NOTIFY: the number of the process that has something new in its lanes; empty: a lane is free."""
_AT_ONCE = 8
"""Free lanes that one process takes in one transaction: others want some too."""

Name = tuple[str, str]
"""Platform and key of an update."""


class Reaped(Exception):
    """This process is not known any more: others have what was its own."""


@dataclass(frozen=True, slots=True)
class Shards:
    """Of Discord, those that this process runs."""

    count: int
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """An update that is this process's from now on, and its lane."""

    kept: Kept
    lane: bytes


@dataclass(frozen=True, slots=True)
class Who:
    """This process, what it takes, and what it gives away."""

    no: int
    seal: Seal
    shards: Shards | None = None
    platforms: frozenset[str] = frozenset()
    """That it can answer on."""
    leaving: frozenset[str] = frozenset()


_KNOWN = "SELECT no FROM inbox_processes WHERE no = {} FOR KEY SHARE"
"""Until the transaction ends nobody can take the lanes of this process; no row: somebody has done so."""


async def take_part(db: PostgresStatements, who: Who) -> None:
    """Raises Reaped."""
    if not await db.fetch(_KNOWN.format("?"), (who.no,)):
        raise Reaped


async def lock_lanes(db: PostgresStatements, lanes: Iterable[bytes]) -> None:
    await db.fetch("SELECT 1 FROM inbox_lanes WHERE lane = ANY (?::bytea[]) ORDER BY lane FOR UPDATE", (list(lanes),))


async def take_lanes(db: PostgresStatements, who: Who, lanes: Mapping[bytes, Arrived]) -> dict[bytes, int | None]:
    """Lock these lanes, and be the holder of those that had none. The holder of each. Raises Reaped."""
    ones = [lanes[lane] for lane in sorted(lanes)]
    rows = await db.fetch(
        f"WITH me AS ({_KNOWN.format('?5')}) INSERT INTO inbox_lanes AS l (lane, platform, server, holder)"
        " SELECT new.lane, new.platform, new.server, new.holder FROM me,"
        " unnest(?1::bytea[], ?2::text[], ?3::bigint[], ?4::integer[]) WITH ORDINALITY"
        " AS new (lane, platform, server, holder, place) ORDER BY new.place"
        " ON CONFLICT (lane) DO UPDATE SET used_at = now(), holder = coalesce(l.holder, excluded.holder)"
        " RETURNING lane, holder",
        (
            sorted(lanes),
            [one.platform for one in ones],
            [one.server for one in ones],
            [None if one.platform in who.leaving else who.no for one in ones],
            who.no,
        ),
    )
    if not rows:
        raise Reaped
    return {bytes(lane): holder for lane, holder in rows}


async def insert(db: PostgresStatements, who: Who, arrived: Sequence[Arrived], now: float) -> list[bool]:
    """For each whether it is new; the caller has taken their lanes."""
    columns = [
        (
            *(one.platform, one.key, one.question, one.person, who.seal.text(one.update, "content"), one.work),
            *(who.seal.text(one.answer, "answer"), one.expires_at, one.lane, one.digest),
        )
        for one in arrived
    ]
    rows = await db.fetch(
        "INSERT INTO inbox (platform, key, question, person, content, work, answer, received_at, expires_at, lane)"
        " SELECT platform, key, question, person, content, work, answer, ?11, expires_at, lane"
        " FROM unnest(?1::text[], ?2::text[], ?3::text[], ?4::text[], ?5::text[], ?6::text[], ?7::text[], ?8::float8[],"
        " ?9::bytea[], ?10::bytea[]) WITH ORDINALITY"
        " AS new (platform, key, question, person, content, work, answer, expires_at, lane, digest, place)"
        " WHERE NOT EXISTS (SELECT 1 FROM answered WHERE answered.digest = new.digest) ORDER BY place"
        " ON CONFLICT (platform, key) DO NOTHING RETURNING platform, key",
        (*map(list, zip(*columns, strict=True)), now),
    )
    new = {(platform, key) for platform, key in rows}
    told = []
    for one in arrived:
        told.append((one.platform, one.key) in new)
        new.discard((one.platform, one.key))  # the same update twice in one delivery
    return told


async def take_rows(db: PostgresStatements, who: Who, lanes: Iterable[bytes] | None = None) -> list[Taken]:
    """What waits in these lanes (None: in all) that are this process's is to be answered by it from now on."""
    where = "lane IN (SELECT lane FROM inbox_lanes WHERE holder = ?1)" if lanes is None else "lane = ANY (?2::bytea[])"
    rows = await db.fetch(
        "WITH waiting AS (SELECT no, taken_by IS NOT NULL AS begun FROM inbox"
        f" WHERE {where} AND taken_by IS DISTINCT FROM ?1 FOR UPDATE)"
        " UPDATE inbox SET taken_by = ?1, attempts = attempts + begun::integer FROM waiting WHERE inbox.no = waiting.no"
        " RETURNING inbox.no, lane, platform, key, question, person, content, expires_at, work, answer, attempts,"
        " begun",
        (who.no,) if lanes is None else (who.no, list(lanes)),
    )
    return [_taken(row, who.seal) for row in sorted(rows, key=lambda row: int(row[0]))]


async def take_free_lanes(db: PostgresStatements, who: Who) -> bool:
    """Be the holder of lanes in which something waits and that nobody holds; whether there were any."""
    shards = who.shards
    return bool(
        await db.execute(
            "UPDATE inbox_lanes SET holder = ?1 WHERE lane IN (SELECT lane FROM inbox_lanes WHERE holder IS NULL"
            " AND platform = ANY (?2::text[]) AND (?3::integer IS NULL OR server IS NULL"
            " OR (server >> 22) % ?3 = ANY (?4::integer[]))"
            " AND EXISTS (SELECT 1 FROM inbox WHERE inbox.lane = inbox_lanes.lane)"
            f" ORDER BY used_at LIMIT {_AT_ONCE} FOR UPDATE SKIP LOCKED)",
            (
                *(who.no, sorted(who.platforms - who.leaving)),
                *((shards.count, list(shards.ids)) if shards is not None else (None, [])),
            ),
        )
    )


async def delete_answered(db: PostgresStatements, who: Who, answered: Sequence[Arrived]) -> None:
    """Keep nothing of these but digests. Of the same `work` only what this process was at goes: the rest is late."""
    plain = [(one.platform, one.key) for one in answered if not one.work]
    gone = await db.fetch(
        "DELETE FROM inbox WHERE (platform, key) IN (SELECT * FROM unnest(?::text[], ?::text[]))"
        " RETURNING platform, key",
        ([platform for platform, _key in plain], [key for _platform, key in plain]),
    )
    for one in answered:
        if one.work:
            gone += await db.fetch(
                "DELETE FROM inbox WHERE platform = ? AND question = ? AND work = ? AND (taken_by = ? OR key = ?)"
                " RETURNING platform, key",
                (one.platform, one.question, one.work, who.no, one.key),
            )
    await _remember(db, gone)


async def delete_of(db: PostgresStatements, people: Sequence[str], but: Name) -> None:
    """Nothing of these people waits any more, except `but`."""
    gone: list[Row] = []
    for person in people:
        gone += await db.fetch(
            f"DELETE FROM inbox WHERE {OF_PERSON} AND (platform, key) <> (?::text, ?::text) RETURNING platform, key",
            (*person.split(":", 1), *but),
        )
    await _remember(db, gone)


OF_PERSON = "split_part(platform, ':', 1) = ? AND person = ?"
"""Of somebody's id on any bot of their platform."""


async def give_away(db: PostgresStatements, who: Who, lanes: Iterable[bytes] | None = None) -> None:
    """Of a process that leaves: those of these lanes (None: all) in which it is at nothing any more."""
    which = "TRUE" if lanes is None else "l.lane = ANY (?3::bytea[])"
    free = await db.execute(
        f"UPDATE inbox_lanes l SET holder = NULL WHERE holder = ?1 AND platform = ANY (?2::text[]) AND {which}"
        " AND NOT EXISTS (SELECT 1 FROM inbox WHERE inbox.lane = l.lane AND taken_by = ?1)",
        (who.no, sorted(who.leaving), *((list(lanes),) if lanes is not None else ())),
    )
    if free:
        await notify(db, [""])


async def notify(db: PostgresStatements, told: Iterable[str], channel: str = CHANNEL) -> None:
    """Others hear it when the transaction is committed."""
    await db.fetch("SELECT pg_notify(?, told) FROM unnest(?::text[]) AS told", (channel, sorted(set(told))))


async def _remember(db: PostgresStatements, gone: Sequence[Row]) -> None:
    blank = Arrived(platform="", key="", question="", person="", update="", expires_at=0.0)
    digests = sorted(replace(blank, platform=platform, key=key).digest for platform, key in gone)
    if digests:
        await db.execute(
            "INSERT INTO answered (digest) SELECT unnest(?::bytea[]) ON CONFLICT (digest) DO NOTHING", (digests,)
        )


def _taken(row: Row, seal: Seal) -> Taken:
    names = ("platform", "key", "question", "person", "update", "expires_at", "work", "answer", "attempts", "begun")
    told: dict[str, Any] = dict(zip(names, row[2:], strict=True))
    told["update"] = seal.open_text(told["update"], "content")
    told["answer"] = seal.open_text(told["answer"], "answer")
    return Taken(Kept(**told), bytes(row[1]))
