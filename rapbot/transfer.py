"""Import and export of everything one person taught, in the RAP database format."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterable
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
    taught = await assistant.remember(
        actor, chat, entry.name, entry.info, category=entry.category, photo=first, box=WHOLE
    )
    for photo in more:
        await assistant.add_photo(actor, chat, entry.name, photo, box=WHOLE)
    for image in entry.counterexamples:
        photo = await asyncio.to_thread(_photo, image)
        await assistant.add_photo(actor, chat, entry.name, photo, box=WHOLE, role=Role.COUNTEREXAMPLE)
    return Action.ALLOW_FACE in taught.actions


async def export_database(assistant: Assistant, owner: str, to: Path) -> int:
    """Write everything `owner` taught to a folder, or a zip when `to` ends in .zip; returns how many concepts."""
    actor = Actor(owner)
    entries = [await _entry(assistant, actor, concept) for concept in await assistant.concepts(actor)]
    write = write_rap_zip if to.suffix.lower() == ".zip" else write_rap_folder
    await asyncio.to_thread(write, to, entries)
    return len(entries)


async def export_zip(assistant: Assistant, actor: Actor) -> bytes:
    """Everything kept about a person: cards and photos in the RAP format, and account.json with shares, links, the
    keys (base64 of float32) of the faces that are recognised, and of those that groups may not name.

    An import takes no key from it: whoever is taught anew has to agree anew, and refuses in a group by being there.
    """
    entries = [await _entry(assistant, actor, concept) for concept in await assistant.concepts(actor)]
    account = {
        "accounts": list(await assistant.accounts.all_of(actor.id)),
        "faces": [{"name": name, "key": base64.b64encode(key).decode()} for name, key in await assistant.faces(actor)],
        "dontrecognise": [
            {"group": group, "key": base64.b64encode(key).decode()}
            for group, key in await assistant.people.refused(actor)
        ],
        "shared": [{"group": chat, "name": name, "as": shown} for chat, name, shown in await assistant.shared(actor)],
    }
    more = {"account.json": json.dumps(account, ensure_ascii=False, indent=2).encode()}
    return await asyncio.to_thread(rap_zip, entries, more)


async def _entry(assistant: Assistant, actor: Actor, concept: Concept) -> RapEntry:
    pictures: dict[Role, list[bytes]] = {Role.AVATAR: [], Role.COUNTEREXAMPLE: []}
    for avatar in concept.avatars:
        pictures[avatar.role].append(await assistant.picture(actor, avatar.id))
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
