"""Import and export of everything one person taught, in the RAP database format."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rapbot.assistant import Assistant
from rapbot.concepts.concept import Concept, Role
from rapbot.concepts.rap_format import RapEntry, rap_zip, read_rap_database, write_rap_folder, write_rap_zip
from rapbot.errors import ConceptError, PhotoError
from rapbot.messages import WHOLE, Action, Actor, Chat, Photo

Track = Callable[[Iterable[RapEntry], str], Iterable[RapEntry]]
"""Wraps the entries so that somebody sees the progress."""


async def import_database(assistant: Assistant, owner: str, file: Path, track: Track) -> dict[str, Any]:
    """Teach every entry of `file`; entries that cannot be taught are skipped with their reason.

    Returns {"learned": [names], "skipped": {name: sentence}, "people": [names]}; the people among the learned are
    recognised only after they agree. Raises RapFormatError when the file cannot be read.
    """
    actor, chat = Actor(owner), Chat("import")
    learned: list[str] = []
    people: list[str] = []
    skipped: dict[str, str] = {}
    for entry in track(await asyncio.to_thread(read_rap_database, file), "Learning"):
        try:
            if await teach_entry(assistant, actor, chat, entry):
                people.append(entry.name)
            learned.append(entry.name)
        except (ConceptError, PhotoError) as error:
            skipped[entry.name] = error.sentence
    return {"learned": learned, "skipped": skipped, "people": people}


async def teach_entry(assistant: Assistant, actor: Actor, chat: Chat, entry: RapEntry) -> bool:
    """A card with all its pictures; returns whether it is a person, who has to agree before they are recognised.

    The pictures were cut out already, so each is taken whole.
    """
    first, *more = [await asyncio.to_thread(_photo, image) for image in entry.images]
    taught = await assistant.teaching.remember(
        actor, chat, entry.name, entry.info, category=entry.category, photo=first, box=WHOLE
    )
    for photo in more:
        await assistant.teaching.add_photo(actor, chat, entry.name, photo, box=WHOLE)
    for image in entry.counterexamples:
        photo = await asyncio.to_thread(_photo, image)
        await assistant.teaching.add_photo(actor, chat, entry.name, photo, box=WHOLE, role=Role.COUNTEREXAMPLE)
    return Action.ALLOW_FACE in taught.actions


async def export_database(assistant: Assistant, owner: str, to: Path) -> int:
    """Write everything `owner` taught to a folder, or a zip when `to` ends in .zip; returns how many concepts."""
    actor = Actor(owner)
    entries = [await _entry(assistant, actor, concept) for concept in await assistant.memory.concepts(actor)]
    write = write_rap_zip if to.suffix.lower() == ".zip" else write_rap_folder
    await asyncio.to_thread(write, to, entries)
    return len(entries)


async def export_zips(assistant: Assistant, actor: Actor) -> list[bytes]:
    """Everything kept about a person, in as many zips as chats take; each is a RAP database that an import reads.

    Beside the cards and photos: keys/AVATAR-ENCODER.f32, the numbers (float32, little-endian) by which each photo is
    recognised; and in the first zip account.json, what is shared, linked, refused and recognised, and kept.json, every
    other row as it is kept, with what waits in the inbox. An import takes no key: whoever is taught anew agrees anew.
    """
    kept = await assistant.about(actor)
    keys: dict[int, dict[str, bytes]] = {}
    for row in kept["keys"]:
        name = f"keys/{row['avatar_id']}-{row['encoder_no']}.f32"
        keys.setdefault(row["avatar_id"], {})[name] = row.pop("key")
    for row in kept["photos"]:
        del row["jpeg"]  # lies in avatars/
    parts = [_Part()]
    for concept in await assistant.memory.concepts(actor):
        entry = await _entry(assistant, actor, concept)
        mine = [data for avatar in concept.avatars for data in keys.get(avatar.id, {}).items()]
        size = sum(map(len, (*entry.images, *entry.counterexamples, *dict(mine).values())))  # type: ignore[arg-type]
        if parts[-1].size + size > _PART_BYTES and parts[-1].entries:
            parts.append(_Part())
        parts[-1].entries.append(entry)
        parts[-1].more.update(mine)
        parts[-1].size += size
    parts[0].more["account.json"] = _json(await _account(assistant, actor))
    parts[0].more["kept.json"] = _json(kept)
    return [await asyncio.to_thread(rap_zip, part.entries, part.more) for part in parts]


_PART_BYTES = 8 * 10**6
"""Discord takes files of 10 MiB, with what is around them."""


@dataclass(slots=True)
class _Part:
    entries: list[RapEntry] = field(default_factory=list)
    more: dict[str, bytes] = field(default_factory=dict)
    size: int = 0


async def _account(assistant: Assistant, actor: Actor) -> dict[str, Any]:
    return {
        "accounts": list(await assistant.accounts.all_of(actor.id)),
        "faces": [{"name": name, "key": key} for name, key in await assistant.memory.faces(actor)],
        "dontrecognise": [{"group": group, "key": key} for group, key in await assistant.people.refused(actor)],
        "shared": [{"group": chat, "name": name, "as": shown} for chat, name, shown in await assistant.shared(actor)],
    }


def _json(value: Any) -> bytes:
    """Bytes in it become base64."""
    return json.dumps(
        value, ensure_ascii=False, indent=2, default=lambda data: base64.b64encode(data).decode()
    ).encode()


async def _entry(assistant: Assistant, actor: Actor, concept: Concept) -> RapEntry:
    pictures: dict[Role, list[bytes]] = {Role.AVATAR: [], Role.COUNTEREXAMPLE: []}
    for avatar in concept.avatars:
        pictures[avatar.role].append(await assistant.memory.picture(actor, avatar.id))
    return RapEntry(
        concept.name,
        concept.category,
        concept.info,
        tuple(pictures[Role.AVATAR]),
        tuple(pictures[Role.COUNTEREXAMPLE]),
        concept.traits,
    )


def _photo(image: bytes | Path) -> Photo:
    return Photo(image.read_bytes() if isinstance(image, Path) else image)
