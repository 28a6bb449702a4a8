"""People are recognised by their faces, and only after whoever taught them says that they agree.

Nothing is computed of a face before that, except for asking; nothing is guessed about age, gender, mood or origin.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from functools import cache

import numpy as np

from rapbot.concepts.concept import Concept, Key, Role
from rapbot.concepts.places import PlaceStore
from rapbot.concepts.store import Changed, ConceptStore, SetFaces
from rapbot.config import Settings
from rapbot.errors import ConceptError
from rapbot.i18n import _, ngettext
from rapbot.inference.job import AvatarFace
from rapbot.inference.planning import plan
from rapbot.inference.specs import FaceSpec
from rapbot.inference.weights import FACES, ensure, is_ready
from rapbot.messages import Actor, Box, Chat, ChatKind, Photo, Reply

FindFaces = Callable[[Actor, bytes], Awaitable[tuple[AvatarFace, ...]]]
"""The faces in an avatar (JPEG), largest first."""

_CLEARLY_LARGER = 2.0
"""A face this many times as large as the next one is the one that is meant."""


class People:
    def __init__(self, store: ConceptStore, places: PlaceStore, find_faces: FindFaces, settings: Settings) -> None:
        self._store = store
        self._places = places
        self._find_faces = find_faces
        self._mode = settings.people
        self._weights_dir = settings.weights_dir.expanduser()
        self._own_models = plan(settings).faces.kind != FaceSpec().kind

    @property
    def recognised(self) -> bool:
        """Whether faces are recognised here at all."""
        return self._mode != "off"

    def ready(self) -> bool:
        """Whether the face models are here already: they are fetched when the first person agrees."""
        if self._own_models:
            return self.recognised
        return self.recognised and _can_look() and is_ready(FACES, self._weights_dir)

    async def _prepare(self) -> None:
        """Fetch the face models (100 MB, once). Raises WeightsError."""
        if not self.recognised:
            raise ConceptError(_("Recognising people is switched off here."))
        if self._own_models:
            return
        if not _can_look():
            raise ConceptError(_("I cannot look at faces here: the package dlib-bin is not installed."))
        if not self.ready():
            await asyncio.to_thread(ensure, FACES, self._weights_dir)

    async def allow(self, actor: Actor, concept: Concept, which: int | None = None) -> Reply:
        """Recognise this person by their face from now on: they agreed. `which` face, where an avatar shows several.

        Raises ConceptError when no avatar shows a face, or when it must be said first which one is meant.
        """
        await self._prepare()
        keys: list[tuple[int, Key]] = []
        clear = False
        crowd: WhichFace | None = None
        for avatar in concept.avatars:
            if avatar.role is not Role.AVATAR:
                continue
            jpeg = await self._store.photo(actor.id, avatar.id)
            faces = await self._find_faces(actor, jpeg)
            chosen = the_one(faces, None if keys else which)  # the first crowd is the one that was asked about
            if chosen is not None:
                keys.append((avatar.id, np.frombuffer(chosen.key, np.float32)))
                clear = clear or chosen.clear
            elif faces and crowd is None:
                crowd = WhichFace(jpeg, tuple(face.box for face in faces))
        if not keys and crowd is not None:
            raise crowd
        if not keys:
            raise ConceptError(
                _("I see no face in the photos of {name}. Show me one with /addphoto {name}.").format(name=concept.name)
            )
        await self._write(actor, SetFaces(concept.id, tuple(keys)))
        text = ngettext(
            "I will recognise {name} by their face, from {count} photo.",
            "I will recognise {name} by their face, from {count} photos.",
            len(keys),
        )
        said = text.format(name=concept.name, count=len(keys))
        if not clear:
            said += " " + _(
                "The face is not very clear there; a sharp photo from the front would help: /addphoto {name}"
            ).format(name=concept.name)
        return Reply(said, named=(concept.id,))

    async def stop(self, actor: Actor, concept: Concept) -> Reply:
        """Delete the face keys; the card and its photos stay."""
        await self._write(actor, SetFaces(concept.id))
        return Reply(_("I don't recognise {name}'s face any more; its key is deleted.").format(name=concept.name))

    async def refuse(self, actor: Actor, chat: Chat, photo: Photo) -> Reply:
        """Nobody's card names the face in this photo in this group any more. Only its key is kept.

        Raises ConceptError when the photo does not show exactly one face clearly.
        """
        _only_groups(chat)
        await self._prepare()
        face = the_one(await self._find_faces(actor, photo.data))
        if face is None:
            raise ConceptError(_("Please send a photo that shows your face alone, and clearly."))
        await self._places.refuse_face(chat.id, actor.id, face.key, known=chat.member)
        return Reply(
            _(
                "Nobody's card names that face in this group any more. I keep a key of it, and nothing else;"
                " /dontrecognise off takes that back."
            )
        )

    async def accept(self, actor: Actor, chat: Chat) -> Reply:
        """Take a refusal back."""
        _only_groups(chat)
        if not await self._places.withdraw_refusal(chat.id, actor.id):
            raise ConceptError(_("You have not asked for that in this group."))
        return Reply(_("That key is deleted: you may be recognised in this group again."))

    async def refused(self, actor: Actor) -> list[tuple[str, bytes]]:
        """(group, face key) of what the person and all linked accounts refused; groups are kept as hashes (hex)."""
        accounts = await self._places.identities(actor.id)
        return [one for account in accounts for one in await self._places.refused_faces(account)]

    async def _write(self, actor: Actor, change: SetFaces) -> Changed:
        return await self._store.write(actor.id, change)


class WhichFace(ConceptError):
    """The photo (JPEG) shows several faces of about the same size; their boxes, largest first."""

    def __init__(self, jpeg: bytes, boxes: tuple[Box, ...]) -> None:
        super().__init__(_("That photo shows {count} faces. Which one is meant?").format(count=len(boxes)))
        self.jpeg = jpeg
        self.boxes = boxes


@cache
def _can_look() -> bool:
    """There is not a build of dlib for every system."""
    return importlib.util.find_spec("dlib") is not None


def _only_groups(chat: Chat) -> None:
    if chat.kind is not ChatKind.GROUP:
        raise ConceptError(_("That is for groups: send it in the group where you don't want to be recognised."))


def asks_to_agree(name: str) -> str:
    """What is said when a person was taught: recognition does not begin by itself."""
    return _(
        "I recognise people by their faces, and only those who agree. If {name} does, write /face {name}"
        " (for a child the parents decide)."
    ).format(name=name)


def the_one(faces: tuple[AvatarFace, ...], which: int | None = None) -> AvatarFace | None:
    """The face that is meant: the one asked for, the only one, or the one that is clearly the largest."""
    if which is not None:
        return faces[which] if 0 <= which < len(faces) else None
    if len(faces) == 1 or (len(faces) > 1 and faces[0].box.area > _CLEARLY_LARGER * faces[1].box.area):
        return faces[0]
    return None
